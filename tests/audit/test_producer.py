"""Numbers of calls: one each, also at once and in the middle of another, and declared where the call raised."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from counterfoil.audit.producer import Producer


def test_every_call_has_a_number_of_its_own() -> None:
    """Numbers run from 1, whoever asks."""
    producer = Producer()
    with ThreadPoolExecutor(8) as pool:
        numbers = [future.result() for future in [pool.submit(producer.next_number) for _ in range(1000)]]
    assert sorted(numbers) == list(range(1, 1001))


def test_numbers_that_raised_are_declared_once() -> None:
    """Each is given out once, some hundred at a time; what did not arrive is given back."""
    producer = Producer()
    assert producer.take_raised(0) == []
    producer.declare_later(list(range(300)))
    first = producer.take_raised(0)
    assert len(first) == 256
    producer.declare_later(first)
    assert sorted([*producer.take_raised(0), *producer.take_raised(0)]) == list(range(300))
    assert producer.take_raised(0) == []


def test_what_an_entry_says_of_its_producer() -> None:
    """The process, the library, the number of the call, and what it declares; each producer has an id of its own."""
    producer = Producer()
    part = producer.part(7, [5, 6])
    assert (part["pid"], part["seq"], part["raised"]) == (os.getpid(), 7, [5, 6])
    assert part["library"].startswith("counterfoil/")
    assert Producer().part(1, [])["id"] != part["id"]

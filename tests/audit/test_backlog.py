"""The queue itself: bounded by count and by bytes, in the order of the numbers, and waited for from both ends."""

from __future__ import annotations

import threading
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit.backlog import GROUP, Backlog
from counterfoil.audit.sealing import OVERHEAD, Taken, take
from counterfoil.schemas import LogClosed
from counterfoil.schemas.entry import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeUse

_LEAST = MAX_BODY + OVERHEAD


@pytest.fixture
def taken(a_use: MakeUse) -> Callable[[], Taken]:
    """Give the function that takes a small event."""
    return lambda: take(a_use())


def test_an_entry_stays_until_it_is_settled(taken: Callable[[], Taken]) -> None:
    """Looking at the next entries takes none out: a writer that fails finds them again, and they count."""
    backlog, number = Backlog(100, _LEAST), count(1).__next__
    for _ in range(70):
        assert backlog.put(taken(), number, 0)
    group = backlog.group()
    assert [each.number for each in group] == list(range(1, GROUP + 1))
    assert backlog.group() == group
    assert len(backlog) == 70
    backlog.settle(group)
    assert [each.number for each in backlog.group()] == list(range(GROUP + 1, 71))


def test_it_is_full_by_count_and_by_bytes(taken: Callable[[], Taken]) -> None:
    """Without room nothing is taken in, and no number is given; a settled entry makes room."""
    number = count(1).__next__
    for entries, size, most in ((3, _LEAST, 3), (10**6, _LEAST, _LEAST // taken().size)):
        backlog = Backlog(entries, size)
        while backlog.put(taken(), number, 0):
            pass
        assert len(backlog) == most
        assert not backlog.put(taken(), number, 0.01)
        last = backlog.group()[:1]
        backlog.settle(last)
        assert backlog.put(taken(), number, 0)
        assert len(backlog) == most
    assert number() == 3 + 1 + _LEAST // taken().size + 1 + 1


def test_it_may_be_used_while_it_is_used(taken: Callable[[], Taken]) -> None:
    """A signal handler may put an entry in while its thread is putting one in: neither waits for the other."""
    backlog, number = Backlog(10, _LEAST), count(1).__next__

    def interrupted() -> int:
        assert backlog.put(taken(), number, 0)
        return number()

    assert backlog.put(taken(), interrupted, 0)
    assert [each.number for each in backlog.group()] == [1, 2]


def test_nobody_overtakes_who_waits(taken: Callable[[], Taken]) -> None:
    """While one caller waits for room, a later one does not get it without waiting."""
    backlog, number = Backlog(1, _LEAST), count(1).__next__
    assert backlog.put(taken(), number, 0)
    waiting = threading.Thread(target=lambda: backlog.put(taken(), number, 10))
    waiting.start()
    while not backlog.pressed:
        time.sleep(0.001)
    assert not backlog.put(taken(), number, 0)
    backlog.settle(backlog.group())
    waiting.join(10)
    assert [each.number for each in backlog.group()] == [2]


def test_what_waits_is_waited_for(taken: Callable[[], Taken]) -> None:
    """Whoever waits until all is settled waits for what was there, and not for what comes later."""
    backlog, number = Backlog(10, _LEAST), count(1).__next__
    assert backlog.wait_until_settled(0)
    assert backlog.put(taken(), number, 0)
    assert not backlog.wait_until_settled(0.01)
    done: list[bool] = []
    waiting = threading.Thread(target=lambda: done.append(backlog.wait_until_settled(10)))
    waiting.start()
    while not backlog.pressed:
        time.sleep(0.001)
    first = backlog.group()
    assert backlog.put(taken(), number, 0)
    backlog.settle(first)
    waiting.join(10)
    assert done == [True]
    assert len(backlog) == 1


def test_entries_gather_unless_somebody_waits(taken: Callable[[], Taken]) -> None:
    """The writer is woken by the first entry, and gets those of the next moments along; a full group does not wait."""
    backlog, number = Backlog(1000, 10 * _LEAST), count(1).__next__
    took: list[float] = []

    def wait() -> None:
        began = time.monotonic()
        assert backlog.wait_for_entries()
        took.append(time.monotonic() - began)

    assert backlog.put(taken(), number, 0)
    wait()
    while len(backlog) < GROUP:
        assert backlog.put(taken(), number, 0)
    wait()
    assert took[0] > 0.04
    assert took[1] < took[0]


def test_a_closed_queue_takes_nothing_and_ends(taken: Callable[[], Taken]) -> None:
    """What is in it can still be settled; then the writer is told that there will be nothing more."""
    backlog, number = Backlog(10, _LEAST), count(1).__next__
    assert backlog.put(taken(), number, 0)
    backlog.close()
    with pytest.raises(LogClosed):
        backlog.put(taken(), number, 0)
    assert backlog.wait_for_entries()
    backlog.settle(backlog.group())
    assert not backlog.wait_for_entries()


def test_closing_wakes_whoever_waits(taken: Callable[[], Taken]) -> None:
    """A caller that waits for room in a queue that is closed is told so at once."""
    backlog, number = Backlog(1, _LEAST), count(1).__next__
    assert backlog.put(taken(), number, 0)
    told: list[type[BaseException]] = []

    def wait() -> None:
        try:
            backlog.put(taken(), number, 60)
        except LogClosed as error:
            told.append(type(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not backlog.pressed:
        time.sleep(0.001)
    backlog.close()
    waiting.join(10)
    assert told == [LogClosed]

"""Completeness over a whole log: what is missing is told, what may be on its way is not called lost."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity import State, Verdict
from counterfoil.audit.integrity.facts import log_event
from counterfoil.audit.integrity.producers import Producers
from counterfoil.schemas import Context, EventConflict, LogChange, LogEvent, StoreError, canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.schemas import FingerprintKey


def _body(producer: int, number: int, raised: Sequence[int] = (), change: str | None = None) -> bytes:
    context = {
        "event_id": "0190a0b0-0000-7000-8000-000000000000",
        "observer": "agent",
        "producer": {
            "host": "h",
            "id": f"{producer:016x}",
            "library": "counterfoil/9",
            "pid": 7,
            "raised": list(raised),
            "seq": number,
        },
        "recorded_at": "2026-01-01T00:00:00.000000Z",
    }
    event = {"kind": "log", "change": change} if change else {"kind": "credential_use"}
    return canonical_bytes({"context": context, **event})


def _judged(bodies: Sequence[bytes | None], *, running: bool = False, page: int = 500) -> Verdict:
    producers = Producers()
    rows = [(seq, body, b"", b"") for seq, body in enumerate(bodies, start=1)]
    for first in range(0, len(rows), page):
        producers.take(rows[first : first + page])
        for seq, body, _, _ in rows[first : first + page]:
            if body and (event := log_event(body)):
                producers.hear(seq, event, event["context"]["producer"]["id"].encode())
    return producers.verdict(len(rows), lambda _process: running)


def test_everything_is_there() -> None:
    """Two processes, by turns, both closed: complete, and it says so of two."""
    numbers = [_body(who, number) for number in range(1, 40) for who in (1, 2)]
    found = _judged([*numbers, _body(1, 40, change="closed"), _body(2, 40, change="closed")])
    assert (found.state, found.reach) == (State.PROVEN, 80)
    assert "2 processes" in found.words


@pytest.mark.parametrize(
    ("numbers", "state", "words"),
    [
        ([1, 2, 4, 5], State.FAILED, "not in the log: 3 "),
        ([1, 5, 6], State.FAILED, "not in the log: 2 to 4 "),
        ([2, 3], State.FAILED, "not in the log: 1 "),
        ([1, 4, 3, 5, 2], State.PROVEN, "every number"),
        ([1, 3, 6], State.FAILED, "not in the log: 2, 4 to 5 "),
    ],
)
def test_a_hole_of_a_producer_that_closed(numbers: list[int], state: State, words: str) -> None:
    """Once it has closed nothing is on its way: what is missing is lost, whatever the order of the rest."""
    found = _judged([*(_body(1, each) for each in numbers), _body(1, max(numbers) + 1, change="closed")])
    assert found.state is state
    assert words in found.words
    assert (found.first_bad is not None) == (state is State.FAILED)


def test_a_declared_number_is_no_loss() -> None:
    """Its caller was told: in the next entry, or in several later ones."""
    assert _judged([_body(1, 1), _body(1, 4, [2, 3]), _body(1, 5, change="closed")])
    assert _judged([_body(1, 1), _body(1, 4, [2]), _body(1, 5, [3], change="closed")])
    assert not _judged([_body(1, 1), _body(1, 4, [2]), _body(1, 5, change="closed")])


def test_a_call_under_way() -> None:
    """Of a producer that runs a missing number may come, for a while; then it is lost."""
    few = [_body(1, each) for each in (1, *range(3, 100))]
    assert _judged(few, running=True).state is State.UNKNOWN
    many = [_body(1, each) for each in (1, *range(3, 3000))]
    found = _judged(many, running=True)
    assert (found.state, found.first_bad) == (State.FAILED, 2)
    assert _judged([*many[:2500], _body(1, 2), *many[2500:]], running=True)


def test_an_outage_takes_long_to_declare() -> None:
    """A hundred thousand calls that raised are declared some hundred at a time, and not called lost meanwhile."""
    bodies = [_body(1, 1), _body(1, 100_002, range(2, 258))]
    bodies += [_body(1, 100_002 + each, range(2 + each * 256, 258 + each * 256)) for each in range(1, 380)]
    assert _judged(bodies, running=True).state is State.UNKNOWN
    last = range(2 + 380 * 256, 100_002)
    assert _judged([*bodies, *(_body(1, 100_382 + each, last[each * 256 :][:256]) for each in range(11))], running=True)


def test_a_kill_leaves_a_doubt() -> None:
    """A producer that neither closed nor runs: what it still had is not known."""
    bodies = [_body(1, 1), _body(1, 2), _body(2, 1)]
    found = _judged(bodies)
    assert (found.state, found.first_bad) == (State.UNKNOWN, None)
    assert "2 processes ended without saying so" in found.words
    assert _judged(bodies, running=True)
    assert "2 processes still run" in _judged(bodies, running=True).words


def test_a_gap_entry_is_believed() -> None:
    """Whoever writes that entries are missing is right, and its words are passed on."""
    found = _judged([_body(1, 1), _body(1, 2, change="gap"), _body(1, 3, change="closed")])
    assert (found.state, found.first_bad) == (State.FAILED, 2)
    assert "gap" in found.words


@pytest.mark.parametrize("page", [1, 2, 500])
def test_an_entry_after_the_closing(page: int) -> None:
    """A thread may commit after another closed the log: it is of the same producer still."""
    closed = _body(1, 3, change="closed")
    assert _judged([_body(1, 1), _body(1, 2), closed, _body(1, 4)], page=page)
    assert not _judged([_body(1, 1), _body(1, 2), closed, _body(1, 5)], page=page)


def test_pruned_bodies() -> None:
    """As many missing numbers as bodies: these are they. More: nobody can tell. Never is pruning called a loss."""
    closed = _body(1, 5, change="closed")
    assert _judged([_body(1, 1), None, None, _body(1, 4), closed])
    found = _judged([_body(1, 1), None, _body(1, 4), closed])
    assert found.state is State.UNKNOWN
    assert "1 numbers" in found.words


def test_a_body_that_names_nobody() -> None:
    """An entry whose producer cannot be read is told of, and is not taken for one of another."""
    found = _judged([_body(1, 1), b"{}", _body(1, 2, change="closed")])
    assert found.state is State.UNKNOWN
    assert "entry 2" in found.words


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_order_any_loss(data: st.DataObject) -> None:
    """Whatever the order, complete is said exactly if each number from 1 to the last was recorded or declared."""
    count = data.draw(st.integers(1, 30))
    order = data.draw(st.permutations(range(1, count + 1)))
    lost = data.draw(st.sets(st.integers(1, count), max_size=4))
    declared = data.draw(st.sets(st.sampled_from(sorted(lost)))) if lost else set[int]()
    bodies = [_body(1, number) for number in order if number not in lost]
    page = data.draw(st.integers(1, 40))
    found = _judged([*bodies, _body(1, count + 1, sorted(declared), change="closed")], page=page)
    assert bool(found) == (lost == declared)


def test_memory_does_not_grow_with_holes() -> None:
    """A producer that leaves out every other number is given up, and fails."""
    found = _judged([_body(1, 2 * each) for each in range(1, 5000)], running=True)
    assert found.state is State.FAILED


def test_a_real_log(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """While this process runs, the log is complete; a call that raised does not change that, and a gap entry does."""
    receipt = log.record(a_use("one"))
    with pytest.raises(EventConflict):
        log.record(a_use("two").model_copy(update={"context": Context(event_id=receipt.event_id)}))
    log.record(a_use())
    with AuditReader.open(address) as reader:
        found = reader.verify().complete
        assert found
        assert "1 process still runs" in found.words
        log.record(LogEvent(change=LogChange.GAP))
        assert reader.verify().failed == ("complete",)


def test_a_child_that_was_killed(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """A forked child is a producer of its own: killed, it leaves a doubt; when it closes, none."""
    for how, expected in (("close", State.PROVEN), ("kill", State.UNKNOWN)):
        child = os.fork()
        if not child:
            try:
                log.record(a_use())
                if how == "close":
                    log.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        with AuditReader.open(address) as reader:
            assert reader.verify().complete.state is expected, how


def test_a_log_that_is_closed_among_calls(address: Path, key: FingerprintKey, a_use: MakeUse) -> None:
    """Calls that come too late raise, and the entry that says ``closed`` declares them: nothing looks lost."""
    late = 0
    for _ in range(8):
        log = AuditLog.open(address, fingerprint_key=key)
        ended: list[StoreError] = []

        def work(log: AuditLog = log, ended: list[StoreError] = ended) -> None:
            try:
                while True:
                    log.record(a_use())
            except StoreError as error:
                ended.append(error)

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        time.sleep(0.02)
        log.close()
        for thread in threads:
            thread.join()
        late += len(ended)
        with AuditReader.open(address) as reader:
            assert reader.verify().complete, reader.verify().complete.words
    assert late == 40


def test_a_process_id_that_somebody_else_has(log: AuditLog, address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that began after the entry is not the one that wrote it."""
    log.flush()
    with AuditReader.open(address) as reader:
        assert reader.verify().complete
        monkeypatch.setattr("counterfoil.audit.integrity.anchors._began", _long_after)
        assert reader.verify().complete.state is State.UNKNOWN


def _long_after(_pid: int) -> float:
    return 4e9

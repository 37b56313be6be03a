"""T11: ten times more calls than the store takes, in each mode: memory stays bounded, and no loss is silent."""

from __future__ import annotations

import threading
import time
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.backlog import Backlog
from counterfoil.audit.unrecorded import Unrecorded
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import (
    Action,
    AuditTimeout,
    CredentialUse,
    LogEvent,
    Resource,
    StoreError,
    Token,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Tally
    from frame import Scale

    from counterfoil.schemas import Entry

pytestmark = pytest.mark.faults

_THREADS = 8
_LAST = "last"
_QUEUE = 200
_CAP = 24 * 1024 * 1024  # bytes of Python objects, at the most, while 1 kB entries pour in
_MODES = [(delivery, when) for delivery in ("durable", "queued") for when in ("raise", "continue")]


@dataclass
class Poured:
    """What became of the calls."""

    names: set[str] = field(default_factory=set[str])
    """Those that returned as if they were recorded, or accepted."""
    unsure: set[str] = field(default_factory=set[str])
    raised: int = 0
    lost: int = 0
    peak: int = 0

    @property
    def calls(self) -> int:
        """How many there were."""
        return len(self.names) + len(self.unsure) + self.raised + self.lost


def _use(name: str) -> CredentialUse:
    return CredentialUse(token=Token(), resource=Resource(uri="https://a.example"), action=Action(name=name))


def _throttled(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store stand still now and then: longer than anybody waits."""
    store = cast("Any", log)._writer._store
    commit = store.commit
    turns = iter(range(10**9))

    def slow(*given: Any) -> None:
        time.sleep(0.25 if next(turns) % 10 == 5 else 0.01)
        commit(*given)

    monkeypatch.setattr(store, "commit", slow)


def _pour(log: AuditLog, seconds: float) -> Poured:
    """Record from eight threads, as fast as they can."""
    poured, counting = Poured(), threading.Lock()
    until = time.monotonic() + seconds

    def work(thread: int) -> None:
        number = 0
        while time.monotonic() < until:
            name = f"t{thread}-{number}"
            number += 1
            try:
                receipt = log.record(_use(name))
            except AuditTimeout:
                with counting:
                    poured.unsure.add(name)
            except StoreError:
                with counting:
                    poured.raised += 1
            else:
                with counting:
                    if receipt.lost:
                        poured.lost += 1
                    else:
                        poured.names.add(name)

    tracemalloc.start()
    threads = [threading.Thread(target=work, args=(each,)) for each in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    poured.peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return poured


def _check(poured: Poured, entries: list[Entry], counted: int) -> int:
    """Raise ``AssertionError`` for a silent loss. Return how many uses are in the log."""
    stored = [entry.event.action.name for entry in entries if isinstance(entry.event, CredentialUse)]
    stored = [name for name in stored if name != _LAST]
    assert len(stored) == len(set(stored))
    assert poured.names <= set(stored), "a call returned as if it were recorded, and there is no entry"
    assert len(stored) + counted + poured.raised + len(poured.unsure - set(stored)) == poured.calls
    told = [event.count or 0 for entry in entries if isinstance(event := entry.event, LogEvent) and event.first]
    assert sum(told) == counted, "a loss is not told of"
    assert _holes(entries) == set()
    return len(stored)


def _holes(entries: list[Entry]) -> set[int]:
    """Return the numbers of the producer that no entry has, declares or tells of."""
    seen: set[int] = set()
    for entry in entries:
        event, producer = entry.event, entry.event.context.producer
        assert producer is not None
        seen |= {producer.seq, *producer.raised}
        if isinstance(event, LogEvent) and event.first is not None and event.last is not None:
            seen |= set(range(event.first, event.last + 1))
    return set(range(1, max(seen) + 1)) - seen


def _overload(
    address: Path, delivery: Any, when: Any, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[Poured, list[Entry], int]:
    log = AuditLog.open(address, delivery=delivery, queue_entries=_QUEUE, deadline=0.1, when_unavailable=when)
    with monkeypatch.context() as patched:
        _throttled(log, patched)
        poured = _pour(log, seconds)
        assert log.health.waiting <= _QUEUE
    log.flush(deadline=30)
    for _ in range(100):  # each declares numbers of calls that raised
        log.record(_use(_LAST))
    log.close()
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        return poured, list(reader.find(Filter())), log.health.lost


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(("delivery", "when"), _MODES)
def test_overload(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    delivery: str, when: str, address: Path, scale: Scale, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that returned is in the log or counted, what raised is declared, and the queue never grew."""
    poured, entries, counted = _overload(address, delivery, when, scale(1, 20), monkeypatch)
    stored = _check(poured, entries, counted)
    assert poured.raised == 0 or when == "raise"
    assert poured.peak < _CAP
    tally(
        "T11",
        f"overload, {delivery}, {when}",
        tried=poured.calls,
        acknowledged=len(poured.names),
        stored=stored,
        lost=0,
        note=f"{poured.raised:,} raised, {counted:,} counted and told; {poured.peak / 2**20:.0f} MiB at most",
    )


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(("delivery", "when"), [("queued", "raise"), ("durable", "continue")])
def test_a_silent_loss_is_seen(
    delivery: str, when: str, address: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seeded defects: a full queue that drops and says yes; a call that goes on and is not counted."""
    put = Backlog.put

    def dropping(*given: Any) -> bool:
        return put(*given) or True

    def forgetting(self: Unrecorded, *_: Any) -> None:
        self.fault = "unavailable"

    monkeypatch.setattr(Backlog, "put", dropping)
    monkeypatch.setattr(Unrecorded, "count", forgetting)
    poured, entries, counted = _overload(address, delivery, when, 1, monkeypatch)
    with pytest.raises(AssertionError):
        _check(poured, entries, counted)
    tally.defect("T11", f"a silent loss, {delivery}, {when}")

"""Going on without the store: counted, loud, told in a gap entry, and never like a success."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from counterfoil.audit import AuditLog
from counterfoil.schemas import (
    ApprovalEvent,
    AuditTimeout,
    AuditUnavailable,
    ConfigurationError,
    CredentialUse,
    EventConflict,
    FingerprintKey,
    InvalidEvent,
    KeyMismatch,
    LogChange,
    LogClosed,
    LogEvent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.exporters.pending import Pending
    from counterfoil.schemas import Entry

    Busy = Callable[[], AbstractContextManager[None]]
    Entries = Callable[[], list[Entry]]
    Numbers = Callable[[], set[int]]

_DEADLINE = 0.3
GAP: LogChange = LogChange.GAP


@pytest.fixture(params=["durable", "queued"])
def lenient(request: pytest.FixtureRequest, address: Path, key: FingerprintKey) -> Iterator[AuditLog]:
    """Open a log that goes on, whose queue, if it has one, holds two entries."""
    with AuditLog.open(
        address,
        fingerprint_key=key,
        deadline=_DEADLINE,
        delivery=request.param,
        queue_entries=2,
        when_unavailable="continue",
    ) as opened:
        yield opened


@pytest.fixture
def durable(address: Path, key: FingerprintKey) -> Iterator[AuditLog]:
    """Open a log that goes on, and writes before it returns."""
    with AuditLog.open(address, fingerprint_key=key, deadline=_DEADLINE, when_unavailable="continue") as opened:
        yield opened


def _gaps(entries: list[Entry]) -> list[LogEvent]:
    return [entry.event for entry in entries if isinstance(entry.event, LogEvent) and entry.event.change is GAP]


def _uses(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if isinstance(entry.event, CredentialUse)]


def test_calls_go_on_and_are_told(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    lenient: AuditLog,
    entries: Entries,
    unaccounted: Numbers,
    a_use: MakeUse,
    busy: Busy,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was not recorded has a receipt that says so; a gap entry tells how many, between which numbers, and why."""
    with busy():
        receipts = [lenient.record(a_use()) for _ in range(6)]
        lost = [receipt for receipt in receipts if receipt.lost]
        assert lenient.health.lost == lenient.health.untold == len(lost) >= 4
        assert lenient.health.fault == "unavailable"
    assert {(receipt.durable, receipt.seq, receipt.chain_hash, receipt.lost) for receipt in lost} == {
        (False, 0, "", "unavailable")
    }
    lenient.flush(deadline=20)
    assert lenient.record(a_use()).lost is None
    lenient.flush(deadline=20)
    (gap,) = _gaps(entries())
    assert (gap.count, gap.reason) == (len(lost), "calls went on without a record: unavailable")
    assert gap.first is not None
    assert gap.last == gap.first + len(lost) - 1
    assert len(_uses(entries())) == 7 - len(lost)
    assert unaccounted() == set()
    assert (lenient.health.untold, lenient.health.fault) == (0, None)
    said = capsys.readouterr().err
    assert "counterfoil: 1 call went on without a record: " in said
    assert f"takes entries again; {len(lost)} calls went on without a record" in said


def test_a_use_and_an_approval_go_on(lenient: AuditLog, entries: Entries, a_use: MakeUse, busy: Busy) -> None:
    """The action runs, and its result is its own; the question is asked and answered; asynchronous code likewise."""
    like = a_use()
    parts: dict[str, Any] = {"token": like.token, "resource": like.resource, "action": like.action}
    ran: list[str] = []

    async def scene() -> None:
        async with lenient.use(**parts):
            ran.append("awaited")
        assert (await lenient.arecord(a_use())).lost
        assert (await lenient.aapproval(tool="pay", arguments={})).part.approval_id

    with busy():
        for _ in range(2):
            lenient.record(a_use())
        with lenient.use(**parts) as use:
            ran.append("called")
        assert use.receipt
        assert use.receipt.lost
        lenient.approval(tool="pay", arguments={}).granted(approver="alice")
        asyncio.run(scene())
    assert ran == ["called", "awaited"]
    lenient.flush(deadline=20)
    lenient.record(a_use())
    lenient.flush(deadline=20)
    assert sum(gap.count or 0 for gap in _gaps(entries())) == lenient.health.lost >= 8
    assert not [entry for entry in entries() if isinstance(entry.event, ApprovalEvent)]


def test_an_outage_does_not_stop_what_goes_on(durable: AuditLog, a_use: MakeUse, busy: Busy) -> None:
    """The first call waits for the deadline, those after it a tenth of that, until the store is back."""
    with busy():
        began = time.monotonic()
        durable.record(a_use())
        first = time.monotonic()
        for _ in range(5):
            durable.record(a_use())
        assert first - began >= _DEADLINE * 0.9
        assert time.monotonic() - first < _DEADLINE * 5 * 0.6
    assert durable.record(a_use()).durable


def test_stderr_hears_of_it_once_a_minute(
    durable: AuditLog,
    a_use: MakeUse,
    busy: Busy,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At once, and then together, however many calls there are: without ``COUNTERFOIL_LOG``."""
    monkeypatch.delenv("COUNTERFOIL_LOG", raising=False)
    with busy():
        for _ in range(4):
            durable.record(a_use())
        assert capsys.readouterr().err.count("went on") == 1
        monkeypatch.setattr("counterfoil.audit.unrecorded._EVERY", 0.0)
        durable.record(a_use())
    assert "counterfoil: 4 calls went on without a record: " in capsys.readouterr().err


def test_without_a_stderr_it_goes_on_too(
    durable: AuditLog, a_use: MakeUse, busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has no stderr, or a closed one, is not stopped by it."""
    monkeypatch.setattr("sys.stderr", None)
    with busy():
        assert durable.record(a_use()).lost


def test_what_is_given_wrong_raises_as_ever(lenient: AuditLog, a_use: MakeUse, unaccounted: Numbers) -> None:
    """An event that is refused is the caller's to mend, and a log that was closed stays closed."""
    with pytest.raises(InvalidEvent, match="only the five kinds"):
        lenient.record(cast("Any", object.__new__(type("Other", (CredentialUse,), {}))))
    event = a_use()
    lenient.record(event)
    if lenient.record(event).durable:
        with pytest.raises(EventConflict):
            lenient.record(a_use("pay", context=event.context))
    lenient.close()
    with pytest.raises(LogClosed):
        lenient.record(a_use())
    assert lenient.health.lost == 0
    assert unaccounted() == set()


@pytest.mark.parametrize("arrived", [False, True])
def test_an_unknown_outcome_is_settled(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    arrived: bool,  # noqa: FBT001 -- pytest gives it by name
    durable: AuditLog,
    entries: Entries,
    unaccounted: Numbers,
    a_use: MakeUse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether or not the entry had arrived, it is in the log once when the store is back, and not counted as lost."""
    append = cast("Any", durable)._writer.append

    def interrupted(pending: Pending, until: float | None = None) -> None:
        if arrived:
            append(pending, until)
        raise AuditTimeout("a test")

    monkeypatch.setattr(cast("Any", durable)._writer, "append", interrupted)
    assert durable.record(a_use("unsure")).lost == "timeout"
    monkeypatch.undo()
    assert (durable.health.lost, durable.health.untold) == (1, 1)
    durable.record(a_use("sure"))
    assert (durable.health.lost, durable.health.untold) == (0, 0)
    names = [entry.event.action.name for entry in _uses(entries()) if isinstance(entry.event, CredentialUse)]
    assert sorted(names) == ["sure", "unsure"]
    assert _gaps(entries()) == []
    assert unaccounted() == set()


@pytest.mark.parametrize("arrived", [False, True])
def test_a_gap_of_unknown_outcome_is_told_once(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    arrived: bool,  # noqa: FBT001 -- pytest gives it by name
    durable: AuditLog,
    entries: Entries,
    unaccounted: Numbers,
    a_use: MakeUse,
    busy: Busy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gap entry that timed out is given to the store again as it was, and calls lost since then have their own."""
    append = cast("Any", durable)._writer.append

    def interrupted(pending: Pending, until: float | None = None) -> None:
        if b'"change":"gap"' not in pending.body or arrived:
            append(pending, until)
        if b'"change":"gap"' in pending.body:
            raise AuditTimeout("a test")

    with busy():
        durable.record(a_use())
    monkeypatch.setattr(cast("Any", durable)._writer, "append", interrupted)
    assert durable.record(a_use()).durable
    monkeypatch.undo()
    with busy():
        durable.record(a_use())
        durable.record(a_use())
    assert durable.health.untold == 3
    durable.record(a_use())
    assert durable.health.untold == 0
    assert [gap.count for gap in _gaps(entries())] == [1, 2]
    assert unaccounted() == set()


def test_closing_tells_what_nobody_told(address: Path, key: FingerprintKey, a_use: MakeUse, busy: Busy) -> None:
    """A gap that no later call has told of is told when the log is closed, before the closing."""
    log = AuditLog.open(address, fingerprint_key=key, deadline=_DEADLINE, when_unavailable="continue")
    with busy():
        log.record(a_use())
    log.close()
    from counterfoil.audit import AuditReader
    from counterfoil.exporters.filter import Filter

    with AuditReader.open(address) as reader:
        told = [entry.event.change for entry in reader.find(Filter()) if isinstance(entry.event, LogEvent)]
    assert told == ["created", "opened", "gap", "closed"]


def test_what_nothing_can_tell_is_said(
    address: Path, key: FingerprintKey, a_use: MakeUse, busy: Busy, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the store does not come back, stderr says how many calls no entry tells of, and closing raises nothing."""
    log = AuditLog.open(address, fingerprint_key=key, deadline=_DEADLINE, when_unavailable="continue")
    with busy():
        for _ in range(3):
            log.record(a_use())
        log.close()
    assert "the log was closed; 3 calls went on without a record, and no entry tells of it" in capsys.readouterr().err


@pytest.mark.parametrize("delivery", ["durable", "queued"])
def test_a_log_opens_when_it_can(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    delivery: Any,
    address: Path,
    key: FingerprintKey,
    a_use: MakeUse,
    entries: Entries,
    everything: Entries,
    unaccounted: Numbers,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With its store away at the start the process goes on; the first call that can opens the log and tells the gap."""
    monkeypatch.setattr("counterfoil.audit.opening._REST", 0.0)
    monkeypatch.setattr("counterfoil.audit.opening._SHARE", 0.0)
    hidden = address.parent / "not-yet"
    log = AuditLog.open(
        hidden / address.name, fingerprint_key=key, deadline=_DEADLINE, delivery=delivery, when_unavailable="continue"
    )
    assert "going on without a record" in capsys.readouterr().err
    receipts = [log.record(a_use()) for _ in range(3)]
    assert {receipt.log_id for receipt in receipts} == {""}
    assert {bool(receipt.lost) for receipt in receipts} == {delivery == "durable"}
    hidden.mkdir()
    receipt = log.record(a_use())
    assert receipt.durable == (delivery == "durable")
    log.close()
    hidden.joinpath(address.name).rename(address)
    assert len(_uses(entries())) == (1 if delivery == "durable" else 4)
    assert [gap.count for gap in _gaps(entries())] == ([3] if delivery == "durable" else [])
    changes = [entry.event.change for entry in everything() if isinstance(entry.event, LogEvent)]
    assert (changes[:2], changes[-1]) == (["created", "opened"], "closed")
    assert unaccounted() == set()


def test_threads_open_a_late_log_once(
    address: Path, key: FingerprintKey, a_use: MakeUse, everything: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is recorded before the creation of the log, whoever comes first."""
    monkeypatch.setattr("counterfoil.audit.opening._REST", 0.0)
    monkeypatch.setattr("counterfoil.audit.opening._SHARE", 0.0)
    hidden = address.parent / "not-yet"
    log = AuditLog.open(hidden / address.name, fingerprint_key=key, deadline=20, when_unavailable="continue")
    hidden.mkdir()
    threads = [threading.Thread(target=log.record, args=(a_use(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    hidden.joinpath(address.name).rename(address)
    changes = [getattr(entry.event, "change", None) for entry in everything()]
    assert changes == ["created", "opened", *[None] * 8, "closed"]


def test_what_waiting_does_not_mend_raises_at_opening(
    address: Path, key: FingerprintKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No address, a word that is none, and another key are mistakes; a store that is away raises unless told."""
    monkeypatch.delenv("COUNTERFOIL_DB", raising=False)
    with pytest.raises(ConfigurationError, match="no log is named"):
        AuditLog.open(fingerprint_key=key, when_unavailable="continue")
    with pytest.raises(ConfigurationError, match="raise or continue"):
        AuditLog.open(address, fingerprint_key=key, when_unavailable=cast("Any", "ignore"))
    AuditLog.open(address, fingerprint_key=key).close()
    with pytest.raises(KeyMismatch):
        AuditLog.open(address, fingerprint_key=FingerprintKey(bytes(range(32))), when_unavailable="continue")
    with pytest.raises(AuditUnavailable):
        AuditLog.open(address.parent / "missing" / "audit.db", fingerprint_key=key)

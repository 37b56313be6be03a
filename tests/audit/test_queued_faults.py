"""Queued delivery under faults: a full queue, a store that is away, and what turns out later not to be recordable."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog
from counterfoil.audit.backlog import Backlog
from counterfoil.audit.redaction import Redactor
from counterfoil.exporters.diagnostics import diagnostics
from counterfoil.exporters.sql.chain import settled
from counterfoil.schemas import (
    AuditTimeout,
    AuditUnavailable,
    Context,
    CredentialUse,
    FingerprintKey,
    LogChange,
    LogClosed,
    LogEvent,
    Phase,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.exporters.pending import Pending
    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]
    Numbers = Callable[[], set[int]]
    Busy = Callable[[], AbstractContextManager[None]]


def _names(entries: list[Entry]) -> list[str]:
    return [entry.event.action.name for entry in entries if isinstance(entry.event, CredentialUse)]


def _gaps(entries: list[Entry]) -> list[LogEvent]:
    return [
        entry.event for entry in entries if isinstance(entry.event, LogEvent) and entry.event.change is LogChange.GAP
    ]


@pytest.fixture
def hasty(address: Path, key: FingerprintKey, monkeypatch: pytest.MonkeyPatch) -> AuditLog:
    """Open a log that waits no longer than 0.1 s, nor when it is closed longer than 0.2 s."""
    monkeypatch.setattr("counterfoil.audit.lifetime._LEAVING", 0.2)
    return AuditLog.open(address, fingerprint_key=key, delivery="queued", deadline=0.1)


@pytest.mark.parametrize("defect", [False, True])
def test_overload(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    defect: bool,  # noqa: FBT001 -- pytest gives it by name
    small: AuditLog,
    entries: Entries,
    unaccounted: Numbers,
    a_use: MakeUse,
    busy: Busy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full queue blocks until the deadline and then raises: what did not raise is in the log, the rest is declared.

    The seeded defect drops what finds no room, and reports success.
    """
    if defect:
        put = Backlog.put

        def dropping(*given: Any) -> bool:
            return put(*given) or True

        monkeypatch.setattr(Backlog, "put", dropping)
    accepted, waits = 0, list[float]()
    with busy():
        for number in range(8):
            began = time.monotonic()
            try:
                small.record(a_use(f"use-{number}"))
            except AuditUnavailable:
                waits.append(time.monotonic() - began)
            else:
                accepted += 1
    small.flush(deadline=20)
    small.record(a_use("afterwards"))
    small.flush(deadline=20)
    assert (len(_names(entries())) == accepted + 1) == (not defect)
    assert (len(waits), all(0.19 < wait < 5 for wait in waits)) == (0 if defect else 3, True)
    assert unaccounted() == set()


@pytest.mark.usefixtures("key")
def test_a_blocked_caller_goes_on_when_there_is_room(address: Path, a_use: MakeUse, busy: Busy) -> None:
    """Whoever waits gets the room that is made."""
    patient = AuditLog.open(address, delivery="queued", queue_entries=5, deadline=20)
    with patient, ThreadPoolExecutor(8) as pool:
        with busy():
            waiting = [pool.submit(patient.record, a_use(f"use-{number}")) for number in range(8)]
            time.sleep(0.2)
            assert sum(future.done() for future in waiting) == 5
        assert all(future.result().event_id for future in waiting)


def test_the_queue_is_bounded_by_bytes_too(address: Path, key: FingerprintKey, a_use: MakeUse, busy: Busy) -> None:
    """However few its entries are, a queue takes no more than so many bytes, those of the scope included."""
    bound: dict[str, Any] = {"delivery": "queued", "queue_bytes": 1024 * 1024, "deadline": 0.1}
    large = {"x": ["y" * 60] * 1500}  # about 94 kB
    with AuditLog.open(address, fingerprint_key=key, **bound) as log, busy():
        for _ in range(5):
            log.record(a_use(context=Context(attributes=large)))
            with log.scope(attributes=large):
                log.record(a_use())
        with pytest.raises(AuditUnavailable, match="full until the deadline, with 10 entries"):
            log.record(a_use(context=Context(attributes=large)))
        log.record(a_use())


def test_a_later_refusal_is_told(
    queued: AuditLog,
    entries: Entries,
    a_use: MakeUse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An event_id that is taken is found out after the call: a gap entry names the number, and stderr says so."""
    monkeypatch.setenv("COUNTERFOIL_LOG", "error")
    diagnostics.cache_clear()
    event = a_use()
    for each in (event, a_use("pay", context=event.context), a_use("send", context=event.context), a_use("last")):
        queued.record(each)
    queued.flush(deadline=20)
    diagnostics.cache_clear()
    assert _names(entries()) == ["read_mail", "last"]
    (gap,) = _gaps(entries())
    assert (gap.first, gap.last, gap.count, gap.reason) == (4, 5, 2, "event_conflict")
    assert "'accepted entries were refused' first=4 last=5 count=2 reason='event_conflict'" in capsys.readouterr().err


class _Failing(Redactor):
    """A caller's own redactor, with a defect that shows a value."""

    def event(self, body: dict[str, Any]) -> Any:
        if body.get("action", {}).get("name") == "bad":
            raise RuntimeError(body["action"])
        return super().event(body)


def test_a_redactor_that_raises_costs_only_its_entry(
    address: Path, key: FingerprintKey, everything: Entries, unaccounted: Numbers, a_use: MakeUse
) -> None:
    """Whatever a caller's own redactor raises, the entry is refused, the loss is told, and the rest goes on."""
    with AuditLog.open(address, fingerprint_key=key, redactor=_Failing(), delivery="queued") as log:
        for name in ("good", "bad", "good", "bad", "bad", "good"):
            log.record(a_use(name))
    assert _names(everything()) == ["good"] * 3
    assert [(gap.count, gap.reason) for gap in _gaps(everything())] == [(1, "sealing_failed"), (2, "sealing_failed")]
    assert unaccounted() == set()


def test_a_store_that_is_back_gets_everything(small: AuditLog, entries: Entries, a_use: MakeUse, busy: Busy) -> None:
    """While the store cannot be written nothing is lost; ``flush`` says that it waits in vain, and can be repeated."""
    with busy():
        for number in range(5):
            small.record(a_use(f"use-{number}"))
        with pytest.raises(AuditTimeout, match="with 5 entries waiting") as caught:
            small.flush()
        assert "flush() again" in caught.value.advice
        until = time.monotonic() + 20
        while "locked by another process" not in _refusal(small, a_use()):
            assert time.monotonic() < until
    small.flush(deadline=20)
    assert _names(entries()) == [f"use-{number}" for number in range(5)]


def _refusal(log: AuditLog, event: CredentialUse) -> str:
    with pytest.raises(AuditUnavailable) as caught:
        log.record(event)
    return str(caught.value)


def _always_repeated(pending: Pending, found: tuple[int, str, bytes] | None) -> bool:
    pending.repeated = settled(pending, found)
    return pending.repeated


@pytest.mark.parametrize("defect", [False, True])
def test_a_commit_of_unknown_outcome_is_repeated_once(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    defect: bool,  # noqa: FBT001 -- pytest gives it by name
    queued: AuditLog,
    entries: Entries,
    everything: Entries,
    a_use: MakeUse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was committed and then reported as unknown is found in the log when it is given again.

    The seeded defect takes every event that is found for the repetition of an earlier call.
    """
    if defect:
        monkeypatch.setattr("counterfoil.exporters.sql.sqlite_store.settled", _always_repeated)
    places = iter([None, "it went away"])

    def trouble(*_: object) -> str | None:
        return next(places, None)

    monkeypatch.setattr("counterfoil.exporters.sql.presence.Presence.trouble", trouble)
    for number in range(3):
        queued.record(a_use(f"use-{number}"))
    queued.flush(deadline=20)
    assert next(places, None) is None
    monkeypatch.undo()
    queued.record(a_use("last"))
    queued.flush(deadline=20)
    assert _names(entries()) == ["use-0", "use-1", "use-2", "last"]
    raised = [number for entry in everything() if (made := entry.event.context.producer) for number in made.raised]
    assert bool(raised) == defect


def test_closing_does_not_hide_a_loss(hasty: AuditLog, everything: Entries, a_use: MakeUse, busy: Busy) -> None:
    """If the store takes nothing until the end, ``close`` says how many accepted entries are lost, and closes."""
    before = threading.active_count()
    with busy():
        for _ in range(7):
            hasty.record(a_use())
        with pytest.raises(AuditUnavailable, match=r"lost: .* 7 entries"):
            hasty.close()
    with pytest.raises(LogClosed):
        hasty.record(a_use())
    assert len(everything()) == 2
    assert threading.active_count() == before


def test_a_loss_at_closing_is_told_where_it_can_be(
    hasty: AuditLog, everything: Entries, unaccounted: Numbers, a_use: MakeUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the log can be written when it gives up its queue, a gap entry tells which calls were given up."""

    def refuse(group: list[Any], _until: float) -> None:
        for pending in group:
            pending.error = AuditUnavailable("the disk is full")

    monkeypatch.setattr(hasty, "commit_group", refuse)
    for _ in range(70):
        hasty.record(a_use())
    with pytest.raises(AuditUnavailable, match=r"70 entries waiting \(the disk is full\)"):
        hasty.close()
    (gap,) = _gaps(everything())
    assert (gap.count, gap.reason) == (70, "not written before the log was closed")
    assert unaccounted() == set()


def test_a_use_fails_closed(small: AuditLog, entries: Entries, a_use: MakeUse, busy: Busy) -> None:
    """Without room for the intent the action does not run; an outcome without room becomes a gap, and is told."""
    like = a_use()
    parts: dict[str, Any] = {"token": like.token, "resource": like.resource, "action": like.action}
    with busy():
        for _ in range(4):
            small.record(a_use())
        with small.use(**parts):
            pass
        with pytest.raises(AuditUnavailable), small.use(**parts):
            pytest.fail("the action ran without its intent")
    small.flush(deadline=20)
    small.record(a_use())
    small.flush(deadline=20)
    phases = [entry.event.action.phase for entry in entries() if isinstance(entry.event, CredentialUse)]
    assert (phases.count(Phase.INTENT), phases.count(Phase.OUTCOME)) == (1, 0)
    assert [gap.count for gap in _gaps(entries())] == [1]


def test_without_a_thread_callers_write_for_themselves(
    queued: AuditLog, entries: Entries, a_use: MakeUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started, ``record`` returns once the entry is on disk; nothing waits for ever."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for number in range(3):
        queued.record(a_use())
        assert len(entries()) == number + 1
    queued.flush()


def test_a_defect_behind_the_queue_does_not_end_its_thread(
    queued: AuditLog, entries: Entries, a_use: MakeUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody foresaw is waited out, and what was queued is written afterwards."""
    commit, failures = queued.commit_group, iter([RuntimeError("a defect"), StoreError("another")])

    def failing(group: list[Any], until: float) -> None:
        if failure := next(failures, None):
            raise failure
        commit(group, until)

    monkeypatch.setattr(queued, "commit_group", failing)
    for _ in range(3):
        queued.record(a_use())
    queued.flush(deadline=20)
    assert next(failures, None) is None
    assert len(entries()) == 3


class _Panic(BaseException):
    """What an extension raises that panics: it is no ``Exception``."""


def test_a_panic_does_not_end_the_thread(
    queued: AuditLog, entries: Entries, a_use: MakeUse, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised while a group is written, it is tried again, and no traceback quotes an entry."""
    seal, raised = queued.seal_taken, threading.Event()

    def panicking(taken: Any) -> Pending:
        if not raised.is_set():
            raised.set()
            raise _Panic(repr(taken))
        return seal(taken)

    shown: list[object] = []
    monkeypatch.setattr("threading.excepthook", shown.append)
    monkeypatch.setattr(queued, "seal_taken", panicking)
    queued.record(a_use(secret))
    queued.flush(deadline=20)
    assert (_names(entries()), shown, raised.is_set()) == ([secret], [], True)

"""One use around the code that performs it: intent before, outcome after, and never in the way of its result."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, Use
from counterfoil.schemas import (
    Action,
    Approval,
    AuditUnavailable,
    Binding,
    BindingMethod,
    Context,
    CredentialUse,
    FingerprintKey,
    LogEvent,
    Outcome,
    Proof,
    Resource,
    SignerProcess,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]
    Leaks = Callable[..., list[str]]
    Busy = Callable[[], AbstractContextManager[None]]

_MAIL = Resource(uri="https://api.example/mail")


def _use(log: AuditLog, **parts: Any) -> Use:
    given: dict[str, Any] = {"token": Token(), "resource": _MAIL, "action": Action(name="read_mail"), **parts}
    return log.use(**given)


def _told(entries: Entries) -> list[CredentialUse]:
    return [entry.event for entry in entries() if isinstance(entry.event, CredentialUse)]


@pytest.fixture
def hasty(address: Path, key: FingerprintKey) -> AuditLog:
    """Open a log that waits no longer than 50 ms."""
    return AuditLog.open(address, fingerprint_key=key, deadline=0.05)


def test_intent_before_and_outcome_after(log: AuditLog, entries: Entries) -> None:
    """While the action runs its intent is already durable; afterwards the outcome joins it by ``use_id``."""
    with _use(log) as use:
        (intent,) = _told(entries)
        assert use.receipt is not None
        assert use.receipt.event_id == intent.context.event_id
        use.status_code = 200
    intent, outcome = _told(entries)
    assert [(each.action.phase, each.action.outcome) for each in (intent, outcome)] == [
        ("intent", "pending"),
        ("outcome", "executed"),
    ]
    assert intent.context.use_id == outcome.context.use_id
    assert intent.context.event_id != outcome.context.event_id
    assert outcome.action.status_code == 200
    assert intent.action.started_at == outcome.action.started_at == intent.context.occurred_at
    assert outcome.action.started_at is not None
    assert outcome.action.ended_at is not None
    assert outcome.action.started_at <= outcome.action.ended_at


def test_the_same_in_asynchronous_code(log: AuditLog, entries: Entries) -> None:
    """``async with`` writes the same two entries."""

    async def scene() -> None:
        async with _use(log) as use:
            assert [each.action.phase for each in _told(entries)] == ["intent"]
            use.status_code = 200

    asyncio.run(scene())
    assert [each.action.outcome for each in _told(entries)] == ["pending", "executed"]


def test_both_entries_say_everything_that_was_given(log: AuditLog, entries: Entries) -> None:
    """The parts of a use stand in the intent and in the outcome; its process is this one unless told otherwise."""
    binding, proof = Binding(method=BindingMethod.DPOP), Proof(checked_by="api")
    with _use(log, binding=binding, proof=proof, signer=SignerProcess(pid=7), context=Context(task="t-42")):
        pass
    with _use(log):
        pass
    *told, _, usual = _told(entries)
    for each in told[:2]:
        assert (each.binding, each.proof, each.signer.pid, each.context.task) == (binding, proof, 7, "t-42")
    assert usual.signer.source == "self_asserted"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(None, "executed"), (200, "executed"), (302, "executed"), (401, "refused"), (403, "refused"), (407, "refused")]
    + [(status, "failed") for status in (400, 404, 500, 503)],
)
def test_a_status_tells_the_outcome(status: int | None, outcome: str, log: AuditLog, entries: Entries) -> None:
    """What the other side answered decides, where nothing else was said."""
    with _use(log) as use:
        use.status_code = status
    assert _told(entries)[1].action.outcome == outcome


def test_what_became_known_replaces_what_was_assumed(log: AuditLog, entries: Entries) -> None:
    """Outcome, error type, proof and binding set inside the block stand in the outcome, and not in the intent."""
    with _use(log) as use:
        use.status_code, use.outcome, use.error_type = 200, Outcome.REFUSED, "insufficient_scope"
        use.proof, use.binding = Proof(checked_by="api"), Binding(verified=BindingMethod.DPOP)
    intent, outcome = _told(entries)
    assert (outcome.action.outcome, outcome.action.error_type) == ("refused", "insufficient_scope")
    assert (outcome.proof.checked_by, outcome.binding.verified) == ("api", "dpop")
    assert (intent.proof.checked_by, intent.binding.verified) == (None, "unknown")


def test_an_exception_is_recorded_by_type_and_never_by_message(
    log: AuditLog, address: Path, secret: str, entries: Entries, leaks: Leaks
) -> None:
    """The exception goes on as it was; its class is recorded, and nothing of what it says."""
    error = ConnectionError(f"cannot reach https://user:{secret}@host")
    with pytest.raises(ConnectionError) as caught, _use(log):
        raise error
    assert caught.value is error
    outcome = _told(entries)[1]
    assert (outcome.action.outcome, outcome.action.error_type) == ("failed", "ConnectionError")
    assert leaks(secret, *address.parent.glob("audit.db*")) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interrupted_action_may_have_happened(
    interruption: type[BaseException], log: AuditLog, entries: Entries
) -> None:
    """Whoever is interrupted does not know how far the request came: the outcome is unknown, not failed."""
    with pytest.raises(interruption), _use(log):
        raise interruption
    outcome = _told(entries)[1]
    assert (outcome.action.outcome, outcome.action.error_type) == ("unknown", interruption.__name__)


def test_a_cancelled_task(log: AuditLog, entries: Entries) -> None:
    """A task cancelled in the middle of its action leaves both entries, and stays cancelled."""

    async def act(begun: asyncio.Event) -> None:
        async with _use(log):
            begun.set()
            await asyncio.sleep(10)

    async def scene() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(act(begun))
        async with asyncio.timeout(10):
            await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    log.flush()
    assert [each.action.outcome for each in _told(entries)] == ["pending", "unknown"]


def test_without_an_intent_there_is_no_action(hasty: AuditLog, busy: Busy, entries: Entries) -> None:
    """If the intent cannot be written, the block is not entered, and nothing is recorded."""
    acted: list[str] = []
    with busy(), pytest.raises(AuditUnavailable), _use(hasty):
        acted.append("sync")

    async def scene() -> None:
        async with _use(hasty):
            acted.append("async")

    with busy(), pytest.raises(AuditUnavailable):
        asyncio.run(scene())
    hasty.close()
    assert acted == []
    assert entries() == []


def test_a_lost_outcome_does_not_replace_the_result(hasty: AuditLog, busy: Busy, entries: Entries) -> None:
    """The action was done: its caller gets the result, and the next entry is followed by a gap entry."""

    def pay() -> str:
        with _use(hasty), busy():
            return "paid"

    def pay_by_leaving() -> str:
        with _use(hasty):
            holding.__enter__()
            return "paid"

    holding = busy()
    assert pay() == "paid"  # the store was free again before the outcome
    assert pay_by_leaving() == "paid"
    holding.__exit__(None, None, None)
    with _use(hasty):
        pass
    hasty.close()
    gaps = [entry.event for entry in entries() if isinstance(entry.event, LogEvent)]
    assert [(gap.change, gap.count) for gap in gaps] == [("gap", 1)]
    assert [each.action.phase for each in _told(entries)] == ["intent", "outcome", "intent", "intent", "outcome"]


def test_a_lost_outcome_does_not_replace_the_exception(hasty: AuditLog, busy: Busy) -> None:
    """The exception of the action comes out, and no other, in both kinds of block."""
    error = ConnectionResetError("gone")
    holding = busy()

    async def scene() -> None:
        async with _use(hasty):
            holding.__enter__()
            raise error

    with pytest.raises(ConnectionResetError) as caught:
        asyncio.run(scene())
    holding.__exit__(None, None, None)
    hasty.close()
    assert caught.value is error
    assert caught.value.__context__ is None


@pytest.mark.parametrize("learned", [{"status_code": "200"}, {"status_code": 10**9}, {"error_type": "x" * 1000}])
def test_an_outcome_that_cannot_be_told_does_not_replace_the_result(
    learned: dict[str, Any], log: AuditLog, entries: Entries
) -> None:
    """What a caller sets wrongly costs the outcome entry, which becomes a gap, and not the result of the action."""
    with _use(log) as use:
        for name, value in learned.items():
            setattr(use, name, value)
    with _use(log):
        pass
    assert [entry.event.change for entry in entries() if isinstance(entry.event, LogEvent)] == ["gap"]


def test_an_exception_without_a_name_does_not_replace_itself(log: AuditLog) -> None:
    """However a class of exceptions is called, it is the one that comes out."""
    for name in ("", "x" * 1000, "\ud800", "\x00"):
        nameless = type("Nameless", (Exception,), {})
        nameless.__qualname__ = name
        with pytest.raises(nameless), _use(log):
            raise nameless


def test_a_gap_that_cannot_be_written_is_not_forgotten(
    log: AuditLog, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry before it was written, so its caller gets the receipt; the gap is told when it can be."""
    log.note_lost_outcome(AuditUnavailable("a test"))
    seal: Any = log._seal  # pyright: ignore[reportPrivateUsage] -- to fail the gap alone

    def fail_the_gap(event: Any, until: float | None) -> Any:
        if isinstance(event, LogEvent):
            raise AuditUnavailable("the disk is full")
        return seal(event, until)

    monkeypatch.setattr(log, "_seal", fail_the_gap)
    with _use(log):
        pass
    assert len(entries()) == 2
    monkeypatch.undo()
    with _use(log):
        pass
    gaps = [entry.event.count for entry in entries() if isinstance(entry.event, LogEvent)]
    assert gaps == [1]


def test_the_approval_comes_from_the_scope(log: AuditLog, entries: Entries) -> None:
    """A use inside a scope carries its approval, tool and agent, in both entries."""
    with log.scope(agent="mail-agent", tool="send_mail", approval=Approval(approval_id="a-1")), _use(log):
        pass
    for each in _told(entries):
        assert each.approval.approval_id == "a-1"
        assert each.context.tool is not None
        assert each.context.tool.name == "send_mail"

"""Approvals: question, decision and use, told so that what was shown can be compared with what ran."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import ApprovalRequest, AuditLog
from counterfoil.schemas import (
    Action,
    AlreadyDecided,
    Approval,
    ApprovalEvent,
    AuditUnavailable,
    Context,
    CredentialUse,
    FingerprintKey,
    InvalidEvent,
    OutOfDomain,
    Requirement,
    Resource,
    Token,
    Tool,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.audit import Use
    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]
    Leaks = Callable[..., list[str]]
    Decide = Callable[[ApprovalRequest], Approval]
    ADecide = Callable[[ApprovalRequest], Awaitable[Approval]]

_PAYMENT = {"invoice": "4711", "amount": "1200.00"}
_BANK = Resource(uri="https://bank.example/payments")

_DECISIONS: dict[str, tuple[str | None, Decide, ADecide]] = {
    "granted": ("dana", lambda asked: asked.granted(approver="dana"), lambda asked: asked.agranted(approver="dana")),
    "denied": ("dana", lambda asked: asked.denied(approver="dana"), lambda asked: asked.adenied(approver="dana")),
    "expired": (None, lambda asked: asked.expired(), lambda asked: asked.aexpired()),
    "automatic": (
        "small-sums",
        lambda asked: asked.automatic("small-sums"),
        lambda asked: asked.aautomatic("small-sums"),
    ),
}


def _ask(log: AuditLog, **more: Any) -> ApprovalRequest:
    given: dict[str, Any] = {"tool": "pay_invoice", "arguments": _PAYMENT, **more}
    return log.approval(**given)


def _pay(log: AuditLog, **parts: Any) -> Use:
    given: dict[str, Any] = {"token": Token(), "resource": _BANK, "action": Action(name="pay_invoice"), **parts}
    return log.use(**given)


def _steps(entries: Entries) -> list[ApprovalEvent]:
    return [entry.event for entry in entries() if isinstance(entry.event, ApprovalEvent)]


def _uses(entries: Entries) -> list[CredentialUse]:
    return [entry.event for entry in entries() if isinstance(entry.event, CredentialUse)]


def test_a_question_is_recorded_before_anybody_decides(log: AuditLog, entries: Entries) -> None:
    """Tool, requirement, digests and expiry are there; nobody has decided, and the part for uses says so."""
    before = datetime.now(UTC)
    asked = _ask(log, requirement=Requirement.REQUIRED, rendering="Pay 4711?", expires_in=timedelta(minutes=5))
    (step,) = _steps(entries)
    assert (step.state, step.requirement, step.action.name) == ("requested", "required", "pay_invoice")
    assert step.context.tool == Tool(name="pay_invoice")
    assert step.shown_digest == step.action.arguments_digest == log.arguments_digest("pay_invoice", _PAYMENT)
    assert step.rendering_digest not in {None, step.shown_digest}
    assert step.expires_at is not None
    assert timedelta(minutes=5) <= step.expires_at - before < timedelta(minutes=6)
    assert (asked.part.decision, asked.part.requirement, asked.part.approver) == ("none", "required", None)
    assert asked.part.approval_id == asked.approval_id == step.approval_id


@pytest.mark.parametrize("state", _DECISIONS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_each_decision(state: str, *, asynchronous: bool, log: AuditLog, entries: Entries) -> None:
    """It is recorded under the same id and with the digests of the question, and the part for uses follows."""
    approver, decide, adecide = _DECISIONS[state]

    async def scene() -> ApprovalRequest:
        asked = await log.aapproval(tool="pay_invoice", arguments=_PAYMENT, approval_id="ap-7", rendering=b"picture")
        await adecide(asked)
        return asked

    if asynchronous:
        asked = asyncio.run(scene())
    else:
        asked = _ask(log, approval_id="ap-7", rendering=b"picture")
        assert decide(asked) is asked.part
    question, decision = _steps(entries)
    assert (decision.state, decision.approver, decision.approval_id) == (state, approver, "ap-7")
    assert (decision.shown_digest, decision.rendering_digest) == (question.shown_digest, question.rendering_digest)
    assert decision.decided_at is not None
    part = asked.part
    assert (part.decision, part.approver, part.decided_at) == (state, approver, decision.decided_at)
    assert (part.shown_digest, part.executed_digest) == (question.shown_digest, None)


@pytest.mark.parametrize("second", _DECISIONS)
def test_what_was_decided_is_not_decided_again(second: str, log: AuditLog, entries: Entries) -> None:
    """The first decision stands, whoever comes second and whatever they say; nothing more is recorded."""
    asked = _ask(log)
    asked.denied(approver="dana", reason="not ours")
    with pytest.raises(AlreadyDecided):
        _DECISIONS[second][1](asked)
    assert asked.part.decision == "denied"
    assert [(step.state, step.reason) for step in _steps(entries)] == [("requested", None), ("denied", "not ours")]


def test_of_two_at_once_one_decides(log: AuditLog, entries: Entries) -> None:
    """Two approvers who press at the same moment: one decision is recorded, the other is told."""
    asked, together = _ask(log), threading.Barrier(8)

    def press(number: int) -> str:
        together.wait(5)
        try:
            asked.granted(approver=f"approver-{number}")
        except AlreadyDecided:
            return "late"
        return "first"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(press, range(8))) == ["first", *["late"] * 7]
    assert [step.state for step in _steps(entries)] == ["requested", "granted"]


def test_a_decision_that_could_not_be_recorded_can_be_given_again(
    address: Path, key: FingerprintKey, busy: Callable[[], AbstractContextManager[None]], entries: Entries
) -> None:
    """The store was busy: nothing was decided, and nobody is told that it was."""
    with AuditLog.open(address, fingerprint_key=key, deadline=0.05) as log:
        asked = _ask(log)
        with busy(), pytest.raises(AuditUnavailable):
            asked.granted(approver="dana")
        assert asked.part.decision == "none"
        asked.granted(approver="dana")
    assert [step.state for step in _steps(entries)] == ["requested", "granted"]


def test_a_grant_that_came_too_late_is_recorded_as_what_it_is(log: AuditLog, entries: Entries) -> None:
    """Granted, at a time after the expiry: both stand there, in the event and in the use."""
    until = datetime(2026, 11, 23, 12, tzinfo=UTC)
    asked = _ask(log, expires_at=until)
    asked.granted(approver="dana", decided_at=until + timedelta(hours=1))
    with _pay(log, approval=asked):
        pass
    for told in (_steps(entries)[1], _uses(entries)[0].approval):
        assert (told.decided_at, told.expires_at) == (until + timedelta(hours=1), until)
    assert _uses(entries)[0].approval.decision == "granted"


def test_what_was_shown_is_what_ran(log: AuditLog, entries: Entries) -> None:
    """The use of the very arguments that were shown: the digests are equal, in the intent and in the outcome."""
    asked = _ask(log, requirement=Requirement.REQUIRED)
    asked.granted(approver="dana")
    with _pay(log, approval=asked, arguments={"amount": "1200.00", "invoice": "4711"}):
        pass
    for use in _uses(entries):
        part = use.approval
        assert (part.approval_id, part.decision, part.approver) == (asked.approval_id, "granted", "dana")
        assert part.shown_digest == part.executed_digest == use.action.arguments_digest
        assert part.shown_digest is not None


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("pay_invoice", {**_PAYMENT, "amount": "9200.00"}),
        ("pay_invoice", {**_PAYMENT, "to": "somebody"}),
        ("pay_invoice", {}),
        ("delete_invoice", _PAYMENT),
    ],
    ids=["changed", "added", "none", "tool"],
)
def test_what_ran_is_not_what_was_shown(tool: str, arguments: dict[str, Any], log: AuditLog, entries: Entries) -> None:
    """Another argument or another tool has another digest, by each of the ways in which a use gets its approval."""
    asked = _ask(log)
    asked.granted(approver="dana")
    with log.scope(tool=tool):
        with _pay(log, approval=asked, arguments=arguments):
            pass
        with log.scope(approval=asked.part), _pay(log, arguments=arguments):
            pass
        with log.scope(approval=asked.executing(arguments, tool=tool)), _pay(log):
            pass
    for part in (use.approval for use in _uses(entries)):
        assert part.executed_digest not in {None, part.shown_digest}
        assert part.shown_digest == asked.question.shown_digest


def test_nobody_says_what_ran(log: AuditLog, entries: Entries) -> None:
    """Without the arguments there is no digest of what ran: it is never taken from what was shown."""
    asked = _ask(log)
    asked.granted(approver="dana")
    with _pay(log, approval=asked), _pay(log, approval=asked.executing(_PAYMENT)):
        pass
    digests = {use.approval.executed_digest for use in _uses(entries)}
    assert digests == {None, asked.question.shown_digest}


def test_numbers_are_those_of_json(log: AuditLog) -> None:
    """What a user interface or a model sends back may write 1200 where 1200.0 was shown: the same call."""
    shown = log.arguments_digest("pay", {"sum": 1200.0, "parts": (1, 2.5), "to": {"x": -0.0}})
    assert shown == log.arguments_digest("pay", {"parts": [1.0, 2.5], "sum": 1200, "to": {"x": 0}})
    assert shown != log.arguments_digest("pay", {"sum": 1200.5, "parts": (1, 2.5), "to": {"x": 0}})


def _nested(depth: int) -> dict[str, Any]:
    return {"x": _nested(depth - 1)} if depth else {}


def test_arguments_without_a_portable_form_are_refused(log: AuditLog, entries: Entries) -> None:
    """Neither a question nor a use is recorded of what cannot be compared afterwards; no value is shown."""
    cycle: dict[str, Any] = {}
    cycle["x"] = cycle
    for arguments in ({"x": float("nan")}, {"x": b"4711"}, {1: 2}, {"x": 1e300}, _nested(70), cycle, {"x": "\ud800"}):
        with pytest.raises(OutOfDomain):
            log.approval(tool="pay_invoice", arguments=arguments)  # type: ignore[arg-type]
        with pytest.raises(OutOfDomain):
            _pay(log, arguments=arguments)
    assert entries() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"expires_at": datetime(2026, 11, 23, 12)},  # noqa: DTZ001 -- that is the mistake
        {"expires_at": datetime(2026, 11, 23, 12, tzinfo=UTC), "expires_in": timedelta(1)},
        {"expires_in": timedelta.max},
        {"tool": ""},
        {"approval_id": "x" * 1000},
    ],
    ids=["no zone", "two expiries", "never", "no tool", "long id"],
)
def test_a_question_that_makes_no_sense_is_refused(wrong: dict[str, Any], log: AuditLog, entries: Entries) -> None:
    """The mistake is named where it was made, and nothing is recorded."""
    with pytest.raises(InvalidEvent):
        _ask(log, **wrong)
    assert entries() == []


def test_nothing_that_was_shown_is_kept(log: AuditLog, address: Path, secret: str, leaks: Leaks) -> None:
    """Arguments and rendering may hold anything: only keyed digests of them reach the log."""
    arguments = {"note": secret}
    asked = _ask(log, arguments=arguments, rendering=f"Pay, with {secret}?")
    asked.granted(approver="dana", reason=f"api_key={secret}")
    with _pay(log, approval=asked, arguments=arguments):
        pass
    assert leaks(secret, repr(asked), repr(asked.part), *address.parent.glob("audit.db*")) == []


def test_the_surroundings_are_those_of_the_question(log: AuditLog, entries: Entries) -> None:
    """Question and decision carry agent and task; what the scope knows of the tool is kept."""
    with log.scope(agent="billing-agent", task="t-9", tool=Tool(name="pay_invoice", call_id="call-1")):
        _ask(log).granted(approver="dana")
    for step in _steps(entries):
        assert step.context.task == "t-9"
        assert step.context.tool == Tool(name="pay_invoice", call_id="call-1")


def _policy(tool: str, arguments: Mapping[str, Any] | None) -> Requirement:
    if tool != "pay_invoice":
        return Requirement.NOT_REQUIRED
    small = arguments is not None and float(arguments["amount"]) < 50
    return Requirement.NOT_REQUIRED if small else Requirement.REQUIRED


@pytest.fixture
def strict(address: Path, key: FingerprintKey) -> Iterator[AuditLog]:
    """Give a log whose policy asks for an approval of every payment from 50 on."""
    with AuditLog.open(address, fingerprint_key=key, approval_policy=_policy) as opened:
        yield opened


def test_a_use_for_which_nobody_asked_says_that_somebody_had_to(
    strict: AuditLog, entries: Entries, a_use: MakeUse
) -> None:
    """The policy's word stands in every entry, whichever way it was recorded; the decision is none."""
    with _pay(strict):
        pass
    with strict.scope(tool="pay_invoice"), _pay(strict, action=Action(name="POST /payments")):
        pass
    with _pay(strict, action=Action(name="POST /payments"), context=Context(tool=Tool(name="pay_invoice"))):
        pass
    strict.record(a_use("pay_invoice"))
    strict.record(a_use("POST /payments", context=Context(tool=Tool(name="pay_invoice"))))
    with strict.scope(tool="pay_invoice"):
        asyncio.run(strict.arecord(a_use()))
    told = [use.approval for use in _uses(entries)]
    assert len(told) == 9
    assert {(part.requirement, part.decision, part.approval_id) for part in told} == {("required", "none", None)}


def test_the_policy_knows_tool_and_arguments(strict: AuditLog, entries: Entries) -> None:
    """It decides by both where they are known, for questions and for uses alike."""
    with _pay(strict, arguments={"amount": "20"}), _pay(strict, action=Action(name="read_mail")):
        pass
    assert _ask(strict, arguments={"amount": "20"}).part.requirement == "not_required"
    assert _ask(strict).part.requirement == "required"
    assert {use.approval.requirement for use in _uses(entries)} == {"not_required"}


def test_what_somebody_said_goes_before_the_policy(strict: AuditLog, entries: Entries, a_use: MakeUse) -> None:
    """A requirement that the caller states, in the use or around it, is not asked for again."""
    stated = Approval(requirement=Requirement.NOT_REQUIRED, approval_id="a-1")
    with _pay(strict, approval=stated):
        pass
    with strict.scope(approval=stated):
        strict.record(a_use("pay_invoice"))
        with _pay(strict):
            pass
    strict.record(a_use("pay_invoice", approval=stated))
    told = {(use.approval.requirement, use.approval.approval_id) for use in _uses(entries)}
    assert told == {("not_required", "a-1")}


def test_the_approval_around_a_use_keeps_its_facts(strict: AuditLog, entries: Entries, a_use: MakeUse) -> None:
    """Where it does not say whether it was required, the policy does; the rest of it stays."""
    with strict.scope(approval=Approval(approval_id="a-1")):
        strict.record(a_use("pay_invoice"))
        with _pay(strict):
            pass
    told = {(use.approval.requirement, use.approval.approval_id) for use in _uses(entries)}
    assert told == {("required", "a-1")}


def test_a_policy_that_fails_stops_the_use(address: Path, key: FingerprintKey, entries: Entries) -> None:
    """Its exception comes out before the intent, and so before the action; a word that is none is an error of ours."""

    def broken(tool: str, arguments: Mapping[str, Any] | None) -> Requirement:
        if arguments is None:
            raise ZeroDivisionError(tool)
        return "perhaps"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    with AuditLog.open(address, fingerprint_key=key, approval_policy=broken) as log:
        with pytest.raises(ZeroDivisionError):
            _pay(log)
        with pytest.raises(InvalidEvent, match="approval policy"):
            _pay(log, arguments={})
    assert entries() == []

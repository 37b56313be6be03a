"""An incident: everything about one credential, each use paired with the other side's view of it."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.schemas import (
    Action,
    Agent,
    Approval,
    ApprovalEvent,
    Binding,
    Compromise,
    Context,
    CredentialChange,
    CredentialUse,
    Fingerprint,
    InvalidEvent,
    LogEvent,
    StoreCorrupt,
    Thumbprint,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Story

    from counterfoil.audit.review import Incident

    Gather = Callable[[str], Incident]

_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
_KEY = Thumbprint.of_certificate(b"certificate")


@pytest.fixture
def token(log: AuditLog, secret: str) -> Token:
    """Give the credential that the incident is about."""
    return Token(fingerprint=log.fingerprint(secret))


@pytest.fixture
def gather(log: AuditLog, address: Path) -> Iterator[Gather]:
    """Give a way to ask, while the log is in use."""
    assert log.fingerprint_key
    with AuditReader.open(address) as reader:
        yield reader.incident


def _seen(token: Token, observer: str, seconds: float, **action: Any) -> CredentialUse:
    """Return a use that was seen from one side, so many seconds after noon."""
    moment = _NOON + timedelta(seconds=seconds)
    context = Context.model_validate({"observer": observer, "occurred_at": moment})
    given = {"name": "read_mail", "method": "GET", **action}
    uri = given.pop("uri", "https://api.example/mail")
    return CredentialUse.model_validate({"context": context, "token": token, "resource": {"uri": uri}, "action": given})


def test_each_use_is_paired_with_the_other_sides_view(log: AuditLog, token: Token, gather: Gather) -> None:
    """The same method, resource and time: one use, two stubs that name each other. None is left alone."""
    ours = log.record(_seen(token, "agent", 0)).seq
    theirs = log.record(_seen(token, "resource_server", 0.2)).seq
    found = gather(str(token.fingerprint))
    assert found.subject == token.fingerprint
    assert [(each.entry.seq, each.counterpart, each.alone) for each in found.timeline] == [
        (ours, theirs, False),
        (theirs, ours, False),
    ]


@pytest.mark.parametrize(
    "differing",
    [{"method": "POST"}, {"uri": "https://api.example/files"}, {"seconds": 5.0}, {"seconds": -5.0}],
    ids=lambda each: next(iter(each)),
)
def test_a_use_that_no_agent_recorded_stands_out(
    differing: dict[str, Any], log: AuditLog, token: Token, gather: Gather
) -> None:
    """Another method, resource or time is another use: the resource server saw it, and no agent told of it."""
    log.record(_seen(token, "agent", 0))
    log.record(_seen(token, "resource_server", 0.2))
    stolen = log.record(_seen(token, "resource_server", **{"seconds": 0.3, **differing})).seq
    assert [each.entry.seq for each in gather(str(token.fingerprint)).timeline if each.alone] == [stolen]


def test_one_stub_pairs_once(log: AuditLog, token: Token, gather: Gather) -> None:
    """Two uses that the server saw need two that an agent recorded: a replay at the same moment stands out."""
    log.record(_seen(token, "agent", 0))
    for seconds in (0.1, 0.2):
        log.record(_seen(token, "resource_server", seconds))
    assert [each.alone for each in gather(str(token.fingerprint)).timeline] == [False, False, True]


def test_what_the_sender_supplies_pairs_nothing(log: AuditLog, token: Token, gather: Gather) -> None:
    """A thief can send the agent's trace id along; it makes no use the agent's own."""
    for observer, seconds in (("agent", 0), ("resource_server", 60)):
        event = _seen(token, observer, seconds)
        log.record(event.model_copy(update={"context": event.context.model_copy(update={"trace_id": "a" * 32})}))
    assert [each.alone for each in gather(str(token.fingerprint)).timeline] == [False, True]


def test_a_long_use_covers_its_whole_time(log: AuditLog, token: Token, gather: Gather) -> None:
    """The server may have seen it at any moment between beginning and end, and a little around."""
    log.record(_seen(token, "agent", 30, started_at=_NOON, ended_at=_NOON + timedelta(seconds=30)))
    log.record(_seen(token, "resource_server", 15))
    assert [each.alone for each in gather(str(token.fingerprint)).timeline] == [False, False]


def test_an_intent_counts_only_where_no_outcome_followed(log: AuditLog, token: Token, gather: Gather) -> None:
    """A finished use is one line of the timeline; one that broke off leaves its intent."""
    for use_id, phases in ((1, ["intent", "outcome"]), (2, ["intent"])):
        for phase in phases:
            event = _seen(token, "agent", use_id, phase=phase)
            log.record(
                event.model_copy(update={"context": event.context.model_copy(update={"use_id": UUID(int=use_id)})})
            )
    told = [each.entry.event for each in gather(str(token.fingerprint)).timeline]
    assert [each.action.phase for each in told if isinstance(each, CredentialUse)] == ["outcome", "intent"]


def test_the_approvals_behind_the_uses(log: AuditLog, token: Token, gather: Gather) -> None:
    """Each approval that a use names is there, once, whatever other approvals the log holds."""
    use = _seen(token, "agent", 0).model_copy(update={"approval": Approval(approval_id="a-1")})
    log.record(use)
    log.record(use.model_copy(update={"context": Context()}))
    for approval_id in ("a-1", "a-2"):
        log.record(
            ApprovalEvent.model_validate({"approval_id": approval_id, "state": "granted", "action": Action(name="x")})
        )
    approvals = [entry.event for entry in gather(str(token.fingerprint)).approvals]
    assert [each.approval_id for each in approvals if isinstance(each, ApprovalEvent)] == ["a-1"]


def test_the_whole_story_of_a_credential(log: AuditLog, token: Token, gather: Gather) -> None:
    """How it came to be, and that it leaked, belong to the timeline; what is about others does not."""
    log.record(CredentialChange.model_validate({"change": "issued", "token": token}))
    log.record(_seen(token, "agent", 0))
    log.record(_seen(Token(fingerprint=log.fingerprint("another")), "agent", 0))
    log.record(Compromise.model_validate({"leaked": "token", "fingerprint": token.fingerprint, "place": "tool_trace"}))
    kinds = [each.entry.event.kind for each in gather(str(token.fingerprint)).timeline]
    assert kinds == ["credential_change", "credential_use", "compromise"]


@pytest.mark.parametrize("kind", ["use", "change", "compromise"])
def test_an_event_leads_to_its_credential(kind: str, log: AuditLog, token: Token, gather: Gather) -> None:
    """The id of any event that names a credential serves, in any case of letters."""
    events = {
        "use": _seen(token, "agent", 0),
        "change": CredentialChange.model_validate({"change": "issued", "token": token}),
        "compromise": Compromise.model_validate({"leaked": "token", "fingerprint": token.fingerprint}),
    }
    receipt = log.record(events[kind])
    found = gather(str(receipt.event_id).upper())
    assert found.subject == token.fingerprint
    assert [each.entry.seq for each in found.timeline] == [receipt.seq]


def test_a_key_leads_to_everything_that_it_signed(log: AuditLog, token: Token, gather: Gather) -> None:
    """A thumbprint finds uses of every credential that was bound to the key, and so does an event without a token."""
    bound = {"binding": Binding(key_thumbprint=_KEY)}
    uses = [_seen(token, "agent", 0), _seen(Token(), "agent", 1)]
    seqs = [log.record(use.model_copy(update=bound)).seq for use in uses]
    leaked = log.record(Compromise(leaked="key", key_thumbprint=_KEY))  # type: ignore[arg-type]
    for subject in (_KEY, str(uses[1].context.event_id), str(leaked.event_id)):
        found = gather(subject)
        assert found.subject == _KEY
        assert [each.entry.seq for each in found.timeline] == [*seqs, leaked.seq]


@pytest.mark.parametrize("subject", ["x", "0" * 36, "hmac:00000000:short"])
def test_what_is_nothing_of_the_kind_is_refused_and_not_shown(subject: str, gather: Gather, secret: str) -> None:
    """A raw credential given by mistake is refused, and the error does not repeat it."""
    with pytest.raises(InvalidEvent) as caught:
        gather(subject + secret)
    assert secret not in f"{caught.value!r}{caught.value}"


def test_an_event_without_a_credential_is_no_subject(log: AuditLog, gather: Gather) -> None:
    """An entry that names neither a token nor a key leads nowhere, and the error says so."""
    receipt = log.record(LogEvent.model_validate({"change": "gap"}))
    with pytest.raises(InvalidEvent, match="no fingerprint, no key thumbprint, and no event, approval"):
        gather(str(receipt.event_id))


def test_an_unknown_credential_has_an_empty_timeline(log: AuditLog, gather: Gather) -> None:
    """That nothing is recorded about it is an answer, not an error."""
    found = gather(Fingerprint.of("unknown", log.fingerprint_key))
    assert (found.timeline, found.approvals) == ((), ())


def test_a_gateway_pairs_with_nobody(log: AuditLog, token: Token, gather: Gather) -> None:
    """Only the agent's and the resource server's stubs are two views of one use in this release."""
    event = _seen(token, "gateway", 0)
    agent = event.context.model_copy(update={"agent": Agent(id="mail-agent")})
    log.record(event.model_copy(update={"context": agent}))
    assert [(each.counterpart, each.alone) for each in gather(str(token.fingerprint)).timeline] == [(None, False)]


def test_a_task_brings_in_what_the_server_saw_of_it(story: Story) -> None:
    """Only the agent's stubs carry the task; the server's are found by credential, proof and time."""
    with story.agent.scope(task="t-9"):
        plain = story.call()
        bound = story.call(binding=story.bound, proof=story.proof())
    story.call()
    found = story.incident("t-9")
    assert (found.about, found.subject) == ("task", "t-9")
    assert {each.entry.seq for each in found.timeline} == {*plain, *bound}
    assert all(each.counterpart for each in found.timeline)
    assert found.verdicts == ()


def test_what_belongs_to_others_stays_out_of_a_task(story: Story) -> None:
    """Another task's use of the same credential, at the same time, and a stolen one that nobody claims."""
    with story.agent.scope(task="t-9"):
        mine = story.sent()
        with mine as use:
            use.status_code = 200
            with story.agent.scope(task="t-10"):
                story.call(uri="https://api.example/other")
            story.served(uri="https://api.example/stolen")
            theirs = story.served()
    assert [each.entry.seq for each in story.incident("t-9").timeline] == [theirs, story.reader.head()]


def test_a_replayed_proof_belongs_to_the_task_whose_proof_it_is(story: Story) -> None:
    """Whenever it came: an hour later is too late to match by time."""
    proof = story.proof()
    with story.agent.scope(task="t-9"):
        _, first = story.call(binding=story.bound, proof=proof)
    late = {**story.parts({"binding": story.bound, "proof": proof}), "context": Context.model_validate(_LATE)}
    again = story.server.record(CredentialUse(**late)).seq
    found = story.incident("t-9")
    assert [(each.entry.seq, each.repeats) for each in found.timeline if each.alone] == [(again, first)]


_LATE = {"observer": "resource_server", "occurred_at": datetime(2030, 1, 1, tzinfo=UTC)}


def test_an_approval_leads_to_its_uses(story: Story) -> None:
    """By its own id, or by the id of its question; question and decision stand apart from the timeline."""
    asked = story.agent.approval(tool="read_mail", arguments={}, approval_id="ap-7")
    asked.granted(approver="dana")
    both = story.call(approval=asked, arguments={})
    story.call()
    for subject in ("ap-7", str(asked.question.context.event_id)):
        found = story.incident(subject)
        assert (found.about, found.subject) == ("approval", "ap-7")
        assert {each.entry.seq for each in found.timeline} == set(both)
        states = [each.event.state for each in found.approvals if isinstance(each.event, ApprovalEvent)]
        assert states == ["requested", "granted"]


def test_an_approval_that_nobody_used(story: Story) -> None:
    """Its question and decision are all there is."""
    story.agent.approval(tool="read_mail", arguments={}, approval_id="ap-7").denied(approver="dana")
    found = story.incident("ap-7")
    assert (found.timeline, len(found.approvals)) == ((), 2)


def test_a_trace_leads_to_both_sides(story: Story) -> None:
    """In any case of letters; what the server saw of it without the trace is found too."""
    both = story.call(ours={"context": {"trace_id": "ab" * 16}})
    found = story.incident("AB" * 16)
    assert (found.about, found.subject) == ("trace", "ab" * 16)
    assert {each.entry.seq for each in found.timeline} == set(both)


def test_a_bounded_time(story: Story) -> None:
    """What happened in it, and the counterparts of what stands at its edge; not what happened before and after."""
    story.call()
    with story.sent() as use:
        served = story.served()
        middle = datetime.now(UTC)
        use.status_code = 200
    story.call()
    told = story.reader.incident(str(story.token.fingerprint), until=middle).timeline
    assert told[-1].entry.seq == served
    assert (len(told), told[-1].alone) == (3, False)
    rest = story.reader.incident(str(story.token.fingerprint), since=middle).timeline
    assert rest[0].counterpart == served
    assert len(rest) == 3


def test_a_busy_credential_does_not_crowd_a_task(story: Story) -> None:
    """Its uses at other times are not read as events: a damaged one among them is not even noticed."""
    far = {"observer": "resource_server", "occurred_at": datetime(2030, 1, 1, tzinfo=UTC)}
    with story.agent.scope(task="t-9"):
        both = story.call()
        context = Context.model_validate({"task": "t-9", "occurred_at": datetime(2031, 1, 1, tzinfo=UTC)})
        last = story.agent.record(CredentialUse(**{**story.parts({}), "context": context})).seq
    between = story.server.record(CredentialUse(**{**story.parts({}), "context": Context.model_validate(far)})).seq
    seqs = [each.entry.seq for each in story.incident("t-9").timeline]
    assert seqs == sorted([*both, last])
    assert between not in seqs


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"phase":"intent"', '"phase":["intent"]'),
        ('"action":{', '"action":7,"x":{'),
        ('"context":{', '"context":[],"x":{'),
        ('"use_id":"', '"use_id":{},"x":"'),
        ('"started_at":"', '"started_at":[],"x":"'),
    ],
)
def test_a_damaged_body_is_an_error_of_ours(good: str, bad: str, story: Story, address: Path) -> None:
    """Whatever somebody made of an entry, by whichever way the incident comes to it: never another exception."""
    with story.agent.scope(task="t-9"):
        story.call()
    story.call()
    connection = sqlite3.connect(address, isolation_level=None)
    connection.execute("UPDATE entry SET body = replace(body, ?, ?) WHERE seq > 8", (good, bad))
    connection.close()
    for subject in (str(story.token.fingerprint), "t-9"):
        with suppress(InvalidEvent, StoreCorrupt):
            assert story.incident(subject).timeline

"""What surrounds an event: given once, taken by everything inside, and by nothing outside."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from counterfoil.audit import AuditLog
from counterfoil.audit.scope import current_scope, current_trace, scope
from counterfoil.schemas import (
    Action,
    Agent,
    Approval,
    Context,
    CredentialUse,
    CustodyStore,
    InvalidEvent,
    KeyCustody,
    LogEvent,
    Observer,
    Principal,
    Tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeUse

    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]


def test_everything_inside_carries_it(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """Each fact of a scope reaches the event; a plain string is the agent's id, the tool's name, the subject."""
    with scope(
        agent="mail-agent",
        task="t-42",
        tenant="acme",
        conversation="c-1",
        tool="send_mail",
        principal="alice",
        observer=Observer.GATEWAY,
        approval=Approval(approval_id="a-1"),
        key_custody=KeyCustody(store=CustodyStore.SOFTWARE_FILE),
        attributes={"step": 3},
    ):
        log.record(a_use())
    event = entries()[0].event
    assert isinstance(event, CredentialUse)
    context = event.context
    assert (context.agent, context.tool) == (Agent(id="mail-agent"), Tool(name="send_mail"))
    assert context.principal == Principal(subject="alice")
    assert (context.task, context.tenant, context.conversation, context.observer) == ("t-42", "acme", "c-1", "gateway")
    assert (event.approval.approval_id, event.key_custody.store) == ("a-1", "software_file")
    assert context.attributes == {"step": 3}


def test_what_the_event_says_itself_wins(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """A scope fills in; it overrules nothing that the caller stated, an explicit default included."""
    with scope(task="t-1", tenant="acme", observer=Observer.GATEWAY, approval=Approval(approval_id="a-1")):
        stated = Context(task="t-2", observer=Observer.AGENT)
        log.record(a_use(context=stated, approval=Approval(approval_id="a-2")))
    event = entries()[0].event
    assert isinstance(event, CredentialUse)
    assert (event.context.task, event.context.tenant, event.context.observer) == ("t-2", "acme", "agent")
    assert event.approval.approval_id == "a-2"


def test_an_inner_scope_adds_to_the_outer(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """Inside, both hold and the inner one wins; after it, the outer holds again; after that, nothing."""
    with scope(agent="mail-agent", task="t-1"):
        with scope(task="t-2", tool="send_mail"):
            log.record(a_use())
        log.record(a_use())
    log.record(a_use())
    contexts = [entry.event.context for entry in entries()]
    assert [context.task for context in contexts] == ["t-2", "t-1", None]
    assert [bool(context.agent) for context in contexts] == [True, True, False]
    assert [bool(context.tool) for context in contexts] == [True, False, False]


def test_parts_hold_in_inner_scopes_too(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """An approval given outside, and a custody given inside, reach the same use."""
    with (
        scope(approval=Approval(approval_id="a-1")),
        scope(key_custody=KeyCustody(store=CustodyStore.SOFTWARE_FILE)),
        scope(task="t-42"),
    ):
        log.record(a_use())
    event = entries()[0].event
    assert isinstance(event, CredentialUse)
    assert (event.approval.approval_id, event.key_custody.store) == ("a-1", "software_file")


def test_an_exception_ends_the_scope() -> None:
    """However the block is left, the surroundings are what they were."""
    before = current_scope()
    with pytest.raises(ZeroDivisionError), scope(task="t-42"):
        raise ZeroDivisionError
    assert current_scope() is before


def test_each_thread_has_its_own(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """A new thread stands in no scope, unless it is run in a copy of the caller's context."""
    with scope(task="t-42"), ThreadPoolExecutor(1) as pool:
        pool.submit(log.record, a_use()).result()
        pool.submit(contextvars.copy_context().run, log.record, a_use()).result()
    assert [entry.event.context.task for entry in entries()] == [None, "t-42"]


def test_each_task_has_its_own(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """A task begins in the scope where it was made, and what it opens itself is seen by no other."""

    async def one(number: int) -> None:
        with scope(task=f"t-{number}"):
            await asyncio.sleep(0.01)
            await log.arecord(a_use())

    async def scene() -> None:
        with scope(agent="mail-agent"):
            await asyncio.gather(one(1), one(2))
            await log.arecord(a_use())

    asyncio.run(scene())
    contexts = [entry.event.context for entry in entries()]
    assert sorted(context.task or "" for context in contexts) == ["", "t-1", "t-2"]
    assert all(context.agent == Agent(id="mail-agent") for context in contexts)


@pytest.mark.parametrize("wrong", [{"task": ""}, {"task": "x" * 1000}, {"agent": ""}, {"attributes": {"x": "\ud800"}}])
def test_a_wrong_value_is_refused_at_once(wrong: dict[str, Any]) -> None:
    """The mistake shows where it was made, and not at the next record; nothing of it stays."""
    before = current_scope()
    with pytest.raises(InvalidEvent), scope(**wrong):
        pass
    assert current_scope() is before


def test_an_approval_is_a_matter_of_uses(log: AuditLog, entries: Entries) -> None:
    """A part goes only into events that have it: an entry about the log has no approval."""
    with scope(approval=Approval(approval_id="a-1"), task="t-42"):
        log.record(LogEvent.model_validate({"change": "gap"}))
    assert '"approval"' not in entries()[0].body
    assert entries()[0].event.context.task == "t-42"


def test_the_current_span_is_picked_up(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """Inside an OpenTelemetry span an entry has its ids, unless the event names others."""
    tracer = TracerProvider().get_tracer("a test")
    with tracer.start_as_current_span("work") as span:
        log.record(a_use())
        log.record(a_use(context=Context(trace_id="a" * 32, span_id="b" * 16)))
    log.record(a_use())
    ids = [(entry.event.context.trace_id, entry.event.context.span_id) for entry in entries()]
    here = span.get_span_context()
    assert ids == [(f"{here.trace_id:032x}", f"{here.span_id:016x}"), ("a" * 32, "b" * 16), (None, None)]


def test_without_a_span_there_is_no_trace() -> None:
    """OpenTelemetry's invalid span, which is always there, is none."""
    assert not trace.get_current_span().get_span_context().is_valid
    assert current_trace() == {}


def test_arguments_go_with_their_tool(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """An action with the tool's name has their digest; another action, or another tool further in, has not."""
    parts: dict[str, Any] = {"token": a_use().token, "resource": a_use().resource}
    with scope(tool="pay", arguments={"amount": 4}):
        for name in ("pay", "list"):
            with log.use(**parts, action=Action(name=name)):
                pass
        with scope(tool="read"), log.use(**parts, action=Action(name="read")):
            pass
        with scope(task="t-1"), log.use(**parts, action=Action(name="pay")):
            pass
    digest = log.arguments_digest("pay", {"amount": 4})
    uses = [entry.event for entry in entries() if isinstance(entry.event, CredentialUse)]
    assert [use.action.arguments_digest for use in uses[1::2]] == [digest, None, None, digest]


def test_scope_shows_no_argument() -> None:
    """Arguments may be secret: the surroundings do not show them."""
    with scope(tool="pay", arguments={"iban": "DE02"}):
        assert "iban" not in repr(current_scope())

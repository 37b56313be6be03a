"""The ASGI instrument with ``intent_after``: nobody waits for the log, and what takes long still has its intent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog
from counterfoil.audit.instrument.asgi import AuditMiddleware
from counterfoil.schemas import ConfigurationError, CredentialUse, Entry, LogEvent

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Drive

Told = Callable[[], list[CredentialUse]]
HEADERS = [(b"host", b"api.example"), (b"authorization", b"Bearer " + b"a" * 40)]


def scope(**changes: Any) -> dict[str, Any]:
    """Return the scope of a request with a bearer token."""
    shown = {"type": "http", "scheme": "https", "method": "POST", "path": "/pay", "raw_path": b"/pay"}
    return {**shown, "query_string": b"", "headers": HEADERS, "client": None, **changes}


@pytest.fixture
def told(entries: Callable[[], list[Entry]]) -> Told:
    """Give the uses that the log holds."""
    return lambda: [entry.event for entry in entries() if isinstance(entry.event, CredentialUse)]


async def quick(_: Any, __: Any, send: Any) -> None:
    """Answer at once."""
    await send({"type": "http.response.start", "status": 201, "headers": []})


def test_a_short_request_is_one_entry(drive: Drive, log: AuditLog, told: Told) -> None:
    """It says what intent and outcome would have said together."""
    drive(AuditMiddleware(quick, log, intent_after=30), scope())
    (use,) = told()
    assert (use.action.phase, use.action.outcome, use.action.status_code) == ("complete", "executed", 201)
    assert (use.action.name, use.resource.uri) == ("POST /pay", "https://api.example/pay")
    assert use.token.fingerprint == log.fingerprint("a" * 40)
    assert use.action.started_at is not None
    assert use.action.ended_at is not None
    assert use.action.started_at <= use.action.ended_at


def test_a_long_request_has_its_intent(drive: Drive, log: AuditLog, told: Told) -> None:
    """The intent is there while the application still runs, and says when that began."""
    seen: list[CredentialUse] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        while not seen:
            await asyncio.sleep(0.01)
            seen.extend(told())
        await quick(scope, receive, send)

    drive(AuditMiddleware(slow, log, intent_after=0.02), scope())
    intent, outcome = told()
    assert (intent.action.phase, outcome.action.phase) == ("intent", "outcome")
    assert [each.context.event_id for each in seen] == [intent.context.event_id]
    assert intent.context.use_id == outcome.context.use_id
    assert intent.action.started_at == outcome.action.started_at


def test_an_exception(drive: Drive, log: AuditLog, told: Told) -> None:
    """The host gets it as it was raised; the one entry names its class."""

    async def failing(*_: Any) -> None:
        raise LookupError("nothing here")

    with pytest.raises(LookupError):
        drive(AuditMiddleware(failing, log, intent_after=30), scope())
    (use,) = told()
    assert (use.action.outcome, use.action.error_type) == ("failed", "LookupError")


def test_nobody_presents_anything(drive: Drive, log: AuditLog, told: Told) -> None:
    """There is nothing to record."""
    drive(AuditMiddleware(quick, log, intent_after=30), scope(headers=[]))
    assert told() == []


def test_what_is_recorded_inside_names_what_is_served(drive: Drive, log: AuditLog, told: Told, a_use: Any) -> None:
    """The credential is read when somebody needs it; one that was said inside counts more."""

    async def sending(scope: Any, receive: Any, send: Any) -> None:
        await log.arecord(a_use("outbound"))
        with log.scope(inbound=log.fingerprint("another")):
            await log.arecord(a_use("said"))
        await quick(scope, receive, send)

    with log.scope(inbound=log.fingerprint("around")):
        drive(AuditMiddleware(sending, log, intent_after=30), scope())
        log.record(a_use("after"))
    assert {use.action.name: use.context.inbound for use in told()} == {
        "outbound": log.fingerprint("a" * 40),
        "said": log.fingerprint("another"),
        "POST /pay": None,
        "after": log.fingerprint("around"),
    }


def test_a_log_that_is_unavailable(
    drive: Drive, address: Path, log: AuditLog, busy: Callable[[], AbstractContextManager[None]], entries: Any
) -> None:
    """The answer is given all the same, and a gap entry tells that its use is missing."""
    with AuditLog.open(address, deadline=0.05, fingerprint_key=log.fingerprint_key) as hasty:
        app = AuditMiddleware(quick, hasty, intent_after=30)
        with busy():
            assert [message["status"] for message in drive(app, scope())] == [201]
        drive(app, scope())
    events = [entry.event for entry in entries()]
    assert [str(event.kind) for event in events] == ["credential_use", "log"]
    (gap,) = [event for event in events if isinstance(event, LogEvent)]
    assert (gap.change, gap.count) == ("gap", 1)


def test_an_intent_that_comes_too_late(
    drive: Drive, address: Path, log: AuditLog, busy: Callable[[], AbstractContextManager[None]], told: Told
) -> None:
    """If the log takes the outcome but had not taken the intent, they are one entry."""
    with AuditLog.open(address, deadline=0.05, fingerprint_key=log.fingerprint_key) as hasty:

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            with busy():
                await asyncio.sleep(0.3)
            await quick(scope, receive, send)

        drive(AuditMiddleware(slow, hasty, intent_after=0.01), scope())
    assert [use.action.phase for use in told()] == ["complete"]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_what_is_no_time(seconds: float, log: AuditLog) -> None:
    """It is refused at once."""
    with pytest.raises(ConfigurationError):
        AuditMiddleware(quick, log, intent_after=seconds)

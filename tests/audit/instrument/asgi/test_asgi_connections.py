"""The ASGI instrument, driven message by message: WebSockets, cancelled requests, and what the application raises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.instrument.asgi import AuditMiddleware
from counterfoil.audit.proof.verdict import Refusal, Verdict

if TYPE_CHECKING:
    from conftest import Drive

    from counterfoil.audit import AuditLog
    from counterfoil.schemas import CredentialUse, Entry

ACCEPT = {"type": "websocket.accept"}
CONNECT = {"type": "websocket.connect"}


@pytest.fixture
def told(entries: Callable[[], list[Entry]]) -> Callable[[], list[CredentialUse]]:
    """Give the uses that the log holds."""
    return lambda: [entry.event for entry in entries()]  # type: ignore[misc]


class Refusing:
    """A verifier that refuses everything."""

    accepted_audiences = ("urn:us",)
    metadata_url = "https://api.example/.well-known/oauth-protected-resource"

    async def decide(self, *_: Any, **__: Any) -> Verdict:
        """Refuse."""
        return Verdict(Refusal(401, (("WWW-Authenticate", 'Bearer error="invalid_token"'),), "invalid_token"))


def scope(secret: str, kind: str = "http", **changes: Any) -> dict[str, Any]:
    """Return the scope of a request with a bearer token."""
    headers = [(b"host", b"api.example"), (b"authorization", f"Bearer {secret}".encode())]
    shown = {"type": kind, "path": "/rpc", "raw_path": b"/rpc", "query_string": b"", "headers": headers, "client": None}
    http = {"scheme": "https", "method": "POST"} if kind == "http" else {"scheme": "wss"}
    return {**shown, **http, **changes}


def test_an_accepted_websocket(
    drive: Drive, log: AuditLog, secret: str, told: Callable[[], list[CredentialUse]]
) -> None:
    """The handshake is a use: the outcome is written when it is accepted, however long the connection lasts."""
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        seen.append(len(told()))
        assert scope["state"]["counterfoil"].fingerprint == log.fingerprint(secret)
        await send({"type": "websocket.send", "text": "hello"})

    sent = drive(AuditMiddleware(app, log), scope(secret, "websocket"), CONNECT)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]
    assert seen == [2]
    _, outcome = told()
    assert (outcome.action.name, outcome.action.status_code, outcome.action.outcome) == ("GET /rpc", 101, "executed")
    assert outcome.resource.uri == "https://api.example/rpc"


CLOSE: dict[str, Any] = {"type": "websocket.close", "code": 1008}
DENIAL: dict[str, Any] = {"type": "websocket.http.response.start", "status": 401, "headers": []}


@pytest.mark.parametrize(("answers", "status"), [([CLOSE], 403), ([DENIAL], 401)])
def test_a_refused_websocket(
    answers: list[Any], status: int, drive: Drive, log: AuditLog, told: Callable[[], list[CredentialUse]]
) -> None:
    """A close before the handshake ended, and a denial, are refusals."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        for answer in answers:
            await send(answer)

    assert drive(AuditMiddleware(app, log), scope("a" * 32, "websocket"), CONNECT) == answers
    assert (told()[-1].action.status_code, told()[-1].action.outcome) == (status, "refused")


def test_a_websocket_that_a_verifier_refuses(drive: Drive, log: AuditLog) -> None:
    """It is denied with the challenge where the server can send one, and closed where it cannot."""

    async def app(*_: Any) -> None:
        pytest.fail("it ran")

    audited = AuditMiddleware(app, log, verify=Refusing())
    (closed,) = drive(audited, scope("a" * 32, "websocket"), CONNECT)
    assert closed == CLOSE
    able = scope("a" * 32, "websocket", extensions={"websocket.http.response": {}})
    start, body = drive(audited, able, CONNECT)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert (b"www-authenticate", b'Bearer error="invalid_token"') in start["headers"]
    assert body == {"type": "websocket.http.response.body", "body": b""}


def test_a_refusal_is_one_entry(drive: Drive, log: AuditLog, told: Callable[[], list[CredentialUse]]) -> None:
    """Nothing was done, so there is no intent: one entry says what was refused, and for whom the server answers."""

    async def app(*_: Any) -> None:
        pytest.fail("it ran")

    start, _ = drive(AuditMiddleware(app, log, verify=Refusing()), scope("a" * 32))
    assert start["status"] == 401
    (use,) = told()
    assert (use.action.phase, use.action.outcome) == ("complete", "refused")
    assert (use.action.status_code, use.action.error_type) == (401, "invalid_token")
    assert use.resource.accepted_audiences == Refusing.accepted_audiences
    assert use.resource.metadata == Refusing.metadata_url


@pytest.mark.parametrize(("option", "classes"), [({}, ["none"]), ({"anonymous_refusals": False}, [])])
def test_a_refusal_of_nobody(
    option: dict[str, Any], classes: list[str], drive: Drive, log: AuditLog, told: Callable[[], list[CredentialUse]]
) -> None:
    """A request without a credential is recorded when it is refused, unless that is not wanted."""

    async def app(*_: Any) -> None:
        pytest.fail("it ran")

    start, _ = drive(AuditMiddleware(app, log, verify=Refusing(), **option), scope("", headers=[]))
    assert start["status"] == 401
    assert [str(use.token.token_class) for use in told()] == classes


def test_an_exception_passes_untouched(drive: Drive, log: AuditLog, told: Callable[[], list[CredentialUse]]) -> None:
    """The host gets the very exception that its application raised; the record names its class."""
    raised = LookupError("nothing here")

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise raised

    with pytest.raises(LookupError) as caught:
        drive(AuditMiddleware(app, log), scope("a" * 32))
    assert caught.value is raised
    outcome = told()[-1].action
    assert (outcome.outcome, outcome.status_code, outcome.error_type) == ("failed", 200, "LookupError")


def test_a_cancelled_request(log: AuditLog, told: Callable[[], list[CredentialUse]]) -> None:
    """What a cancelled application had done by then is unknown."""

    async def scene() -> None:
        begun = asyncio.Event()

        async def app(*_: Any) -> None:
            begun.set()
            await asyncio.sleep(60)

        async def nothing(*_: Any) -> Any:
            pytest.fail("nothing is sent or received")

        serving = asyncio.create_task(AuditMiddleware(app, log)(scope("a" * 32), nothing, nothing))
        async with asyncio.timeout(10):
            await begun.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(scene())
    log.flush()
    assert [use.action.outcome for use in told()] == ["pending", "unknown"]


def test_its_own_use_has_no_inbound(drive: Drive, log: AuditLog, told: Callable[[], list[CredentialUse]]) -> None:
    """A server that is called from within another's handler does not take that one's credential for its own."""

    async def app(*_: Any) -> None:
        pass

    with log.scope(inbound=log.fingerprint("another"), tenant="acme"):
        drive(AuditMiddleware(app, log), scope("a" * 32))
    assert {(use.context.inbound, use.context.tenant) for use in told()} == {(None, "acme")}


def test_a_trace_that_the_sender_names(drive: Drive, log: AuditLog, told: Callable[[], list[CredentialUse]]) -> None:
    """``traceparent`` joins both sides, where it has the form that it should."""

    async def app(*_: Any) -> None:
        pass

    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    values = [f"00-{trace}-00f067aa0ba902b7-01", f"00-{'0' * 32}-00f067aa0ba902b7-01", "00-x", f"{trace}"]
    for value in values:
        shown = scope("a" * 32)
        shown["headers"] = [*shown["headers"], (b"traceparent", value.encode())]
        drive(AuditMiddleware(app, log), shown)
    assert [use.context.trace_id for use in told()[1::2]] == [trace, None, None, None]

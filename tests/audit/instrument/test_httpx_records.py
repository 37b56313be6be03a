"""The httpx and httpx2 instruments: what they record of real requests to a real server."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from counterfoil.audit import AuditLog
from counterfoil.schemas import Approval, AuditUnavailable, CredentialUse, FingerprintKey, Phase

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import Client, Library, Server

    Busy = Callable[[], AbstractContextManager[None]]

Told: TypeAlias = Callable[[], list[CredentialUse]]


@dataclass(frozen=True)
class Recording:
    """A log, where it is, and what it holds."""

    log: AuditLog
    address: Path
    told: Told


@pytest.fixture
def recording(log: AuditLog, address: Path, told: Told) -> Recording:
    """Give all three."""
    return Recording(log, address, told)


def test_a_bearer_token(client: Client, server: Server, log: AuditLog, bearer: dict[str, str], told: Told) -> None:
    """Intent and outcome say which token, where to, by which method, and what was answered."""
    assert client.send(log, "GET", f"{server.url}/mail", headers=bearer).text == "ok"
    intent, outcome = told()
    assert (intent.action.phase, outcome.action.phase) == ("intent", "outcome")
    assert intent.context.use_id == outcome.context.use_id
    for each in (intent, outcome):
        assert each.token.token_class == "bearer_opaque"
        assert each.token.fingerprint == log.fingerprint(bearer["Authorization"].removeprefix("Bearer "))
        assert each.token.presentation == "authorization_header"
        assert each.resource.uri == f"{server.url}/mail"
        assert (each.action.name, each.action.method) == ("GET /mail", "GET")
        assert each.signer.source == "self_asserted"
    assert (outcome.action.outcome, outcome.action.status_code) == ("executed", 200)


def _credentials(secret: str) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Return requests by what they show: the classes of their credentials, and how they are made."""
    form = {"grant_type": "refresh_token", "refresh_token": secret}
    several = {"Authorization": f"Bearer {secret}", "X-API-Key": secret, "Cookie": f"session={secret}"}
    return {
        "none": ([], {}),
        "API key": (["api_key"], {"headers": {"X-API-Key": secret}}),
        "cookie": (["cookie_session"], {"headers": {"Cookie": f"session={secret}"}}),
        "password": (["basic_password"], {"auth": ("user", secret)}),
        "query": (["bearer_opaque"], {"params": {"access_token": secret}}),
        "form": (["refresh_token"], {"method": "POST", "data": form}),
        "several": (["api_key", "bearer_opaque", "cookie_session"], {"headers": several}),
    }


@pytest.mark.parametrize("name", _credentials("x"))
def test_each_credential_is_a_use(
    name: str, client: Client, server: Server, recording: Recording, leaks: Callable[..., list[str]]
) -> None:
    """A request without a credential is not recorded; of several, each is a use of its own; none is ever written."""
    secret = secrets.token_urlsafe(32)
    classes, options = _credentials(secret)[name]
    answer = client.send(recording.log, options.pop("method", "GET"), f"{server.url}/mail", **options)
    outcomes = [each for each in recording.told() if each.action.phase is Phase.OUTCOME]
    assert answer.status_code == 200
    assert sorted(each.token.token_class for each in outcomes) == classes
    assert len({each.context.use_id for each in outcomes}) == len(classes)
    assert len(recording.told()) == 2 * len(classes)
    assert leaks(secret, *recording.address.parent.glob("audit.db*")) == []


@pytest.mark.parametrize(("status", "outcome"), [(401, "refused"), (404, "failed"), (500, "failed")])
def test_what_was_answered(status: int, outcome: str, client: Client, server: Server, recording: Recording) -> None:
    """A refusal and a failure are outcomes, with their status; the answer reaches the caller as it is."""
    headers = {"X-API-Key": secrets.token_urlsafe(32)}
    assert client.send(recording.log, "GET", f"{server.url}/{status}", headers=headers).status_code == status
    action = recording.told()[1].action
    assert (action.outcome, action.status_code) == (outcome, status)


@pytest.mark.parametrize(
    ("status", "challenges", "ended"),
    [
        (401, ['Bearer error="invalid_token"'], ("refused", "invalid_token")),
        (403, ['Bearer scope="mail", error="insufficient_scope"'], ("refused", "insufficient_scope")),
        (400, ['DPoP error="invalid_request", Bearer error="invalid_token"'], ("refused", "invalid_token")),
        (401, ['DPoP error="invalid_dpop_proof"', "Bearer"], ("refused", "invalid_dpop_proof")),
        (401, ["Bearer"], ("refused", None)),
        (400, ["Bearer"], ("failed", None)),
        (500, ['Bearer error="invalid_token"'], ("failed", None)),
        (200, ['Bearer error="invalid_token"'], ("executed", None)),
        (401, ['Bearer error="{secret}"'], ("refused", "_OTHER")),
    ],
)
def test_why_it_was_refused(
    status: int, challenges: list[str], ended: tuple[str, str | None], library: Library, recording: Recording
) -> None:
    """The error code of the scheme that was used is the type of the error; a server's echo of the token is not."""
    module, door = library
    secret = secrets.token_urlsafe(32)

    def answer(_: object) -> Any:
        fields = [("WWW-Authenticate", each.replace("{secret}", secret)) for each in challenges]
        return module.Response(status, headers=fields)

    with module.Client(transport=door.AuditTransport(recording.log, module.MockTransport(answer))) as client:
        client.get("https://api.example/mail", headers={"Authorization": f"Bearer {secret}"})
    outcome = recording.told()[1]
    assert (outcome.action.outcome, outcome.action.error_type) == ended
    assert secret not in outcome.model_dump_json()


def test_a_server_that_is_not_there(client: Client, log: AuditLog, bearer: dict[str, str], told: Told) -> None:
    """The library's own exception comes out, and its class is the error type."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(client.library.ConnectError):
        client.send(log, "GET", f"http://127.0.0.1:{port}/mail", headers=bearer)
    outcome = told()[1].action
    assert (outcome.outcome, outcome.status_code, outcome.error_type) == ("failed", None, "ConnectError")


def test_a_redirect_is_a_use_of_its_own(
    client: Client, server: Server, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """The credential was presented twice, to two resources."""
    client.send(log, "GET", f"{server.url}/redirect", headers=bearer, follow_redirects=True)
    outcomes = [each for each in told() if each.action.phase is Phase.OUTCOME]
    assert [(each.resource.uri, each.action.status_code) for each in outcomes] == [
        (f"{server.url}/redirect", 302),
        (f"{server.url}/final", 200),
    ]
    assert len({each.context.use_id for each in outcomes}) == 2


def test_tool_and_approval_come_from_the_scope(
    client: Client, server: Server, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """What the agent framework knows and what the wire shows meet in one record; the tool names the action."""
    approval = Approval(approval_id="a-1", approver="alice")
    with log.scope(agent="mail-agent", task="t-42", tool="send_mail", approval=approval):
        client.send(log, "POST", f"{server.url}/mail", headers=bearer, json={"to": "bob"})
    for each in told():
        assert (each.action.name, each.action.method) == ("send_mail", "POST")
        assert each.context.tool is not None
        assert (each.context.tool.name, each.context.task) == ("send_mail", "t-42")
        assert (each.approval.approval_id, each.approval.approver) == ("a-1", "alice")


def test_nothing_is_sent_without_an_intent(
    client: Client, server: Server, address: Path, bearer: dict[str, str], busy: Busy
) -> None:
    """If the log cannot take the intent, the request does not leave; afterwards it does."""
    hasty = AuditLog.open(address, deadline=0.05, fingerprint_key=FingerprintKey(secrets.token_bytes(32)))
    with busy(), pytest.raises(AuditUnavailable):
        client.send(hasty, "GET", f"{server.url}/mail", headers=bearer)
    assert server.received == []
    assert client.send(hasty, "GET", f"{server.url}/mail", headers=bearer).status_code == 200
    hasty.close()


def test_cancelled_while_the_outcome_is_written(
    library: Library, recording: Recording, bearer: dict[str, str], busy: Busy
) -> None:
    """An answer that cannot be handed over any more is closed, so that its connection goes back to the pool."""
    module, door = library
    closed, answered, holding = list[bool](), asyncio.Event(), busy()

    class Body(module.AsyncByteStream):
        async def aclose(self) -> None:
            closed.append(True)

    class Inner(module.AsyncBaseTransport):
        async def handle_async_request(self, _: object) -> Any:
            holding.__enter__()
            answered.set()
            return module.Response(200, stream=Body())

    async def scene() -> None:
        async with module.AsyncClient(transport=door.AsyncAuditTransport(recording.log, Inner())) as client:
            sending = asyncio.create_task(client.get("https://api.example/mail", headers=bearer))
            async with asyncio.timeout(10):
                await answered.wait()
            await asyncio.sleep(0.05)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        holding.__exit__(None, None, None)

    asyncio.run(scene())
    assert closed == [True]
    recording.log.flush()  # a thread of the log's own writes the outcome, whoever waits for it
    assert [each.action.outcome for each in recording.told()] == ["pending", "executed"]


def test_a_cancelled_request(
    library: Library, server: Server, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """A request that is cancelled on its way may have arrived: its outcome is unknown."""
    module, door = library

    async def endless(begun: asyncio.Event) -> AsyncIterator[bytes]:
        begun.set()
        await asyncio.sleep(60)
        yield b"never"

    async def scene() -> None:
        begun = asyncio.Event()
        async with module.AsyncClient(transport=door.AsyncAuditTransport(log)) as client:
            sending = asyncio.create_task(client.post(f"{server.url}/mail", headers=bearer, content=endless(begun)))
            async with asyncio.timeout(10):
                await begun.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    asyncio.run(scene())
    log.flush()
    assert [each.action.outcome for each in told()] == ["pending", "unknown"]

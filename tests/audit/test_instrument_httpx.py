"""The httpx and httpx2 instruments, against a real server on the loopback: all recorded, nothing changed, nothing kept.

Both libraries have one face, and the tests one body: each test runs with both, most of them with both kinds of client.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import httpx2
import pytest

import counterfoil.audit.instrument.httpx as httpx_door
import counterfoil.audit.instrument.httpx2 as httpx2_door
from counterfoil.audit import AuditLog
from counterfoil.schemas import Approval, AuditUnavailable, CredentialUse, FingerprintKey, LogChange, LogEvent, Phase

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from counterfoil.schemas import Entry

    Busy = Callable[[], AbstractContextManager[None]]

Library: TypeAlias = tuple[Any, Any]
Told: TypeAlias = Callable[[], list[CredentialUse]]

_ANSWERS = {
    "/redirect": (302, "Location: /final\r\n"),
    "/401": (401, 'WWW-Authenticate: Bearer error="invalid_token"\r\n'),
    "/404": (404, ""),
    "/500": (500, ""),
}


class Server(socketserver.ThreadingTCPServer):
    """An HTTP/1.1 server that keeps each request as it came, to the byte."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.received: list[bytes] = []
        self.arrived = threading.Semaphore(0)
        """Released for every piece of a request's body."""
        self.go = threading.Event()
        """Lets the second half of a streamed answer out."""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Connection(socketserver.StreamRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride] -- the only server that it serves

    def handle(self) -> None:
        while head := self._head():
            lowered = head.lower()
            body = b"".join(self._chunks()) if b"\r\ntransfer-encoding: chunked" in lowered else self._sized(lowered)
            self.server.received.append(head + body)
            self._answer(head.split(b" ", 2)[1].decode("latin-1"))

    def _head(self) -> bytes:
        lines: list[bytes] = []
        while (line := self.rfile.readline()).strip():
            lines.append(line)
        return b"".join(lines) and b"".join([*lines, line])

    def _sized(self, head: bytes) -> bytes:
        return self.rfile.read(int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0] or 0))

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = self.rfile.readline()
            chunk = self.rfile.read(int(size, 16) + 2)
            yield size + chunk
            self.server.arrived.release()
            if int(size, 16) == 0:
                return

    def _answer(self, path: str) -> None:
        if path == "/stream":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            self.server.go.wait(10)
            self.wfile.write(b"3\r\ntwo\r\n0\r\n\r\n")
            return
        status, headers = _ANSWERS.get(path, (200, ""))
        self.wfile.write(f"HTTP/1.1 {status} So\r\n{headers}Content-Length: 2\r\n\r\nok".encode())


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve on the loopback."""
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


class Client:
    """One of four clients: httpx or httpx2, blocking or asynchronous."""

    def __init__(self, library: Any, door: Any, *, blocking: bool) -> None:
        self.library = library
        self.door = door
        self.blocking = blocking

    def send(self, log: AuditLog | None, method: str, url: str, **options: Any) -> Any:
        """Send one request with a client of its own, and return the answer. Without a log: not instrumented."""
        redirects = {"follow_redirects": options.pop("follow_redirects", False)}
        if self.blocking:
            with self.library.Client(transport=log and self.door.AuditTransport(log), **redirects) as client:
                return client.request(method, url, **options)

        async def sending() -> Any:
            transport = log and self.door.AsyncAuditTransport(log)
            async with self.library.AsyncClient(transport=transport, **redirects) as client:
                return await client.request(method, url, **options)

        return asyncio.run(sending())


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Library:
    """Give one of the two libraries, and its instrument."""
    return {"httpx": (httpx, httpx_door), "httpx2": (httpx2, httpx2_door)}[request.param]


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, library: Library) -> Client:
    """Give each of the four clients in turn."""
    return Client(*library, blocking=request.param == "sync")


@pytest.fixture
def told(entries: Callable[[], list[Entry]]) -> Told:
    """Give the uses that the log holds."""
    return lambda: [entry.event for entry in entries() if isinstance(entry.event, CredentialUse)]


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


@pytest.fixture
def bearer(secret: str) -> dict[str, str]:
    """Give the header of a bearer token."""
    return {"Authorization": f"Bearer {secret}"}


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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "POST", "json": {"to": "bob", "text": "é漢🙂"}},
        {"method": "PUT", "content": bytes(range(256)) * 300},
        {"method": "POST", "data": {"a": "1", "b": ["2", "3"]}},
        {"method": "QUERY", "params": [("a", "%2f é"), ("a", "")]},
        {"headers": [("X-A", "1"), ("X-A", "2"), ("x-B", b"\xe9\xff")]},
        {"headers": [("Cookie", ""), ("X-API-Key", "")]},
        {"params": {"long": "x" * 20_000}},
        {"headers": [("X-Long", "x" * 20_000)]},
    ],
    ids=["plain", "JSON", "bytes", "form", "query", "headers", "empty", "long target", "long header"],
)
def test_the_bytes_on_the_wire_are_the_same(
    options: dict[str, Any], client: Client, server: Server, log: AuditLog, bearer: dict[str, str]
) -> None:
    """With the instrument and without it, the server receives the same request to the byte."""
    given: dict[str, Any] = {"method": "GET", **options, "headers": [*options.get("headers", []), *bearer.items()]}
    for instrumented in (None, log):
        assert client.send(instrumented, url=f"{server.url}/mail", **given).status_code == 200
    without, with_it = server.received
    assert with_it == without


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


def test_a_streamed_answer_arrives_as_it_is_sent(
    library: Library, server: Server, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """The outcome is recorded with the headers; the body is left to the caller, piece by piece, blocking."""
    module, door = library
    with (
        module.Client(transport=door.AuditTransport(log)) as client,
        client.stream("GET", f"{server.url}/stream", headers=bearer) as answer,
    ):
        pieces = answer.iter_bytes()
        assert next(pieces) == b"one"
        assert [each.action.status_code for each in told()] == [None, 200]
        server.go.set()
        assert b"".join(pieces) == b"two"


def test_a_streamed_answer_arrives_as_it_is_sent_asynchronously(
    library: Library, server: Server, log: AuditLog, bearer: dict[str, str]
) -> None:
    """The same in asynchronous code."""
    module, door = library

    async def scene() -> None:
        async with (
            module.AsyncClient(transport=door.AsyncAuditTransport(log)) as client,
            client.stream("GET", f"{server.url}/stream", headers=bearer) as answer,
        ):
            pieces = answer.aiter_bytes()
            assert await anext(pieces) == b"one"
            server.go.set()
            assert [piece async for piece in pieces] == [b"two"]

    asyncio.run(scene())


def test_a_streamed_request_leaves_as_it_is_made(
    library: Library, server: Server, log: AuditLog, bearer: dict[str, str]
) -> None:
    """Each piece reaches the server before the next is asked for: nothing is read ahead, in both kinds of client."""
    module, door = library

    def pieces() -> Iterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece
            assert server.arrived.acquire(timeout=10)

    async def apieces() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    async def scene() -> None:
        async with module.AsyncClient(transport=door.AsyncAuditTransport(log)) as client:
            await client.post(f"{server.url}/mail", headers=bearer, content=apieces())

    with module.Client(transport=door.AuditTransport(log)) as client:
        client.post(f"{server.url}/mail", headers=bearer, content=pieces())
    asyncio.run(scene())
    assert len(server.received) == 2
    assert all(each.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") for each in server.received)


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
            await begun.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    asyncio.run(scene())
    log.flush()
    assert [each.action.outcome for each in told()] == ["pending", "unknown"]


def test_an_inner_transport_does_the_sending(
    library: Library, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """Any transport can be surrounded; it is closed with the client, and the log stays open."""
    module, door = library
    closed: list[bool] = []

    class Inner(module.MockTransport):
        def close(self) -> None:
            closed.append(True)

    def answer(_: object) -> Any:
        return module.Response(204)

    inner = Inner(answer)
    with module.Client(transport=door.AuditTransport(log, inner)) as client:
        assert client.get("https://api.example/mail", headers=bearer).status_code == 204
    assert closed == [True]
    assert told()[1].action.status_code == 204
    log.record(LogEvent(change=LogChange.GAP))


def test_nothing_keeps_the_secret(client: Client, server: Server, log: AuditLog) -> None:
    """When a request is over, no object in this process holds its credential, in whole or in part of a text."""
    halves = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    assert client.send(log, "GET", f"{server.url}/mail", headers={"Authorization": "Bearer " + "".join(halves)}).text
    server.received.clear()
    with pytest.raises(client.library.ConnectError):
        client.send(log, "GET", "http://127.0.0.1:1/mail", headers={"X-API-Key": "".join(halves)})
    assert _holders("".join(halves)) == []
    kept = [f"Bearer {''.join(halves)}"]
    assert "list" in _holders("".join(halves)), kept  # such a one would have been found


def _holders(secret: str) -> list[str]:
    """Name the type of every object that the garbage collector knows and that refers to a text with the secret."""
    gc.collect()
    needles: dict[type, Any] = {str: secret, bytes: secret.encode(), bytearray: secret.encode()}
    return [
        type(holder).__name__
        for holder in gc.get_objects()
        for text in gc.get_referents(holder)
        if (needle := needles.get(type(text))) and text is not needle and needle in text
    ]

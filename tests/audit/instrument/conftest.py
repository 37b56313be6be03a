"""What the tests of the HTTP client instruments share: a server on the loopback, and four clients.

httpx and httpx2 have one face, and the tests one body: each runs with both, most of them with both kinds of client.
"""

from __future__ import annotations

import asyncio
import socketserver
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import httpx2
import pytest

import counterfoil.audit.instrument.httpx as httpx_door
import counterfoil.audit.instrument.httpx2 as httpx2_door
from counterfoil.schemas import CredentialUse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from counterfoil.audit import AuditLog
    from counterfoil.schemas import Entry

Library: TypeAlias = tuple[Any, Any]

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
        self.answers = dict(_ANSWERS)
        """Status and header lines by path; any other path is answered with 200."""
        self.bodies: dict[str, bytes] = {}
        """Bodies by path, other than "ok"."""
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
        status, headers = self.server.answers.get(path, (200, ""))
        body = self.server.bodies.get(path, b"ok")
        self.wfile.write(f"HTTP/1.1 {status} So\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve on the loopback."""
    yield from _serve()


@pytest.fixture
def other() -> Iterator[Server]:
    """Serve on another port, which is another origin (RFC 6454 §4)."""
    yield from _serve()


def _serve() -> Iterator[Server]:
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
        """Send one request with a client of its own, and return the answer. Without a log: not instrumented.

        ``verify`` is a TLS context; ``certificate`` and ``inspect`` are the instrument's.
        """
        redirects = {"follow_redirects": options.pop("follow_redirects", False)}
        settings = {name: options.pop(name) for name in ("certificate", "inspect") if name in options}
        tls = {"verify": options.pop("verify")} if "verify" in options else {}
        if self.blocking:
            transport = log and self.door.AuditTransport(log, self.library.HTTPTransport(**tls), **settings)
            with self.library.Client(transport=transport, **redirects) as client:
                return client.request(method, url, **options)

        async def sending() -> Any:
            transport = log and self.door.AsyncAuditTransport(log, self.library.AsyncHTTPTransport(**tls), **settings)
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
def told(entries: Callable[[], list[Entry]]) -> Callable[[], list[CredentialUse]]:
    """Give the uses that the log holds."""
    return lambda: [entry.event for entry in entries() if isinstance(entry.event, CredentialUse)]


@pytest.fixture
def bearer(secret: str) -> dict[str, str]:
    """Give the header of a bearer token."""
    return {"Authorization": f"Bearer {secret}"}

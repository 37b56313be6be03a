"""What the tests of the ASGI instrument share: real servers on the loopback, and connections driven by hand."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import httpx2
import pytest
import uvicorn

from counterfoil.schemas import CredentialUse, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from counterfoil.audit import AuditLog
    from counterfoil.schemas import Entry, Event, UnlistedEvent


@contextmanager
def served(app: Any, **options: Any) -> Generator[str]:
    """Serve an application in a thread of its own. No header may say who the peer is."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings: dict[str, Any] = {"log_config": None, "proxy_headers": False, "ws": "none", "lifespan": "off", **options}
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    scheme = "https" if "ssl_certfile" in settings else "http"
    try:
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Side:
    """The server's side of a test: applications served, requests sent to them, and what the log then holds."""

    def __init__(self, log: AuditLog, entries: Callable[[], list[Entry]], stack: ExitStack) -> None:
        self.log = log
        self._entries = entries
        self._stack = stack
        self._client = stack.enter_context(httpx2.Client(trust_env=False, timeout=10))

    def serve(self, app: Any, **options: Any) -> str:
        """Serve an application with uvicorn, and return its base URL."""
        return self._stack.enter_context(served(app, **options))

    def get(self, url: str, token: str | None = None, **options: Any) -> httpx2.Response:
        """Send GET, with a bearer token if one is given."""
        headers = options.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return self._client.get(url, headers=headers, **options)

    def stubs(self) -> list[CredentialUse]:
        """Return the uses that the log holds. An outcome follows the answer, so the servers are ended first."""
        self._stack.close()
        return [entry.event for entry in self._entries() if isinstance(entry.event, CredentialUse)]

    def events(self) -> list[Event | UnlistedEvent]:
        """Return everything that the log holds."""
        self._stack.close()
        return [entry.event for entry in self._entries()]

    def uses(self) -> list[CredentialUse]:
        """Return the uses that the log holds, intents left out."""
        return [each for each in self.stubs() if each.action.phase is not Phase.INTENT]


@pytest.fixture
def side(log: AuditLog, entries: Callable[[], list[Entry]]) -> Iterator[Side]:
    """Give the server's side."""
    with ExitStack() as stack:
        yield Side(log, entries, stack)


class Drive(Protocol):
    """Put one connection through an application, as a server would."""

    def __call__(self, app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what the application sent."""
        ...


@pytest.fixture
def drive() -> Drive:
    """Give the function that drives a connection by hand."""

    def run(app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        waiting = list(messages)

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        return sent

    return run


def http_scope(path: str = "/mail", **changes: Any) -> dict[str, Any]:
    """Return the scope of a GET request, as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"api.example")],
        "client": ("192.0.2.7", 4711),
        "server": ("127.0.0.1", 8000),
        "state": {},
        **changes,
    }

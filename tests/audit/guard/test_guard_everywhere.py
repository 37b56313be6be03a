"""All guards together in a fresh process: a service that throws secrets through every route leaves no trace of them."""

from __future__ import annotations

import gzip
import json
import secrets
import subprocess
import sys
import threading
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVICE = Path(__file__).with_name("service.py")
ROUTES = (
    *("message", "argument", "named argument", "object", "nested argument", "argument that does not fit"),
    *("extra object", "extra text", "name of a logger", "name of a thread", "stack"),
    *("exception", "exception with locals", "exception in a thread", "exception in a finalizer", "exception in a task"),
    *("exception that nobody catches", "warning", "query", "path", "application", "resource"),
    *("structlog event", "structlog value", "structlog exception", "structlog traceback", "structlog locals"),
    *("span name", "span attribute", "span list", "span event", "span event attribute", "span status", "span link"),
    *("span exception", "log record", "log record attribute"),
)


@dataclass
class Collector:
    """An OTLP collector: whatever is sent to it over HTTP, as bytes."""

    endpoint: str = ""
    received: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            plain = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
            collector.received.setdefault(self.path, []).append(plain)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name in http.server
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield collector
        server.shutdown()
        thread.join()


def _jwt() -> str:
    """Make a token of the form of a JWT, with a random key behind it."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": secrets.token_hex(8)})]
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, secrets.token_bytes(32)])


@dataclass
class Thrown:
    """What was thrown through each route, and what came out."""

    opaque: dict[str, str]
    jwts: dict[str, str]
    places: list[str | bytes | Path]


@pytest.fixture
def throw(tmp_path: Path, collector: Collector) -> Callable[..., Thrown]:
    """Give the service: one opaque secret and one JWT through each route."""

    def run(*options: str) -> Thrown:
        opaque, jwts = ({route: make() for route in ROUTES} for make in (lambda: secrets.token_urlsafe(32), _jwt))
        folder, given = tmp_path / "service", tmp_path / "secrets.json"
        folder.mkdir()
        routes = {route: f"{opaque[route]}, then Bearer {jwts[route]}" for route in ROUTES}
        given.write_text(json.dumps({"routes": routes, "known": list(opaque.values())}))
        command = [sys.executable, str(SERVICE), str(folder), collector.endpoint, str(given), *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
        assert done.returncode == 1, done.stderr[-2000:].decode()  # of the exception that nobody catches
        sent = {path: b"".join(bodies) for path, bodies in collector.received.items()}
        assert sent.keys() == {"/v1/traces", "/v1/logs"}, done.stderr[-2000:].decode()
        return Thrown(opaque, jwts, [done.stdout, done.stderr, folder, *sent.values()])

    return run


def test_no_secret_leaves_a_guarded_service(throw: Callable[..., Thrown], leaks: Callable[..., list[str]]) -> None:
    """Neither one that is only remembered, nor one that is known by its look: not in any sink, not in any form."""
    thrown = throw("guarded")
    found = {
        (kind, route): places
        for kind, each in (("opaque", thrown.opaque), ("jwt", thrown.jwts))
        for route, secret in each.items()
        if (places := leaks(secret, *thrown.places))
    }
    assert found == {}
    told = b"".join(place for place in thrown.places if isinstance(place, bytes)).decode("utf-8", "replace")
    for survived in (
        "It was ",
        "in fail",
        "GET /mail?q=REDACTED HTTP/1.1",
        "Exception in thread",
        "process.command_args",
    ):
        assert survived in told


def test_without_guards_each_route_leaks(throw: Callable[..., Thrown], leaks: Callable[..., list[str]]) -> None:
    """So that the test above means something: through each route either secret comes out somewhere."""
    thrown = throw()
    for each in (thrown.opaque, thrown.jwts):
        assert {route for route, secret in each.items() if leaks(secret, *thrown.places)} == set(ROUTES)

"""What the HTTP client instrument adds to a request on the loopback: two entries, and checking a proof."""

from __future__ import annotations

import multiprocessing
import secrets
import socketserver
import time
from typing import TYPE_CHECKING, Any

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from counterfoil.audit import AuditLog
from counterfoil.audit.instrument.httpx2 import AuditTransport

from .figure import Figure, alternately, micro
from .sample import KEY

if TYPE_CHECKING:
    from pathlib import Path

_TIMES = 1000
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer whatever comes, as long as it comes."""
        while self.rfile.readline().strip():
            while self.rfile.readline().strip():
                pass
            self.wfile.write(_ANSWER)


def measure(folder: Path) -> list[Figure]:
    """Measure with a server in a process of its own."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Connection) as server:
        server.daemon_threads = True
        serving = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
        serving.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/mail"
        try:
            with AuditLog.open(folder / "queued.db", fingerprint_key=KEY, delivery="queued") as log:
                queued = _recorded(log, url, "queued")
            with AuditLog.open(folder / "durable.db", fingerprint_key=KEY) as log:
                return [_recorded(log, url, "durable"), queued, _inspected(log, url)]
        finally:
            serving.kill()
            serving.join()


def _recorded(log: AuditLog, url: str, delivery: str) -> Figure:
    headers = {"Authorization": f"Bearer {secrets.token_urlsafe(32)}"}
    with httpx2.Client(trust_env=False) as plain, httpx2.Client(transport=AuditTransport(log)) as ours:
        measured, baseline = _both(ours, plain, url, headers)
    what = f"HTTP request on the loopback, intent and outcome {delivery}"
    return Figure(what, micro(measured), f"not instrumented: {micro(baseline)}", f"{measured / baseline:.2f}")


def _inspected(log: AuditLog, url: str) -> Figure:
    with (
        httpx2.Client(transport=AuditTransport(log)) as plain,
        httpx2.Client(transport=AuditTransport(log, inspect=True)) as ours,
    ):
        measured, baseline = _both(ours, plain, url, _proof(url))
    what = "the same with a DPoP proof, checked before it leaves (`inspect=True`)"
    return Figure(what, micro(measured), f"not checked: {micro(baseline)}", f"{measured / baseline:.2f}")


def _both(ours: Any, plain: Any, url: str, headers: dict[str, str]) -> tuple[float, float]:
    for client in (ours, plain):
        assert client.get(url, headers=headers).status_code == 200
    return alternately(lambda: ours.get(url, headers=headers), lambda: plain.get(url, headers=headers), _TIMES)


def _proof(url: str) -> dict[str, str]:
    key = ECKey.generate_key("P-256")
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    claims = {"jti": secrets.token_urlsafe(12), "htm": "GET", "htu": url, "iat": int(time.time())}
    return {"Authorization": f"DPoP {secrets.token_urlsafe(32)}", "DPoP": jwt.encode(header, claims, key)}

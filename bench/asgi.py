"""What the ASGI instrument adds to a request on the loopback, without verification.

Every server has a process of its own, and the client pauses between requests, so that what a server does after an
answer does not delay the next one. How many requests a second it still serves back to back is a figure of its own.
"""

from __future__ import annotations

import multiprocessing
import secrets
import signal
import socket
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from counterfoil.audit import AuditLog
from counterfoil.audit.instrument.asgi import AuditMiddleware

from .figure import Figure, alternately, micro, seconds
from .sample import KEY

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_TIMES = 1000
_PAUSE = 0.003
_BURST = 100
_LATER = 0.05
_WAYS: tuple[tuple[str, Any, float, str], ...] = (
    ("intent and outcome durable", "durable", 0, "≤ 300 µs more"),
    ("intent and outcome queued", "queued", 0, ""),
    ("durable, `intent_after=0.05`", "durable", _LATER, "≤ 300 µs more"),
    ("queued, `intent_after=0.05`", "queued", _LATER, "≤ 1.10"),
)


async def _mail(_request: Any) -> PlainTextResponse:
    return PlainTextResponse("ok")


def measure(folder: Path) -> list[Figure]:
    """Measure each way against the same application without the instrument."""
    figures: list[Figure] = []
    headers = {"Authorization": f"Bearer {_token()}"}
    with _serving(None) as bare, httpx2.Client(trust_env=False, headers=headers) as client:
        for number, (how, delivery, later, goal) in enumerate(_WAYS):
            with _serving(folder / f"{number}.db", delivery, later) as ours:
                for url in (ours, bare):
                    for _ in range(200):
                        assert client.get(url).status_code == 200
                figures += [_figure(client, ours, bare, how, goal), _back_to_back(client, ours, bare, how)]
    return figures


def _figure(client: httpx2.Client, ours: str, bare: str, how: str, goal: str) -> Figure:
    left: list[float] = []
    right: list[float] = []
    for _ in range(_TIMES):
        for url, took in ((ours, left), (bare, right)):
            time.sleep(_PAUSE)
            took.append(seconds(lambda url=url: client.get(url)))
    measured, baseline = statistics.median(left), statistics.median(right)
    what = f"request to Starlette under uvicorn, recorded, {how}"
    added = f"{micro(measured)} ({micro(measured - baseline)} more)"
    return Figure(what, added, f"not instrumented: {micro(baseline)}", f"{measured / baseline:.2f}", goal)


def _back_to_back(client: httpx2.Client, ours: str, bare: str, how: str) -> Figure:
    measured, baseline = alternately(lambda: _burst(client, ours), lambda: _burst(client, bare), 9)
    what = f"requests back to back, recorded, {how}"
    ours_a_second, bare_a_second = f"{_BURST / measured:,.0f}/s", f"{_BURST / baseline:,.0f}/s"
    return Figure(what, ours_a_second, f"not instrumented: {bare_a_second}", f"{measured / baseline:.2f}")


def _burst(client: httpx2.Client, url: str) -> None:
    for _ in range(_BURST):
        client.get(url)


@contextmanager
def _serving(database: Path | None, delivery: Any = "durable", later: float = 0) -> Generator[str]:
    # With the protocol named, asyncio turns Nagle's algorithm off, as it does for a server that binds by itself.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(listening, database, delivery, later))
    process.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mail"
    finally:
        process.terminate()
        process.join()
        listening.close()


def _serve(listening: socket.socket, database: Path | None, delivery: Any, later: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    app: Any = Starlette(routes=[Route("/mail", _mail)])
    log = AuditLog.open(database, fingerprint_key=KEY, delivery=delivery) if database else None
    if log:
        app = AuditMiddleware(app, log, intent_after=later)
    config = uvicorn.Config(app, log_level="error", access_log=False, proxy_headers=False, ws="none", lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])
    if log:
        log.close()


def _token() -> str:
    now = int(time.time())
    claims = {"iss": "https://as.example", "aud": "https://api.example", "sub": "dana", "client_id": "agent"}
    times = {"iat": now, "exp": now + 300, "jti": secrets.token_urlsafe(12), "scope": "mail:read mail:send"}
    return jwt.encode({"typ": "at+jwt", "alg": "ES256"}, claims | times, ECKey.generate_key("P-256"))

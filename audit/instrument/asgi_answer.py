"""The answer to a request: what an application sends is watched and passed on, or a refusal is sent in its place."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from ..capture.challenge import challenge_error
from ..capture.seen import remember_set_cookies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..proof.verdict import Headers, Refusal
    from .asgi_scope import Message, Receive, Scope, Send

_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start"})
_DENIAL: Final = "websocket.http.response"
_POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1
_REFUSALS: Final = frozenset({400, 401, 403})


class Answer:
    """The sending side of one connection. ``status`` is None until the application began to answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self.receive = receive
        self._send = send
        self.headers: Headers = ()
        """What is added to the application's answer."""
        self.when_accepted: Callable[[], Awaitable[None]] | None = None
        """Called once a WebSocket is accepted."""
        self.status: int | None = None
        self._challenges: list[str] = []

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        kind = message["type"]
        if kind in _STARTS:
            self.status = message["status"]
            remember_set_cookies(_values(message, b"set-cookie"))
            if self.status in _REFUSALS:
                self._challenges = _values(message, b"www-authenticate")
        elif kind == "websocket.accept":
            self.status = HTTPStatus.SWITCHING_PROTOCOLS
        elif kind == "websocket.close" and self.status is None:
            self.status = HTTPStatus.FORBIDDEN
        if self.headers and (kind in _STARTS or kind == "websocket.accept"):
            message = {**message, "headers": [*message.get("headers", ()), *_encoded(self.headers)]}
        await self._send(message)
        if kind == "websocket.accept" and self.when_accepted:
            await self.when_accepted()

    def error(self, scheme: str) -> str | None:
        """Return the error code of a refusal, by the scheme that the request used."""
        return challenge_error(self._challenges, scheme)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer in the application's place, without a body."""
        self.status = refusal.status
        kind = "http.response"
        if self._scope["type"] == "websocket":
            await self.receive()  # websocket.connect
            if _DENIAL not in (self._scope.get("extensions") or {}):
                await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                return
            kind = _DENIAL
        headers = [*_encoded(refusal.headers), (b"cache-control", b"no-store"), (b"content-length", b"0")]
        await self._send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
        await self._send({"type": f"{kind}.body", "body": b""})

    async def give(self, document: bytes) -> None:
        """Answer with a JSON document."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(document))]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        body = b"" if self._scope.get("method") == "HEAD" else document
        await self._send({"type": "http.response.body", "body": body})


def _values(message: Message, name: bytes) -> list[str]:
    headers: list[Any] = list(message.get("headers", ()))
    return [bytes(value).decode("latin-1") for given, value in headers if bytes(given).lower() == name]


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers]

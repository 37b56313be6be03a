"""The httpx2 instrument: a transport around a transport.

::

    client = httpx2.Client(transport=AuditTransport(log))
    client = httpx2.AsyncClient(transport=AsyncAuditTransport(log, httpx2.AsyncHTTPTransport(http2=True)))

A redirect and a retry of an authentication flow pass through the transport again, and are uses of their own.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from counterfoil.schemas import MissingExtra

from ..capture import HttpRequest
from .http import arecorded, recorded

try:
    import httpx2
except ImportError:
    raise MissingExtra("httpx2") from None

if TYPE_CHECKING:
    from ..log import AuditLog


class AuditTransport(httpx2.BaseTransport):
    """Records each credential that passes, then lets ``transport`` (an ``HTTPTransport`` unless given) send it.

    Raises ``AuditUnavailable`` before anything is sent if the intent cannot be recorded.
    """

    def __init__(self, log: AuditLog, transport: httpx2.BaseTransport | None = None) -> None:
        self._log = log
        self._transport = transport or httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request. The answer's body is not touched, so that streaming stays streaming."""
        with recorded(self._log, _facts(request)) as answered:
            response = self._transport.handle_request(request)
            answered(response.status_code)
        return response

    def close(self) -> None:
        """Close the transport inside. The log stays open."""
        self._transport.close()


class AsyncAuditTransport(httpx2.AsyncBaseTransport):
    """The same for an ``AsyncClient``."""

    def __init__(self, log: AuditLog, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._log = log
        self._transport = transport or httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request. The answer's body is not touched, so that streaming stays streaming."""
        async with AsyncExitStack() as unless_returned:
            async with arecorded(self._log, _facts(request)) as answered:
                response = await self._transport.handle_async_request(request)
                unless_returned.push_async_callback(response.aclose)
                answered(response.status_code)
            unless_returned.pop_all()
        return response

    async def aclose(self) -> None:
        """Close the transport inside. The log stays open."""
        await self._transport.aclose()


def _facts(request: httpx2.Request) -> HttpRequest:
    try:
        body = request.content
    except httpx2.RequestNotRead:  # a stream, which only the transport may read
        body = None
    return HttpRequest(request.method, str(request.url), tuple(request.headers.multi_items()), body)

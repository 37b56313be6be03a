"""The httpx instrument: a transport around a transport.

::

    client = httpx.Client(transport=AuditTransport(log))
    client = httpx.AsyncClient(transport=AsyncAuditTransport(log, httpx.AsyncHTTPTransport(http2=True)))

Each hop of a redirect is a use of its own. An attempt that the server answered with a nonce, and the next one with a
fresh proof, are one use (RFC 9449 §8, §9); any other retry of an authentication flow is a use of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.schemas import MissingExtra

from ..capture.certificate_file import read_certificate
from .http import AsyncDoor, BlockingDoor
from .passage import Settings

try:
    import httpx
except ImportError:
    raise MissingExtra("httpx") from None

if TYPE_CHECKING:
    import os

    from ..log import AuditLog


class AuditTransport(BlockingDoor[httpx.Request, httpx.Response], httpx.BaseTransport):
    """Records each credential that passes, then lets ``transport`` (an ``HTTPTransport`` unless given) send it.

    ``certificate`` is the client certificate that the TLS context of ``transport`` was loaded with, as DER, PEM or a
    path: a context does not show its own. It counts for https. ``inspect`` checks DPoP proofs and certificate binding
    before they leave, as far as a sender can, and sends them whatever came of it. Raises ``ConfigurationError`` and
    ``MissingExtra``. Sending raises ``AuditUnavailable`` before anything is sent if the intent cannot be recorded.
    """

    def __init__(
        self,
        log: AuditLog,
        transport: httpx.BaseTransport | None = None,
        *,
        certificate: bytes | str | os.PathLike[str] | None = None,
        inspect: bool = False,
    ) -> None:
        der = read_certificate(certificate) if certificate else None
        settings = Settings(log, httpx.ByteStream, der, inspect=inspect)
        super().__init__(settings, transport or httpx.HTTPTransport())


class AsyncAuditTransport(AsyncDoor[httpx.Request, httpx.Response], httpx.AsyncBaseTransport):
    """The same for an ``AsyncClient``."""

    def __init__(
        self,
        log: AuditLog,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        certificate: bytes | str | os.PathLike[str] | None = None,
        inspect: bool = False,
    ) -> None:
        der = read_certificate(certificate) if certificate else None
        settings = Settings(log, httpx.ByteStream, der, inspect=inspect)
        super().__init__(settings, transport or httpx.AsyncHTTPTransport())

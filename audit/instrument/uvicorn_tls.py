"""uvicorn with the client certificate in the scope, as the ASGI TLS extension has it: no server of today does that.

::

    uvicorn.run(
        app,
        http=TlsProtocol,
        ssl_certfile=…, ssl_keyfile=…, ssl_ca_certs=…, ssl_cert_reqs=ssl.CERT_OPTIONAL,
    )

The TLS layer takes a certificate of an authority in ``ssl_ca_certs`` only; one of another never gets this far. That the
client has the key, the handshake shows. With ``CERT_OPTIONAL`` a client without a certificate is served too, and the
application decides.

This is built on uvicorn's HTTP/1.1 implementation, which is internal to it: ``connection_made`` and ``app`` of its
protocol. They are so from 0.34 to 0.54, and the tests say if they no longer are; pin uvicorn all the same. WebSockets
have a protocol of their own there, and get no certificate.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import MissingExtra

try:
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError:
    raise MissingExtra("uvicorn") from None

if TYPE_CHECKING:
    import asyncio

    from .asgi_scope import App, Receive, Scope, Send

_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


class TlsProtocol(H11Protocol):
    """Gives the application ``scope["extensions"]["tls"]`` with ``client_cert_chain``, a list of PEM, on TLS alone."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the certificate, once for all requests of a connection."""
        super().connection_made(transport)
        connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if connection is not None:
            self.app: Any = _with_extension(self.app, _extension_of(connection))


def _extension_of(connection: ssl.SSLObject) -> dict[str, Any]:
    der = connection.getpeercert(binary_form=True)
    return {
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der)] if der else [],
        "tls_version": _VERSIONS.get(connection.version() or ""),
    }


def _with_extension(app: App, extension: dict[str, Any]) -> App:
    async def with_extension(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), "tls": dict(extension)}
        await app(scope, receive, send)

    return with_extension

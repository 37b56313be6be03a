"""What an ASGI scope shows of a request: target URI, headers, peer, client certificate.

The target URI is what a sender signs and what a record names, so it matters who says which host was meant. In this
order:

1. The base URL that is configured, with path and query of the request.
2. ``Forwarded`` (RFC 7239), if the peer of the connection is a trusted hop: the last element, which that hop wrote.
3. The absolute form of the request target (RFC 9112 §3.2.2), else the ``Host`` field: the sender's word.

``X-Forwarded-*`` is never read. ``HtuSource`` records which it was. Nothing here raises over what a request holds.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from counterfoil.schemas import CertificateSource, ConfigurationError, HtuSource

from ..capture import HttpRequest
from ..capture.claims import name_of

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

Scope: TypeAlias = MutableMapping[str, Any]
"""The scope of a connection (ASGI 3.0)."""
Message: TypeAlias = MutableMapping[str, Any]
"""One event (ASGI 3.0)."""
Receive: TypeAlias = Callable[[], Awaitable[Message]]
"""Gives the next event from the client."""
Send: TypeAlias = Callable[[Message], Awaitable[None]]
"""Takes an event for the client."""
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI application."""
Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Field lines: names in lower case."""

_HTTP: Final = {"ws": "http", "wss": "https"}  # the handshake of a WebSocket is a GET (RFC 6455 §1.3)
_AUTHORITY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_BASE = re.compile(r"https?://[^/?#@]+(?:/[^?#]*)?")
_FORMS: Final = {"host": _AUTHORITY, "proto": re.compile("https?"), "for": re.compile(r"[A-Za-z0-9._:\[\]-]+")}
_PAIR = re.compile(r'[ \t]*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^";,\s]*))[ \t]*(?:;|$)')
_ELEMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])*')
_MAX_FORWARDED: Final = 4096


@dataclass(frozen=True, slots=True, repr=False)
class Received:
    """One request, as far as the connection shows it. Its ``repr`` shows nothing: it is full of credentials."""

    request: HttpRequest
    """Method, target URI and headers."""
    htu_source: HtuSource
    """From where the target URI came."""
    peer: str | None
    """The other side of the connection, as host:port."""
    trusted_hop: bool
    """Whether the other side is a proxy of ours."""
    certificate: bytes | None
    """The client certificate of the connection, DER."""

    @property
    def certificate_source(self) -> CertificateSource:
        """From where the certificate came."""
        return CertificateSource.TLS_LAYER if self.certificate else CertificateSource.UNKNOWN


class Surroundings:
    """How the server stands in its network: under which name, and behind which proxies."""

    def __init__(self, resource: str | None, trusted_hops: Iterable[str]) -> None:
        """Take the base URL, and addresses or networks of proxies. Raises ``ConfigurationError``."""
        if resource is not None and not _BASE.fullmatch(resource):
            raise ConfigurationError("resource is the base URL of the server: http or https, host, perhaps a path")
        self._base = resource.rstrip("/") if resource else None
        try:
            self._hops = tuple(ip_network(hop) for hop in trusted_hops)
        except ValueError:
            raise ConfigurationError("trusted_hops are IP addresses or networks, such as 10.0.0.0/8") from None

    def read(self, scope: Scope, body: bytes | None = None) -> Received:
        """Read a scope of the type ``http`` or ``websocket``. ``body`` is its content, if it is at hand."""
        headers = tuple([(_text(name).lower(), _text(value)) for name, value in scope["headers"]])
        client = scope.get("client")
        hop = bool(self._hops) and _is_among(self._hops, client)
        forwarded = _forwarded(headers) if hop else {}
        url, source = self._target(scope, headers, forwarded)
        return Received(
            request=HttpRequest(scope.get("method", "GET"), url, headers, body),
            htu_source=source,
            peer=name_of(forwarded.get("for")) or _address(client),
            trusted_hop=hop,
            certificate=_certificate(scope),
        )

    def _target(self, scope: Scope, headers: Headers, forwarded: dict[str, str]) -> tuple[str, HtuSource]:
        target = _raw_target(scope)
        absolute = _ABSOLUTE.match(target)
        path = target[absolute.end() :] if absolute else target
        if self._base is not None:
            return self._base + path, HtuSource.CONFIGURED
        scheme = _HTTP.get(scope.get("scheme", "http"), scope.get("scheme", "http"))
        if "host" in forwarded:
            return f"{forwarded.get('proto', scheme)}://{forwarded['host']}{path}", HtuSource.FORWARDED
        if absolute:
            return target, HtuSource.ABSOLUTE_FORM
        host = next((value for name, value in headers if name == "host"), "")
        if _AUTHORITY.fullmatch(host):
            return f"{scheme}://{host}{path}", HtuSource.HOST_HEADER
        return f"{scheme}://{_address(scope.get('server')) or 'unknown'}{path}", HtuSource.UNKNOWN


def _raw_target(scope: Scope) -> str:
    """Return path and query as they were sent; a server that does not keep the path gives it decoded."""
    raw = scope.get("raw_path")
    if raw == b"*":  # of the server itself (RFC 9112 §3.2.4)
        return ""
    path = _text(raw) if raw else quote(scope.get("path", ""), safe="/!$&'()*+,;=:@~", errors="surrogatepass")
    query = _text(scope.get("query_string", b""))
    return f"{path}?{query}" if query else path


def _text(octets: bytes) -> str:
    """Decode what should be ASCII; any other byte becomes a surrogate escape, so that a fingerprint sees it as sent."""
    return octets.decode("ascii", "surrogateescape")


def _forwarded(headers: Headers) -> dict[str, str]:
    """Return what the last element of ``Forwarded`` says (RFC 7239 §4), as far as it has the form that it should."""
    text = ",".join(value for name, value in headers if name == "forwarded")
    elements = _ELEMENT.findall(text) if len(text) <= _MAX_FORWARDED else []
    last = next((element for element in reversed(elements) if element.strip()), "")
    said = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(last)}
    return {name: value for name, value in said.items() if name in _FORMS and _FORMS[name].fullmatch(value)}


def _address(address: Any) -> str | None:
    """Return an address as host:port (RFC 3986 §3.2.2); of a Unix socket, or of nobody, None."""
    try:
        host, port = address
        return name_of(f"[{host}]:{int(port)}" if ":" in host else f"{host}:{int(port)}")
    except (TypeError, ValueError):
        return None


def _is_among(networks: tuple[IPv4Network | IPv6Network, ...], address: Any) -> bool:
    if not networks:
        return False
    try:
        host = ip_address(address[0])
    except (TypeError, ValueError, IndexError):
        return False
    mapped = getattr(host, "ipv4_mapped", None)
    return any((mapped or host) in network for network in networks)


def _certificate(scope: Scope) -> bytes | None:
    """Return the client's certificate (ASGI TLS extension): the first of the chain, from PEM to DER."""
    try:
        chain = scope["extensions"]["tls"]["client_cert_chain"]
        return ssl.PEM_cert_to_DER_cert(next(iter(chain)))
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        return None

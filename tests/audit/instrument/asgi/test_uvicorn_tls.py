"""uvicorn over TLS: the client certificate reaches the application, and whatever goes wrong before never does."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from counterfoil.audit.instrument.asgi import AuditMiddleware
from counterfoil.audit.instrument.uvicorn_tls import TlsProtocol
from counterfoil.schemas import Thumbprint

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Authority, Side


async def shown(request: Request) -> JSONResponse:
    """Return what the application is told of the connection."""
    tls = request.scope.get("extensions", {}).get("tls", {})
    chain = [Thumbprint.of_certificate(ssl.PEM_cert_to_DER_cert(pem)) for pem in tls.get("client_cert_chain", [])]
    return JSONResponse({"chain": chain, "version": tls.get("tls_version")})


APP = Starlette(routes=[Route("/", shown)])


def test_the_certificate_reaches_the_application(side: Side, authority: Authority) -> None:
    """It is there in every request of the connection; a client without one is served too, and has none."""
    url = side.serve(APP, http=TlsProtocol, **authority.server_options())
    own = authority.issue("agent")
    with authority.client(own) as client:
        told = [client.get(url).json() for _ in range(2)]
    assert told == [{"chain": [Thumbprint.of_certificate(authority.der(own))], "version": 0x0304}] * 2
    with authority.client() as client:
        assert client.get(url).json() == {"chain": [], "version": 0x0304}


def test_without_tls(side: Side) -> None:
    """There is nothing to tell."""
    assert side.get(side.serve(APP, http=TlsProtocol)).json() == {"chain": [], "version": None}


def test_a_certificate_of_another_authority(
    side: Side, authority: Authority, make_authority: type[Authority], tmp_path: Path
) -> None:
    """It is refused in the handshake, and the application hears of nothing."""
    foreign = make_authority(tmp_path).issue("thief")
    url = side.serve(AuditMiddleware(APP, side.log), http=TlsProtocol, **authority.server_options())
    with authority.client(foreign) as client, pytest.raises(httpx2.TransportError):
        client.get(url, headers={"Authorization": "Bearer x"})
    assert side.stubs() == []


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"\x16\x03\x01",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 5000,
    ],
    ids=["nothing", "a record's head", "half a hello", "plain HTTP", "noise"],
)
def test_half_a_handshake(half: bytes, side: Side, authority: Authority) -> None:
    """A connection that never becomes one disturbs nobody else, is not recorded, and ends."""
    url = side.serve(AuditMiddleware(APP, side.log), http=TlsProtocol, **authority.server_options())
    to = urlsplit(url)
    with socket.create_connection((to.hostname or "", to.port or 0), timeout=10) as connection:
        connection.sendall(half)
        with authority.client() as client:
            started = time.perf_counter()
            assert client.get(url).status_code == 200
            assert time.perf_counter() - started < 1
    assert side.stubs() == []


def test_what_is_recorded(side: Side, authority: Authority) -> None:
    """The certificate is a credential of its own, from the TLS layer; and it counts for a token that may be bound."""
    url = side.serve(AuditMiddleware(APP, side.log), http=TlsProtocol, **authority.server_options())
    own = authority.issue("agent")
    with authority.client(own) as client:
        client.get(url, headers={"Authorization": f"Bearer {'a' * 40}", "Client-Cert": ":AAAA:"})
    found: dict[str, Any] = {str(use.token.token_class): use for use in side.uses()}
    assert set(found) == {"bearer_opaque", "client_cert"}
    thumbprint = Thumbprint.of_certificate(authority.der(own))
    for use in found.values():
        assert (use.binding.presented, use.binding.key_thumbprint) == ("mtls", thumbprint)
        assert use.proof.certificate_source == "tls_layer"
    assert found["client_cert"].token.subject == "CN=agent"

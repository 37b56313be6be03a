"""What an ASGI scope shows: under which URI a request came, from whom, and with which certificate."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil.audit.instrument.asgi_scope import Surroundings
from counterfoil.schemas import ConfigurationError


def scope(*headers: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """Return a scope as uvicorn makes it."""
    return {
        "type": "http",
        "scheme": "http",
        "method": "GET",
        "path": "/mail",
        "raw_path": b"/mail",
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("192.0.2.7", 4711),
        "server": ("127.0.0.1", 8000),
        **changes,
    }


HOST = ("host", "api.example:8443")
LIES = (
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-for", "203.0.113.9"),
    ("x-original-url", "/evil"),
    ("x-rewrite-url", "/evil"),
    ("forwarded", "for=203.0.113.9;host=evil.example;proto=https"),
)


@pytest.mark.parametrize(
    ("shown", "url", "source"),
    [
        (scope(HOST), "http://api.example:8443/mail", "host_header"),
        (scope(HOST, *LIES), "http://api.example:8443/mail", "host_header"),
        (scope(HOST, query_string=b"a=%2F&b"), "http://api.example:8443/mail?a=%2F&b", "host_header"),
        (scope(HOST, raw_path=b"/a%2Fb//c"), "http://api.example:8443/a%2Fb//c", "host_header"),
        (scope(HOST, raw_path=None, path="/a b/ä"), "http://api.example:8443/a%20b/%C3%A4", "host_header"),
        (scope(HOST, type="websocket", scheme="wss"), "https://api.example:8443/mail", "host_header"),
        (scope(("host", "[2001:db8::1]:8443")), "http://[2001:db8::1]:8443/mail", "host_header"),
        (scope(HOST, raw_path=b"https://abs.example/mail"), "https://abs.example/mail", "absolute_form"),
        (scope(("host", "evil/x?y")), "http://127.0.0.1:8000/mail", "unknown"),
        (scope(("host", "user@evil")), "http://127.0.0.1:8000/mail", "unknown"),
        (scope(), "http://127.0.0.1:8000/mail", "unknown"),
        (scope(server=("/run/app.sock", None)), "http://unknown/mail", "unknown"),
        (scope(server=None), "http://unknown/mail", "unknown"),
    ],
)
def test_the_target_uri(shown: dict[str, Any], url: str, source: str) -> None:
    """Unless configured it is the sender's word, and recorded so; what other headers say is never believed."""
    received = Surroundings(None, ()).read(shown)
    assert (received.request.url, received.htu_source) == (url, source)
    assert received.peer == "192.0.2.7:4711"


@pytest.mark.parametrize(
    ("base", "raw_path", "url"),
    [
        ("https://api.example", b"/mail", "https://api.example/mail"),
        ("https://api.example/", b"/mail", "https://api.example/mail"),
        ("https://api.example/v1", b"/mail", "https://api.example/v1/mail"),
        ("https://api.example", b"http://evil.example/mail", "https://api.example/mail"),
        ("https://api.example", b"http://evil.example", "https://api.example"),
    ],
)
def test_a_configured_name(base: str, raw_path: bytes, url: str) -> None:
    """Under a configured base no header and no absolute form changes which server was meant."""
    received = Surroundings(base, ["192.0.2.0/24"]).read(scope(("host", "evil.example"), *LIES, raw_path=raw_path))
    assert (received.request.url, received.htu_source) == (url, "configured")


@pytest.mark.parametrize(
    ("forwarded", "url", "source", "peer"),
    [
        ("host=a.example;proto=https;for=203.0.113.9", "https://a.example/mail", "forwarded", "203.0.113.9"),
        (
            'for="[2001:db8::1]:4711" ; Host="a.example:8443"',
            "http://a.example:8443/mail",
            "forwarded",
            "[2001:db8::1]:4711",
        ),
        ("host=evil.example;proto=http, host=a.example;proto=https", "https://a.example/mail", "forwarded", None),
        ('for="evil, host=x", host=a.example', "http://a.example/mail", "forwarded", None),
        ("for=203.0.113.9", "http://api.example:8443/mail", "host_header", "203.0.113.9"),
        ("host=evil/x;proto=ftp;for=?", "http://api.example:8443/mail", "host_header", None),
        ("host=a.example;" + "x=y;" * 2000, "http://api.example:8443/mail", "host_header", None),
        (",,,", "http://api.example:8443/mail", "host_header", None),
        ("", "http://api.example:8443/mail", "host_header", None),
    ],
)
def test_a_trusted_hop(forwarded: str, url: str, source: str, peer: str | None) -> None:
    """From a proxy of ours the last element of Forwarded is believed, as far as it has its form (RFC 7239 §4)."""
    shown = scope(HOST, ("forwarded", forwarded), client=("10.1.2.3", 99))
    received = Surroundings(None, ["10.0.0.0/8"]).read(shown)
    assert received.trusted_hop
    assert (received.request.url, received.htu_source) == (url, source)
    assert received.peer == (peer or "10.1.2.3:99")


@pytest.mark.parametrize(
    ("client", "trusted"),
    [
        (("10.255.0.1", 1), True),
        (("::ffff:10.0.0.1", 1), True),
        (("2001:db8::7", 1), True),
        (("11.0.0.1", 1), False),
        (("localhost", 1), False),
        (None, False),
        ((), False),
        (("", None), False),
    ],
)
def test_who_is_trusted(client: Any, trusted: bool) -> None:  # noqa: FBT001
    """Only an address of the networks named, in either notation; never a name, never nobody."""
    hops = ["10.0.0.0/8", "2001:db8::/32"]
    assert Surroundings(None, hops).read(scope(client=client)).trusted_hop is trusted


@pytest.mark.parametrize(
    "options",
    [
        ("api.example", ()),
        ("https://", ()),
        ("https://u:p@h", ()),
        ("https://h?q", ()),
        (None, ["proxy"]),
        (None, ["10.0.0.1/8"]),
    ],
)
def test_what_cannot_be_configured(options: tuple[Any, Any]) -> None:
    """A base that is no http URL, and an address that is none, are refused at once."""
    with pytest.raises(ConfigurationError):
        Surroundings(*options)


PEM = ssl.DER_cert_to_PEM_cert(b"\x30\x03\x02\x01\x05")


@pytest.mark.parametrize(
    ("extensions", "certificate"),
    [
        ({"tls": {"client_cert_chain": [PEM, "another"]}}, b"\x30\x03\x02\x01\x05"),
        ({"tls": {"client_cert_chain": (PEM,)}}, b"\x30\x03\x02\x01\x05"),
        ({"tls": {"client_cert_chain": []}}, None),
        ({"tls": {"client_cert_chain": None}}, None),
        ({"tls": {"client_cert_chain": ["no PEM"]}}, None),
        ({"tls": {"client_cert_chain": [PEM[:40]]}}, None),
        ({"tls": {"client_cert_chain": [b"bytes"]}}, None),
        ({"tls": {}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_certificate_of_the_connection(extensions: Any, certificate: bytes | None) -> None:
    """It is the first of the chain that the server hands over (ASGI TLS extension); what is none is left out."""
    received = Surroundings(None, ()).read(scope(extensions=extensions))
    assert received.certificate == certificate
    assert received.certificate_source == ("tls_layer" if certificate else "unknown")


def test_bytes_beyond_ascii_keep_their_identity() -> None:
    """A credential in another encoding is kept byte for byte, for its fingerprint."""
    shown = scope(raw_path=b"/\xff", query_string=b"\xfe")
    shown["headers"] = [(b"Authorization", b"Bearer \xe4\xff"), (b"host", b"api.example")]
    request = Surroundings(None, ()).read(shown).request
    (value,) = request.values("authorization")
    assert value.encode("ascii", "surrogateescape") == b"Bearer \xe4\xff"
    assert request.url.encode("ascii", "surrogateescape") == b"http://api.example/\xff?\xfe"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from([b"host", b"forwarded", b"dpop", b"x"]) | st.binary(), st.binary()), max_size=8),
    st.none() | st.binary(),
    st.binary(),
    st.sampled_from([None, ("192.0.2.7", 1), ("x", "y"), "?", (1, 2, 3)]),
)
def test_nothing_raises(headers: Any, raw_path: bytes | None, query: bytes, client: Any) -> None:
    """Whatever a server hands on, reading it gives a request."""
    shown = {**scope(raw_path=raw_path, query_string=query, client=client), "headers": headers}
    for surroundings in (Surroundings(None, ["192.0.2.0/24"]), Surroundings("https://api.example", ())):
        assert surroundings.read(shown).request.url

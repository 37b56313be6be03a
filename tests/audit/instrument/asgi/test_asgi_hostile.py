"""What a hostile client may send to a real server: each gets a bounded answer, and the host hears of no error."""

from __future__ import annotations

import base64
import secrets
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from counterfoil.audit.instrument.asgi import AuditMiddleware
from counterfoil.audit.proof.possession import Dpop
from counterfoil.audit.proof.resource_server import ResourceServer

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Side

SECRET = secrets.token_urlsafe(32)
BEARER = f"Authorization: Bearer {SECRET}".encode()
NESTED = base64.urlsafe_b64encode(b'{"a":' * 3000 + b"1" + b"}" * 3000).rstrip(b"=")

ATTACKS: dict[str, list[bytes]] = {
    "many headers of one name": [BEARER, *[b"a:b"] * 9000],
    "many credentials": [b"Authorization: Bearer " + secrets.token_urlsafe(20).encode() for _ in range(1000)],
    "many cookies": [b"Cookie: " + b"; ".join(b"s%d=%d" % (n, n) for n in range(4000))],
    "a long token": [b"Authorization: Bearer " + b"a" * 60_000],
    "a nested token": [b"Authorization: Bearer " + NESTED + b"." + NESTED + b".x"],
    "not UTF-8": [b"Authorization: Bearer \xff\xfe\xe4", b"DPoP: \xff", b"Cookie: \xff=\xfe"],
    "an escape sequence": [BEARER, b"DPoP: \x80\x9b31m"],
    "a lying proxy": [
        BEARER,
        b"X-Forwarded-For: 10.0.0.1",
        b"X-Forwarded-Host: evil.example",
        b"X-Forwarded-Proto: https",
    ],
    "an injected certificate": [BEARER, b"Client-Cert: :" + base64.b64encode(secrets.token_bytes(3000)) + b":"],
    "a merged proof": [b"Authorization: DPoP x", b"DPoP: " + b"a.b.c, " * 2000],
    "a signature without end": [BEARER, b"Signature-Input: sig=(" + b'"@method" ' * 3000, b"Signature: sig=:AA==:"],
    "a strange trace": [BEARER, b"traceparent: " + b"0" * 5000],
    "quotes without end": [b"Authorization: Digest " + b'"' * 20_000],
}


def exchange(url: str, *lines: bytes, target: bytes = b"/") -> tuple[bytes, float]:
    """Send a request byte for byte; return the answer, and the seconds that it took."""
    to = urlsplit(url)
    with socket.create_connection((to.hostname or "", to.port or 0), timeout=10) as connection:
        head = [b"GET " + target + b" HTTP/1.1", b"Host: api.example", b"Connection: close", *lines, b"", b""]
        started = time.perf_counter()
        connection.sendall(b"\r\n".join(head))
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer.lower(), time.perf_counter() - started


async def app(_: Any, __: Any, send: Any) -> None:
    """Answer."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def never(*_: Any) -> None:
    """Must not run."""
    pytest.fail("it ran")


def test_attacks(side: Side, address: Path, leaks: Callable[..., list[str]]) -> None:
    """Every one is answered, recorded and bounded; nothing of it is believed, and no credential is written."""
    url = side.serve(AuditMiddleware(app, side.log), h11_max_incomplete_event_size=1024 * 1024)
    exchange(url, BEARER)  # warm
    for name, lines in ATTACKS.items():
        took: list[float] = []
        for _ in range(3):
            status, seconds = exchange(url, *lines)
            took.append(seconds)
            assert status.split()[1] == b"200", name
        assert min(took) < 0.2, f"{name}: {min(took):.3f} s"
    stubs = side.stubs()
    assert len([each for each in stubs if each.action.phase == "outcome"]) * 2 == len(stubs)
    assert {each.resource.uri for each in stubs} == {"http://api.example/"}
    assert {str(each.proof.htu_source) for each in stubs} == {"unknown"}
    assert all((each.context.peer or "").startswith("127.0.0.1:") for each in stubs)
    assert leaks(SECRET, *address.parent.glob("audit.db*")) == []


def test_attacks_on_a_server_that_decides(
    side: Side, issuer: Any, address: Path, leaks: Callable[..., list[str]]
) -> None:
    """Every one is refused and recorded, with the outcome of each check, and no challenge repeats any of it."""
    server = ResourceServer("https://api.example", issuers={issuer.url: issuer.jwks}, dpop=Dpop())
    url = side.serve(AuditMiddleware(never, side.log, verify=server), h11_max_incomplete_event_size=1024 * 1024)
    exchange(url, BEARER)  # warm
    for name, lines in ATTACKS.items():
        took: list[float] = []
        for _ in range(3):
            answer, seconds = exchange(url, *lines)
            took.append(seconds)
            assert answer.split()[1] in {b"400", b"401"}, name
            assert answer.count(b"WWW-Authenticate".lower()) == 2
            assert SECRET.encode() not in answer
            assert len(answer) < 1000
        assert min(took) < 0.2, f"{name}: {min(took):.3f} s"
    stubs = side.stubs()
    assert {str(each.action.phase) for each in stubs} == {"complete"}
    assert {str(each.action.outcome) for each in stubs} == {"refused"}
    assert {each.resource.uri for each in stubs} == {"https://api.example/"}
    assert leaks(SECRET, *address.parent.glob("audit.db*")) == []


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        (b"http://other.example/x", "http://other.example/x"),
        (b"//evil.example/x", "http://api.example//evil.example/x"),
        (b"*", "http://api.example"),
        (b"/%00%ff", "http://api.example/%00%ff"),
        (b"/?access_token=TOKEN", "http://api.example/?access_token=REDACTED"),
        (b"/" + b"a" * 60_000, "http://api.example/" + "a" * 8172 + "…"),
    ],
)
def test_targets(target: bytes, uri: str, side: Side, address: Path, leaks: Callable[..., list[str]]) -> None:
    """A strange target is recorded as it was meant, cut where it is too long, and without the credential in it."""
    url = side.serve(AuditMiddleware(app, side.log))
    target = target.replace(b"TOKEN", SECRET.encode())
    assert exchange(url, BEARER, target=target)[0].split()[1] == b"200"
    assert {use.resource.uri for use in side.uses()} == {uri}
    assert leaks(SECRET, *address.parent.glob("audit.db*")) == []


def test_a_fault_of_ours_closes_the_door(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """If reading a request fails against all rules, the answer is 503, and the application does not run."""

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("counterfoil.audit.instrument.inbound.capture_credentials", broken)
    answer = side.get(side.serve(AuditMiddleware(never, side.log)), SECRET)
    assert (answer.status_code, answer.content) == (503, b"")
    assert side.stubs() == []

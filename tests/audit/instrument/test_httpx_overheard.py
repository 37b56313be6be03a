"""The httpx and httpx2 instruments let redaction know the tokens and cookies of an answer, while its body passes."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.instrument.overheard import overheard
from counterfoil.audit.redaction.known import KNOWN

if TYPE_CHECKING:
    from conftest import Client, Library, Server

    from counterfoil.audit import AuditLog

JSON = "Content-Type: application/json; charset=utf-8\r\n"
GRANT = {"grant_type": "refresh_token", "refresh_token": "1"}


def _answer(server: Server, coding: str = "", fields: str = JSON, padding: int = 0) -> tuple[str, dict[str, str]]:
    token = secrets.token_urlsafe(24)
    given = {"access_token": token, "token_type": "DPoP", "more": "x" * padding}
    body = json.dumps(given).encode()
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(coding, bytes)
    server.bodies["/oauth"] = pack(body)
    server.answers["/oauth"] = 200, fields + (f"Content-Encoding: {coding}\r\n" if coding else "")
    return token, given


@pytest.mark.parametrize("coding", ["", "gzip", "deflate"])
def test_the_tokens_of_an_answer_are_known_once_it_was_read(
    coding: str, client: Client, server: Server, log: AuditLog
) -> None:
    """The caller gets what the server sent; without the instrument nothing is known."""
    token, given = _answer(server, coding)
    for instrumented in (None, log):
        answer = client.send(instrumented, method="POST", url=f"{server.url}/oauth", data=GRANT)
        assert answer.json() == given
        assert bool(KNOWN.spans(f"got {token}")) is (instrumented is log)


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        ({"fields": "Content-Type: text/plain\r\n"}, {"data": GRANT}),
        ({}, {"json": {"a": 1}}),
        ({"padding": 70_000}, {"data": GRANT}),
    ],
    ids=["no JSON", "no form", "too long"],
)
def test_other_answers_are_left_alone(
    answer: dict[str, Any], options: dict[str, Any], client: Client, server: Server, log: AuditLog
) -> None:
    """They are not listened to, and arrive whole."""
    token, given = _answer(server, **answer)
    assert client.send(log, method="POST", url=f"{server.url}/oauth", **options).json() == given
    assert not KNOWN.spans(token)


def test_an_answer_that_is_streamed_is_listened_to(library: Library, server: Server, log: AuditLog) -> None:
    """Piece by piece, asynchronously."""
    module, door = library
    url = f"{server.url}/oauth"

    async def scene() -> bytes:
        async with (
            module.AsyncClient(transport=door.AsyncAuditTransport(log)) as client,
            client.stream("POST", url, data=GRANT) as answer,
        ):
            return b"".join([piece async for piece in answer.aiter_raw(10)])

    token, given = _answer(server)
    assert json.loads(asyncio.run(scene())) == given
    assert KNOWN.spans(token)


def test_what_was_not_read_to_its_end_is_not_known(library: Library) -> None:
    """Half an answer says nothing that could be relied on; the body is of the library's own kind and shows nothing."""
    module, _ = library
    token = secrets.token_urlsafe(24)
    pieces = [b'{"access_token": ', f'"{token}"'.encode(), b"}"]
    for read, is_known in ((2, False), (3, True)):
        body = overheard(pieces, module.ByteStream)
        assert isinstance(body, module.ByteStream)
        assert repr(body) == "<Overheard>"
        reading = iter(body)
        assert [next(reading) for _ in range(read)] == pieces[:read]
        reading.close()
        assert bool(KNOWN.spans(token)) is is_known


def test_one_instrument_in_another_is_heard_through(library: Library, server: Server, log: AuditLog) -> None:
    """And so is an answer that lies in memory, as a test's does."""
    module, door = library
    token, given = _answer(server)
    twice = door.AuditTransport(log, door.AuditTransport(log))
    with module.Client(transport=twice) as client:
        assert client.post(f"{server.url}/oauth", data=GRANT).json() == given
    assert KNOWN.spans(token)
    other = secrets.token_urlsafe(24)

    def answer(_request: object) -> Any:
        return module.Response(200, json={"id_token": other})

    mocked = module.MockTransport(answer)
    with module.Client(transport=door.AuditTransport(log, mocked)) as client:
        assert client.post(f"{server.url}/oauth", data=GRANT).json() == {"id_token": other}
    assert KNOWN.spans(other)


def test_the_cookies_of_an_answer_are_known(client: Client, server: Server, log: AuditLog) -> None:
    """Of any answer."""
    session = secrets.token_urlsafe(24)
    server.answers["/login"] = 200, f"Set-Cookie: sid={session}; Path=/\r\n"
    for instrumented in (None, log):
        client.send(instrumented, method="GET", url=f"{server.url}/login")
        assert bool(KNOWN.spans(session)) is (instrumented is log)

"""The httpx and httpx2 instruments: traffic is what it would be without them, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import gc
import importlib
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from counterfoil.audit import AuditLog
from counterfoil.schemas import CredentialUse, LogChange, LogEvent, MissingExtra

if TYPE_CHECKING:
    from conftest import Client, Library, Server

Told: TypeAlias = Callable[[], list[CredentialUse]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "POST", "json": {"to": "bob", "text": "é漢🙂"}},
        {"method": "PUT", "content": bytes(range(256)) * 300},
        {"method": "POST", "data": {"a": "1", "b": ["2", "3"]}},
        {"method": "QUERY", "params": [("a", "%2f é"), ("a", "")]},
        {"headers": [("X-A", "1"), ("X-A", "2"), ("x-B", b"\xe9\xff")]},
        {"headers": [("Cookie", ""), ("X-API-Key", "")]},
        {"params": {"long": "x" * 20_000}},
        {"headers": [("X-Long", "x" * 20_000)]},
    ],
    ids=["plain", "JSON", "bytes", "form", "query", "headers", "empty", "long target", "long header"],
)
def test_the_bytes_on_the_wire_are_the_same(
    options: dict[str, Any], client: Client, server: Server, log: AuditLog, bearer: dict[str, str]
) -> None:
    """With the instrument and without it, the server receives the same request to the byte."""
    given: dict[str, Any] = {"method": "GET", **options, "headers": [*options.get("headers", []), *bearer.items()]}
    for instrumented in (None, log):
        assert client.send(instrumented, url=f"{server.url}/mail", **given).status_code == 200
    without, with_it = server.received
    assert with_it == without


def test_a_streamed_answer_arrives_as_it_is_sent(
    library: Library, server: Server, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """The outcome is recorded with the headers; the body is left to the caller, piece by piece, blocking."""
    module, door = library
    with (
        module.Client(transport=door.AuditTransport(log)) as client,
        client.stream("GET", f"{server.url}/stream", headers=bearer) as answer,
    ):
        pieces = answer.iter_bytes()
        assert next(pieces) == b"one"
        assert [each.action.status_code for each in told()] == [None, 200]
        server.go.set()
        assert b"".join(pieces) == b"two"


def test_a_streamed_answer_arrives_as_it_is_sent_asynchronously(
    library: Library, server: Server, log: AuditLog, bearer: dict[str, str]
) -> None:
    """The same in asynchronous code."""
    module, door = library

    async def scene() -> None:
        async with (
            module.AsyncClient(transport=door.AsyncAuditTransport(log)) as client,
            client.stream("GET", f"{server.url}/stream", headers=bearer) as answer,
        ):
            pieces = answer.aiter_bytes()
            assert await anext(pieces) == b"one"
            server.go.set()
            assert [piece async for piece in pieces] == [b"two"]

    asyncio.run(scene())


def test_a_streamed_request_leaves_as_it_is_made(
    library: Library, server: Server, log: AuditLog, bearer: dict[str, str]
) -> None:
    """Each piece reaches the server before the next is asked for: nothing is read ahead, in both kinds of client."""
    module, door = library

    def pieces() -> Iterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece
            assert server.arrived.acquire(timeout=10)

    async def apieces() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    async def scene() -> None:
        async with module.AsyncClient(transport=door.AsyncAuditTransport(log)) as client:
            await client.post(f"{server.url}/mail", headers=bearer, content=apieces())

    with module.Client(transport=door.AuditTransport(log)) as client:
        client.post(f"{server.url}/mail", headers=bearer, content=pieces())
    asyncio.run(scene())
    assert len(server.received) == 2
    assert all(each.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") for each in server.received)


_JSON = "Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        (400, _JSON, "invalid_grant"),
        (401, _JSON, "invalid_grant"),
        (400, f"{_JSON}WWW-Authenticate: Basic error=invalid_client\r\n", "invalid_grant"),
        (400, "Content-Type: application/json;charset=utf-8\r\n", "invalid_grant"),
        (400, "Content-Type: text/plain\r\n", None),
        (400, f"{_JSON}Content-Encoding: zstd\r\n", None),
        (403, _JSON, None),
        (200, _JSON, None),
    ],
)
def test_why_a_token_endpoint_refused(
    answer: tuple[int, str, str | None], library: Library, server: Server, log: AuditLog, told: Told
) -> None:
    """The short JSON that says why is read, and handed on to the byte, also to whoever streams the raw body."""
    module, door = library
    status, headers, code = answer
    body = b'{"error": "invalid_grant"}'
    server.answers["/token"] = (status, headers)
    server.bodies["/token"] = body
    form = {"grant_type": "refresh_token", "refresh_token": secrets.token_urlsafe(32)}

    async def scene() -> bytes:
        async with (
            module.AsyncClient(transport=door.AsyncAuditTransport(log)) as client,
            client.stream("POST", f"{server.url}/token", data=form) as response,
        ):
            return b"".join([piece async for piece in response.aiter_raw()])

    with (
        module.Client(transport=door.AuditTransport(log)) as client,
        client.stream("POST", f"{server.url}/token", data=form) as response,
    ):
        assert b"".join(response.iter_raw()) == body
    assert asyncio.run(scene()) == body
    assert [each.action.error_type for each in told()] == [None, code] * 2
    assert told()[1].action.outcome == (
        "executed" if status == 200 else "failed" if (status, code) == (400, None) else "refused"
    )


def test_a_token_endpoint_that_breaks_off(library: Library, log: AuditLog, told: Told) -> None:
    """An error while the answer is read is the caller's own, and its connection is given back."""
    module, door = library
    closed: list[bool] = []

    class Broken(module.SyncByteStream, module.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"{"
            raise module.ReadTimeout("late")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self:
                yield piece

        def close(self) -> None:
            closed.append(True)

        async def aclose(self) -> None:
            closed.append(True)

    def answer(_: object) -> Any:
        return module.Response(
            400, headers={"Content-Type": "application/json", "Content-Length": "9"}, stream=Broken()
        )

    async def scene() -> None:
        async with module.AsyncClient(transport=door.AsyncAuditTransport(log, module.MockTransport(answer))) as client:
            await client.post("https://as.example/token", data=form)

    form = {"grant_type": "refresh_token", "refresh_token": secrets.token_urlsafe(32)}
    with (
        module.Client(transport=door.AuditTransport(log, module.MockTransport(answer))) as client,
        pytest.raises(module.ReadTimeout),
    ):
        client.post("https://as.example/token", data=form)
    with pytest.raises(module.ReadTimeout):
        asyncio.run(scene())
    assert closed == [True, True]
    outcomes = [each.action for each in told()[1::2]]
    assert [(each.outcome.value, each.status_code, each.error_type) for each in outcomes] == [
        ("failed", 400, "ReadTimeout")
    ] * 2


def test_an_inner_transport_does_the_sending(
    library: Library, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """Any transport can be surrounded; it is closed with the client, and the log stays open."""
    module, door = library
    closed: list[bool] = []

    class Inner(module.MockTransport):
        def close(self) -> None:
            closed.append(True)

    def answer(_: object) -> Any:
        return module.Response(204)

    inner = Inner(answer)
    with module.Client(transport=door.AuditTransport(log, inner)) as client:
        assert client.get("https://api.example/mail", headers=bearer).status_code == 204
    assert closed == [True]
    assert told()[1].action.status_code == 204
    log.record(LogEvent(change=LogChange.GAP))


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_library_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrument of a missing library says which extra it needs, and how to install it."""
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"counterfoil.audit.instrument.{name}")
    with pytest.raises(MissingExtra) as caught:
        importlib.import_module(f"counterfoil.audit.instrument.{name}")
    assert caught.value.advice == f"pip install 'counterfoil[{name}]'"


def test_nothing_keeps_the_secret(client: Client, server: Server, log: AuditLog) -> None:
    """When a request is over, no object in this process holds its credential, in whole or in part of a text."""
    halves = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    assert client.send(log, "GET", f"{server.url}/mail", headers={"Authorization": "Bearer " + "".join(halves)}).text
    server.received.clear()
    with pytest.raises(client.library.ConnectError):
        client.send(log, "GET", "http://127.0.0.1:1/mail", headers={"X-API-Key": "".join(halves)})
    assert _holders("".join(halves)) == []
    kept = [{"headers": (("Authorization", f"Bearer {''.join(halves)}"),)}]
    assert _holders("".join(halves)) != [], kept  # such a one would have been found


def _holders(secret: str) -> list[str]:
    """Name the type of every object that the garbage collector knows and that leads to a text with the secret."""
    gc.collect()
    encoded = secret.encode()
    needles: dict[type[Any], Any] = {str: secret, bytes: encoded, bytearray: encoded}
    return [
        type(holder).__name__
        for holder in gc.get_objects()
        for text in _texts(holder)
        if text is not (needle := needles[type(text)]) and needle in text
    ]


def _texts(holder: object) -> Iterator[Any]:
    """Yield the texts that an object refers to, through tuples and dicts that the collector does not track."""
    referents: list[Any] = gc.get_referents(holder)
    for each in referents:
        if isinstance(each, str | bytes | bytearray):
            yield from [each] if type(each) in {str, bytes, bytearray} else []
        elif type(each) in {tuple, dict} and not gc.is_tracked(each):
            yield from _texts(each)

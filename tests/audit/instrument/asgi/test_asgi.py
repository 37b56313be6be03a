"""The ASGI instrument around real applications, served by uvicorn: what it records, and that it lets them be."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import fastapi
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from counterfoil.audit import AuditLog
from counterfoil.audit.capture import TokenFacts
from counterfoil.audit.instrument.asgi import AuditMiddleware
from counterfoil.audit.instrument.httpx2 import AsyncAuditTransport, AuditTransport
from counterfoil.schemas import Check, CheckId, CheckOutcome, LogEvent, Outcome, Tool

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Side

Busy: TypeAlias = Callable[[], AbstractContextManager[None]]


async def mail(request: Request) -> JSONResponse:
    """Return which mail was asked for, and what the handler is told of the credential."""
    return JSONResponse([request.path_params["number"], str(request.state.counterfoil.token.token_class)])


async def refusing(_: Request) -> Response:
    """Refuse as a host does that checks by itself."""
    challenge = 'Basic realm="a, error=\\"x\\"", Bearer realm="api", error="invalid_token"'
    return Response(status_code=401, headers={"WWW-Authenticate": challenge})


async def malformed(_: Request) -> Response:
    """Refuse a request that cannot be understood (RFC 6750 §3.1)."""
    return Response(status_code=400, headers={"WWW-Authenticate": 'Bearer error="invalid_request"'})


async def forbidden(_: Request) -> Response:
    """Refuse by an exception that the framework turns into an answer."""
    raise HTTPException(403, headers={"WWW-Authenticate": 'DPoP algs="ES256", Bearer error="insufficient_scope"'})


async def failing(_: Request) -> Response:
    """Break off."""
    raise LookupError("nothing here")


async def nothing(_: Request) -> Response:
    """Answer."""
    return Response()


def starlette_app() -> Starlette:
    """Build the application with Starlette; the mail stands under a mount."""
    routes = [
        Mount("/of/{owner}", routes=[Route("/mail/{number:int}", mail)]),
        Route("/refusing", refusing),
        Route("/forbidden", forbidden),
        Route("/malformed", malformed),
        Route("/failing", failing),
    ]
    return Starlette(routes=routes)


def fastapi_app() -> fastapi.FastAPI:
    """Build the same with FastAPI; the mail stands in an included router."""
    app, router = fastapi.FastAPI(), fastapi.APIRouter(prefix="/of/{owner}")
    router.add_api_route("/mail/{number}", _fastapi_mail)
    app.include_router(router)
    for path, handler in (
        ("/refusing", refusing),
        ("/forbidden", forbidden),
        ("/malformed", malformed),
        ("/failing", failing),
    ):
        app.add_route(path, handler)
    return app


async def _fastapi_mail(number: int, request: fastapi.Request) -> list[Any]:
    return [number, str(request.state.counterfoil.token.token_class)]


@pytest.fixture(params=[starlette_app, fastapi_app], ids=["starlette", "fastapi"])
def app(request: pytest.FixtureRequest, log: AuditLog) -> Any:
    """Give the application, built with either framework, with the instrument as its outermost middleware."""
    built = request.param()
    built.add_middleware(AuditMiddleware, log=log)
    return built


def test_a_use_on_this_side(app: Any, side: Side, secret: str) -> None:
    """Intent and outcome say which credential came from where, for what, and how it ended; and who saw it."""
    url = side.serve(app)
    answer = side.get(f"{url}/of/dana/mail/7?folder=in", secret)
    assert answer.json() == [7, "bearer_opaque"]
    intent, outcome = side.stubs()
    assert (intent.action.phase, outcome.action.phase) == ("intent", "outcome")
    assert intent.context.use_id == outcome.context.use_id
    for each in (intent, outcome):
        assert each.token.fingerprint == side.log.fingerprint(secret)
        assert (each.token.token_class, each.token.presentation) == ("bearer_opaque", "authorization_header")
        assert (each.context.observer, each.signer.source) == ("resource_server", "unknown")
        assert (each.context.peer or "").startswith("127.0.0.1:")
        assert each.resource.uri.startswith(f"{url}/of/dana/mail/7")
        assert each.binding.verified == "unknown"
        assert each.context.inbound is None
    assert intent.action.name == "GET /of/dana/mail/7"
    assert outcome.action.name == "GET /of/{owner}/mail/{number}"
    assert (outcome.action.outcome, outcome.action.status_code) == ("executed", 200)


def test_without_a_credential_nothing_is_recorded(app: Any, side: Side) -> None:
    """The handler finds the class ``none``."""
    assert side.get(f"{side.serve(app)}/of/dana/mail/7").json() == [7, "none"]
    assert side.uses() == []


@pytest.mark.parametrize(
    ("path", "answered", "recorded"),
    [
        ("/refusing", 401, ("refused", 401, "invalid_token")),
        ("/forbidden", 403, ("refused", 403, "insufficient_scope")),
        ("/malformed", 400, ("refused", 400, "invalid_request")),
        ("/missing", 404, ("failed", 404, None)),
        ("/failing", 500, ("failed", None, "LookupError")),
    ],
)
def test_what_the_host_decided(path: str, answered: int, recorded: tuple[Any, ...], app: Any, side: Side) -> None:
    """A refusal that the host makes by itself is recorded with its error code, an exception with its class."""
    assert side.get(f"{side.serve(app)}{path}", secrets.token_urlsafe(32)).status_code == answered
    (action,) = [use.action for use in side.uses()]
    assert (action.outcome, action.status_code, action.error_type) == recorded


def test_each_credential_is_a_use(app: Any, side: Side) -> None:
    """Of several credentials each is recorded, and none of them is written."""
    keys = [secrets.token_urlsafe(32) for _ in range(3)]
    headers = {"Authorization": f"Bearer {keys[0]}", "X-API-Key": keys[1], "Cookie": f"session={keys[2]}"}
    side.get(f"{side.serve(app)}/of/dana/mail/7", headers=headers)
    found = {str(use.token.token_class): use.token.fingerprint for use in side.uses()}
    names = ("bearer_opaque", "api_key", "cookie_session")
    assert found == {name: side.log.fingerprint(key) for name, key in zip(names, keys, strict=True)}


def test_nothing_runs_without_an_intent(side: Side, address: Path, secret: str, busy: Busy) -> None:
    """If the log cannot take the intent, the answer is 503 and the application never runs; afterwards it does."""
    ran: list[str] = []

    async def handler(request: Request) -> Response:
        ran.append(request.url.path)
        return Response()

    hasty = AuditLog.open(address, deadline=0.05, fingerprint_key=side.log.fingerprint_key)
    url = side.serve(AuditMiddleware(Starlette(routes=[Route("/mail", handler)]), hasty))
    with busy():
        answer = side.get(f"{url}/mail", secret)
    assert (answer.status_code, answer.content, ran) == (503, b"", [])
    assert (side.get(f"{url}/mail", secret).status_code, ran) == (200, ["/mail"])
    hasty.close()


def test_what_the_host_reports(side: Side, secret: str) -> None:
    """A host that checks by itself says what it found and for which tool; the outcome entry names who checked."""
    good = Check(id=CheckId.TOKEN_AUDIENCE, outcome=CheckOutcome.PASS)

    async def handler(request: Request) -> Response:
        known = request.state.counterfoil
        facts = TokenFacts.introspected({"active": True, "sub": "dana", "aud": "https://mcp.example"})
        known.report(facts=facts, checked_by="the-host")
        known.report(checks=[good], tool=Tool(name="send_mail", call_id="c-1"), accepted_audiences=["urn:us"])
        return PlainTextResponse(f"{known.token.subject} {known.binding.verified}")

    app = AuditMiddleware(Starlette(routes=[Route("/rpc", handler)]), side.log)
    assert side.get(f"{side.serve(app)}/rpc", secret).text == "dana none"
    (use,) = side.uses()
    assert (use.token.subject, use.token.basis, use.token.audience) == (
        "dana",
        "introspection",
        ("https://mcp.example",),
    )
    assert [(check.id, check.outcome) for check in use.proof.checks] == [
        ("token.active", "pass"),
        ("token.audience", "pass"),
    ]
    assert (use.proof.checked_by, use.proof.result) == ("the-host", "not_applicable")
    assert use.binding.verified == "none"
    assert use.context.tool == Tool(name="send_mail", call_id="c-1")
    assert use.action.name == "send_mail"
    assert use.resource.accepted_audiences == ("urn:us",)


def test_a_refusal_of_a_request_without_a_credential(app: Any, side: Side) -> None:
    """A host that asks for a credential is recorded with one entry, of the class ``none``; another refusal is not."""
    url = side.serve(app)
    assert [side.get(f"{url}{path}").status_code for path in ("/refusing", "/forbidden", "/missing")] == [401, 403, 404]
    (use,) = side.stubs()
    assert (use.token.token_class, use.action.phase, use.action.name) == ("none", "complete", "GET /refusing")
    assert (use.action.outcome, use.action.status_code, use.action.error_type) == ("refused", 401, "invalid_token")


def test_refusals_that_nobody_wants_to_keep(side: Side) -> None:
    """They are left out where the server is told so."""
    url = side.serve(AuditMiddleware(starlette_app(), side.log, anonymous_refusals=False))
    assert side.get(f"{url}/refusing").status_code == 401
    assert side.stubs() == []


def test_a_refusal_that_cannot_be_recorded(side: Side, address: Path, busy: Busy) -> None:
    """The host's answer stands; a gap tells of the entry that is missing, once the log takes entries again."""
    hasty = AuditLog.open(address, deadline=0.05, fingerprint_key=side.log.fingerprint_key)
    url = side.serve(AuditMiddleware(starlette_app(), hasty))
    with busy():
        assert side.get(f"{url}/refusing").status_code == 401
        time.sleep(0.5)  # it is recorded after it was sent, and gives up after 0.05 s
    assert side.get(f"{url}/refusing").status_code == 401
    assert len(side.stubs()) == 1
    hasty.close()
    assert [event.count for event in side.events() if isinstance(event, LogEvent)] == [1]


@pytest.mark.parametrize(
    ("reported", "status", "recorded"),
    [
        ({"outcome": Outcome.FAILED, "error_type": "tool_error"}, 200, ("failed", 200, "tool_error")),
        ({"outcome": Outcome.UNKNOWN}, 200, ("unknown", 200, None)),
        ({"outcome": Outcome.EXECUTED}, 500, ("failed", 500, None)),
        ({"outcome": Outcome.EXECUTED, "error_type": "-32602"}, 400, ("failed", 400, "-32602")),
        ({}, 200, ("executed", 200, None)),
    ],
)
def test_how_the_host_says_it_ended(
    reported: dict[str, Any], status: int, recorded: tuple[Any, ...], side: Side, secret: str
) -> None:
    """What the host did overrules a status that tells nothing, and not one that tells of a failure."""

    async def handler(request: Request) -> Response:
        known = request.state.counterfoil
        known.report_action(name="list_tools", attributes={"rpc": "tools/list"})
        known.report_action(arguments_digest=side.log.arguments_digest("list_tools", {}), **reported)
        return Response(status_code=status)

    url = side.serve(AuditMiddleware(Starlette(routes=[Route("/rpc", handler)]), side.log))
    assert side.get(f"{url}/rpc", secret).status_code == status
    (use,) = side.uses()
    assert (use.action.outcome, use.action.status_code, use.action.error_type) == recorded
    assert (use.action.name, use.context.attributes) == ("list_tools", {"rpc": "tools/list"})
    assert use.action.arguments_digest == side.log.arguments_digest("list_tools", {})


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_what_is_sent_meanwhile_names_what_it_served(kind: str, side: Side, secret: str) -> None:
    """An outbound use inside carries the inbound credential: equal to the one sent, it was passed through."""
    backend = side.serve(Starlette(routes=[Route("/", nothing)]))
    other = secrets.token_urlsafe(32)

    def forward(request: Request) -> Response:
        with httpx2.Client(transport=AuditTransport(side.log), trust_env=False) as client:
            for token in (request.headers["authorization"][7:], other):
                client.get(backend, headers={"Authorization": f"Bearer {token}"})
        return Response()

    async def aforward(request: Request) -> Response:
        async with httpx2.AsyncClient(transport=AsyncAuditTransport(side.log), trust_env=False) as client:
            for token in (request.headers["authorization"][7:], other):
                await client.get(backend, headers={"Authorization": f"Bearer {token}"})
        return Response()

    app = Starlette(routes=[Route("/", forward if kind == "blocking" else aforward)])
    url = side.serve(AuditMiddleware(app, side.log))
    assert side.get(url, secret).status_code == 200
    passed, own, inbound = side.uses()
    assert (passed.context.observer, own.context.observer, inbound.context.observer) == (
        "agent",
        "agent",
        "resource_server",
    )
    assert passed.context.inbound == passed.token.fingerprint == inbound.token.fingerprint
    assert own.context.inbound == inbound.token.fingerprint != own.token.fingerprint
    assert inbound.context.inbound is None


def test_requests_at_once_do_not_mix(side: Side) -> None:
    """Each of many concurrent requests has its own handle, and its own inbound credential."""
    fingerprints: dict[str, str] = {}
    together = threading.Barrier(8, timeout=10)

    def handler(request: Request) -> Response:
        together.wait()
        fingerprints[request.query_params["n"]] = request.state.counterfoil.fingerprint
        request.state.counterfoil.report(tool=f"tool-{request.query_params['n']}")
        return Response()

    url = side.serve(AuditMiddleware(Starlette(routes=[Route("/", handler)]), side.log))
    tokens = [secrets.token_urlsafe(32) for _ in range(8)]

    async def scene() -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            sending = [
                client.get(url, params={"n": n}, headers={"Authorization": f"Bearer {token}"})
                for n, token in enumerate(tokens)
            ]
            assert {answer.status_code for answer in await asyncio.gather(*sending)} == {200}

    asyncio.run(scene())
    wanted = {f"tool-{n}": side.log.fingerprint(token) for n, token in enumerate(tokens)}
    assert {f"tool-{n}": found for n, found in fingerprints.items()} == wanted
    assert {use.action.name: use.token.fingerprint for use in side.uses()} == wanted


def test_a_request_streams(side: Side, secret: str) -> None:
    """A body is neither read ahead nor gathered: the application has its first part before the second is sent."""
    arrived = threading.Event()

    async def handler(request: Request) -> Response:
        parts: list[bytes] = []
        async for part in request.stream():
            parts.append(part)
            arrived.set()
        return Response(b"".join(parts))

    def body() -> Iterator[bytes]:
        yield b"first "
        assert arrived.wait(10)
        yield b"second"

    url = side.serve(AuditMiddleware(Starlette(routes=[Route("/", handler, methods=["POST"])]), side.log))
    with httpx2.Client(trust_env=False) as client:
        answer = client.post(url, content=body(), headers={"Authorization": f"Bearer {secret}"})
    assert answer.content == b"first second"


def test_an_answer_streams(side: Side, secret: str) -> None:
    """The client has the first part of the answer before the application sends the second."""
    seen = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"first "
        assert seen.wait(10)
        yield b"second"

    async def handler(_: Request) -> Response:
        return StreamingResponse(parts())

    url = side.serve(AuditMiddleware(Starlette(routes=[Route("/", handler)]), side.log))
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx2.Client(trust_env=False) as client, client.stream("GET", url, headers=headers) as answer:
        received: list[bytes] = []
        for part in answer.iter_raw():
            received.append(part)
            seen.set()
    assert b"".join(received) == b"first second"


def test_lifespan_is_left_alone(side: Side, secret: str) -> None:
    """What the application sets up at its start reaches its handlers."""

    async def handler(request: Request) -> Response:
        return PlainTextResponse(request.state.greeting)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, str]]:
        yield {"greeting": "hello"}

    app = Starlette(routes=[Route("/", handler)], lifespan=lifespan)
    url = side.serve(AuditMiddleware(app, side.log), lifespan="on")
    assert side.get(url, secret).text == "hello"

"""The MCP server instrument, with the real SDK on both sides, over real sockets, with real tokens."""

from __future__ import annotations

import asyncio
import secrets
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mcp.client import Client
from mcp.server import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListToolsResult,
)
from mcp_types import Tool as McpTool

from counterfoil.audit.instrument.asgi import AuditMiddleware
from counterfoil.audit.instrument.httpx2 import AsyncAuditTransport, AuditTransport
from counterfoil.audit.instrument.mcp_client import call_tool
from counterfoil.audit.instrument.mcp_server import AuditToolCalls, audited_app
from counterfoil.audit.instrument.mcp_verifier import AuditTokenVerifier
from counterfoil.schemas import Basis, Fingerprint, Observer, Phase, Tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import World

    from counterfoil.schemas import CredentialUse

    Busy = Callable[[], AbstractContextManager[None]]

SERVER = Observer.RESOURCE_SERVER
AGENT = Observer.AGENT
ALL = [(mode, answers) for mode in ("auto", "legacy") for answers in ("json", "stream")]
UPSTREAM = "http://127.0.0.1:9/upstream"  # nobody listens there; the attempt is recorded all the same


class Office:
    """The tools of a server, some of which send credentials on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.own = secrets.token_urlsafe(32)
        """The server's own credential for what stands behind it."""
        self.entered = threading.Event()
        """Set once a tool that reads mail runs."""

    async def read_mail(self, folder: str, pause: float = 0) -> str:
        """Ask upstream with a credential of its own."""
        self.entered.set()
        await asyncio.sleep(pause)
        await self._ask(self.own)
        return folder

    async def forward_mail(self, ctx: Context) -> str:
        """Pass the inbound token on, as a server must not."""
        await self._ask((ctx.headers or {})["authorization"].removeprefix("Bearer "))
        return "forwarded"

    def count_mail(self, folder: str) -> str:
        """Ask upstream from a thread."""
        headers = {"Authorization": f"Bearer {self.own}"}
        with (
            httpx2.Client(transport=AuditTransport(self._world.log), trust_env=False, headers=headers) as client,
            pytest.raises(httpx2.ConnectError),
        ):
            client.get(UPSTREAM)
        return folder

    async def _ask(self, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        transport = AsyncAuditTransport(self._world.log)
        async with httpx2.AsyncClient(transport=transport, trust_env=False, headers=headers) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(UPSTREAM)

    @staticmethod
    async def break_down(reason: str) -> str:
        """Break off."""
        raise ToolError(reason)

    @staticmethod
    async def pay(amount: int, ctx: Context) -> str | InputRequiredResult:
        """Ask first."""
        if ctx.input_responses:
            return "paid"
        schema: dict[str, Any] = {"type": "object", "properties": {}}
        question = ElicitRequestFormParams(message=f"Pay {amount}?", requested_schema=schema)
        return InputRequiredResult(input_requests={"sure": ElicitRequest(params=question)}, request_state="asked")


@pytest.fixture
def office(world: World) -> Office:
    """Give the tools."""
    return Office(world)


def built(world: World, office: Office, answers: str = "json", **options: Any) -> AuditMiddleware:
    """Return an instrumented server with these tools."""
    verifier = AuditTokenVerifier(world, world.auth, basis=Basis.VERIFIED_JWT, **options)
    server = MCPServer("post office", token_verifier=verifier, auth=world.auth, log_level="CRITICAL")
    for tool in (office.read_mail, office.forward_mail, office.count_mail, office.break_down, office.pay):
        server.add_tool(tool)
    return audited_app(server, world.log, verifier, json_response=answers == "json")


def outcomes(checks: CredentialUse) -> dict[str, str]:
    """Return how each check ended."""
    return {check.id.value: check.outcome.value for check in checks.proof.checks}


@pytest.mark.parametrize(("mode", "answers"), ALL)
def test_a_call_seen_from_both_sides(mode: str, answers: str, world: World, office: Office) -> None:
    """The server's stub names the tool, the JSON-RPC id, the digest of the arguments, and who checked what."""
    arguments = {"folder": "inbox"}

    async def agent() -> None:
        async with world.connect(mode) as client:
            result = await call_tool(world.log, client, "read_mail", arguments)
            assert result.structured_content == {"result": "inbox"}

    with world.serve(built(world, office, answers)):
        asyncio.run(agent())
    (use,) = (each for each in world.told(SERVER, tool="read_mail") if each.action.name == "read_mail")
    assert use.context.tool
    assert (use.context.tool.server, use.action.outcome, use.action.status_code) == ("post office", "executed", 200)
    assert use.context.attributes["mcp.method.name"] == "tools/call"
    assert use.context.attributes["jsonrpc.request.id"] == use.context.tool.call_id
    assert use.context.attributes["mcp.protocol.version"] == {"auto": "2026-07-28", "legacy": "2025-11-25"}[mode]
    assert (use.token.basis, use.token.subject, use.token.scopes) == ("verified_jwt", "alice", ("mail",))
    assert (use.proof.checked_by, use.proof.result) == ("World", "not_applicable")
    assert outcomes(use) == dict.fromkeys(("token.active", "token.audience", "token.time", "token.scope"), "pass")
    assert use.resource.accepted_audiences == (world.url,)
    assert use.resource.metadata == world.url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    (ours,) = (each for each in world.told(AGENT) if (each.action.name, each.resource.uri) == ("read_mail", world.url))
    assert ours.token.fingerprint == use.token.fingerprint
    assert (
        ours.action.arguments_digest
        == use.action.arguments_digest
        == world.log.arguments_digest("read_mail", arguments)
    )
    assert (ours.resource.uri, ours.action.method) == (use.resource.uri, use.action.method)


@pytest.mark.parametrize(("mode", "answers"), ALL)
def test_every_request_is_recorded(mode: str, answers: str, world: World, office: Office) -> None:
    """Each HTTP request of a session has its intent and its outcome, and the verifier is asked once for each."""

    async def agent() -> None:
        async with world.connect(mode) as client:
            await client.list_tools()
            await call_tool(world.log, client, "read_mail", {"folder": "inbox"})

    with world.serve(built(world, office, answers)):
        asyncio.run(agent())
    ended = world.told(SERVER)
    assert len(world.told(SERVER, Phase.INTENT)) == len(ended) == world.asked
    names = {use.action.name for use in ended}
    assert {"tools/list", "read_mail"} <= names
    assert ({"server/discover"} if mode == "auto" else {"initialize", "GET /mcp", "DELETE /mcp"}) <= names


def test_one_session(world: World, office: Office) -> None:
    """A session (before 2026-07-28) is known by a fingerprint: whoever knows its id could ride on it."""

    async def agent() -> None:
        async with world.connect("legacy") as client:
            for _ in range(2):
                await client.call_tool("read_mail", {"folder": "inbox"})

    with world.serve(built(world, office)):
        asyncio.run(agent())
    sessions = {
        Fingerprint(str(use.context.attributes["mcp.session.id"])) for use in world.told(SERVER, tool="read_mail")
    }
    assert len(sessions) == 1


def test_a_server_that_asks_for_nothing(world: World, office: Office) -> None:
    """Without authorization of its own a server still sees what it is presented, and a tool what came in."""
    server = MCPServer("open house", log_level="CRITICAL")
    server.add_tool(office.read_mail)

    async def agent() -> None:
        async with world.connect() as client:
            await client.call_tool("read_mail", {"folder": "inbox"})

    with world.serve(audited_app(server, world.log)):
        asyncio.run(agent())
    (use,) = world.told(SERVER, tool="read_mail")
    assert (use.token.basis, use.proof.checks, use.resource.accepted_audiences) == ("unverified_claims", (), ())
    sent = [each for each in world.told(AGENT) if each.resource.uri == UPSTREAM]
    assert [each.context.inbound for each in sent] == [use.token.fingerprint]


def test_without_http(world: World, office: Office) -> None:
    """In one process, or over stdio, there is no credential; what a tool sends still says of which call it is part."""
    server = MCPServer("post office", log_level="CRITICAL", middleware=[AuditToolCalls(world.log, "post office")])
    server.add_tool(office.read_mail)

    async def agent() -> None:
        for mode in ("auto", "legacy"):
            async with Client(server, mode=mode) as client:
                await client.call_tool("read_mail", {"folder": mode})

    asyncio.run(agent())
    assert world.told(SERVER) == []
    digests = [use.action.arguments_digest for use in world.told(AGENT, tool="read_mail")]
    assert digests == [world.log.arguments_digest("read_mail", {"folder": mode}) for mode in ("auto", "legacy")]


def test_a_low_level_server(world: World, office: Office) -> None:
    """There the SDK lists the tools by itself before it calls one, in the same request: the call is recorded."""

    async def list_tools(_context: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[McpTool(name="read_mail", input_schema={"type": "object"})])

    async def run_tool(_context: Any, params: Any) -> CallToolResult:
        await office.read_mail(params.arguments["folder"])
        return CallToolResult(content=[])

    server = Server("basement", on_list_tools=list_tools, on_call_tool=run_tool)
    server.middleware.append(AuditToolCalls(world.log, server.name))
    app = AuditMiddleware(server.streamable_http_app(json_response=True), world.log)
    with world.serve(app):
        assert request(world, f"Bearer {world.token()}").status_code == 200
    (use,) = world.told(SERVER)
    assert (use.action.name, use.context.tool) == ("read_mail", Tool(name="read_mail", call_id="7", server="basement"))
    assert use.action.arguments_digest == world.log.arguments_digest("read_mail", {"folder": "inbox"})


def test_a_tool_that_reports_progress(world: World) -> None:
    """A stream reaches the client as it is made, and the outcome follows once it has ended."""
    seen: list[tuple[float, list[CredentialUse]]] = []

    async def slowly(ctx: Context) -> str:
        """Take two steps."""
        for step in (1, 2):
            await ctx.report_progress(step)
            await asyncio.sleep(0.3)
        return "done"

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert (total, message) == (None, None)
        seen.append((progress, world.told(SERVER, tool="slowly")))

    async def agent() -> None:
        async with world.connect() as client:
            await client.call_tool("slowly", progress_callback=note)

    verifier = AuditTokenVerifier(world, world.auth, basis=Basis.VERIFIED_JWT)
    server = MCPServer("post office", token_verifier=verifier, auth=world.auth, log_level="CRITICAL")
    server.add_tool(slowly)
    with world.serve(audited_app(server, world.log, verifier)):
        asyncio.run(agent())
    assert seen == [(1.0, []), (2.0, [])]
    assert [use.action.outcome for use in world.told(SERVER, tool="slowly")] == ["executed"]


def request(world: World, authorization: str | None, *, tool: str = "read_mail", **message: Any) -> httpx2.Response:
    """Send a call as 2026-07-28 has it, without a client of the SDK."""
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params: dict[str, Any] = {"name": tool, "arguments": {"folder": "inbox"}, "_meta": meta}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        **({"Authorization": authorization} if authorization else {}),
    }
    with httpx2.Client(trust_env=False) as client:
        body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params, **message}
        return client.post(world.url, headers=headers, json=body)


@pytest.mark.parametrize(
    ("changes", "status", "check"),
    [
        ({"aud": "https://other.example/mcp"}, 401, "token.audience"),
        ({"exp": 1_700_000_000}, 401, "token.time"),
        ({"scope": "calendar"}, 403, "token.scope"),
        ({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, 401, "dpop.14_scheme"),
    ],
    ids=["audience", "expired", "scope", "bound"],
)
def test_what_is_refused_over_the_token(
    changes: dict[str, Any], status: int, check: str, world: World, office: Office
) -> None:
    """The refusal names the tool that was asked for, what is known of the token, and the one check that failed."""
    with world.serve(built(world, office)):
        answer = request(world, f"Bearer {world.token(**changes)}")
    assert answer.status_code == status
    (use,) = world.told(SERVER)
    assert (use.action.name, use.action.outcome, use.action.status_code) == ("read_mail", "refused", status)
    assert [name for name, outcome in outcomes(use).items() if outcome == "fail"] == [check]
    assert (use.proof.result, use.token.subject, use.token.basis) == ("fail", "alice", "verified_jwt")
    assert world.told(AGENT) == []


def test_a_forged_token(world: World, office: Office) -> None:
    """The verifier's no is all that is known: nothing that the token says of itself is taken for true."""
    other = type(world)(world.log, list)
    with world.serve(built(world, office)):
        answer = request(world, f"Bearer {other.token(aud=world.url)}")
    other.close()
    assert answer.status_code == 401
    (use,) = world.told(SERVER)
    assert outcomes(use) == {"token.active": "fail"} | dict.fromkeys(
        ("token.audience", "token.time", "token.scope"), "not_performed"
    )
    assert (use.token.basis, use.proof.result, use.action.error_type) == ("unverified_claims", "fail", "invalid_token")


@pytest.mark.parametrize(
    ("scheme", "token_class"),
    [("Basic", "basic_password"), ("DPoP", "dpop_bound_access"), ("Weird", "unknown")],
)
def test_a_scheme_that_mcp_does_not_take(scheme: str, token_class: str, world: World, office: Office) -> None:
    """The SDK refuses it without asking the verifier; the outer layer saw what was presented."""
    given = {"Basic": b64encode(f"user:{secrets.token_urlsafe()}".encode()).decode(), "DPoP": world.token()}
    with world.serve(built(world, office)):
        answer = request(world, f"{scheme} {given.get(scheme, secrets.token_urlsafe())}")
    assert (answer.status_code, world.asked) == (401, 0)
    (use,) = world.told(SERVER)
    assert (use.token.token_class, use.action.outcome, use.action.name) == (token_class, "refused", "read_mail")
    assert use.proof.checks == ()


def test_no_credential(world: World, office: Office) -> None:
    """A request without one is recorded when it is refused for that, in one entry; public metadata are not."""
    with world.serve(built(world, office)):
        assert request(world, None).status_code == 401
        metadata = httpx2.get(f"{world.url.removesuffix('/mcp')}/.well-known/oauth-protected-resource/mcp")
        assert metadata.json()["resource"] == world.url
    assert world.told(SERVER) == []
    (use,) = world.told(SERVER, Phase.COMPLETE)
    assert (use.token.token_class, use.action.outcome, use.action.status_code) == ("none", "refused", 401)
    assert use.action.name == "read_mail"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_passed_through_or_not(mode: str, world: World, office: Office) -> None:
    """What a tool sends names the inbound token; only a token that was passed through is equal to it."""
    token = world.token()

    async def agent() -> None:
        async with world.connect(mode, token) as client:
            for tool in ("read_mail", "count_mail"):
                await client.call_tool(tool, {"folder": "inbox"})
            await client.call_tool("forward_mail")

    with world.serve(built(world, office)):
        asyncio.run(agent())
    inbound = world.log.fingerprint(token)
    sent = {use.action.name: use for use in world.told(AGENT) if use.resource.uri == UPSTREAM}
    assert set(sent) == {"read_mail", "count_mail", "forward_mail"}
    assert {use.context.inbound for use in sent.values()} == {inbound}
    assert sent["forward_mail"].token.fingerprint == inbound
    for name in ("read_mail", "count_mail"):
        assert sent[name].token.fingerprint == world.log.fingerprint(office.own)
        assert sent[name].action.arguments_digest == world.log.arguments_digest(name, {"folder": "inbox"})
        tool = sent[name].context.tool
        assert tool
        assert tool.server == "post office"
    assert {use.context.inbound for use in world.told(SERVER)} == {None}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_calls_at_once_do_not_mix(mode: str, world: World, office: Office) -> None:
    """Of calls that overlap, each outbound request names the token and the call that it was sent for."""
    tokens = {name: world.token(sub=name) for name in ("alice", "bob", "carol")}

    async def agent(name: str) -> None:
        async with world.connect(mode, tokens[name]) as client:
            await asyncio.gather(
                *(client.call_tool("read_mail", {"folder": f"{name} {n}", "pause": 0.01 * n}) for n in range(4))
            )

    async def agents() -> None:
        await asyncio.gather(*map(agent, tokens))

    with world.serve(built(world, office)):
        asyncio.run(agents())
    expected = {
        (
            world.log.fingerprint(token),
            world.log.arguments_digest("read_mail", {"folder": f"{name} {n}", "pause": 0.01 * n}),
        )
        for name, token in tokens.items()
        for n in range(4)
    }
    sent = [use for use in world.told(AGENT) if use.resource.uri == UPSTREAM]
    served = [use for use in world.told(SERVER) if use.action.name == "read_mail"]
    assert len(sent) == len(served) == 12
    assert {(use.context.inbound, use.action.arguments_digest) for use in sent} == expected
    assert {(use.token.fingerprint, use.action.arguments_digest) for use in served} == expected


@pytest.mark.parametrize(("mode", "answers"), ALL)
def test_how_a_tool_ended(mode: str, answers: str, world: World, office: Office) -> None:
    """A tool that failed has a status of 200, and an outcome of its own; so has a request that the SDK refuses."""

    async def agent() -> None:
        async with world.connect(mode) as client:
            await client.list_tools()
            assert (await client.call_tool("break_down", {"reason": "out of paper"})).is_error
            assert (await client.call_tool("no_such_tool")).is_error
            with pytest.raises(MCPError):
                await client.get_prompt("no_such_prompt")

    with world.serve(built(world, office, answers)):
        asyncio.run(agent())
    ended = {use.action.name: use.action for use in world.told(SERVER)}
    for name in ("break_down", "no_such_tool"):
        assert (ended[name].outcome, ended[name].error_type, ended[name].status_code) == ("failed", "tool_error", 200)
    assert (ended["prompts/get"].outcome, ended["prompts/get"].error_type) == ("failed", "ValueError")
    assert ended["tools/list"].outcome == "executed"


def test_a_call_that_asks_first(world: World, office: Office) -> None:
    """The first request of such a call (2026-07-28) is not over when it is answered, and did not do anything yet."""

    async def yes(_context: Any, _params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={})

    async def agent() -> None:
        async with world.connect(elicitation_callback=yes) as client:
            await client.call_tool("pay", {"amount": 4})

    with world.serve(built(world, office)):
        asyncio.run(agent())
    uses = [use for use in world.told(SERVER) if use.action.name == "pay"]
    assert [use.action.outcome for use in uses] == ["pending", "executed"]
    assert uses[0].action.arguments_digest == uses[1].action.arguments_digest


@pytest.mark.parametrize(
    ("mode", "answers", "outcomes"),
    [
        ("auto", "json", {"executed"}),  # the server does not look for the client before it answers
        ("auto", "stream", {"unknown"}),
        ("legacy", "json", {"unknown", "failed"}),  # the server is asked to stop, and may answer 500 before it is left
        ("legacy", "stream", {"unknown"}),
    ],
)
def test_a_client_that_goes_away(mode: str, answers: str, outcomes: set[str], world: World, office: Office) -> None:
    """A tool that was stopped half-way has an unknown outcome, unless the server said itself that it failed."""

    async def agent() -> None:
        async with world.connect(mode, ends_session=False) as client:  # or the server answers while the client closes
            await client.list_tools()
            call = asyncio.create_task(client.call_tool("read_mail", {"folder": "inbox", "pause": 2.0}))
            await asyncio.to_thread(office.entered.wait, 30)
            call.cancel()
            await asyncio.wait([call])
            await client.list_tools()  # by now the server has heard of it

    with world.serve(built(world, office, answers)):
        asyncio.run(agent())
    (use,) = (use for use in world.told(SERVER) if use.action.name == "read_mail")
    assert use.action.outcome in outcomes


def test_nothing_runs_that_cannot_be_recorded(world: World, office: Office, busy: Busy) -> None:
    """If the intent cannot be written, the answer is 503, and neither the verifier's yes nor the tool follows."""
    with world.serve(built(world, office)):
        with busy():
            answer = request(world, f"Bearer {world.token()}")
        assert answer.status_code == 503
    assert [use for use in world.told(AGENT) if use.resource.uri == UPSTREAM] == []


HOSTILE: list[dict[str, Any]] = [
    {"params": []},
    {"params": {"name": {"a": 1}, "arguments": "x"}},
    {"params": {"name": "x" * 100_000, "arguments": {"deep": [[[[]]]]}}},
    {"method": "no/such/method"},
    {"id": None},
    {"jsonrpc": "1.0"},
]


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_messages(message: dict[str, Any], world: World, office: Office) -> None:
    """Whatever a message holds, the SDK answers it, and the request is recorded; nothing breaks off."""
    with world.serve(built(world, office)):
        answer = request(world, f"Bearer {world.token()}", **message)
    assert 400 <= answer.status_code < 500
    (use,) = world.told(SERVER)
    assert (use.action.outcome, use.action.status_code) == ("failed", answer.status_code)


def test_no_secret_in_any_sink(
    world: World, office: Office, tmp_path: Path, capfd: pytest.CaptureFixture[str], leaks: Callable[..., list[str]]
) -> None:
    """Neither the tokens, nor the arguments, nor what a verifier's error says, is written or said anywhere."""
    marks = [secrets.token_urlsafe(24) for _ in range(3)]
    good, late, alien = (
        world.token(jti=marks[0]),
        world.token(jti=marks[1], exp=1_700_000_000),
        secrets.token_urlsafe(32),
    )

    async def agent() -> None:
        for mode in ("auto", "legacy"):
            async with world.connect(mode, good) as client:
                await call_tool(world.log, client, "read_mail", {"folder": marks[2]})
                await call_tool(world.log, client, "forward_mail")
                await call_tool(world.log, client, "break_down", {"reason": marks[2]})

    with world.serve(built(world, office)):
        asyncio.run(agent())
        for token in (late, alien):
            assert request(world, f"Bearer {token}").status_code == 401
    world.log.close()
    said = capfd.readouterr()
    for secret in (good.rsplit(".", 1)[1], late.rsplit(".", 1)[1], alien, office.own, marks[2]):
        assert leaks(secret, tmp_path, said.out, said.err) == []
    assert leaks(marks[0], tmp_path)  # a public fact of the token: so the search finds what is there

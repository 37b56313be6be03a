"""The MCP client instrument, with the real SDK on both sides: each use says for which tool call it was."""

from __future__ import annotations

import asyncio
import importlib
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from counterfoil.audit.instrument.mcp_client import call_tool
from counterfoil.audit.instrument.tool import tool_call
from counterfoil.schemas import (
    Action,
    AuditUnavailable,
    MissingExtra,
    Observer,
    Phase,
    Requirement,
    Resource,
    Token,
    Tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from conftest import World
    from starlette.applications import Starlette

    from counterfoil.audit import AuditLog
    from counterfoil.schemas import CredentialUse

    Busy = Callable[[], AbstractContextManager[None]]

MODES = ["auto", "legacy"]
AGENT = Observer.AGENT


async def send_mail(to: str, pause: float = 0) -> str:
    """Return to whom, after a while."""
    await asyncio.sleep(pause)
    return to


async def delete_mail(number: int) -> str:
    """Break off."""
    raise ValueError(number)


async def pay(amount: int, ctx: Context) -> str | InputRequiredResult:
    """Ask first."""
    if ctx.input_responses:
        return "paid"
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    question = ElicitRequestFormParams(message=f"Pay {amount}?", requested_schema=schema)
    return InputRequiredResult(input_requests={"sure": ElicitRequest(params=question)}, request_state="asked")


def post_office(world: World, *, json_response: bool = True) -> Starlette:
    """Return a server that is not instrumented."""
    server = MCPServer("post office", token_verifier=world, auth=world.auth, log_level="CRITICAL")
    for tool in (send_mail, delete_mail, pay):
        server.add_tool(tool)
    return server.streamable_http_app(json_response=json_response)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("answers", ["json", "stream"])
def test_the_use_says_which_tool(mode: str, answers: str, world: World) -> None:
    """Intent and outcome of the HTTP request name the tool, its server, the call, and the digest of its arguments."""
    arguments = {"to": "dana@acme.example"}

    async def agent() -> None:
        async with world.connect(mode) as client:
            result = await call_tool(world.log, client, "send_mail", arguments, call_id="call_1")
            assert result.structured_content == {"result": "dana@acme.example"}

    with world.serve(post_office(world, json_response=answers == "json")):
        asyncio.run(agent())
    for phase in (Phase.INTENT, Phase.OUTCOME):
        use = world.told(AGENT, phase, tool="send_mail")[0]
        assert use.context.tool == Tool(name="send_mail", call_id="call_1", server="post office")
        assert (use.action.name, use.action.method, use.resource.uri) == ("send_mail", "POST", world.url)
        assert use.action.arguments_digest == world.log.arguments_digest("send_mail", arguments)
        assert use.token.token_class == "bearer_jwt_at"


@pytest.mark.parametrize("mode", MODES)
def test_calls_at_once_do_not_mix(mode: str, world: World) -> None:
    """Of calls that overlap on one connection, each request carries its own call id and its own digest."""

    async def agent() -> None:
        async with world.connect(mode) as client:
            await client.list_tools()  # so that the SDK need not list them in the middle of a call
            await asyncio.gather(
                *(call_tool(world.log, client, "send_mail", arguments(n), call_id=str(n)) for n in range(12))
            )

    def arguments(n: int) -> dict[str, Any]:
        return {"to": str(n), "pause": 0.02 * (n % 3)}

    with world.serve(post_office(world)):
        asyncio.run(agent())
    digests = {call_of(use): use.action.arguments_digest for use in world.told(AGENT, tool="send_mail")}
    assert digests == {str(n): world.log.arguments_digest("send_mail", arguments(n)) for n in range(12)}


def call_of(use: CredentialUse) -> str | None:
    """Return the call id."""
    return use.context.tool.call_id if use.context.tool else None


@pytest.mark.parametrize("mode", MODES)
def test_what_the_sdk_sends_by_itself(mode: str, world: World) -> None:
    """A listing in the middle of a call is called by its method, and has no digest: the tool did not run twice."""

    async def agent() -> None:
        async with world.connect(mode) as client:
            await call_tool(world.log, client, "send_mail", {"to": "a"})

    with world.serve(post_office(world)):
        asyncio.run(agent())
    uses = world.told(AGENT, tool="send_mail")
    assert [(use.action.name, use.action.arguments_digest is None) for use in uses] == [
        ("send_mail", False),
        ("tools/list", True),
    ]


def test_one_call_of_two_requests(world: World) -> None:
    """A server that asks for input is called twice (2026-07-28): two uses, one call id, which is new for every call."""

    async def yes(_context: Any, _params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={})

    async def agent() -> None:
        async with world.connect(elicitation_callback=yes) as client:
            await client.list_tools()
            for _ in range(2):
                result = await call_tool(world.log, client, "pay", {"amount": 4})
                assert not result.is_error

    with world.serve(post_office(world)):
        asyncio.run(agent())
    first, second, third, fourth = map(call_of, world.told(AGENT, tool="pay"))
    assert first == second != third == fourth
    assert None not in {first, third}


@pytest.mark.parametrize(("mode", "opening"), [("auto", "server/discover"), ("legacy", "POST /mcp")])
def test_requests_that_call_no_tool(mode: str, opening: str, world: World) -> None:
    """They are called by their RPC method, but for the handshake, which does not say yet that it is MCP's."""

    async def agent() -> None:
        async with world.connect(mode) as client:
            await client.list_tools()

    with world.serve(post_office(world)):
        asyncio.run(agent())
    names = [use.action.name for use in world.told(AGENT)]
    assert names[0] == opening
    assert "tools/list" in names
    assert [use for use in world.told(AGENT) if use.context.tool] == []


def test_a_tool_that_fails(world: World) -> None:
    """The caller gets the SDK's own result and errors; the HTTP layer saw a status of 200, and says no more."""

    async def agent() -> None:
        async with world.connect() as client:
            result = await call_tool(world.log, client, "delete_mail", {"number": 3})
            assert result.is_error
            with pytest.raises(MCPError):
                await call_tool(world.log, client, "send_mail", {"to": "a", "pause": 1}, read_timeout_seconds=0.1)

    with world.serve(post_office(world)):
        asyncio.run(agent())
    assert world.told(AGENT, tool="delete_mail")[0].action.status_code == 200


def test_nothing_is_sent_that_cannot_be_recorded(world: World, busy: Busy) -> None:
    """If the intent cannot be written, the connection breaks off with our error, and the server never hears of it."""

    async def agent() -> None:
        async with world.connect() as client:
            await client.list_tools()
            asked.append(world.asked)
            with busy():
                await call_tool(world.log, client, "send_mail", {"to": "a"})

    asked: list[int] = []
    with world.serve(post_office(world)), pytest.raises(BaseExceptionGroup) as raised:
        asyncio.run(agent())
    assert raised.group_contains(AuditUnavailable)
    assert asked == [world.asked]


def test_an_approval_reaches_the_use(world: World) -> None:
    """What was shown can be compared with what ran: the digest of what ran is taken from the call itself."""
    asked = world.log.approval(tool="send_mail", arguments={"to": "dana"}, requirement=Requirement.REQUIRED)
    asked.granted(approver="dana@acme.example")

    async def agent() -> None:
        async with world.connect() as client:
            for to in ("dana", "mallory"):
                await call_tool(world.log, client, "send_mail", {"to": to}, approval=asked)

    with world.serve(post_office(world)):
        asyncio.run(agent())
    honest, other = (use.approval for use in world.told(AGENT) if use.action.name == "send_mail")
    assert honest.approval_id == other.approval_id == asked.approval_id
    assert honest.shown_digest == honest.executed_digest == other.shown_digest != other.executed_digest


def test_arguments_without_a_digest(log: AuditLog, world: World) -> None:
    """What has no portable JSON form has no digest, and is no reason to stop the call."""
    with (
        tool_call(log, "send_mail", {"weight": math.nan}, call_id="call_1") as tool,
        log.use(**parts(), action=Action(name="send_mail")),
    ):
        assert tool == Tool(name="send_mail", call_id="call_1")
    assert world.told(AGENT)[0].action.arguments_digest is None


def parts() -> dict[str, Any]:
    """Return the other parts of a use."""
    return {"token": Token(), "resource": Resource(uri="https://mcp.example/mcp")}


def test_the_sdk_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrument says which extra it needs, and how to install it."""
    for module in [each for each in sys.modules if each.split(".")[0] == "mcp"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "counterfoil.audit.instrument.mcp_client")
    with pytest.raises(MissingExtra) as caught:
        importlib.import_module("counterfoil.audit.instrument.mcp_client")
    assert caught.value.advice == "pip install 'counterfoil[mcp]'"

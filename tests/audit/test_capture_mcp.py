"""What a request to an MCP server asks for, in either revision, and however hostile it is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from counterfoil.audit.capture import HttpRequest, action_of
from counterfoil.audit.capture.mcp import McpMessage, message_in_body, message_in_headers, message_of, request_id_of

URL = "https://mcp.example/mcp"
VERSION = ("MCP-Protocol-Version", "2026-07-28")
CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 3,
    "method": "tools/call",
    "params": {
        "name": "pay",
        "arguments": {"amount": 4},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
    },
}


def asked(*headers: tuple[str, str], body: bytes | None = None) -> HttpRequest:
    """Return a request to an MCP server."""
    return HttpRequest("POST", URL, headers, body)


def test_the_header_fields() -> None:
    """Since 2026-07-28 they name the method and the tool; a name that does not fit into a field is encoded there."""
    plain = asked(VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "pay"))
    assert message_in_headers(plain) == McpMessage(method="tools/call", tool="pay", protocol_version="2026-07-28")
    encoded = base64.b64encode("zahlen ü".encode()).decode()
    wrapped = asked(VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", f"=?base64?{encoded}?="))
    assert message_in_headers(wrapped).tool == "zahlen ü"
    reading = asked(VERSION, ("Mcp-Method", "resources/read"), ("Mcp-Name", "file:///etc/passwd"))
    assert (message_in_headers(reading).tool, message_in_headers(reading).name) == (None, "resources/read")


@pytest.mark.parametrize(
    "headers",
    [
        [("Mcp-Method", "tools/call"), ("Mcp-Name", "=?base64?!?=")],
        [("Mcp-Method", "tools/call"), ("Mcp-Name", "=?base64?/w==?=")],
        [("Mcp-Method", "tools/call"), ("Mcp-Name", "pay"), ("Mcp-Name", "read")],
        [("Mcp-Method", "tools/call"), ("Mcp-Name", "pay\x00")],
    ],
)
def test_a_name_that_cannot_be_told(headers: list[tuple[str, str]]) -> None:
    """A name that is malformed, or stands there twice, names no tool."""
    assert message_in_headers(asked(VERSION, *headers)).tool is None


def test_the_body() -> None:
    """It names the method, the tool and the revision; an answer to something that the server asked names nothing."""
    assert message_in_body(json.dumps(CALL).encode()) == McpMessage("tools/call", "pay", "2026-07-28")
    opening = {"id": "a", "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    assert message_in_body(json.dumps(opening).encode()) == McpMessage("initialize", None, "2025-11-25")
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"action": "accept"}}
    assert message_in_body(json.dumps(answer).encode()) == McpMessage()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5000 + b"}",
        b"\xff",
        b'{"method": "tools/call"' + b" " * 1024 * 1024 + b"}",
    ],
    ids=["empty", "null", "batch", "deep", "huge number", "not UTF-8", "too long"],
)
def test_no_message(body: bytes) -> None:
    """What is no JSON object, or too long, says nothing."""
    assert message_in_body(body) is None


@pytest.mark.parametrize(
    "message",
    [
        {"method": 3, "params": [], "id": None},
        {"method": "tools/call", "params": {"name": {"x": 1}, "arguments": [1], "_meta": 4}, "id": True},
        {"method": "tools/call", "params": {"name": "", "_meta": {"io.modelcontextprotocol/protocolVersion": 7}}},
        {"method": "x\x00"},
    ],
)
def test_members_of_the_wrong_kind(message: dict[str, Any]) -> None:
    """Each is left out, and the rest is read."""
    read = message_in_body(json.dumps(message).encode())
    assert read
    assert (read.tool, read.protocol_version) == (None, None)


def test_the_id_of_a_request() -> None:
    """A JSON-RPC id is a text or an integer; whatever else stands there is none."""
    assert [request_id_of(each) for each in (3, -1, "a")] == ["3", "-1", "a"]
    assert {request_id_of(each) for each in (None, True, 1.5, 10**30, "", [1], "\x00")} == {None}


def test_what_the_action_is_called() -> None:
    """By what the request names itself; by the tool around it, else by method and path, where it names nothing."""
    listing = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    older = ("MCP-Protocol-Version", "2025-11-25")
    assert action_of(asked(VERSION, ("Mcp-Method", "tools/list")), "pay").name == "tools/list"
    assert action_of(asked(older, body=listing), "pay").name == "tools/list"
    assert action_of(asked(older, body=b"{}"), "pay").name == "pay"
    assert action_of(asked(body=listing)).name == "POST /mcp"
    assert message_of(asked(body=listing)) == McpMessage()

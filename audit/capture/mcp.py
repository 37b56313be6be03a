"""What a request to an MCP server asks for: its RPC method, and the tool that is called.

The revision 2026-07-28 has method and name in the header fields ``Mcp-Method`` and ``Mcp-Name`` too, all that there is
of a request that was refused before its body was read. All of it is the sender's word, and no proof of possession
covers it; a server of that revision holds the header fields to the body.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from .claims import name_of

if TYPE_CHECKING:
    from .request import HttpRequest

MAX_MESSAGE: Final = 1024 * 1024
"""The longest body that is read, in bytes."""

TOOL_CALL: Final = "tools/call"
"""The RPC method that calls a tool."""

_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
_ENCODED = re.compile(r"=\?base64\?(.*)\?=")


@dataclass(frozen=True, slots=True)
class McpMessage:
    """One message to a server, as far as it names what it wants."""

    method: str | None = None
    """The RPC method, such as ``tools/call``; None for an answer to something that the server asked."""
    tool: str | None = None
    """Which tool is called."""
    protocol_version: str | None = None
    """The revision of MCP that the sender speaks."""

    @property
    def name(self) -> str | None:
        """What the action is called: the tool, or else the method."""
        return self.tool or self.method


def message_of(request: HttpRequest) -> McpMessage:
    """Return what a request asks for: what the header fields say, else the body, where they tell that it is MCP's."""
    said = message_in_headers(request)
    if said.method or not said.protocol_version or not request.body:
        return said
    return message_in_body(request.body) or said


def message_in_headers(request: HttpRequest) -> McpMessage:
    """Return what the header fields say; nothing of it before 2026-07-28, but for the revision."""
    method = name_of(_only(request, "mcp-method"))
    return McpMessage(
        method=method,
        tool=name_of(_decoded(_only(request, "mcp-name"))) if method == TOOL_CALL else None,
        protocol_version=name_of(_only(request, "mcp-protocol-version")),
    )


def message_in_body(body: bytes) -> McpMessage | None:
    """Return what a body says; None if it is no JSON object, or over 1 MiB. Never raises."""
    try:
        decoded = json.loads(body) if len(body) <= MAX_MESSAGE else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    message = cast("dict[str, Any]", decoded)
    params = _members(message.get("params"))
    method = name_of(message.get("method"))
    opening = method == "initialize"
    version = params.get("protocolVersion") if opening else _members(params.get("_meta")).get(_VERSION_KEY)
    return McpMessage(
        method=method,
        tool=name_of(params.get("name")) if method == TOOL_CALL else None,
        protocol_version=name_of(version),
    )


def request_id_of(value: object) -> str | None:
    """Return a JSON-RPC id as text: a string or an integer (MCP forbids null)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**20 else None
    return name_of(value)


def _only(request: HttpRequest, name: str) -> str | None:
    """Return the value of a field that stands once: of two, which one counts would be a guess."""
    values = request.values(name)
    return values[0] if len(values) == 1 else None


def _decoded(value: str | None) -> str | None:
    """Decode a name that does not fit into a header field as it is (MCP 2026-07-28, Streamable HTTP)."""
    match = _ENCODED.fullmatch(value) if value else None
    if not match:
        return value
    try:
        return b64decode(match[1], validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def _members(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

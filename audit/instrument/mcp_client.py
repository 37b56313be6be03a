"""The MCP client instrument: which tool a credential was used for.

::

    http = httpx2.AsyncClient(transport=AsyncAuditTransport(log), headers=…)
    async with http, Client(streamable_http_client(url, http_client=http)) as client:
        result = await call_tool(log, client, "send_mail", {"to": "dana@acme.example"})

The HTTP instrument sees the credential and not the tool, the caller the tool and not the credential. ``call_tool`` sets
the surroundings, and the SDK carries them to the task that sends. One call may be several requests (a retry with the
input that a server asked for, a listing that the SDK wants first): each is a use of its own, all with one call id.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from counterfoil.schemas import InputError, MissingExtra, Tool
from counterfoil.schemas.values import new_event_id

from ..approval import ApprovalRequest
from ..capture.claims import name_of

try:
    from mcp.client import Client
except ImportError:
    raise MissingExtra("mcp") from None

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from mcp_types import CallToolResult

    from counterfoil.schemas import Approval

    from ..log import AuditLog


async def call_tool(  # noqa: PLR0913 -- one keyword a fact
    log: AuditLog,
    client: Client,
    name: str,
    arguments: dict[str, Any] | None = None,
    *,
    call_id: str | None = None,
    server: str | None = None,
    approval: ApprovalRequest | Approval | None = None,
    **options: Any,
) -> CallToolResult:
    """Call a tool, as ``Client.call_tool`` does with these ``options``, so that every use inside says which.

    ``call_id`` is the model's id of the call, or else a new one; ``server`` what the server calls itself, unless given;
    ``approval`` is that behind the call. Raises what the client raises.
    """
    info = client.server_info
    server = server or (info.name if info else None)
    with tool_call(log, name, arguments, call_id=call_id, server=server, approval=approval):
        return await client.call_tool(name, arguments, **options)


@contextmanager
def tool_call(  # noqa: PLR0913 -- one keyword a fact
    log: AuditLog,
    name: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    call_id: str | None = None,
    server: str | None = None,
    approval: ApprovalRequest | Approval | None = None,
) -> Generator[Tool]:
    """Surround whatever a call of a tool sends: each use inside has the tool, the call id, and the arguments' digest.

    Arguments without a portable JSON form have no digest, since they are sent all the same.
    """
    tool = Tool(name=name_of(name) or "unknown", call_id=call_id or str(new_event_id()), server=name_of(server))
    behind = approval.part if isinstance(approval, ApprovalRequest) else approval
    with log.scope(tool=tool, approval=behind, arguments=portable(log, tool.name, arguments or {})):
        yield tool


def portable(log: AuditLog, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the arguments, or None where no digest can be made of them."""
    try:
        log.arguments_digest(tool, arguments)
    except InputError:
        return None
    return arguments

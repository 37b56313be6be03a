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

from typing import TYPE_CHECKING, Any

from counterfoil.schemas import MissingExtra

from .tool import tool_call

try:
    from mcp.client import Client
except ImportError:
    raise MissingExtra("mcp") from None

if TYPE_CHECKING:
    from mcp_types import CallToolResult

    from counterfoil.schemas import Approval

    from ..approval import ApprovalRequest
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
    ``approval`` is the one behind the call. Raises what the client raises.
    """
    info = client.server_info
    server = server or (info.name if info else None)
    with tool_call(log, name, arguments, call_id=call_id, server=server, approval=approval):
        return await client.call_tool(name, arguments, **options)

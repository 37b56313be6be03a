"""The MCP server instrument: each use of a credential at the server, the tool it was for, and how that ended.

::

    auth = AuthSettings(issuer_url=…, resource_server_url="https://mcp.example/mcp", required_scopes=["mail"], …)
    verifier = AuditTokenVerifier(MyVerifier(), auth, basis=Basis.VERIFIED_JWT)
    server = MCPServer("post office", token_verifier=verifier, auth=auth)
    app = audited_app(server, log, verifier)  # instead of server.streamable_http_app()

1. The outer layer (``AuditMiddleware``) sees every HTTP request, and so every refusal, also those that the SDK makes by
   itself: the intent is recorded before the SDK hears of the request, the outcome once it was answered.
2. The verifier says what was checked.
3. The middleware inside the SDK (``AuditToolCalls``) says which tool was called, and how that ended: a tool that failed
   has a status of 200 too.
4. What a tool sends is recorded with the tool, and with the inbound credential: equal to the one that is sent, it was
   passed through, which MCP forbids.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from counterfoil.schemas import MissingExtra, Outcome, Tool

from ..capture.claims import name_of
from ..capture.mcp import TOOL_CALL, request_id_of
from .asgi import AuditMiddleware
from .inbound import InboundUse
from .tool import digest_of

try:
    from mcp.shared.exceptions import MCPError
except ImportError:
    raise MissingExtra("mcp") from None

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.mcpserver import MCPServer

    from ..log import AuditLog
    from .mcp_verifier import AuditTokenVerifier

_INVALID_PARAMS: Final = "-32602"  # JSON-RPC 2.0 §5.1
_TOOL_ERROR: Final = "tool_error"  # OpenTelemetry, conventions of MCP


def audited_app(
    server: MCPServer[Any],
    log: AuditLog,
    verifier: AuditTokenVerifier | None = None,
    *,
    trusted_hops: Iterable[str] = (),
    anonymous_refusals: bool = True,
    **options: Any,
) -> AuditMiddleware:
    """Return ``server.streamable_http_app(**options)`` with the instrument around it and inside.

    ``verifier`` is the one that the server was made with. The server is recorded under its ``resource_server_url``.
    ``trusted_hops`` and ``anonymous_refusals`` are those of ``AuditMiddleware``.
    """
    server.middleware.append(AuditToolCalls(log, server.name))
    auth = server.settings.auth
    parts = urlsplit(str(auth.resource_server_url)) if auth and auth.resource_server_url else None
    return AuditMiddleware(
        server.streamable_http_app(**options),
        log,
        resource=f"{parts.scheme}://{parts.netloc}" if parts else None,
        trusted_hops=trusted_hops,
        verify=verifier,
        anonymous_refusals=anonymous_refusals,
    )


class AuditToolCalls:
    """Middleware of a server of the SDK: tells the outer layer which tool was called, and how that ended.

    It also serves without an outer layer, such as over stdio: what the tool sends then says of which call it is part.
    """

    def __init__(self, log: AuditLog, server: str | None = None) -> None:
        """``server`` is what the server calls itself."""
        self._log = log
        self._server = name_of(server)

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Surround the handling of one message."""
        inbound = _inbound_of(ctx)
        name, arguments = _call_of(ctx)
        call_id = request_id_of(ctx.request_id)
        tool = Tool(name=name, call_id=call_id, server=self._server) if name else None
        digest = digest_of(self._log, name, arguments) if name else None
        if inbound:
            inbound.report(tool=tool)
            inbound.report_action(
                name=name_of(ctx.method),
                arguments_digest=digest,
                outcome=Outcome.UNKNOWN,  # should the connection break off before it is known
                attributes=self._attributes(ctx, call_id),
            )
        calling = self._log.scope(tool=tool, arguments=arguments if digest else None) if tool else nullcontext()
        ended: tuple[Outcome, str | None] = Outcome.UNKNOWN, None
        try:
            with calling:
                result = await call_next(ctx)
            ended = _ended(result)
        except Exception as error:
            ended = Outcome.FAILED, _error_type(error)
            raise
        finally:
            if inbound:
                inbound.report_action(outcome=ended[0], error_type=ended[1])
        return result

    def _attributes(self, ctx: ServerRequestContext[Any, Any], call_id: str | None) -> dict[str, Any]:
        """Return what OpenTelemetry's conventions of MCP name. The id of a session is a secret: its fingerprint."""
        session = ctx.request.headers.get("mcp-session-id") if ctx.request else None
        known = {
            "mcp.method.name": ctx.method,
            "mcp.protocol.version": ctx.protocol_version,
            "mcp.session.id": str(self._log.fingerprint(session)) if session else None,
            "jsonrpc.request.id": call_id,
        }
        return {name: value for name, told in known.items() if (value := name_of(told))}


def _inbound_of(ctx: ServerRequestContext[Any, Any]) -> InboundUse | None:
    """Return what the outer layer knows of the HTTP request, if there is one."""
    scope = getattr(ctx.request, "scope", None)
    found = cast("dict[str, Any]", scope).get("state", {}).get("counterfoil") if isinstance(scope, dict) else None
    return found if isinstance(found, InboundUse) else None


def _call_of(ctx: ServerRequestContext[Any, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the tool that is called, and its arguments, which nobody has validated yet."""
    params = ctx.params
    if ctx.method != TOOL_CALL or not params:
        return None, {}
    arguments = params.get("arguments")
    return name_of(params.get("name")), cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}


def _ended(result: HandlerResult) -> tuple[Outcome, str | None]:
    """Return how a handler ended that has an answer: a tool's error is one too, and so is a question (2026-07-28)."""
    said = result.model_dump(by_alias=True) if isinstance(result, BaseModel) else result or {}
    if said.get("isError") is True:
        return Outcome.FAILED, _TOOL_ERROR
    if said.get("resultType") == "input_required":
        return Outcome.PENDING, None
    return Outcome.EXECUTED, None


def _error_type(error: Exception) -> str:
    """Return the class of an error; of the protocol's own errors the code that the client gets."""
    if isinstance(error, MCPError):
        return str(error.error.code)
    return _INVALID_PARAMS if isinstance(error, ValidationError) else type(error).__qualname__

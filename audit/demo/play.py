"""The play: who is on stage, what each is told, in which order."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import ConfigurationError

from ..log import AuditLog
from .certificates import Authority
from .processes import Stage, listen, url_of

if TYPE_CHECKING:
    from pathlib import Path

AGENT: Final = "office-agent"
MCP_SERVER: Final = "mail-mcp"


def _new() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one run, new each time. The keys and tokens never pass the parent."""

    client_secret: str = field(default_factory=_new, repr=False)
    mcp_client_secret: str = field(default_factory=_new, repr=False)
    api_key: str = field(default_factory=_new, repr=False)
    session: str = field(default_factory=_new, repr=False)


def play(db: Path, tool_trace: Path, given: Secrets | None = None, *, receipts: int | None = None) -> None:
    """Play it all, recording into a new log at ``db``; the agent's tool trace is left at ``tool_trace``.

    Each receipt is written to the descriptor ``receipts``, if there is one, as soon as it is given.

    Raises ``ConfigurationError`` if there is a file already (what is played does not belong among real records),
    ``StoreError`` if there can be no log, ``CounterfoilError`` if a process fails. None is left in any case.
    """
    if db.exists():
        raise ConfigurationError("there is a file of this name already", advice="Name a new file for the demo's log.")
    held, authority = given or Secrets(), Authority()
    with Stage(receipts) as stage, listen() as for_authorization_server, listen() as for_api, listen() as for_mcp:
        places = {
            "issuer": url_of(for_authorization_server),
            "api": url_of(for_api),
            "mcp": f"{url_of(for_mcp)}/mcp",
        }

        def told(name: str, **more: Any) -> dict[str, Any]:
            return {"db": str(db), "receipts": receipts, **places, **authority.issue(name).brief(), **more}

        clients = _clients(held, places)
        stage.start("authorization_server", told("authorization-server", clients=clients), for_authorization_server)
        stage.start("api", told("api", **_owners(held)), for_api)
        stage.start("mcp_server", told(MCP_SERVER, client_secret=held.mcp_client_secret), for_mcp)
        agent = stage.start("agent", told(AGENT, trace=str(tool_trace), **_belongings(held)))
        AuditLog.open(db).close()  # while they start: what is wrong with the place or the key is our own error to raise
        stage.wait(agent)
        # The thief has a certificate of the same authority, and is told no more than what anybody could find out.
        stage.wait(stage.start("thief", {"mcp": places["mcp"], "trace": str(tool_trace), **_foreign(authority)}))
        stage.finish()


def _clients(held: Secrets, places: dict[str, str]) -> dict[str, Any]:
    agents = {places["api"]: "mail:read payments:write", places["mcp"]: "tools:call contacts:read"}
    return {
        AGENT: {"secret": held.client_secret, "scopes": agents},
        MCP_SERVER: {"secret": held.mcp_client_secret, "scopes": {places["api"]: "mail:read"}},
    }


def _owners(held: Secrets) -> dict[str, Any]:
    return {"api_keys": {held.api_key: AGENT}, "sessions": {held.session: AGENT}}


def _belongings(held: Secrets) -> dict[str, Any]:
    return {"client_secret": held.client_secret, "api_key": held.api_key, "session": held.session}


def _foreign(authority: Authority) -> dict[str, Any]:
    return authority.issue("reporting-tool").brief()

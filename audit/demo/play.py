"""The play: who is on stage, what each is told, in which order."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import ConfigurationError

from ..log import AuditLog
from .processes import Stage, listen, url_of

if TYPE_CHECKING:
    from pathlib import Path

_CLIENT_ID: Final = "office-agent"


def _new() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one run, new each time. Two more never pass the parent: the access token and its signing key."""

    client_secret: str = field(default_factory=_new, repr=False)
    api_key: str = field(default_factory=_new, repr=False)
    session: str = field(default_factory=_new, repr=False)


def play(db: Path, tool_trace: Path, given: Secrets | None = None) -> None:
    """Play it all, recording into a new log at ``db``; the agent's tool trace is left at ``tool_trace``.

    Raises ``ConfigurationError`` if there is a file already (what is played does not belong among real records),
    ``StoreError`` if there can be no log, ``CounterfoilError`` if a process fails. None is left in any case.
    """
    if db.exists():
        raise ConfigurationError("there is a file of this name already", advice="Name a new file for the demo's log.")
    held = given or Secrets()
    with Stage() as stage, listen() as for_authorization_server, listen() as for_api:
        issuer, audience = url_of(for_authorization_server), url_of(for_api)
        known = {"db": str(db), "issuer": issuer, "audience": audience}
        stage.start("authorization_server", known | _clients(held), for_authorization_server)
        stage.start("api", known | _owners(held), for_api)
        agent = stage.start("agent", known | _belongings(held) | {"trace": str(tool_trace)})
        AuditLog.open(db).close()  # while they start: what is wrong with the place or the key is our own error to raise
        stage.wait(agent)
        stage.wait(stage.start("thief", {"trace": str(tool_trace)}))
        stage.finish()


def _clients(held: Secrets) -> dict[str, Any]:
    return {"clients": {_CLIENT_ID: {"secret": held.client_secret, "scope": "mail:read payments:write"}}}


def _owners(held: Secrets) -> dict[str, Any]:
    return {"api_keys": {held.api_key: _CLIENT_ID}, "sessions": {held.session: _CLIENT_ID}}


def _belongings(held: Secrets) -> dict[str, Any]:
    return {"client_id": _CLIENT_ID, **asdict(held)}

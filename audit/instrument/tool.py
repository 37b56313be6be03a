"""The call of a tool, as the surroundings of whatever it sends: what agent frameworks know, and HTTP does not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from counterfoil.schemas import InputError, Tool
from counterfoil.schemas.values import new_event_id

from ..approval import ApprovalRequest
from ..capture.claims import name_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from counterfoil.schemas import Approval, KeyedDigest

    from ..log import AuditLog


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

    Without a ``call_id`` a new one is made. ``approval`` is the one behind the call.
    """
    tool = Tool(
        name=name_of(name) or "unknown", call_id=name_of(call_id) or str(new_event_id()), server=name_of(server)
    )
    behind = approval.part if isinstance(approval, ApprovalRequest) else approval
    given = arguments or {}
    with log.scope(tool=tool, approval=behind, arguments=given if digest_of(log, tool.name, given) else None):
        yield tool


def digest_of(log: AuditLog, tool: str, arguments: Mapping[str, Any] | None) -> KeyedDigest | None:
    """Return the digest of a call; None of arguments that have no portable JSON form, since they run all the same."""
    try:
        return log.arguments_digest(tool, arguments or {})
    except InputError:
        return None

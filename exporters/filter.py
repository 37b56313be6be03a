"""What a reader can look for: a member for each column that the store derives from the bodies, and a few more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What to look for. Members that are given must all hold. Times are as ``rfc3339()`` writes them."""

    token_fingerprint: str | None = None
    inbound: str | None = None
    """The fingerprint of the credential that was being served when another was sent."""
    key_thumbprint: str | None = None
    token_class: str | None = None
    binding_method: str | None = None
    audience: str | None = None
    """One of the token's audiences."""
    resource: str | None = None
    """A URI; everything below it matches too, and itself with any query."""
    agent: str | None = None
    task: str | None = None
    tenant: str | None = None
    tool: str | None = None
    trace_id: str | None = None
    use_id: str | None = None
    approval_id: str | None = None
    requirement: str | None = None
    """Whether an approval was required: of a use, or of a question."""
    decision: str | None = None
    """How the approval behind a use ended."""
    passed_through: bool = False
    """Only what was sent with the very credential that was being served."""
    proof_result: str | None = None
    proof_id: str | None = None
    checks: Mapping[str, str] | None = None
    """Outcomes by check id: each of these checks ended so."""
    outcome: str | None = None
    phase: str | None = None
    observer: str | None = None
    kind: str | None = None
    since: str | None = None
    """At this time or later."""
    until: str | None = None
    """Before this time."""

"""What was approved, by whom, having been shown what, and whether that is what ran."""

from __future__ import annotations

from .part import Part
from .values import KeyedDigest, Name, Time
from .vocabulary import Decision, Requirement


class Approval(Part):
    """The approval behind a use. Equal ``shown_digest`` and ``executed_digest`` mean: what was shown is what ran."""

    requirement: Requirement = Requirement.UNKNOWN
    """Whether the caller's policy asked for an approval."""
    approval_id: Name | None = None
    """Joins this use with the approval events."""
    decision: Decision = Decision.NONE
    """How it ended."""
    approver: Name | None = None
    """Who decided: a person, or the rule that decided automatically."""
    decided_at: Time | None = None
    """When."""
    expires_at: Time | None = None
    """Until when the decision holds."""
    shown_digest: KeyedDigest | None = None
    """Of the canonical (tool, arguments) that the approver was shown, taken before redaction."""
    executed_digest: KeyedDigest | None = None
    """Of the canonical (tool, arguments) that ran."""
    rendering_digest: KeyedDigest | None = None
    """Of the text or picture in which it was shown."""

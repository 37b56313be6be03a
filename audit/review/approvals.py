"""What is wrong with the approval of a use: it needed one and has none, or what it has says something else."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import ApprovalState, Decision, Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from counterfoil.schemas import ApprovalEvent, CredentialUse


class Fault(StrEnum):
    """One thing that is wrong. The first five lack or contradict the approval; the others leave it open."""

    MISSING = "missing"
    DENIED = "denied"
    EXPIRED = "expired"
    OTHER_CALL = "other_call"
    CONTRADICTED = "contradicted"
    UNRECORDED = "unrecorded"
    UNPROVEN = "unproven"


WORDS: Final = {
    Fault.MISSING: "approval was required and none was given",
    Fault.DENIED: "approval was denied",
    Fault.EXPIRED: "approval had expired, or came too late",
    Fault.OTHER_CALL: "what was approved is not what ran",
    Fault.CONTRADICTED: "the approval it claims is not the one that was recorded",
    Fault.UNRECORDED: "the approval it claims is not in this log",
    Fault.UNPROVEN: "whether what was approved is what ran was not recorded",
}

CONTRADICTING: Final = frozenset({Fault.MISSING, Fault.DENIED, Fault.EXPIRED, Fault.OTHER_CALL, Fault.CONTRADICTED})
"""The faults with which the use was not approved."""

_YES: Final = {Decision.GRANTED: ApprovalState.GRANTED, Decision.AUTOMATIC: ApprovalState.AUTOMATIC}


def faults_of(use: CredentialUse, events: Sequence[ApprovalEvent]) -> tuple[Fault, ...]:
    """Return what is wrong, worst first. ``events`` are those of the approval that the use names."""
    return tuple(_faults(use, events))


def _faults(use: CredentialUse, events: Sequence[ApprovalEvent]) -> Iterator[Fault]:
    approval = use.approval
    if approval.decision is Decision.DENIED:
        yield Fault.DENIED
    elif approval.decision in _YES:
        if _too_late(use):
            yield Fault.EXPIRED
        yield from _contradictions(use, events)
    elif approval.decision is Decision.EXPIRED:
        yield Fault.EXPIRED
    elif approval.requirement is Requirement.REQUIRED:
        yield Fault.MISSING


def _too_late(use: CredentialUse) -> bool:
    """Whether the decision came after its expiry, or the action did."""
    approval, moment = use.approval, use.action.started_at or use.context.occurred_at or use.context.recorded_at
    until = approval.expires_at
    return until is not None and any(each is not None and each > until for each in (approval.decided_at, moment))


def _contradictions(use: CredentialUse, events: Sequence[ApprovalEvent]) -> Iterator[Fault]:
    approval = use.approval
    shown, ran = approval.shown_digest, approval.executed_digest
    if (shown and ran and shown != ran) or (use.context.tool and any(_of_another(use, each) for each in events)):
        yield Fault.OTHER_CALL
    if approval.approval_id is None:
        if approval.requirement is Requirement.REQUIRED:
            yield Fault.UNRECORDED
    elif not events:
        yield Fault.UNRECORDED
    elif not any(each.state is _YES[approval.decision] and each.shown_digest == shown for each in events):
        yield Fault.CONTRADICTED
    if approval.requirement is Requirement.REQUIRED and not (shown and ran):
        yield Fault.UNPROVEN


def _of_another(use: CredentialUse, event: ApprovalEvent) -> bool:
    """Whether the question was about another tool than the one in whose call the credential was used."""
    tool = use.context.tool
    return tool is not None and event.action.name != tool.name

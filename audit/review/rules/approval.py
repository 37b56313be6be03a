"""Rules about approvals. No specification has a place for them: requirement and decision are the caller's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from counterfoil.schemas import Observer, Outcome
from counterfoil.schemas.vocabulary import Severity

from ..approvals import WORDS, Fault, faults_of
from ..evidence import Evidence, refused
from ..remark import Remark, Rule, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from counterfoil.schemas import CredentialUse

    from ..pairing import Sighting

_NOWHERE: Final = "no specification: the caller's policy"

RULES: Final = {fault: Rule(f"approval.{fault}", _NOWHERE, WORDS[fault]) for fault in Fault}
"""A rule for each fault."""

_SEVERITY: Final = {
    Fault.MISSING: Severity.HIGH,
    Fault.DENIED: Severity.CRITICAL,
    Fault.EXPIRED: Severity.HIGH,
    Fault.OTHER_CALL: Severity.CRITICAL,
    Fault.CONTRADICTED: Severity.HIGH,
    Fault.UNRECORDED: Severity.MEDIUM,
    Fault.UNPROVEN: Severity.LOW,
}


def approval_remarks(evidence: Evidence) -> Iterator[Remark]:
    """Yield what is wrong with approvals, one remark for each fault of a tool's."""
    found = (
        ((fault, _called(use), refused(use)), evidence.both(sighting))
        for sighting, use in last_attempts(evidence)
        for fault in faults_of(use, evidence.decisions.get(use.approval.approval_id or "", []))
    )
    for (fault, call, said_no), seqs in grouped(found).items():
        ended = "was refused by the resource server; before that" if said_no else "ran"
        sentence = f"{call} {ended}: {WORDS[fault]}"
        yield Remark(RULES[fault], Severity.LOW if said_no else _SEVERITY[fault], sentence, seqs)


def last_attempts(evidence: Evidence) -> Iterator[tuple[Sighting, CredentialUse]]:
    """Yield each use that an agent recorded once, by its last attempt: a refused nonce is no second use."""
    last: dict[UUID | int, tuple[Sighting, CredentialUse]] = {}
    for seq, sighting, use in evidence.seen_from(Observer.AGENT):
        last[use.context.use_id or seq] = sighting, use
    yield from last.values()


def ran(use: CredentialUse) -> bool:
    """Whether the action was done, or may have been: an intent without an outcome does not say that it was not."""
    return use.action.outcome in {Outcome.EXECUTED, Outcome.PENDING, Outcome.UNKNOWN, Outcome.FAILED}


def _called(use: CredentialUse) -> str:
    return use.context.tool.name if use.context.tool else use.action.name

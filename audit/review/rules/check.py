"""Rules about the checks of a proof or a token: how they ended, and what the server did then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from counterfoil.schemas import CheckId, CheckOutcome, Observer
from counterfoil.schemas.checks import check_facts
from counterfoil.schemas.vocabulary import Severity

from ..evidence import BOUND, Evidence, executed, refused
from ..remark import RANK, Remark, Rule, grouped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from counterfoil.schemas import CredentialUse

FAILED_EXECUTED: Final = Rule(
    "check.failed_executed",
    "RFC 9449 §7.1, RFC 8705 §3, RFC 9068 §4",
    "a check failed, and the action was executed all the same",
)
FAILED: Final = Rule(
    "check.failed", "RFC 9449 §7.1, RFC 8705 §3, RFC 9068 §4", "a check failed, and the action was not executed"
)
ERROR: Final = Rule("check.error", "RFC 9449 §7.1", "a check could not be finished")
NOT_PERFORMED: Final = Rule(
    "check.not_performed", "RFC 9449 §7.1, RFC 8705 §3", "a bound token was accepted and not every check was performed"
)
RULES: Final = (FAILED_EXECUTED, FAILED, ERROR, NOT_PERFORMED)

_KNOWN: Final = frozenset(CheckId)
_INFORMS: Final = frozenset({CheckId.MTLS_CERT_VALIDITY})  # RFC 8705 §6.2: fails nothing
_ASKS_FOR_NONCE: Final = frozenset({CheckId.DPOP_NONCE, CheckId.DPOP_NONCE_DOWNGRADE})  # RFC 9449 §8: routine
_OPTIONAL: Final = _INFORMS | {CheckId.DPOP_JTI_REPLAY, CheckId.WIMSE_JTI_REPLAY}  # RFC 9449 §11.1


def check_remarks(evidence: Evidence) -> Iterator[Remark]:
    """Yield how checks ended, as the resource server and gateways saw it; agents' own where nobody else tells."""
    uses = list(_checked(evidence))
    yield from _failed(uses)
    yield from _unfinished(uses)
    yield from _left_out(evidence)


def failed_checks(use: CredentialUse) -> tuple[CheckId, ...]:
    """Return the checks that failed, but for those that only inform."""
    return tuple(each for each in _ended(use, CheckOutcome.FAIL) if each not in _INFORMS)


def _checked(evidence: Evidence) -> Iterator[tuple[int, CredentialUse]]:
    for sighting in evidence.sightings:
        use = sighting.use
        told_elsewhere = sighting.counterpart and use and use.context.observer is Observer.AGENT
        if use and not told_elsewhere:
            yield sighting.entry.seq, use


def _failed(uses: Iterable[tuple[int, CredentialUse]]) -> Iterator[Remark]:
    found = (
        ((failed, use.proof.checked_by, executed(use)), (seq,)) for seq, use in uses if (failed := failed_checks(use))
    )
    for (failed, by, done), seqs in grouped(found).items():
        asks = _ASKS_FOR_NONCE.issuperset(failed)
        worst = failed[0] if asks else max(failed, key=lambda each: RANK[_severity(each)])
        who = f", checked by {by}" if by else ""
        ended = "and the action was executed all the same" if done else "and the action was not executed"
        sentence = f"{', '.join(failed)} failed{who}, {ended}: {_meaning(worst)}"
        severity = Severity.INFORMATIONAL if asks else _severity(worst)
        rule = FAILED_EXECUTED if done else FAILED
        yield Remark(rule, Severity.CRITICAL if done else severity, sentence, seqs, worst.source)


def _unfinished(uses: Iterable[tuple[int, CredentialUse]]) -> Iterator[Remark]:
    found = (
        ((broken, use.proof.checked_by, executed(use)), (seq,))
        for seq, use in uses
        if (broken := _ended(use, CheckOutcome.ERROR))
    )
    for (broken, by, done), seqs in grouped(found).items():
        who = f", by {by}" if by else ""
        ended = ", and the action was executed all the same" if done else ""
        sentence = f"{', '.join(broken)} could not be finished{who}{ended}"
        yield Remark(ERROR, Severity.CRITICAL if done else Severity.MEDIUM, sentence, seqs)


def _left_out(evidence: Evidence) -> Iterator[Remark]:
    found = (
        ((_ended(use, CheckOutcome.NOT_PERFORMED), use.proof.checked_by), (seq,))
        for seq, _, use in evidence.seen_from(Observer.RESOURCE_SERVER)
        if use.binding.declared in BOUND and not refused(use) and not failed_checks(use) and _has_gap(use)
    )
    for (left_out, by), seqs in grouped(found).items():
        who = f" by {by}" if by else ""
        if left_out:
            severity = Severity.LOW if _OPTIONAL.issuperset(left_out) else Severity.HIGH
            sentence = f"{', '.join(left_out)} not performed{who}, of a token that is bound to its sender"
        else:
            severity = Severity.MEDIUM
            sentence = f"no check of the proof was recorded{who}, of a token that is bound to its sender"
        yield Remark(NOT_PERFORMED, severity, sentence, seqs)


def _has_gap(use: CredentialUse) -> bool:
    return not use.proof.checks or not _INFORMS.issuperset(_ended(use, CheckOutcome.NOT_PERFORMED))


def _ended(use: CredentialUse, outcome: CheckOutcome) -> tuple[CheckId, ...]:
    return tuple(check.id for check in use.proof.checks if check.outcome is outcome)


def _severity(check: CheckId) -> Severity:
    """Return how bad a failure is; medium for a check that a newer release added."""
    return check_facts(check).severity if check in _KNOWN else Severity.MEDIUM


def _meaning(check: CheckId) -> str:
    return check_facts(check).failure if check in _KNOWN else "a check that this release does not know"

"""What checking a proof came to: the outcome of every check that was considered.

Rules:

1. Checks run in any order and never stop at the first failure (RFC 9449 §4.3).
2. A check whose input another check refused is ``not_performed``: that nothing failed does not mean it was checked.
3. The whole passes only if no check failed, none could not be finished, and every required one passed.
4. A check that only informs (``INFORMATION``) is recorded with its outcome and never decides the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import (
    BindingMethod,
    CertificateSource,
    Check,
    CheckId,
    CheckOutcome,
    HtuSource,
    Proof,
    ProofResult,
    ReplayScope,
    Sha256,
    Thumbprint,
)

from .shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Inspection:
    """How the checks of one proof ended. It holds digests and thumbprints, never the proof or the token."""

    mechanism: BindingMethod
    """By what means possession was to be shown."""
    checks: tuple[Check, ...]
    """Every check that was considered, in the order of ``CheckId``."""
    result: ProofResult
    """The whole."""
    key: Thumbprint | None = None
    """The key (``jkt``) or certificate (``x5t#S256``) of the proof: a claim, unless the result is ``pass``."""
    proof_digest: Sha256 | None = None
    """SHA-256 of the proof as it was sent."""
    proof_id: Sha256 | None = None
    """SHA-256(jkt ‖ 0x00 ‖ jti)."""
    replay_scope: ReplayScope = ReplayScope.UNKNOWN
    """Within what the ``jti`` was checked to be new."""
    htu_source: HtuSource = HtuSource.UNKNOWN
    """From where the compared URI came."""
    certificate_source: CertificateSource = CertificateSource.UNKNOWN
    """From where the certificate came."""

    @property
    def failed(self) -> tuple[CheckId, ...]:
        """The ids of the checks that failed; also of those that only inform, which leave the result alone."""
        return tuple(check.id for check in self.checks if check.outcome is CheckOutcome.FAIL)

    def outcome(self, check_id: CheckId) -> CheckOutcome:
        """Return how one check ended; ``not_performed`` if it was not even considered."""
        return next((check.outcome for check in self.checks if check.id is check_id), CheckOutcome.NOT_PERFORMED)

    def proof(self, checked_by: str, *more: Check) -> Proof:
        """Return the part of a record: these checks, and ``more`` (of the token) before them."""
        return Proof(
            mechanism=self.mechanism,
            result=worst((self.result, result_of(more))) if more else self.result,
            checks=(*more, *self.checks),
            checked_by=checked_by,
            proof_digest=self.proof_digest,
            proof_id=self.proof_id,
            replay_scope=self.replay_scope,
            htu_source=self.htu_source,
            certificate_source=self.certificate_source,
        )


class Outcomes:
    """Collects how checks end. What nobody settles stays ``not_performed``."""

    __slots__ = ("_outcomes", "_told")

    def __init__(self, considered: Iterable[CheckId]) -> None:
        self._outcomes = _unsettled(tuple(considered)).copy()
        self._told: dict[CheckId, Check] = {}

    def settle(self, check_id: CheckId, outcome: CheckOutcome, *, observed: str | None = None) -> None:
        """Say how a check ended. ``observed`` is worth knowing although the check did not fail, and is no secret."""
        self._outcomes[check_id] = outcome
        if observed is not None:
            self._told[check_id] = Check(id=check_id, outcome=outcome, observed=observed)
        elif self._told:
            self._told.pop(check_id, None)

    def judge(
        self, check_id: CheckId, good: object, *, expected: str | None = None, observed: str | None = None
    ) -> bool:
        """Say whether a check passed. ``expected`` and ``observed`` are kept of a failure, and are no secrets."""
        if good:
            self.settle(check_id, CheckOutcome.PASS)
            return True
        self._outcomes[check_id] = CheckOutcome.FAIL
        self._told[check_id] = Check(id=check_id, outcome=CheckOutcome.FAIL, expected=expected, observed=observed)
        return False

    def compare(self, check_id: CheckId, expected: str, observed: object) -> bool:
        """Say whether two values are the same. Of a failure, short names are kept of both."""
        if expected == observed:
            self.settle(check_id, CheckOutcome.PASS)
            return True
        return self.judge(check_id, good=False, expected=shown(expected), observed=shown(observed))

    def passed(self, *check_ids: CheckId) -> bool:
        """Whether each of these passed."""
        return all(self._outcomes[each] is CheckOutcome.PASS for each in check_ids)

    @property
    def open(self) -> list[CheckId]:
        """Those that concern the request and did not pass."""
        return [check_id for check_id, outcome in self._outcomes.items() if outcome not in _CLOSED]

    @property
    def checks(self) -> tuple[Check, ...]:
        """All of them."""
        plain = _plain_checks(tuple(self._outcomes), tuple(self._outcomes.values()))
        return tuple(self._told.get(each.id, each) for each in plain) if self._told else plain

    def result(self, required: Iterable[CheckId]) -> ProofResult:
        """Return the whole: the worst outcome, and ``not_performed`` if a required check neither passed nor failed."""
        found = result_of(self.checks)
        if found is ProofResult.PASS and not self.passed(*required):
            return ProofResult.NOT_PERFORMED
        return found


_CLOSED: Final = frozenset({CheckOutcome.PASS, CheckOutcome.NOT_APPLICABLE})

INFORMATION: Final = frozenset({CheckId.MTLS_CERT_VALIDITY})
"""A resource server need not look at the dates of a certificate (RFC 8705 §3, §6.2)."""


def result_of(checks: Iterable[Check]) -> ProofResult:
    """Return the worst outcome of some checks, but those that only inform: fail, error, else pass."""
    outcomes = {check.outcome for check in checks if check.id not in INFORMATION}
    if CheckOutcome.FAIL in outcomes:
        return ProofResult.FAIL
    return ProofResult.ERROR if CheckOutcome.ERROR in outcomes else ProofResult.PASS


def worst(results: Iterable[ProofResult]) -> ProofResult:
    """Return the worst of several results."""
    return max(results, key=_BADNESS.__getitem__)


_BADNESS = {
    ProofResult.PASS: 0,
    ProofResult.NOT_APPLICABLE: 1,
    ProofResult.UNKNOWN: 2,
    ProofResult.NOT_PERFORMED: 3,
    ProofResult.ERROR: 4,
    ProofResult.FAIL: 5,
}


@cache
def _unsettled(considered: tuple[CheckId, ...]) -> dict[CheckId, CheckOutcome]:
    return dict.fromkeys(considered, CheckOutcome.NOT_PERFORMED)


@lru_cache(maxsize=256)
def _plain_checks(check_ids: tuple[CheckId, ...], outcomes: tuple[CheckOutcome, ...]) -> tuple[Check, ...]:
    """Return checks without values. Most requests end in one of a few ways, so that their checks are one tuple."""
    return tuple(map(plain_check, check_ids, outcomes))


@cache
def plain_check(check_id: CheckId, outcome: CheckOutcome) -> Check:
    """Return a check without values. Frozen, hence one for all: an inspection makes two dozen of them."""
    return Check(id=check_id, outcome=outcome)

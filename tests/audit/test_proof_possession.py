"""What is to be answered of possession that was not shown, for every way in which a check can end."""

from __future__ import annotations

import pytest

from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.possession import possession_error, possession_proof, shown_by
from counterfoil.audit.proof.token_claims import TokenInspection
from counterfoil.schemas import BindingMethod, Check, CheckId, CheckOutcome, ProofResult

FAIL, ERROR = CheckOutcome.FAIL, CheckOutcome.ERROR


def inspection(result: ProofResult, *checks: tuple[CheckId, CheckOutcome]) -> Inspection:
    """Return an inspection in which these checks ended so."""
    ended = tuple(Check(id=check_id, outcome=outcome) for check_id, outcome in checks)
    return Inspection(BindingMethod.DPOP, ended, result)


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        ((CheckId.DPOP_SIGNATURE,), "invalid_dpop_proof"),
        ((CheckId.DPOP_JKT,), "invalid_token"),
        ((CheckId.DPOP_JKT, CheckId.DPOP_HTM), "invalid_dpop_proof"),
        ((CheckId.DPOP_SCHEME, CheckId.DPOP_WELL_FORMED), "invalid_token"),
        ((CheckId.DPOP_NONCE,), "use_dpop_nonce"),
        ((CheckId.DPOP_NONCE_DOWNGRADE, CheckId.DPOP_NONCE), "use_dpop_nonce"),
        ((CheckId.DPOP_NONCE, CheckId.DPOP_JKT), "invalid_token"),
        ((CheckId.DPOP_NONCE, CheckId.DPOP_ATH), "invalid_dpop_proof"),
        ((CheckId.MTLS_X5T_MATCH,), "invalid_token"),
        ((CheckId.MTLS_CERT_SOURCE_TRUSTED, CheckId.DPOP_JKT), "invalid_token"),
        ((CheckId.MTLS_X5T_MATCH, CheckId.DPOP_HTU), "invalid_dpop_proof"),
    ],
)
def test_which_error(failed: tuple[CheckId, ...], code: str) -> None:
    """The token is wrong where it is not the sender's, the proof where it is bad in itself; a nonce can be had."""
    assert possession_error([inspection(ProofResult.FAIL, *((each, FAIL) for each in failed))]) == code


def test_only_what_passed_passes() -> None:
    """What could not be finished is unavailable; what was merely left out is refused as well."""
    passed = inspection(ProofResult.PASS)
    assert possession_error([]) is None
    assert possession_error([passed]) is None
    assert possession_error([inspection(ProofResult.PASS, (CheckId.MTLS_CERT_VALIDITY, FAIL))]) is None
    assert possession_error([passed, inspection(ProofResult.ERROR)]) == "temporarily_unavailable"
    for result in (ProofResult.NOT_PERFORMED, ProofResult.NOT_APPLICABLE, ProofResult.UNKNOWN):
        assert possession_error([passed, inspection(result)]) == "invalid_token"


def test_a_failure_counts_more_than_an_error() -> None:
    """What is certain is said."""
    ended = [inspection(ProofResult.ERROR, (CheckId.DPOP_JTI_REPLAY, ERROR)), inspection(ProofResult.FAIL)]
    assert possession_error([*ended, inspection(ProofResult.FAIL, (CheckId.DPOP_HTM, FAIL))]) == "invalid_dpop_proof"


def test_the_part_of_the_record() -> None:
    """All checks stand in it, and the worst result; without a proof, a good token needs none."""
    token = TokenInspection((Check(id=CheckId.TOKEN_TIME, outcome=FAIL),), {}, None)
    alone = possession_proof(token, [], "the-api")
    assert (alone.mechanism, alone.result, alone.checks) == ("none", "fail", token.checks)
    both = [inspection(ProofResult.PASS, (CheckId.DPOP_HTM, CheckOutcome.PASS)), inspection(ProofResult.NOT_PERFORMED)]
    good = TokenInspection((), {}, None)
    assert possession_proof(good, [], "the-api").result == "not_applicable"
    assert possession_proof(good, both, "the-api").result == "not_performed"
    assert [check.id for check in possession_proof(token, both, "the-api").checks] == ["token.time", "dpop.08_htm"]
    assert (shown_by(both), shown_by([])) == ("dpop", "none")

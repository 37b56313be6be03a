"""What the outcomes of checks come to as a whole."""

from __future__ import annotations

import pytest

from counterfoil.audit.proof.inspection import Inspection, Outcomes
from counterfoil.schemas import BindingMethod, Check, CheckId, CheckOutcome, ProofResult

TYP, ALG, JTI = CheckId.DPOP_TYP, CheckId.DPOP_ALG, CheckId.DPOP_JTI_REPLAY


def test_what_nobody_settled_was_not_performed() -> None:
    """A check that was only considered is recorded as ``not_performed``, and the whole is not a pass."""
    outcomes = Outcomes((TYP, ALG))
    outcomes.judge(TYP, good=True)
    assert [check.outcome for check in outcomes.checks] == [CheckOutcome.PASS, CheckOutcome.NOT_PERFORMED]
    assert outcomes.result(required=(TYP, ALG)) is ProofResult.NOT_PERFORMED
    assert outcomes.result(required=(TYP,)) is ProofResult.PASS


def test_one_failure_fails_the_whole() -> None:
    """A failure outweighs an error, which outweighs what was not performed; its values are kept."""
    outcomes = Outcomes((TYP, ALG, JTI))
    outcomes.settle(JTI, CheckOutcome.ERROR)
    assert outcomes.result(required=()) is ProofResult.ERROR
    outcomes.judge(TYP, good=False, expected="dpop+jwt", observed="JWT")
    assert outcomes.result(required=(ALG,)) is ProofResult.FAIL
    assert outcomes.checks[0] == Check(id=TYP, outcome=CheckOutcome.FAIL, expected="dpop+jwt", observed="JWT")


@pytest.mark.parametrize(
    ("of_token", "whole"), [(CheckOutcome.PASS, ProofResult.PASS), (CheckOutcome.FAIL, ProofResult.FAIL)]
)
def test_a_record_holds_the_checks_of_token_and_proof(of_token: CheckOutcome, whole: ProofResult) -> None:
    """The part of the record lists the token's checks before the proof's, and its result covers both."""
    of_proof = Check(id=TYP, outcome=CheckOutcome.PASS)
    inspection = Inspection(BindingMethod.DPOP, (of_proof,), ProofResult.PASS)
    token = Check(id=CheckId.TOKEN_TIME, outcome=of_token)
    proof = inspection.proof("tests", token)
    assert (proof.checks, proof.result, proof.checked_by) == ((token, of_proof), whole, "tests")
    assert inspection.failed == ()
    assert inspection.outcome(TYP) is CheckOutcome.PASS
    assert inspection.outcome(ALG) is CheckOutcome.NOT_PERFORMED

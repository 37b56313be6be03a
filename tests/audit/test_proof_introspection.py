"""Checking tokens by what their authorization server says of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil.audit.proof.introspection import INTROSPECTION_CHECKS, inspect_introspection
from counterfoil.audit.proof.token_claims import TokenInspection
from counterfoil.schemas import CheckId, CheckOutcome

NOW = datetime(2026, 9, 1, tzinfo=UTC)
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
GOOD: dict[str, Any] = {
    "active": True,
    "iss": "https://as.example",
    "aud": "https://api.example",
    "sub": "dana",
    "scope": "mail:read mail:send",
    "exp": NOW.timestamp() + 60,
}


def inspect(response: Any, **options: Any) -> TokenInspection:
    """Check a response as a server does that knows one issuer."""
    given: dict[str, Any] = {"issuers": ("https://as.example",), "audiences": ("https://api.example",), "now": NOW}
    given |= {"scopes": ("mail:read",), **options}
    return inspect_introspection(response, **given)


def amiss(found: TokenInspection) -> dict[str, str]:
    """Return the checks that did not pass, but for those that do not concern an unbound token."""
    return {
        check.id.value: check.outcome.value
        for check in found.checks
        if check.outcome is not CheckOutcome.PASS
        and not (check.id is CheckId.CNF_AMBIGUOUS and check.outcome is CheckOutcome.NOT_APPLICABLE)
    }


def test_an_active_token() -> None:
    """Every check passes, and what the server says is known by introspection."""
    found = inspect(GOOD)
    assert amiss(found) == {}
    assert tuple(check.id for check in found.checks) == INTROSPECTION_CHECKS
    assert found.facts is not None
    assert (found.facts.token.basis, found.facts.token.subject) == ("introspection", "dana")
    assert found.audience == "https://api.example"


@pytest.mark.parametrize("response", [{"active": False}, {}, {**GOOD, "active": "true"}, {**GOOD, "active": 1}])
def test_an_inactive_token(response: Any) -> None:
    """Only ``true`` is active; of anything else nothing more is looked at."""
    found = inspect(response)
    assert amiss(found).pop("token.active") == "fail"
    assert set(amiss(found).values()) == {"fail", "not_performed"}
    assert (found.error, found.facts) == ("invalid_token", None)


@pytest.mark.parametrize("response", [None, [], "active", 7])
def test_no_answer(response: Any) -> None:
    """Without an answer nothing is known: an error, not a fault of the token."""
    found = inspect(response)
    assert amiss(found)["token.active"] == "error"
    assert found.error == "temporarily_unavailable"


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ({"iss": "https://other.example"}, {"token.issuer": "fail"}),
        ({"iss": ["https://as.example"]}, {"token.issuer": "fail"}),
        ({"aud": "https://other.example"}, {"token.audience": "fail"}),
        ({"aud": None}, {"token.audience": "fail"}),
        ({"exp": NOW.timestamp() - 60}, {"token.time": "fail"}),
        ({"exp": float("nan")}, {"token.time": "fail"}),
        ({"nbf": NOW.timestamp() + 60}, {"token.time": "fail"}),
        ({"scope": "mail:send"}, {"token.scope": "fail"}),
        ({"cnf": {"jwk": {}}}, {"cnf.ambiguous": "fail"}),
        ({"cnf": {"jkt": JKT}, "token_type": "Bearer"}, {"cnf.ambiguous": "fail"}),
        ({"token_type": "DPoP"}, {"cnf.ambiguous": "fail"}),
        ({"iss": None}, {"token.issuer": "not_applicable"}),
        ({"exp": None}, {}),
        ({"cnf": {"jkt": JKT}, "token_type": "dpop"}, {}),
        ({"cnf": {"jkt": JKT}}, {}),
        ({"token_type": "Bearer"}, {}),
        ({"token_type": 7}, {}),
    ],
)
def test_what_the_server_says(changes: dict[str, Any], checks: dict[str, str]) -> None:
    """Each wrong member fails one check; what is left out fails only where somebody else's token could pass."""
    found = inspect({**GOOD, **changes})
    assert amiss(found) == checks
    assert found.trusted is ("fail" not in checks.values() or "token.scope" in checks)
    assert (found.jkt is not None) is (found.trusted and "jkt" in (changes.get("cnf") or ()))


def test_a_server_that_answers_for_this_one_alone() -> None:
    """It need not say for whom a token is; if it does, that counts."""
    found = inspect({**GOOD, "aud": None}, audience_required=False)
    assert amiss(found) == {"token.audience": "not_applicable"}
    assert found.trusted
    assert not inspect({**GOOD, "aud": "https://other.example"}, audience_required=False).trusted


def test_any_issuer() -> None:
    """A server without a list of issuers takes whatever the one that it asks says."""
    assert inspect({**GOOD, "iss": "https://other.example"}, issuers=()).trusted


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "cnf", "nbf", "token_type", "act", "client_id"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2),
    )
)
def test_nothing_raises(changes: dict[str, Any]) -> None:
    """Whatever a server answers ends in outcomes."""
    assert tuple(check.id for check in inspect({**GOOD, **changes}).checks) == INTROSPECTION_CHECKS

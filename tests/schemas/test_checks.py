"""What is known of each check: nothing is left out, and its severity is the published one."""

from __future__ import annotations

import pytest

from counterfoil.schemas import CheckId, Severity, check_facts

ROUTINE = "dpop.10_nonce dpop.11_time dpop.16_nonce_downgrade token.time token.scope token.active mtls.05_cert_validity"
AT_ONCE = "dpop.07_no_private_key dpop.12b_jkt mtls.03_x5t_match mtls.04_cert_source_trusted"


@pytest.mark.parametrize("check", CheckId)
def test_a_check_says_what_it_demands_and_what_a_failure_means(check: CheckId) -> None:
    """Each has a source, a demand and a meaning: short phrases, not sentences, so that they fit into a table."""
    facts = check_facts(check)
    for phrase in (check.source, facts.demands, facts.failure):
        assert phrase
        assert not phrase.endswith(".")
    assert facts.demands != facts.failure


def test_what_corrects_itself_is_no_incident() -> None:
    """A stale nonce, a small clock difference, an expired token: routine, so at most low."""
    routine = {check_facts(CheckId(check)).severity for check in ROUTINE.split()}
    assert routine <= {Severity.INFORMATIONAL, Severity.LOW}


def test_what_gives_a_key_away_is_an_incident_at_once() -> None:
    """A private key in the header, another key, another certificate, a certificate from nowhere: critical."""
    assert {check_facts(CheckId(check)).severity for check in AT_ONCE.split()} == {Severity.CRITICAL}

"""Renewed, or somebody else's: what two certificates tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from counterfoil.audit.capture.certificate_facts import CertificateFacts
from counterfoil.audit.proof.renewal import FRESH, succession

if TYPE_CHECKING:
    from conftest import Issue

NOW = datetime(2026, 9, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
OURS, ANOTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def _facts(der: bytes) -> CertificateFacts:
    facts = CertificateFacts.read(der)
    assert facts is not None
    return facts


@pytest.fixture
def bound(issue: Issue) -> CertificateFacts:
    """Give the certificate that the token was bound to."""
    return _facts(issue(OURS, since=NOW - HOUR))


@pytest.mark.parametrize(
    ("since", "age"),
    [
        (NOW, "fresh"),
        (NOW - HOUR / 2, "fresh"),
        (NOW - HOUR, "not fresh"),
        (NOW - 2 * HOUR, "not fresh"),
        (NOW + HOUR, "not fresh"),
    ],
)
def test_the_same_key_is_told_by_itself(since: datetime, age: str, bound: CertificateFacts, issue: Issue) -> None:
    """The handshake proved possession of the key, so names and chain do not matter; the age says if it is a renewal."""
    presented = _facts(issue(OURS, "renamed", since=since))
    assert succession(bound, presented, NOW, chain_verified=False) == f"another certificate, same key, {age}"


def test_a_certificate_of_long_ago_is_not_fresh(issue: Issue) -> None:
    """Newer than the bound one, but good for longer than a token lives: no renewal just now."""
    bound, presented = (_facts(issue(OURS, since=NOW - FRESH - each)) for each in (2 * HOUR, HOUR))
    assert succession(bound, presented, NOW, chain_verified=True) == "another certificate, same key, not fresh"


def test_a_name_counts_only_with_its_chain(bound: CertificateFacts, issue: Issue) -> None:
    """Anybody can write the subject into a certificate of their own: without its chain it is claimed."""
    presented = _facts(issue(ANOTHER, since=NOW))
    assert succession(bound, presented, NOW, chain_verified=True) == "same subject, new key, fresh"
    assert succession(bound, presented, NOW, chain_verified=False) == "claimed same subject, new key, fresh"


def test_another_subject_or_issuer_is_no_renewal(bound: CertificateFacts, issue: Issue) -> None:
    """A certificate of the same authority for somebody else, or of another authority for the same name."""
    somebody = _facts(issue(ANOTHER, "mallory", since=NOW))
    assert succession(bound, somebody, NOW, chain_verified=True) == "another subject or issuer"
    elsewhere = replace(_facts(issue(ANOTHER, since=NOW)), issuer="CN=elsewhere")
    assert succession(bound, elsewhere, NOW, chain_verified=True) == "another subject or issuer"


def test_an_svid_is_known_by_its_spiffe_id(issue: Issue) -> None:
    """An X.509-SVID may have no subject at all: its one URI names it."""
    uris = ("spiffe://example.org/agent",)
    bound = _facts(issue(OURS, "", since=NOW - HOUR, uris=uris))
    presented = _facts(issue(ANOTHER, "", since=NOW, uris=uris))
    assert succession(bound, presented, NOW, chain_verified=True) == "same subject, new key, fresh"


def test_facts_of_a_record_tell_less(bound: CertificateFacts, issue: Issue) -> None:
    """A record holds subject, issuer and dates, not the key; with less than a subject nothing is told."""
    recorded = replace(bound, public_key=None)
    presented = _facts(issue(OURS, since=NOW))
    assert succession(recorded, presented, NOW, chain_verified=True) == "same subject, key not compared, fresh"
    assert succession(replace(recorded, subject=None), presented, NOW, chain_verified=True) is None


def test_what_is_told_names_nobody(bound: CertificateFacts, issue: Issue) -> None:
    """Neither the words nor the facts in a traceback show a subject."""
    told = succession(bound, _facts(issue(ANOTHER, "mallory", since=NOW)), NOW, chain_verified=True)
    assert "agent-1" not in f"{told}{bound!r}"
    assert "mallory" not in str(told)

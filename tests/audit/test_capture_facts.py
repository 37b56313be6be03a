"""Facts from elsewhere: verified claims, introspection, token responses, configuration; and hostile claims."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.capture import TokenFacts
from counterfoil.audit.capture.claims import actors_of, confirmation_of, instant_of, lifetime_of, name_of, token_fields
from counterfoil.schemas import InvalidEvent, Thumbprint, Token, canonical_bytes

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "specs.json").read_text("utf-8"))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
X5T = Thumbprint.of_certificate(b"certificate")


def test_verified_claims_say_so() -> None:
    """Claims that the caller verified are known as such, with the binding that they declare."""
    facts = TokenFacts.verified({"iss": "https://as.example", "cnf": {"x5t#S256": X5T}, "act": {"sub": "agent"}})
    assert (facts.token.issuer, facts.token.basis) == ("https://as.example", "verified_jwt")
    assert (facts.declared, facts.bound_key, facts.actors) == ("mtls", X5T, ("agent",))


def test_the_introspection_of_rfc9449_is_taken() -> None:
    """The response of RFC 9449 figure 11 gives the claims, the bound key, and that the token is active."""
    facts = TokenFacts.introspected(VECTORS["rfc9449"]["fig11_introspection"])
    assert (facts.token.subject, facts.token.basis) == ("someone@example.com", "introspection")
    assert (facts.declared, facts.bound_key) == ("dpop", VECTORS["rfc9449"]["jkt"])
    assert [(check.id, check.outcome) for check in facts.checks] == [("token.active", "pass")]


@pytest.mark.parametrize("response", [{"active": False}, {}, {"active": "true", "sub": "alice"}, {"active": 1}])
def test_an_inactive_token_has_no_facts(response: dict[str, Any]) -> None:
    """Inactive says nothing else, not even why (RFC 7662 §2.2)."""
    facts = TokenFacts.introspected(response)
    assert facts.token == Token(basis="introspection")
    assert [(check.id, check.outcome, check.observed) for check in facts.checks] == [("token.active", "fail", None)]


def test_introspection_may_declare_by_token_type() -> None:
    """A token of the type DPoP is bound, also where `cnf` is left out (RFC 9449 §6.2)."""
    assert TokenFacts.introspected({"active": True, "token_type": "dpop"}).declared == "dpop"
    assert TokenFacts.introspected({"active": True}).declared == "none"


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(3600, 3600), ("3600", 3600), (0, 0), (0.5, 0), *((value, None) for value in (-1, True, "soon", 10**400, None))],
)
def test_a_token_response_gives_the_lifetime(expires_in: object, seconds: int | None) -> None:
    """`expires_in` counts from now, as a number or, as some servers write it, as digits."""
    lifetime = TokenFacts.token_response({"expires_in": expires_in}, NOW).token.lifetime
    assert lifetime.issued_at == NOW
    assert lifetime.seconds == seconds


def test_a_token_response_keeps_no_token() -> None:
    """The response holds the tokens themselves; the facts hold type and scope."""
    secret = secrets.token_urlsafe(32)
    response = {"access_token": secret, "refresh_token": secret, "token_type": "DPoP", "scope": "read write"}
    facts = TokenFacts.token_response(response, NOW)
    assert (facts.declared, facts.token.scopes, facts.token.basis) == ("dpop", ("read", "write"), "token_response")
    assert secret not in repr(facts) + facts.token.model_dump_json()


def test_bearer_in_a_token_response_states_no_binding() -> None:
    """A token bound by mutual TLS is of the type Bearer as well (RFC 8705 §3)."""
    assert TokenFacts.token_response({"token_type": "Bearer"}, NOW).declared == "unknown"


def test_now_needs_a_zone() -> None:
    """A clock without a zone is the caller's mistake and is refused."""
    with pytest.raises(InvalidEvent, match="no zone"):
        TokenFacts.token_response({}, NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("confirmation", "declared"), [({"jkt": X5T}, "dpop"), ({"x5t_s256": X5T}, "mtls"), ({}, "unknown")]
)
def test_configuration_says_so(confirmation: dict[str, Thumbprint], declared: str) -> None:
    """A configured token keeps what it says and is known by configuration."""
    facts = TokenFacts.configured(Token(issuer="https://as.example", confirmation=confirmation))
    assert (facts.token.issuer, facts.token.basis, facts.declared) == ("https://as.example", "configuration", declared)


def test_facts_do_not_show_their_text() -> None:
    """A repr shows terms and lengths only."""
    facts = TokenFacts.verified({"sub": "alice", "act": {"sub": "agent"}})
    assert "alice" not in repr(facts)
    assert "agent" not in repr(facts)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a", "a"),
        ("a" * 512, "a" * 512),
        ("a" * 513, "a" * 511 + "…"),
        ("", None),
        ("a\0b", None),
        ("a\ud800", None),
        (7, None),
        (None, None),
    ],
)
def test_a_name_fits(value: object, name: str | None) -> None:
    """What no record can hold is left out; what is too long is cut with a mark."""
    assert name_of(value) == name


@pytest.mark.parametrize(
    "value", [True, "1760000000", -1, -0.5, float("nan"), float("inf"), 10**30, 253402300800, None, [1760000000]]
)
def test_a_senseless_date_is_left_out(value: object) -> None:
    """A date that is no number, negative, or after the year 9999 is no date."""
    assert instant_of(value) is None


def test_the_last_second_is_a_date() -> None:
    """The ends of the range are dates."""
    assert instant_of(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert instant_of(253402300799) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_a_lifetime_is_never_negative() -> None:
    """Where a token expires before it was issued its length is unknown."""
    assert lifetime_of({"iat": 10, "exp": 9}).seconds is None
    assert lifetime_of({"iat": 10, "exp": 10}).seconds == 0
    assert lifetime_of({"exp": 10}).seconds is None


@pytest.mark.parametrize(
    ("claims", "audience", "scopes"),
    [
        ({"aud": "a", "scope": "r w"}, ("a",), ("r", "w")),
        ({"aud": ["a", 1, "", "b"], "scope": ["r", None]}, ("a", "b"), ("r",)),
        ({"aud": {"a": 1}, "scope": 7}, (), ()),
        ({"scp": "r w"}, (), ("r", "w")),
        ({"aud": ["a"] * 1000, "scope": "r " * 1000}, ("a",) * 64, ("r",) * 64),
    ],
)
def test_lists_come_in_two_spellings(
    claims: dict[str, Any], audience: tuple[str, ...], scopes: tuple[str, ...]
) -> None:
    """Audience and scope are one string or a list; at most 64 of them are looked at."""
    fields = token_fields(claims)
    assert (fields["audience"], fields["scopes"]) == (audience, scopes)


def test_an_endless_chain_of_actors_is_cut() -> None:
    """Sixteen actors are taken; the chain ends where one has no subject."""
    chain: dict[str, Any] = {"sub": "last"}
    for number in range(100):
        chain = {"sub": f"actor-{number}", "act": chain}
    assert len(actors_of({"act": chain})) == 16
    assert actors_of({"act": {"sub": "first", "act": {"act": {"sub": "lost"}}}}) == ("first",)


def test_a_confirmation_names_its_members() -> None:
    """All member names are kept, so that more than one key shows; a malformed thumbprint is not."""
    confirmation = confirmation_of({"jkt": "short", "x5t#S256": X5T, "jwk": {"kty": "oct", "k": "secret"}, "kid": "k"})
    assert confirmation.members == ("jkt", "jwk", "kid", "x5t#S256")
    assert (confirmation.jkt, confirmation.x5t_s256, confirmation.kid) == (None, X5T, "k")


def test_a_key_member_does_not_hide_in_a_crowd() -> None:
    """Beyond the limit of names, those that declare a binding are still found."""
    crowd = {f"m{number}": 1 for number in range(200)} | {"jkt": X5T}
    assert "jkt" in confirmation_of(crowd).members


hostile_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(hostile_text, children, max_size=4),
    max_leaves=10,
)
CLAIM_NAMES = (
    "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "client_id", "cnf", "act", "active", "token_type",
    "expires_in",
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(CLAIM_NAMES), json_values))
def test_hostile_claims_give_facts_that_can_be_stored(claims: dict[str, Any]) -> None:
    """Whatever a claim holds, no constructor raises, and what comes out can be sealed."""
    for facts in (
        TokenFacts.verified(claims),
        TokenFacts.introspected(claims | {"active": True}),
        TokenFacts.introspected(claims),
        TokenFacts.token_response(claims, NOW),
    ):
        canonical_bytes(facts.token.model_dump(mode="json", exclude_none=True))
        canonical_bytes({"actors": list(facts.actors)})

"""Checking JWT access tokens: good ones of every kind of key, and ones that are wrong in one way each."""

from __future__ import annotations

import hmac
import json
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey

from counterfoil.audit.proof.access_token import ACCESS_TOKEN_CHECKS, inspect_access_token
from counterfoil.audit.proof.issuer_keys import IssuerKeys
from counterfoil.audit.proof.token_claims import TokenInspection, TokenPolicy
from counterfoil.schemas import BindingMethod, CheckId, CheckOutcome, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import TokenIssuer

ALIAS = "urn:example:mail"


def inspect(issuer: TokenIssuer, token: str, **options: Any) -> TokenInspection:
    """Check a token of an issuer, as a server does that answers to two names."""
    given: dict[str, Any] = {
        "issuer": issuer.url,
        "audiences": (issuer.audience, ALIAS),
        "now": issuer.now,
        "scopes": ("mail:read",),
        **options,
    }
    return inspect_access_token(token, given.pop("keys", IssuerKeys.of_jwks(issuer.jwks)), **given)


def amiss(found: TokenInspection) -> dict[str, str]:
    """Return the checks that did not pass, but for those that do not concern an unbound token."""
    return {
        check.id.value: check.outcome.value
        for check in found.checks
        if check.outcome is not CheckOutcome.PASS
        and not (check.id is CheckId.CNF_AMBIGUOUS and check.outcome is CheckOutcome.NOT_APPLICABLE)
    }


def told(found: TokenInspection, check_id: CheckId) -> tuple[str | None, str | None]:
    """Return what a check shows."""
    return next((check.expected, check.observed) for check in found.checks if check.id is check_id)


UNTRUSTED = {
    "cnf.ambiguous": "not_performed",
    "token.issuer": "not_performed",
    "token.audience": "not_performed",
    "token.time": "not_performed",
    "token.typ": "not_performed",
    "token.scope": "not_performed",
}


def test_a_good_token(issuer: TokenIssuer) -> None:
    """Every check passes, and what the token says is trusted."""
    found = inspect(issuer, issuer.token())
    assert amiss(found) == {}
    assert tuple(check.id for check in found.checks) == ACCESS_TOKEN_CHECKS
    assert found.trusted
    assert found.in_scope
    assert found.error is None
    assert found.facts is not None
    assert (found.facts.token.subject, found.facts.token.basis) == ("dana", "verified_jwt")
    assert (found.claims["sub"], found.audience, found.jkt, found.x5t_s256) == ("dana", issuer.audience, None, None)
    assert "dana" not in repr(found)


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (ECKey.generate_key("P-256"), "ES256"),
        (ECKey.generate_key("P-384"), "ES384"),
        (ECKey.generate_key("P-521"), "ES512"),
        (OKPKey.generate_key("Ed25519"), "Ed25519"),
        (RSAKey.generate_key(2048), "RS256"),
        (RSAKey.generate_key(2048), "PS256"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_every_kind_of_key(key: Any, alg: str, issuer: TokenIssuer) -> None:
    """Whatever asymmetric key an issuer has, its tokens are verified, and no other key's are."""
    other = type(issuer)(key, alg)
    assert amiss(inspect(other, other.token())) == {}
    forged = inspect(other, other.token(), keys=IssuerKeys.of_jwks(issuer.jwks))
    assert amiss(forged)["token.signature"] == "fail"


@pytest.mark.parametrize(
    ("aud", "named"),
    [
        ("https://api.example", "https://api.example"),
        (ALIAS, ALIAS),
        (["https://other.example", ALIAS], ALIAS),
        ([ALIAS, "https://api.example"], "https://api.example"),
    ],
)
def test_by_which_name(aud: Any, named: str, issuer: TokenIssuer) -> None:
    """A string or an array may name the server by any of its identifiers, and the record says by which."""
    found = inspect(issuer, issuer.token(aud=aud))
    assert found.audience == named
    assert told(found, CheckId.TOKEN_AUDIENCE) == (None, named)


@pytest.mark.parametrize(
    ("changes", "check", "shown"),
    [
        ({"aud": "https://other.example"}, "token.audience", "https://other.example"),
        ({"aud": "https://api.example/"}, "token.audience", "https://api.example/"),
        ({"aud": "https://API.example"}, "token.audience", "https://API.example"),
        ({"aud": ["a", "b"]}, "token.audience", "a, b"),
        ({"aud": [["https://api.example"], {"a": 1}, None]}, "token.audience", "none"),
        ({"aud": ...}, "token.audience", "none"),
        ({"exp": ...}, "token.time", "no exp"),
        ({"exp": "never"}, "token.time", "exp is no time"),
        ({"exp": True}, "token.time", "exp is no time"),
        ({"exp": 10**400}, "token.time", "exp is no time"),
        ({"exp": -1}, "token.time", "expired"),
        ({"nbf": 2**40}, "token.time", "not valid yet"),
        ({"nbf": []}, "token.time", "nbf is no time"),
    ],
)
def test_a_wrong_claim(changes: dict[str, Any], check: str, shown: str, issuer: TokenIssuer) -> None:
    """One wrong claim fails one check, which shows it, and nothing of the token is trusted."""
    found = inspect(issuer, issuer.token(**changes))
    assert amiss(found) == {check: "fail"}
    assert told(found, CheckId(check))[1] == shown
    assert (found.error, found.claims, found.facts) == ("invalid_token", {}, None)


@pytest.mark.parametrize(("late", "good"), [(299, True), (329, True), (330, False), (1000, False)])
def test_the_edge_of_the_lifetime(late: int, good: bool, issuer: TokenIssuer) -> None:  # noqa: FBT001
    """A token is good until ``exp``, and as much longer as clocks may differ, to the second."""
    found = inspect(issuer, issuer.token(), now=issuer.now + timedelta(seconds=late))
    assert found.trusted is good


@pytest.mark.parametrize(("early", "good"), [(0, True), (30, True), (31, False)])
def test_the_edge_before(early: int, good: bool, issuer: TokenIssuer) -> None:  # noqa: FBT001
    """A token is not good before ``nbf``, but for as much as clocks may differ."""
    token = issuer.token(nbf=int(issuer.now.timestamp()))
    assert inspect(issuer, token, now=issuer.now - timedelta(seconds=early)).trusted is good


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_the_type_of_an_access_token(typ: str, issuer: TokenIssuer) -> None:
    """Media types are compared in any case, with or without ``application/``."""
    assert amiss(inspect(issuer, issuer.token({"typ": typ}))) == {}


@pytest.mark.parametrize("typ", ["JWT", "jwt", ...])
def test_a_token_without_profile(typ: Any, issuer: TokenIssuer) -> None:
    """Whether a JWT that calls itself no access token is taken for one is the policy's to say."""
    token = issuer.token({"typ": typ})
    assert amiss(inspect(issuer, token)) == {"token.typ": "fail"}
    found = inspect(issuer, token, policy=TokenPolicy(unprofiled=True))
    assert amiss(found) == {"token.typ": "not_applicable"}
    assert found.trusted


@pytest.mark.parametrize("typ", ["dpop+jwt", "logout+jwt", "JOSE", "at+jwt2", "", 7, None, ["at+jwt"]])
def test_another_type(typ: Any, issuer: TokenIssuer) -> None:
    """A JWT made for something else is no access token, whatever the policy (RFC 9449 §11.5)."""
    found = inspect(issuer, issuer.token({"typ": typ}), policy=TokenPolicy(unprofiled=typ is not None))
    assert amiss(found) == {"token.typ": "fail"}


def test_scopes(issuer: TokenIssuer) -> None:
    """Every scope that is needed has to be there, as a word; a missing one leaves the token a good one."""
    token = issuer.token(scope="mail:read mail:send")
    assert inspect(issuer, token, scopes=("mail:send", "mail:read")).in_scope
    assert inspect(issuer, token, scopes=()).in_scope
    assert inspect(issuer, issuer.token(scope=..., scp=["mail:read"])).in_scope
    for needed in (("mail",), ("mail:read mail:send",), ("mail:read", "pay"), ("",)):
        found = inspect(issuer, token, scopes=needed)
        assert (found.in_scope, found.trusted, amiss(found)) == (False, True, {"token.scope": "fail"})
    assert inspect(issuer, issuer.token(scope={"mail:read": 1})).in_scope is False


def test_another_issuer(issuer: TokenIssuer) -> None:
    """Of an issuer that is not trusted there are no keys: the signature is not checked, and nothing after it."""
    for iss in ("https://as.example/", "https://evil.example", ..., 7, None):
        found = inspect(issuer, issuer.token(iss=iss))
        assert amiss(found) == UNTRUSTED | {"token.issuer": "fail", "token.signature": "not_performed"}
        assert found.error == "invalid_token"


def test_keys_that_cannot_be_had(issuer: TokenIssuer) -> None:
    """Without keys nothing is known of the signature: an error, and no fault of the token."""
    found = inspect(issuer, issuer.token(), keys=None)
    assert amiss(found) == UNTRUSTED | {"token.signature": "error"}
    assert found.error == "temporarily_unavailable"
    broken = inspect(issuer, issuer.token({"alg": "none"}), keys=None)
    assert broken.error == "invalid_token"


def hmac_with_the_public_key(issuer: TokenIssuer) -> str:
    """Return a token that is signed with HMAC, and the issuer's public key for a secret."""
    signing_input = issuer.token({"alg": "HS256"}).rpartition(".")[0]
    secret = json.dumps(issuer.jwk).encode()
    mac = hmac.digest(secret, signing_input.encode(), "sha256")
    return f"{signing_input}.{issuer.sign({}, mac).split('.')[1]}"


FORGERIES: dict[str, tuple[Callable[[TokenIssuer], str], str | None]] = {
    "alg none": (lambda issuer: issuer.token({"alg": "none"}).rpartition(".")[0] + ".", "alg none"),
    "alg none, signed": (lambda issuer: issuer.token({"alg": "none"}), "alg none"),
    "HMAC": (hmac_with_the_public_key, "alg HS256"),
    "no alg": (lambda issuer: issuer.token({"alg": ...}), "alg absent"),
    "alg of another type": (lambda issuer: issuer.token({"alg": ["ES256"]}), "alg <an array>"),
    "an alg that is long": (lambda issuer: issuer.token({"alg": "A" * 1000}), "alg <1,000 characters>"),
    "an alg for other keys": (lambda issuer: issuer.token({"alg": "RS256"}), "no such key"),
    "an unknown key id": (lambda issuer: issuer.token({"kid": "k2"}), "no such key"),
    "a key id of another type": (lambda issuer: issuer.token({"kid": ["k1"]}), "no such key"),
    "crit": (lambda issuer: issuer.token({"crit": ["exp"]}), "jose.crit"),
    "a claim twice": (
        lambda issuer: issuer.sign(issuer.header(), json.dumps(issuer.claims())[:-1].encode() + b',"aud":"x"}'),
        "jose.duplicate_member",
    ),
    "a longer token": (lambda issuer: issuer.token(padding="x" * 20_000), "jose.size"),
    "padding": (lambda issuer: issuer.token() + "=", "jose.base64url"),
    "another signature": (lambda issuer: issuer.token()[:-8] + "AAAAAAAA", None),
    "a signature that is cut": (lambda issuer: issuer.token()[:-10], None),
    "no signature": (lambda issuer: issuer.token().rpartition(".")[0] + ".", None),
    "opaque": (lambda _: secrets.token_urlsafe(32), "no JWT"),
    "nothing": (lambda _: "", "no JWT"),
    "dots": (lambda _: "....", "no JWT"),
    "a JWE": (lambda issuer: issuer.token({"enc": "A256GCM"}) + ".a.b", "no JWT"),
    "claims that are none": (lambda issuer: issuer.sign(issuer.header(), [1]), "no JWT"),
    "deep claims": (lambda issuer: issuer.token(a=json.loads("[" * 60 + "]" * 60)), "no JWT"),
    "surrogates": (lambda issuer: "\udcff\udcfe." + issuer.token(), "no JWT"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries(name: str, issuer: TokenIssuer) -> None:
    """Whatever is wrong before the claims fails the signature, which names the rule; nothing after it is performed."""
    make, shown = FORGERIES[name]
    found = inspect(issuer, make(issuer))
    assert amiss(found) == UNTRUSTED | {"token.signature": "fail"}
    assert told(found, CheckId.TOKEN_SIGNATURE)[1] == shown
    assert found.error == "invalid_token"


JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
X5T = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"


@pytest.mark.parametrize(
    ("cnf", "outcome", "shown"),
    [
        (..., "not_applicable", None),
        ({"jkt": JKT}, "pass", None),
        ({"x5t#S256": JKT, "kid": "k"}, "pass", None),
        ({"jkt": JKT, "x5t#S256": JKT}, "pass", None),
        ({"jkt": JKT, "jwk": {"kty": "EC"}}, "fail", "jkt, jwk"),
        ({"jwk": {"kty": "EC"}}, "fail", "jwk"),
        ({"jku": "https://evil.example"}, "fail", "jku"),
        ({"jwk": JKT}, "fail", "jwk"),
        ({"jkt": JKT, "jku": JKT}, "fail", "jkt, jku"),
        ({"kid": "k"}, "fail", "no key"),
        ({"jkt": "short"}, "fail", "jkt"),
        ({"jkt": JKT, "x5t#S256": X5T + "="}, "fail", "jkt, x5t#S256"),
        ({"jkt": [JKT]}, "fail", "jkt"),
        ({}, "fail", "no key"),
        ("jkt", "fail", "no key"),
        ([JKT], "fail", "no key"),
    ],
)
def test_what_a_token_is_bound_to(cnf: Any, outcome: str, shown: str | None, issuer: TokenIssuer) -> None:
    """One key, a certificate, or both; a binding that nobody can check is not taken for none."""
    found = inspect(issuer, issuer.token(cnf=cnf))
    check = next(check for check in found.checks if check.id is CheckId.CNF_AMBIGUOUS)
    assert (check.outcome, check.observed, found.trusted) == (outcome, shown, outcome != "fail")
    if outcome == "pass":
        assert (found.jkt, found.x5t_s256) == (cnf.get("jkt"), cnf.get("x5t#S256"))
        assert found.facts is not None
        assert found.facts.declared in {BindingMethod.DPOP, BindingMethod.MTLS}


@pytest.mark.parametrize(
    "options", [{"algorithms": frozenset[str]()}, {"algorithms": frozenset({"HS256"})}, {"max_token": 0}]
)
def test_a_policy_that_means_nothing(options: dict[str, Any]) -> None:
    """A symmetric algorithm cannot be allowed, and an empty list allows nothing."""
    with pytest.raises(ConfigurationError):
        TokenPolicy(**options)


def test_an_algorithm_that_is_not_allowed(issuer: TokenIssuer) -> None:
    """The policy decides, not the token."""
    found = inspect(issuer, issuer.token(), policy=TokenPolicy(algorithms=frozenset({"ES384", "RS256"})))
    assert told(found, CheckId.TOKEN_SIGNATURE) == ("ES384 RS256", "alg ES256")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_CLAIMS = ("iss", "aud", "exp", "nbf", "iat", "scope", "scp", "cnf", "sub", "client_id", "act", "jti")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    header=st.dictionaries(st.sampled_from(("typ", "alg", "kid", "crit", "jwk", "x5c")), _JSON, max_size=3),
    claims=st.dictionaries(st.sampled_from(_CLAIMS), _JSON, max_size=4),
)
def test_nothing_raises(header: dict[str, Any], claims: dict[str, Any], issuer: TokenIssuer) -> None:
    """A good signature over whatever claims ends in outcomes; what is then trusted is exactly what should be."""
    try:
        token = issuer.sign(issuer.header(**header), issuer.claims(**claims))
    except (UnicodeEncodeError, ValueError):
        return
    found = inspect(issuer, token)
    assert tuple(check.id for check in found.checks) == ACCESS_TOKEN_CHECKS
    if not found.trusted:
        assert (found.claims, found.facts) == ({}, None)
    for check in found.checks:
        assert check.model_dump_json()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text() | st.binary().map(lambda raw: raw.decode("ascii", "surrogateescape")))
def test_any_text(text: str, issuer: TokenIssuer) -> None:
    """What is no token at all fails the signature."""
    assert amiss(inspect(issuer, text))["token.signature"] == "fail"

"""What a hostile client may send as a proof: an outcome each time, bounded, and never an exception or a secret."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.capture.jose import MAX_DEPTH
from counterfoil.audit.proof.dpop import DPOP_CHECKS, inspect_dpop
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.policy import DpopPolicy
from counterfoil.audit.proof.replay import MemoryReplayStore
from counterfoil.schemas import CheckId, CheckOutcome, ProofResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import DpopSender

WELL_FORMED, BASE64URL, DUPLICATE = CheckId.DPOP_WELL_FORMED, CheckId.JOSE_BASE64URL, CheckId.JOSE_DUPLICATE_MEMBER
SIZE, SINGLE, REQUIRED = CheckId.JOSE_SIZE, CheckId.DPOP_SINGLE_HEADER, CheckId.DPOP_REQUIRED_CLAIMS
OF_REQUEST = {CheckId.DPOP_SCHEME, CheckId.DPOP_SINGLE_TOKEN_METHOD}


def look(sender: DpopSender, *proofs: str) -> Inspection:
    """Inspect these proofs as a server does that demands everything."""
    return inspect_dpop(
        sender.request(*proofs),
        now=sender.now,
        bound_jkt=sender.jkt,
        token_verified=True,
        nonces=("a-nonce",),
        replay=MemoryReplayStore(clock=sender.now.timestamp),
    )


def told(inspection: Inspection) -> str:
    """Return all that is kept of an inspection, after asserting that it is small and can be recorded."""
    shown = [each for check in inspection.checks for each in (check.expected, check.observed) if each is not None]
    assert all(0 < len(each) <= 512 and each.isprintable() for each in shown)
    kept = inspection.proof("tests").model_dump_json()
    assert len(kept) < 8000
    return kept


def raw(sender: DpopSender, header: bytes, claims: bytes) -> str:
    """Return a proof with a good signature over a header and claims that are given to the byte."""
    return sender.sign(header, claims)


def nested(depth: int) -> bytes:
    """Return a JSON object so deep."""
    return b'{"a":' * depth + b"1" + b"}" * depth


UNREADABLE: dict[str, tuple[Callable[[DpopSender], str], set[CheckId]]] = {
    "empty": (lambda _: "", {WELL_FORMED}),
    "a text": (lambda _: "proof", {WELL_FORMED}),
    "two parts": (lambda s: s.proof().rpartition(".")[0], {WELL_FORMED}),
    "four parts": (lambda s: s.proof() + ".x", {WELL_FORMED}),
    "five parts": (lambda s: s.proof() + ".x.y", {WELL_FORMED}),
    "a thousand parts": (lambda _: "." * 1000, {WELL_FORMED}),
    "dots": (lambda _: "..", {WELL_FORMED}),
    "two, merged by a proxy": (lambda s: f"{s.proof()}, {s.proof()}", {WELL_FORMED}),
    "two, merged without a space": (lambda s: f"{s.proof()},{s.proof()}", {WELL_FORMED}),
    "padded": (lambda s: s.proof() + "==", {WELL_FORMED, BASE64URL}),
    "with a space": (lambda s: s.proof().replace(".", " .", 1), {WELL_FORMED, BASE64URL}),
    "base64, not base64url": (lambda s: f"+{s.proof()[1:]}", {WELL_FORMED, BASE64URL}),
    "beyond ASCII": (lambda s: f"é{s.proof()[1:]}", {WELL_FORMED, BASE64URL}),
    "a surrogate": (lambda s: f"\udcff{s.proof()[1:]}", {WELL_FORMED, BASE64URL}),
    "a length that no text has": (lambda s: s.proof() + "AAA", {WELL_FORMED, BASE64URL}),
    "a header that is no JSON": (lambda s: raw(s, b"{typ", b"{}"), {WELL_FORMED}),
    "a header that is an array": (lambda s: raw(s, b"[]", b"{}"), {WELL_FORMED}),
    "claims that are a text": (lambda s: raw(s, b"{}", b'"x"'), {WELL_FORMED}),
    "claims that are no UTF-8": (lambda s: raw(s, b"{}", b'{"jti":"\xff"}'), {WELL_FORMED}),
    "claims with a BOM": (lambda s: raw(s, b"{}", b"\xef\xbb\xbf{}"), {WELL_FORMED}),
    "claims in UTF-16": (lambda s: raw(s, b"{}", '{"jti":"x"}'.encode("utf-16")), {WELL_FORMED}),
    "NaN": (lambda s: raw(s, b"{}", b'{"iat":NaN}'), {WELL_FORMED}),
    "an infinite number": (lambda s: raw(s, b"{}", b'{"iat":1e999}'), {WELL_FORMED}),
    "a number of 5,000 digits": (lambda s: raw(s, b"{}", b'{"iat":' + b"9" * 5000 + b"}"), {WELL_FORMED}),
    "nested too deep": (lambda s: raw(s, nested(MAX_DEPTH + 1), b"{}"), {WELL_FORMED}),
    "nested as deep as there is room": (lambda s: raw(s, b"[" * 3000, b"]" * 3000), {WELL_FORMED}),
    "a JWE": (lambda _: "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aXY.dGV4dA.dGFn", {WELL_FORMED}),
    "too long": (lambda s: s.proof(jti="j" * 9000), {SIZE}),
    "a megabyte": (lambda _: "A" * 1024 * 1024, {SIZE}),
    "a megabyte of dots": (lambda _: "." * 1024 * 1024, {SIZE}),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_fails_by_its_rule(what: str, sender: DpopSender) -> None:
    """Nothing but the rule that was broken fails; whatever needs the proof's content is not performed."""
    make, failed = UNREADABLE[what]
    seen = look(sender, make(sender))
    assert set(seen.failed) == failed
    passed = {check.id for check in seen.checks if check.outcome is CheckOutcome.PASS}
    assert passed <= OF_REQUEST | {SINGLE, SIZE, BASE64URL}
    assert (seen.result, seen.key, seen.proof_id) == (ProofResult.FAIL, None, None)
    assert seen.proof_digest
    told(seen)


def test_two_header_fields_fail_as_two(sender: DpopSender) -> None:
    """More than one field is refused as such, whatever stands in them; neither is looked at."""
    for number in (2, 3, 200):
        seen = look(sender, *[sender.proof(nonce="a-nonce")] * number)
        assert seen.failed == (SINGLE,)
        (check,) = [check for check in seen.checks if check.id is SINGLE]
        assert (check.expected, check.observed) == ("1", str(number))
        assert {each.outcome for each in seen.checks if each.id not in {SINGLE, *OF_REQUEST}} == {
            CheckOutcome.NOT_PERFORMED
        }


def twice(sender: DpopSender, header: str = "", claims: str = "") -> str:
    """Return a right proof whose header or claims begin with one more member."""
    parts = [json.dumps(each) for each in (sender.header(), sender.claims(nonce="a-nonce"))]
    return raw(sender, *(f"{{{more}{part[1:]}".encode() for more, part in zip((header, claims), parts, strict=True)))


@pytest.mark.parametrize(
    ("header", "claims", "unperformed"),
    [
        ('"typ":"JWT",', "", {"dpop.04_typ"}),
        ('"alg":"none",', "", {"dpop.05_alg", "dpop.06_signature", "jose.alg_key"}),
        ('"x":1,"x":1,', "", set[str]()),
        ("", '"jti":"other",', {"dpop.03_required_claims"}),
        ("", '"htm":"POST",', {"dpop.03_required_claims", "dpop.08_htm"}),
        ("", '"htu":"https://evil.example/",', {"dpop.03_required_claims", "dpop.09_htu"}),
        ("", '"iat":1,', {"dpop.03_required_claims", "dpop.11_time"}),
        ("", '"ath":"x",', {"dpop.12a_ath"}),
        ("", '"nonce":"a-nonce",', {"dpop.10_nonce", "dpop.16_nonce_downgrade"}),
        (
            '"jwk":{},',
            "",
            {
                "dpop.06_signature",
                "dpop.07_no_private_key",
                "dpop.12b_jkt",
                "jose.key",
                "jose.alg_key",
                "jose.rsa_bits",
            },
        ),
    ],
)
def test_a_member_that_stands_twice_is_neither(
    header: str, claims: str, unperformed: set[str], sender: DpopSender
) -> None:
    """Of two values neither is taken: one check fails, and those that need the member are not performed."""
    seen = look(sender, twice(sender, header, claims))
    assert seen.failed == (DUPLICATE,)
    open_ = {check.id.value for check in seen.checks if check.outcome is CheckOutcome.NOT_PERFORMED}
    assert open_ == unperformed | {"dpop.13_jti_replay"}


def test_a_key_with_a_member_twice_is_no_key(sender: DpopSender) -> None:
    """A repeated coordinate is left out, and a key without it is none."""
    jwk = json.dumps(sender.jwk)
    header = json.dumps(sender.header()).replace(jwk, f'{{"x":"{sender.jwk["x"]}",{jwk[1:]}')
    seen = look(sender, raw(sender, header.encode(), json.dumps(sender.claims(nonce="a-nonce")).encode()))
    assert set(seen.failed) == {DUPLICATE, CheckId.JOSE_KEY}


@pytest.mark.parametrize("member", ["typ", "alg", "jwk", "crit"])
@pytest.mark.parametrize("value", [None, True, 0, -1.5, "", "x" * 3000, "\x00\x1b[31m\u202e", "\ud800", [], [[]], {}])
def test_a_header_member_may_be_anything(member: str, value: object, sender: DpopSender) -> None:
    """Any JSON as any member of the header ends in a failure that shows none of it but its kind or its length."""
    seen = look(sender, sender.proof({member: value}, nonce="a-nonce"))
    assert seen.result is ProofResult.FAIL
    kept = told(seen)
    assert "x" * 20 not in kept
    assert "[31m" not in kept


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat", "ath", "nonce"])
@pytest.mark.parametrize("value", [None, True, "", "x" * 3000, "\x00\x1b[31m\u202e", "\ud800", [], {"a": [1]}])
def test_a_claim_may_be_anything(claim: str, value: object, sender: DpopSender) -> None:
    """The same of any claim; only a ``jti`` may be any short text."""
    seen = look(sender, sender.proof(**{"nonce": "a-nonce", claim: value}))
    short = isinstance(value, str) and len(value) < 256
    assert seen.result is (ProofResult.PASS if claim == "jti" and short else ProofResult.FAIL)
    kept = told(seen)
    assert "x" * 20 not in kept
    assert "[31m" not in kept


def test_a_megabyte_of_jti_is_not_hashed(sender: DpopSender) -> None:
    """A proof over the limit is not even read; within a limit that a host raised the ``jti`` has its own."""
    assert look(sender, sender.proof(jti="j" * 1024 * 1024)).failed == (SIZE,)
    policy = DpopPolicy(max_proof=10**7)
    request = sender.request(sender.proof(jti="j" * 1024 * 1024))
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, policy=policy)
    assert seen.failed == (SIZE,)
    (check,) = [check for check in seen.checks if check.id is SIZE]
    assert (check.expected, check.observed) == ("a jti of at most 256 characters", "1,048,576")


@pytest.mark.parametrize("where", ["typ", "alg", "htm", "htu", "jti", "ath", "nonce", "iat", "extra"])
def test_what_looks_like_a_secret_is_not_kept(where: str, sender: DpopSender, leaks: Callable[..., list[str]]) -> None:
    """A credential of usual length in any member is in no outcome; of ``htu`` its query is dropped."""
    secret = secrets.token_urlsafe(32)
    value = f"https://user:{secret}@api.example/?{secret}" if where == "htu" else secret
    of_header = where in {"typ", "alg"}
    proof = sender.proof({where: value}) if of_header else sender.proof(**{where: value})
    seen = look(sender, proof)
    assert leaks(secret, told(seen), repr(seen)) == []


def test_the_token_is_kept_nowhere(sender: DpopSender, leaks: Callable[..., list[str]]) -> None:
    """Neither the access token nor the proof stands in what is kept, or in the repr of what was read."""
    proof = sender.proof()
    seen = look(sender, proof)
    assert leaks(sender.token, told(seen), repr(seen)) == leaks(proof, told(seen), repr(seen)) == []


texts = st.text(st.characters() | st.sampled_from('\x00.,{}[]":=\ud800é'), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=8,
)
members = st.dictionaries(
    st.sampled_from(["typ", "alg", "jwk", "crit", "jti", "htm", "htu", "iat", "ath", "nonce", "kty", "x"]) | texts,
    values | st.sampled_from(["dpop+jwt", "ES256", "RS256", "none", "GET", "https://api.example/mail"]),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(header=members, claims=members, jwk=members, as_it_is=texts)
def test_nothing_raises(sender: DpopSender, header: Any, claims: Any, jwk: Any, as_it_is: str) -> None:
    """Whatever header and claims say, with a right proof around them or not: every check has an outcome."""
    within = sender.sign(sender.header(**header), sender.claims(**claims))
    for proof in (within, sender.sign(header | {"jwk": jwk}, claims), as_it_is):
        for scheme in ("DPoP", "Bearer"):
            request = sender.request(proof, authorization=f"{scheme} {sender.token}")
            seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, nonces=("a-nonce",))
            assert tuple(check.id for check in seen.checks) == DPOP_CHECKS
            told(seen)


@settings(deadline=None)
@given(
    headers=st.lists(st.tuples(st.sampled_from(["DPoP", "Authorization", "dpop", "X"]), texts), max_size=6), url=texts
)
def test_no_request_raises(sender: DpopSender, headers: list[tuple[str, str]], url: str) -> None:
    """The same of the request around the proof."""
    for request in (
        HttpRequest("GET", url, tuple(headers)),
        HttpRequest(url, sender.url + url, (*headers, ("DPoP", sender.proof()))),
    ):
        for bound_jkt in (None, sender.jkt):
            seen = inspect_dpop(request, now=sender.now, bound_jkt=bound_jkt, token_verified=True)
            assert tuple(check.id for check in seen.checks) == DPOP_CHECKS
            told(seen)

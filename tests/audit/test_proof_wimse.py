"""Workload identities and their proofs: the example of the drafts, and what breaks a good one."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from counterfoil.audit.capture import HttpRequest, capture_credentials
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.issuer_keys import IssuerKeys
from counterfoil.audit.proof.replay import MemoryReplayStore
from counterfoil.audit.proof.wimse import WIMSE_CHECKS, WimsePolicy, inspect_wimse
from counterfoil.schemas import CheckId, CheckOutcome, ConfigurationError, FingerprintKey, HtuSource, TokenClass

if TYPE_CHECKING:
    from conftest import CpuSeconds

FOLDER = Path(__file__).parents[1] / "vectors"
DRAFT: dict[str, Any] = json.loads((FOLDER / "specs.json").read_text("utf-8"))["wimse_draft"]
MORE: dict[str, Any] = json.loads((FOLDER / "wimse.json").read_text("utf-8"))
(
    WIT, WIT_SIGNATURE, WIT_TIME, WIT_KEY, WPT, WPT_SIGNATURE, AUD, TIME, WTH, ATH, OTHERS, REPLAY
) = WIMSE_CHECKS[:12]  # fmt: skip
KEY, ALG_KEY, RSA_BITS = CheckId.JOSE_KEY, CheckId.JOSE_ALG_KEY, CheckId.JOSE_RSA_BITS


def _failed_and_open(inspection: Inspection) -> tuple[list[CheckId], list[CheckId]]:
    """Return the ids that failed, and those that were not performed."""
    open_ids = [check.id for check in inspection.checks if check.outcome is CheckOutcome.NOT_PERFORMED]
    return [*inspection.failed], open_ids


def _published(**fields: str) -> HttpRequest:
    shown = {"Authorization": f"Bearer {DRAFT['access_token']}", "Workload-Identity-Token": DRAFT["wit"]}
    shown |= {"Workload-Proof-Token": DRAFT["wpt"]} | {name.replace("_", "-"): fields[name] for name in fields}
    return HttpRequest(MORE["method"], MORE["url"], tuple(shown.items()))


THEN = datetime.fromtimestamp(MORE["proof_expires_at"] - 60, UTC)
ISSUERS = {MORE["trust_domain"]: IssuerKeys.of_jwks({"keys": [MORE["issuer_jwk"]]})}


def test_the_example_of_the_drafts_passes() -> None:
    """At its clock, with the key that the draft prints, every check passes that concerns it."""
    inspection = inspect_wimse(_published(), now=THEN, issuer_keys=ISSUERS)
    assert (inspection.result, _failed_and_open(inspection)) == ("pass", ([], [REPLAY]))
    assert [check.id for check in inspection.checks if check.outcome == "not_applicable"] == [OTHERS, RSA_BITS]
    assert inspection.key == DRAFT["proof_key_jkt"]
    proof = inspection.proof("tests")
    assert (proof.mechanism, proof.result, proof.replay_scope) == ("wit_wpt", "pass", "none")


def test_without_the_issuers_key_it_is_no_pass() -> None:
    """The proof is good, and who the workload is was not verified: that is not performed, not passed."""
    inspection = inspect_wimse(_published(), now=THEN, issuer_keys=None)
    assert (inspection.result, _failed_and_open(inspection)) == ("not_performed", ([], [WIT_SIGNATURE, REPLAY]))
    assert inspection.outcome(WPT_SIGNATURE) == "pass"


def test_capture_and_inspection_agree_on_the_proof() -> None:
    """Key, digest and id are those that capture records of the unchecked request."""
    found = capture_credentials(_published(), FingerprintKey(secrets.token_bytes(32)))
    (captured,) = [each for each in found if each.token.token_class is TokenClass.WIT_WPT]
    inspection = inspect_wimse(_published(), now=THEN, issuer_keys=ISSUERS)
    assert (inspection.proof_digest, inspection.proof_id) == (captured.proof.proof_digest, captured.proof.proof_id)
    assert inspection.key == captured.binding.key_thumbprint


def test_the_example_fails_where_it_is_changed() -> None:
    """Another URI, access token, clock, or issuer each fail the check that is meant for it."""
    request = _published()
    cases: list[tuple[list[CheckId], Inspection]] = [
        (
            [AUD],
            inspect_wimse(replace(request, url="https://workload.example.com/other"), now=THEN, issuer_keys=ISSUERS),
        ),
        ([ATH], inspect_wimse(_published(Authorization="Bearer another"), now=THEN, issuer_keys=ISSUERS)),
        ([ATH], inspect_wimse(_published(Authorization=""), now=THEN, issuer_keys=ISSUERS)),
        ([TIME], inspect_wimse(request, now=THEN + timedelta(seconds=60), issuer_keys=ISSUERS)),
        ([WIT_TIME, TIME], inspect_wimse(request, now=THEN + timedelta(hours=1), issuer_keys=ISSUERS)),
        ([WIT_SIGNATURE], inspect_wimse(request, now=THEN, issuer_keys={})),
        ([WIT_SIGNATURE], inspect_wimse(request, now=THEN, issuer_keys={"example.org": ISSUERS["example.com"]})),
    ]
    for expected, inspection in cases:
        assert (inspection.failed, inspection.result) == (tuple(expected), "fail")


# A workload of our own.
ISSUER, OURS = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
NOW, URL = datetime(2026, 9, 1, tzinfo=UTC), "https://api.example/mail"
SECONDS = int(NOW.timestamp())
TRUST = {"trust.example": IssuerKeys.of_jwks({"keys": [ISSUER.as_dict(private=False) | {"kid": "1"}]})}
WORKLOAD = "spiffe://trust.example/mail-agent"


def _encoded(part: object) -> str:
    from counterfoil.schemas.values import b64url

    return b64url(part if isinstance(part, bytes) else json.dumps(part).encode())


def _without(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ...}


def _sign(header: dict[str, Any], claims: object, key: Any, alg: str) -> str:
    signing_input = f"{_encoded(_without(header))}.{_encoded(claims)}"
    return f"{signing_input}.{_encoded(JWSRegistry.algorithms[alg].sign(signing_input.encode(), key))}"


def _wit(header: dict[str, Any] | None = None, key: Any = ISSUER, *, jwk: object = None, **claims: Any) -> str:
    named = {"jwk": OURS.as_dict(private=False) | {"alg": "ES256"} if jwk is None else jwk}
    right = {"sub": WORKLOAD, "exp": SECONDS + 3600, "iat": SECONDS - 60, "cnf": named}
    return _sign(
        {"typ": "wit+jwt", "alg": "ES256", "kid": "1"} | (header or {}), _without(right | claims), key, "ES256"
    )


def _hash(token: str) -> str:
    return _encoded(hashlib.sha256(token.encode()).digest())


def _wpt(wit: str, header: dict[str, Any] | None = None, key: Any = OURS, alg: str = "ES256", **claims: Any) -> str:
    right = {"aud": URL, "exp": SECONDS + 60, "jti": secrets.token_urlsafe(16), "wth": _hash(wit)}
    return _sign({"typ": "wpt+jwt", "alg": alg} | (header or {}), _without(right | claims), key, alg)


def _request(*pairs: tuple[str, str], url: str = URL, **fields: str) -> HttpRequest:
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return HttpRequest("POST", url, (*pairs, *named))


def _pair(wit: str, wpt: str) -> tuple[tuple[str, str], ...]:
    return ("Workload-Identity-Token", wit), ("Workload-Proof-Token", wpt)


def _check(request: HttpRequest, **given: Any) -> Inspection:
    issuers = given.pop("issuer_keys", TRUST)
    return inspect_wimse(request, now=given.pop("now", NOW), issuer_keys=issuers, **given)


def _of_wit(wit: str, **given: Any) -> Inspection:
    return _check(_request(*_pair(wit, _wpt(wit))), **given)


def _of_wpt(header: dict[str, Any] | None = None, key: Any = OURS, alg: str = "ES256", **claims: Any) -> Inspection:
    wit = _wit()
    return _check(_request(*_pair(wit, _wpt(wit, header, key, alg, **claims))))


def test_a_workload_of_our_own_passes() -> None:
    """With a store every check passes that concerns it; what does not, an access token for one, is not applicable."""
    wit = _wit()
    request, store = _request(*_pair(wit, _wpt(wit))), MemoryReplayStore(clock=lambda: SECONDS)
    inspection = _check(request, replay=store, htu_source=HtuSource.CONFIGURED)
    assert (inspection.result, _failed_and_open(inspection)) == ("pass", ([], []))
    assert (inspection.replay_scope, inspection.htu_source) == ("key", "configured")
    again = _check(request, replay=store)
    assert (again.result, again.failed) == ("fail", (REPLAY,))


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (RSAKey.generate_key(2048), "PS256"),
        (ECKey.generate_key("P-256"), "ES256"),
        (ECKey.generate_key("P-384"), "ES384"),
        (OKPKey.generate_key("Ed25519"), "EdDSA"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_key_proves(key: Any, alg: str) -> None:
    """RSA, P-256, P-384 and Ed25519 workloads pass."""
    wit = _wit(jwk=key.as_dict(private=False) | {"alg": alg})
    inspection = _check(_request(*_pair(wit, _wpt(wit, key=key, alg=alg))))
    assert (inspection.result, inspection.failed) == ("pass", ())


def test_a_request_without_either_is_not_concerned() -> None:
    """What shows neither identity nor proof is not WIMSE's business."""
    inspection = _check(_request(authorization="Bearer x"))
    assert (inspection.result, inspection.mechanism) == ("not_applicable", "none")
    assert {check.outcome.value for check in inspection.checks} == {"not_applicable"}


@pytest.mark.parametrize(
    ("wits", "wpts", "failed"),
    [(1, 0, [WPT]), (0, 1, [WIT]), (2, 1, [WIT]), (1, 2, [WPT]), (2, 2, [WIT, WPT])],
)
def test_there_is_one_of_each(wits: int, wpts: int, failed: list[CheckId]) -> None:
    """An identity alone is no proof, a proof alone no identity, and two are a guess."""
    wit = _wit()
    identity, proof = _pair(wit, _wpt(wit))
    inspection = _check(_request(*[identity] * wits, *[proof] * wpts))
    assert inspection.failed == tuple(failed)
    assert inspection.outcome(WPT_SIGNATURE) == "not_performed"


@pytest.mark.parametrize(
    ("wit", "failed"),
    [
        (_wit({"typ": "JWT"}), [WIT]),
        (_wit({"typ": ...}), [WIT]),
        (_wit({"typ": "wpt+jwt"}), [WIT]),
        (_wit({"typ": "application/WIT+JWT"}), []),
        (_wit({"crit": ["x"]}), [WIT]),
        (_wit() + "=", [WIT]),
        (_wit() + "A", [WIT_SIGNATURE]),
        (_wit().replace(".", "..", 1), [WIT]),
        (_wit() + "." + "A" * 9000, [WIT]),
        (f"{_wit()}, {_wit()}", [WIT]),
        (_wit(sub=...), [WIT, WIT_SIGNATURE]),
        (_wit(sub="agent"), [WIT, WIT_SIGNATURE]),
        (_wit(sub="spiffe://Trust.Example/a"), [WIT, WIT_SIGNATURE]),
        (_wit(sub="spiffe://user@trust.example/a"), [WIT, WIT_SIGNATURE]),
        (_wit(sub="spiffe://trust.example/a?b"), [WIT, WIT_SIGNATURE]),
        (_wit(sub=WORKLOAD + "a" * 2048), [WIT, WIT_SIGNATURE]),
        (_wit(sub=[WORKLOAD]), [WIT, WIT_SIGNATURE]),
        (_wit(sub="spiffe://trust.example"), []),
        (_wit(sub="wimse://trust.example/a/b"), []),
        (_wit(sub="spiffe://other.example/a"), [WIT_SIGNATURE]),
        (_wit(key=ECKey.generate_key("P-256")), [WIT_SIGNATURE]),
        (_wit({"kid": "2"}), [WIT_SIGNATURE]),
        (_wit({"kid": 1}), [WIT_SIGNATURE]),
        (_wit({"kid": ...}), []),
        (_wit({"alg": "none"}), [WIT_SIGNATURE]),
        (_wit({"alg": "HS256"}), [WIT_SIGNATURE]),
        (_wit({"alg": "ES384"}), [WIT_SIGNATURE]),
        (_wit({"alg": ...}), [WIT_SIGNATURE]),
        (_wit(exp=SECONDS), [WIT_TIME]),
        (_wit(exp=SECONDS + 1), []),
        (_wit(exp=...), [WIT_TIME]),
        (_wit(exp="soon"), [WIT_TIME]),
        (_wit(exp=True), [WIT_TIME]),
        (_wit(exp=10**400), []),
        (_wit(exp=-(10**400)), [WIT_TIME]),
        (_wit(iat=...), []),
        (_wit(iat=SECONDS + 15), []),
        (_wit(iat=SECONDS + 16), [WIT_TIME]),
        (_wit(nbf=SECONDS + 16), [WIT_TIME]),
        (_wit(nbf="now"), [WIT_TIME]),
        (_wit(cnf=...), [WIT_KEY]),
        (_wit(cnf="text"), [WIT_KEY]),
        (_wit(cnf={"jkt": OURS.thumbprint()}), [WIT_KEY]),
        (_wit(jwk="text"), [WIT_KEY]),
        (_wit(jwk={}), [WIT_KEY, KEY]),
        (_wit(jwk={"kty": "oct", "k": "AAAA", "alg": "HS256"}), [WIT_KEY, KEY]),
    ],
)
def test_the_identity_is_checked(wit: str, failed: list[CheckId]) -> None:
    """Form, type, subject, issuer, algorithm, time and key of the identity, each by its own check."""
    inspection = _of_wit(wit)
    assert list(inspection.failed) == failed
    assert inspection.result == ("fail" if failed else "pass")


def test_the_key_of_the_identity_says_its_algorithm() -> None:
    """Without ``alg``, with one that is none of ours, or one for another key, nothing is proven with it."""
    public = OURS.as_dict(private=False)
    for jwk, failed in (
        (public, (WIT_KEY, WPT_SIGNATURE)),
        (public | {"alg": "none"}, (WIT_KEY, WPT_SIGNATURE)),
        (public | {"alg": "ES384"}, (WPT_SIGNATURE, ALG_KEY)),
        (public | {"alg": "ES256", "use": "enc"}, (WIT_KEY, KEY)),
        (public | {"alg": "ES256", "y": public["x"]}, (WIT_KEY, KEY)),
        (OURS.as_dict(private=True) | {"alg": "ES256"}, (WIT_KEY,)),
    ):
        assert _of_wit(_wit(jwk=jwk)).failed == failed
    wit = _wit(jwk={"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": _encoded(b"\xff" * 128)})
    assert _check(_request(*_pair(wit, _wpt(wit, {"alg": "RS256"})))).failed == (RSA_BITS,)


def test_two_keys_in_an_identity_are_ambiguous() -> None:
    """``cnf`` names one key (RFC 7800 §3)."""
    jwk = OURS.as_dict(private=False) | {"alg": "ES256"}
    assert _of_wit(_wit(cnf={"jwk": jwk, "jkt": ISSUER.thumbprint()})).failed == (CheckId.CNF_AMBIGUOUS,)


def test_the_key_comes_from_the_identity() -> None:
    """A proof by another key fails, even one that brings its key along as DPoP does."""
    thief = ECKey.generate_key("P-256")
    brought = {"jwk": thief.as_dict(private=False)}
    assert _of_wpt(key=thief).failed == _of_wpt(brought, thief).failed == (WPT_SIGNATURE,)
    assert _of_wpt(brought).result == "pass"


@pytest.mark.parametrize(
    ("inspection", "failed"),
    [
        (_of_wpt({"typ": "JWT"}), [WPT]),
        (_of_wpt({"typ": "dpop+jwt"}), [WPT]),
        (_of_wpt({"typ": "application/wpt+jwt"}), []),
        (_of_wpt(jti=...), [WPT]),
        (_of_wpt(jti=7), [WPT]),
        (_of_wpt(jti="a" * 257), [CheckId.JOSE_SIZE]),
        (_of_wpt({"crit": ["x"], "x": 1}), [CheckId.JOSE_CRIT]),
        (_of_wpt({"alg": "none"}), [WPT_SIGNATURE]),
        (_of_wpt({"alg": "HS256"}), [WPT_SIGNATURE]),
        (_of_wpt({"alg": "ES384"}), [WPT_SIGNATURE]),
        (_of_wpt(key=OKPKey.generate_key("Ed25519"), alg="EdDSA"), [WPT_SIGNATURE]),
        (_of_wpt(aud=...), [AUD]),
        (_of_wpt(aud=7), [AUD]),
        (_of_wpt(aud="https://api.example/mail/"), [AUD]),
        (_of_wpt(aud="http://api.example/mail"), [AUD]),
        (_of_wpt(aud="https://evil.example/mail"), [AUD]),
        (_of_wpt(aud="HTTPS://API.example:443/mail?x=1#f"), []),
        (_of_wpt(aud=["https://other.example", URL]), []),
        (_of_wpt(aud=[]), [AUD]),
        (_of_wpt(aud=["https://other.example", 7]), [AUD]),
        (_of_wpt(exp=...), [TIME]),
        (_of_wpt(exp=SECONDS), [TIME]),
        (_of_wpt(exp=SECONDS + 300), []),
        (_of_wpt(exp=SECONDS + 301), [TIME]),
        (_of_wpt(exp=10**400), [TIME]),
        (_of_wpt(exp="soon"), [TIME]),
        (_of_wpt(exp=True), [TIME]),
        (_of_wpt(wth=...), [WTH]),
        (_of_wpt(wth=_hash("other")), [WTH]),
        (_of_wpt(wth="\u00e9"), [WTH]),
        (_of_wpt(ath=_hash("gone")), [ATH]),
        (_of_wpt(tth=_hash("gone")), [OTHERS]),
        (_of_wpt(oth={}), []),
        (_of_wpt(oth={"x-token": _hash("gone")}), [OTHERS]),
        (_of_wpt(oth=[]), [OTHERS]),
        (_of_wpt(oth={f"x{n}": "" for n in range(17)}), [OTHERS]),
    ],
)
def test_the_proof_is_checked(inspection: Inspection, failed: list[CheckId]) -> None:
    """Form, type, algorithm, audience, time and hashes of the proof, each by its own check."""
    assert list(inspection.failed) == failed
    assert inspection.result == ("fail" if failed else "pass")


def test_a_critical_extension_leaves_the_signature_open() -> None:
    """What an extension that is not understood does to the signature is not known."""
    assert _of_wpt({"crit": ["x"], "x": 1}).outcome(WPT_SIGNATURE) == "not_performed"


def test_an_audience_of_the_deployment_is_accepted() -> None:
    """A name that the server goes by counts, whole and alone; a part of it does not."""
    wit = _wit()
    request = _request(*_pair(wit, _wpt(wit, aud="urn:mail")))
    assert _check(request, audience="urn:mail").result == "pass"
    assert _check(request, audience=["urn:other", "urn:mail"]).result == "pass"
    assert _check(request, audience="urn:mailbox").failed == (AUD,)


def test_every_token_that_came_along_has_to_be_named() -> None:
    """Access token, transaction token, and whatever ``oth`` names: each by its hash, none missing, none unknown."""
    wit, tokens = _wit(), {"authorization": "Bearer abc", "txn_token": "t.t.t", "x_context": "c c"}
    named: dict[str, Any] = {"ath": _hash("abc"), "tth": _hash("t.t.t"), "oth": {"x-context": _hash("c c")}}
    assert _check(_request(*_pair(wit, _wpt(wit, **named)), **tokens)).result == "pass"
    changes: list[tuple[dict[str, Any], CheckId]] = [
        ({"ath": ...}, ATH),
        ({"ath": _hash("other")}, ATH),
        ({"tth": ...}, OTHERS),
        ({"tth": _hash("other")}, OTHERS),
        ({"oth": {"x-context": _hash("other")}}, OTHERS),
        ({"oth": {"X-Context": _hash("c c")}}, OTHERS),
        ({"oth": {"x-context": 7}}, OTHERS),
        ({"oth": {"x-context": _hash("c c"), "x-unknown": _hash("")}}, OTHERS),
    ]
    for changed, failed in changes:
        assert _check(_request(*_pair(wit, _wpt(wit, **(named | changed))), **tokens)).failed == (failed,)
    twice = _request(*_pair(wit, _wpt(wit, **named)), ("X-Context", "c c"), **tokens)
    assert _check(twice).failed == (OTHERS,)


def test_an_access_token_may_stand_elsewhere() -> None:
    """The caller can say which token it is; of two in the usual places, neither is guessed."""
    wit = _wit()
    request = _request(*_pair(wit, _wpt(wit, ath=_hash("abc"))), x_token="abc")
    assert _check(request, access_token="abc").result == "pass"
    two = _request(*_pair(wit, _wpt(wit, ath=_hash("a"))), authorization="Bearer a", url=f"{URL}?access_token=b")
    assert (_check(two).outcome(ATH), _check(two).result) == ("not_performed", "not_performed")


def test_a_claim_that_stands_twice_is_refused_once() -> None:
    """Neither value is taken, and the checks that need it are left open instead of failing too."""
    wit = _wit()
    claims = json.dumps({"aud": URL, "exp": SECONDS + 60, "jti": "j", "wth": _hash(wit)})
    for name, check in (("aud", AUD), ("exp", TIME), ("wth", WTH), ("ath", ATH), ("tth", OTHERS), ("oth", OTHERS)):
        doubled = f'{{"{name}":1,"{name}":2,{claims[1:]}'.encode()
        inspection = _check(_request(*_pair(wit, _sign({"typ": "wpt+jwt", "alg": "ES256"}, doubled, OURS, "ES256"))))
        assert inspection.failed == (CheckId.JOSE_DUPLICATE_MEMBER,)
        assert inspection.outcome(check) == "not_performed"


def test_the_store_is_asked_last() -> None:
    """A proof that fails anything, or whose identity was not verified, uses nothing up; a full store is an error."""
    wit = _wit()
    request, store = _request(*_pair(wit, _wpt(wit))), MemoryReplayStore(clock=lambda: SECONDS)
    for spoiled in (replace(request, url="https://other.example/"), _request(*_pair(_wit({"kid": "2"}), _wpt(wit)))):
        assert _check(spoiled, replay=store).outcome(REPLAY) == "not_performed"
    assert _check(request, issuer_keys=None, replay=store).outcome(REPLAY) == "not_performed"
    assert len(store) == 0
    full = MemoryReplayStore(0, clock=lambda: SECONDS)
    assert (_check(request, replay=full).outcome(REPLAY), _check(request, replay=full).result) == ("error", "error")
    assert _check(request, replay=store).result == "pass"


@given(st.data())
def test_any_change_of_identity_or_proof_is_seen(data: st.DataObject) -> None:
    """Whatever character of either token is changed, put in or taken out, some check fails."""
    wit = _wit()
    tokens = [wit, _wpt(wit)]
    which = data.draw(st.integers(0, 1))
    start, end = sorted(data.draw(st.integers(0, len(tokens[which]))) for _ in range(2))
    before = tokens[which]
    tokens[which] = before[:start] + data.draw(st.text(st.characters(max_codepoint=255), max_size=2)) + before[end:]
    inspection = _check(_request(*_pair(tokens[0], tokens[1])))
    assert (inspection.result == "pass") is (tokens[which].strip(" \t\r\n") == before)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=20))
def test_nothing_that_is_sent_raises(wit: str, wpt: str, url: str) -> None:
    """Any text in these fields ends in an outcome, and the record of it stays small."""
    inspection = _check(_request(*_pair(wit, wpt), url=url))
    assert inspection.result == "fail"
    assert len(inspection.proof("tests").model_dump_json()) < 5_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["sub", "exp", "iat", "nbf", "cnf", "jwk"]), JSON), st.data())
def test_no_claim_that_is_sent_raises(claims: dict[str, Any], data: st.DataObject) -> None:
    """Claims of whatever type, properly signed, end in an outcome."""
    wit = _wit(**claims)
    names = st.sampled_from(["aud", "exp", "jti", "wth", "ath", "tth", "oth"])
    stated: dict[str, Any] = data.draw(st.dictionaries(names, JSON))
    wpt = _wpt(wit, **stated)
    assert _check(_request(*_pair(wit, wpt))).checks


def test_nothing_of_the_tokens_is_recorded(leaks: Any) -> None:
    """Neither tokens nor hashes nor ids are in the record, whether checks pass or fail."""
    secret = secrets.token_urlsafe(32)
    wit = _wit()
    wpt = _wpt(wit, jti=secret, ath=secret, tth=secret, oth={secret: secret}, aud=[secret], wth=secret, exp=secret)
    inspection = _check(_request(*_pair(wit, wpt), txn_token=secret))
    shown = inspection.proof("tests").model_dump_json() + repr(inspection)
    assert leaks(secret, shown) == []
    assert wit not in shown
    assert wpt.rpartition(".")[2] not in shown


def test_what_the_caller_got_wrong_is_told_to_the_caller() -> None:
    """A time without a zone, and limits that nothing could keep to."""
    with pytest.raises(ConfigurationError):
        _check(_request(), now=datetime(2026, 9, 1))  # noqa: DTZ001 -- that is the mistake
    with pytest.raises(ConfigurationError):
        WimsePolicy(algorithms=frozenset({"HS256"}))
    with pytest.raises(ConfigurationError):
        WimsePolicy(max_lifetime=timedelta())
    with pytest.raises(ConfigurationError):
        WimsePolicy(max_jti=0)


def test_a_policy_may_allow_fewer_algorithms() -> None:
    """An algorithm that is not allowed fails for identity and proof alike."""
    only = WimsePolicy(algorithms=frozenset({"EdDSA"}))
    wit = _wit()
    inspection = _check(_request(*_pair(wit, _wpt(wit))), policy=only)
    assert inspection.failed == (WIT_SIGNATURE, WIT_KEY, WPT_SIGNATURE)


@pytest.mark.parametrize("part", ["." * 100_000, "A" * 1_000_000, "A.B." + "C" * 8000, "[" * 8000])
def test_a_hostile_token_is_quick(part: str, cpu_seconds: CpuSeconds) -> None:
    """No token, however long or deep, takes longer than 50 ms."""
    deep = _encoded(b'{"a":' * 1000)
    nested = f"{deep}.{deep}.AA"
    for request in (_request(*_pair(part, part)), _request(*_pair(nested, nested))):
        assert cpu_seconds(lambda request=request: _check(request)) < 0.05

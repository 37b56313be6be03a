"""DPoP proofs: the RFC's own, every kind of key, and proofs that are wrong in one way each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.capture.proofs import dpop_proof
from counterfoil.audit.proof.dpop import DPOP_CHECKS, inspect_dpop
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.replay import MemoryReplayStore
from counterfoil.schemas import (
    BindingMethod,
    CheckId,
    CheckOutcome,
    HtuSource,
    ProofResult,
    ReplayScope,
    Sha256,
    Thumbprint,
)

if TYPE_CHECKING:
    from conftest import DpopSender

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "specs.json").read_text("utf-8"))
RFC9449 = VECTORS["rfc9449"]
JKT = Thumbprint(RFC9449["jkt"])


def rfc_request(method: str, url: str, proof: str, *more: tuple[str, str]) -> HttpRequest:
    """Return a request with one of the RFC's proofs."""
    return HttpRequest(method, url, (("DPoP", RFC9449[proof]), *more))


def at(seconds: float) -> datetime:
    """Return a moment in Unix time."""
    return datetime.fromtimestamp(seconds, UTC)


def others(inspection: Inspection) -> dict[str, str]:
    """Return the checks that did not pass."""
    return {
        check.id.value: check.outcome.value for check in inspection.checks if check.outcome is not CheckOutcome.PASS
    }


DAY = datetime(2026, 9, 1, tzinfo=UTC)
NO_NONCE = {"dpop.10_nonce": "not_applicable", "dpop.16_nonce_downgrade": "not_applicable"}
NO_TOKEN = {
    "dpop.12a_ath": "not_applicable",
    "dpop.14_scheme": "not_applicable",
    "dpop.15_single_token_method": "not_applicable",
}
NO_RSA = {"jose.rsa_bits": "not_applicable"}


def test_figure_13_passes() -> None:
    """The RFC's request to a resource passes every check; of the nonce it has none."""
    token = ("Authorization", f"DPoP {RFC9449['access_token']}")
    url = f"{RFC9449['fig13_claims']['htu']}?x=1"
    seen = inspect_dpop(
        rfc_request("GET", url, "fig13_proof_resource", token),
        now=at(RFC9449["fig13_claims"]["iat"]),
        bound_jkt=JKT,
        token_verified=True,
        replay=MemoryReplayStore(clock=lambda: RFC9449["fig13_claims"]["iat"]),
        htu_source=HtuSource.CONFIGURED,
    )
    assert others(seen) == {**NO_NONCE, **NO_RSA}
    assert tuple(check.id for check in seen.checks) == DPOP_CHECKS
    assert (seen.result, seen.mechanism, seen.key) == (ProofResult.PASS, BindingMethod.DPOP, JKT)
    assert (seen.replay_scope, seen.htu_source) == (ReplayScope.KEY, HtuSource.CONFIGURED)
    assert seen.proof_digest == Sha256.of(RFC9449["fig13_proof_resource"].encode())
    assert seen.proof_id == Sha256.of(f"{JKT}\x00{RFC9449['fig13_claims']['jti']}".encode())


@pytest.mark.parametrize(
    ("figure", "iat"),
    [("fig2_proof_token_request", RFC9449["fig2_claims"]["iat"]), ("fig7_proof_refresh", RFC9449["fig7_iat"])],
)
def test_figures_2_and_7_pass(figure: str, iat: int) -> None:
    """The RFC's requests to a token endpoint pass; without an access token four checks do not concern them."""
    request = rfc_request("POST", "https://server.example.com/token", figure)
    seen = inspect_dpop(request, now=at(iat), bound_jkt=JKT)
    assert others(seen) == {**NO_NONCE, **NO_TOKEN, **NO_RSA, "dpop.13_jti_replay": "not_performed"}
    assert (seen.result, seen.replay_scope) == (ProofResult.PASS, ReplayScope.NONE)


# What is wrong with a proof, and the checks that fail; whatever else did not pass had no input.
WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    "right": ({}, {}, set()),
    "typ JWT": ({"typ": "JWT"}, {}, {"dpop.04_typ"}),
    "typ in capitals": ({"typ": "DPoP+JWT"}, {}, {"dpop.04_typ"}),
    "no typ": ({"typ": ...}, {}, {"dpop.04_typ"}),
    "alg none": ({"alg": "none"}, {}, {"dpop.05_alg"}),
    "alg HS256": ({"alg": "HS256"}, {}, {"dpop.05_alg"}),
    "alg a number": ({"alg": 7}, {}, {"dpop.05_alg"}),
    "no alg": ({"alg": ...}, {}, {"dpop.05_alg"}),
    "no jwk": ({"jwk": ...}, {}, {"jose.key"}),
    "crit": ({"crit": ["x"], "x": 1}, {}, {"jose.crit"}),
    "crit of RFC 7797": ({"crit": ["b64"], "b64": True}, {}, {"jose.crit"}),
    "alg of another curve": ({"alg": "ES384"}, {}, {"jose.alg_key"}),
    "alg of another key type": ({"alg": "RS256"}, {}, {"jose.alg_key"}),
    "htm": ({}, {"htm": "POST"}, {"dpop.08_htm"}),
    "htm in small letters": ({}, {"htm": "get"}, {"dpop.08_htm"}),
    "htu path": ({}, {"htu": "https://api.example/mails"}, {"dpop.09_htu"}),
    "htu http": ({}, {"htu": "http://api.example/mail"}, {"dpop.09_htu"}),
    "htu relative": ({}, {"htu": "/mail"}, {"dpop.09_htu"}),
    "htu query": ({}, {"htu": "https://api.example/mail?x=1"}, set()),
    "htu port": ({}, {"htu": "https://api.example:443/mail"}, set()),
    "iat in an hour": ({}, {"iat": int(DAY.timestamp()) + 3600}, {"dpop.11_time"}),
    "iat an hour ago": ({}, {"iat": int(DAY.timestamp()) - 3600}, {"dpop.11_time"}),
    "no jti": ({}, {"jti": ...}, {"dpop.03_required_claims"}),
    "no htm": ({}, {"htm": ...}, {"dpop.03_required_claims"}),
    "htu a list": ({}, {"htu": ["https://api.example/mail"]}, {"dpop.03_required_claims"}),
    "no iat": ({}, {"iat": ...}, {"dpop.03_required_claims"}),
    "iat true": ({}, {"iat": True}, {"dpop.03_required_claims"}),
    "iat a text": ({}, {"iat": str(int(DAY.timestamp()))}, {"dpop.03_required_claims"}),
    "ath of another token": ({}, {"ath": RFC9449["ath"]}, {"dpop.12a_ath"}),
    "no ath": ({}, {"ath": ...}, {"dpop.12a_ath"}),
    "long jti": ({}, {"jti": "j" * 257}, {"jose.size"}),
    "more members": ({"kid": "1"}, {"exp": 0, "aud": "x"}, set()),
}


def test_an_extension_may_change_what_is_signed(sender: DpopSender) -> None:
    """Under an extension that is not understood nobody knows what the signature is over: it is not performed."""
    seen = inspect_dpop(sender.request(sender.proof({"crit": ["x"], "x": 1})), now=sender.now, bound_jkt=sender.jkt)
    assert (seen.failed, seen.outcome(CheckId.DPOP_SIGNATURE)) == ((CheckId.JOSE_CRIT,), CheckOutcome.NOT_PERFORMED)


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_fails_its_check(what: str, sender: DpopSender) -> None:
    """Each mistake fails the check that is meant, and no other."""
    header, claims, failed = WRONG[what]
    request = sender.request(sender.proof(header, **claims))
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, token_verified=True)
    assert set(seen.failed) == failed
    assert seen.result is (ProofResult.FAIL if failed else ProofResult.PASS)


def plain(sender: DpopSender, *headers: tuple[str, str], url: str = "") -> HttpRequest:
    """Return a request without a proof."""
    return HttpRequest("GET", url or sender.url, headers)


def test_a_bound_token_without_a_proof_fails(sender: DpopSender) -> None:
    """A proof that was due and is absent is a failure, not a gap: the server looked, and there is none."""
    seen = inspect_dpop(
        plain(sender, ("Authorization", f"DPoP {sender.token}")),
        now=sender.now,
        bound_jkt=sender.jkt,
        token_verified=True,
        nonces=("a-nonce",),
    )
    passed = {check.id.value for check in seen.checks if check.outcome is CheckOutcome.PASS}
    assert passed == {"dpop.01_single_header", "dpop.14_scheme", "dpop.15_single_token_method"}
    assert (seen.failed, seen.result) == ((CheckId.DPOP_WELL_FORMED,), ProofResult.FAIL)
    assert set(others(seen).values()) == {"fail", "not_performed"}
    assert (seen.proof_digest, seen.proof_id, seen.key) == (None, None, None)


def test_the_scheme_alone_asks_for_a_proof(sender: DpopSender) -> None:
    """A token under ``DPoP`` without a proof fails, though nobody said that it is bound."""
    seen = inspect_dpop(plain(sender, ("Authorization", f"dpop {sender.token}")), now=sender.now)
    assert (seen.failed, seen.result) == ((CheckId.DPOP_WELL_FORMED,), ProofResult.FAIL)


def test_a_stolen_bound_token_sent_as_bearer_fails(sender: DpopSender) -> None:
    """The downgrade fails by its scheme, and by the proof that is not there."""
    seen = inspect_dpop(
        plain(sender, ("Authorization", f"Bearer {sender.token}")), now=sender.now, bound_jkt=sender.jkt
    )
    assert seen.failed == (CheckId.DPOP_WELL_FORMED, CheckId.DPOP_SCHEME)
    (check,) = [check for check in seen.checks if check.id is CheckId.DPOP_SCHEME]
    assert (check.expected, check.observed) == ("DPoP", "Bearer")


@pytest.mark.parametrize("verified", [False, True])
def test_what_dpop_does_not_concern(verified: bool, sender: DpopSender) -> None:  # noqa: FBT001 -- a parameter
    """A bearer token that is not bound, or no token at all, with no proof: nothing applies, and nothing is claimed."""
    for headers in ((), (("Authorization", f"Bearer {sender.token}"),), (("Authorization", "DPoP"),)):
        seen = inspect_dpop(plain(sender, *headers), now=sender.now, token_verified=verified, nonces=("a-nonce",))
        assert {check.outcome for check in seen.checks} == {CheckOutcome.NOT_APPLICABLE}
        assert tuple(check.id for check in seen.checks) == DPOP_CHECKS
        assert (seen.result, seen.mechanism) == (ProofResult.NOT_APPLICABLE, BindingMethod.NONE)


def test_a_token_whose_binding_nobody_knows(sender: DpopSender) -> None:
    """Under ``DPoP`` with a good proof, but with no key to compare: not performed, as long as nobody verified it."""
    seen = inspect_dpop(sender.request(), now=sender.now)
    expected = {"dpop.12b_jkt": "not_performed", "dpop.13_jti_replay": "not_performed"}
    assert others(seen) == {**NO_NONCE, **NO_RSA, **expected}
    assert seen.result is ProofResult.NOT_PERFORMED


def test_a_token_that_is_bound_to_nothing_fails_under_dpop(sender: DpopSender) -> None:
    """Once verified, a token without ``cnf.jkt`` has no key that the proof's could be (RFC 9449 §7.1)."""
    seen = inspect_dpop(sender.request(), now=sender.now, token_verified=True)
    assert seen.failed == (CheckId.DPOP_JKT,)


def test_a_proof_beside_an_unbound_bearer_token(sender: DpopSender) -> None:
    """Nobody has to look at it, but who looks sees a good proof; neither scheme nor binding applies."""
    request = sender.request(authorization=f"Bearer {sender.token}")
    seen = inspect_dpop(request, now=sender.now, token_verified=True)
    assert others(seen) == {
        **NO_NONCE,
        **NO_RSA,
        "dpop.12b_jkt": "not_applicable",
        "dpop.13_jti_replay": "not_performed",
        "dpop.14_scheme": "not_applicable",
    }
    assert seen.result is ProofResult.PASS
    unknown = inspect_dpop(request, now=sender.now)
    assert unknown.outcome(CheckId.DPOP_SCHEME) is CheckOutcome.NOT_PERFORMED
    assert unknown.result is ProofResult.NOT_PERFORMED


@pytest.mark.parametrize("authorization", ["DPoP", "DPoP ", "Basic dXNlcjpwYXNz", "", " ", "DPoP,x"])
def test_what_is_no_access_token(authorization: str, sender: DpopSender) -> None:
    """Another scheme, or a scheme with nothing behind it, presents no access token: the proof stands for itself."""
    request = HttpRequest("GET", sender.url, (("Authorization", authorization), ("DPoP", sender.proof())))
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt)
    assert others(seen) == {**NO_NONCE, **NO_TOKEN, **NO_RSA, "dpop.13_jti_replay": "not_performed"}


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP", "DPoP  ", "DPoP\t"])
def test_the_scheme_in_any_spelling(scheme: str, sender: DpopSender) -> None:
    """The scheme has no case, and white space of any kind ends it: no server is to be told another story."""
    seen = inspect_dpop(sender.request(authorization=f"{scheme} {sender.token}"), now=sender.now, bound_jkt=sender.jkt)
    assert (seen.result, seen.outcome(CheckId.DPOP_ATH)) == (ProofResult.PASS, CheckOutcome.PASS)


def test_a_token_in_a_form(sender: DpopSender) -> None:
    """A bound token in a form is presented in a way that DPoP does not know (RFC 9449 §7.1)."""
    headers = (("Content-Type", "application/x-www-form-urlencoded"), ("DPoP", sender.proof(htm="POST")))
    request = HttpRequest("POST", sender.url, headers, f"access_token={sender.token}".encode())
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt)
    assert seen.failed == (CheckId.DPOP_SCHEME,)
    (check,) = [check for check in seen.checks if check.id is CheckId.DPOP_SCHEME]
    assert check.observed == "form"


def test_of_several_tokens_none_is_compared(sender: DpopSender) -> None:
    """Which of two the hash is of would be a guess: one check fails, the hash is not performed."""
    request = sender.request(url=f"{sender.url}?access_token=other")
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt)
    assert seen.failed == (CheckId.DPOP_SINGLE_TOKEN_METHOD,)
    assert seen.outcome(CheckId.DPOP_ATH) is CheckOutcome.NOT_PERFORMED


def test_a_query_in_htu_is_told_and_no_fault(sender: DpopSender) -> None:
    """The RFC tells servers to overlook it; the record says that it was there, and not what."""
    request = sender.request(sender.proof(htu=f"{sender.url}?secret=1"))
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt)
    (check,) = [check for check in seen.checks if check.id is CheckId.DPOP_HTU]
    assert (check.outcome, check.observed) == (CheckOutcome.PASS, f"{sender.url} with a query")


def test_an_inspection_goes_into_a_record(sender: DpopSender) -> None:
    """The part of a record lists every check, who made them, and the digests that join both sides of a use."""
    request = sender.request()
    proof = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt).proof("tests")
    (mark,) = [each for each in (dpop_proof(request),) if each]
    assert (proof.proof_digest, proof.proof_id) == (mark.digest, mark.proof_id)
    assert (proof.checked_by, len(proof.checks)) == ("tests", len(DPOP_CHECKS))

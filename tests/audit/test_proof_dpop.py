"""DPoP proofs: the RFC's own, every kind of key, and proofs that are wrong in one way each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.proof.dpop import DPOP_CHECKS, inspect_dpop
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.replay import MemoryReplayStore
from counterfoil.schemas import (
    BindingMethod,
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


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_fails_its_check(what: str, sender: DpopSender) -> None:
    """Each mistake fails the check that is meant, and no other."""
    header, claims, failed = WRONG[what]
    request = sender.request(sender.proof(header, **claims))
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, token_verified=True)
    assert set(seen.failed) == failed
    assert seen.result is (ProofResult.FAIL if failed else ProofResult.PASS)

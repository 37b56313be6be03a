"""A right request, and what becomes of it when one thing is changed: some check always notices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.capture.jose import decode_base64url
from counterfoil.audit.proof.dpop import inspect_dpop
from counterfoil.audit.proof.htu import normal_form
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.replay import MemoryReplayStore
from counterfoil.schemas import CheckId, CheckOutcome, ProofResult

if TYPE_CHECKING:
    from conftest import DpopSender

NONCE = "eyJ7S_zG.eyJH0-Z.HX4w-7v"
NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", min_size=1, max_size=20)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class Sent:
    """A request and the moment it arrives."""

    sender: DpopSender
    now: datetime
    proof: str
    method: str = "GET"
    url: str = "https://api.example/mail"
    authorization: str = ""
    more: tuple[tuple[str, str], ...] = field(default=())
    times: int = 1

    def inspect(self) -> Inspection:
        """Inspect it as a server does that demands everything, as often as it arrives; return the last."""
        headers = (("Authorization", self.authorization), ("DPoP", self.proof), *self.more)
        request = HttpRequest(self.method, self.url, headers)
        store = MemoryReplayStore(clock=self.now.timestamp)
        seen = [
            inspect_dpop(
                request,
                now=self.now,
                bound_jkt=self.sender.jkt,
                token_verified=True,
                nonces=("another", NONCE),
                replay=store,
            )
            for _ in range(self.times)
        ]
        return seen[-1]


def right(sender: DpopSender, header: dict[str, Any] | None = None, /, **claims: Any) -> Sent:
    """Return a right request, but for what is given."""
    proof = sender.proof(header, **{"nonce": NONCE, **claims})
    return Sent(sender, sender.now, proof, authorization=f"DPoP {sender.token}")


def test_what_is_right_passes(sender: DpopSender) -> None:
    """The request that all others are made of passes every check that concerns it."""
    seen = right(sender).inspect()
    assert seen.result is ProofResult.PASS
    assert {check.outcome for check in seen.checks if check.id is not CheckId.JOSE_RSA_BITS} == {CheckOutcome.PASS}


def noticed(sent: Sent) -> set[str]:
    """Return the checks that failed, after asserting that the whole did."""
    seen = sent.inspect()
    assert seen.result in {ProofResult.FAIL, ProofResult.ERROR}
    return {check.id.value for check in seen.checks if check.outcome in {CheckOutcome.FAIL, CheckOutcome.ERROR}}


@settings(deadline=None)
@given(data=st.data())
def test_any_changed_character_of_the_proof_is_noticed(sender: DpopSender, data: st.DataObject) -> None:
    """One character anywhere in the proof: the signature fails, or the proof cannot be read any more."""
    sent = right(sender)
    at = data.draw(st.integers(0, len(sent.proof) - 1))
    character = data.draw(NAMES.map(lambda text: text[0]) | st.characters())
    if character != sent.proof[at]:
        changed = f"{sent.proof[:at]}{character}{sent.proof[at + 1 :]}".strip()
        failed = noticed(replace(sent, proof=changed))
        assert failed & {"dpop.02_well_formed", "dpop.06_signature", "jose.key", "dpop.05_alg", "jose.alg_key"}


@settings(deadline=None)
@given(data=st.data())
def test_a_proof_that_lost_a_piece_is_noticed(sender: DpopSender, data: st.DataObject) -> None:
    """The same of a proof that was cut, anywhere and at any length."""
    sent = right(sender)
    start = data.draw(st.integers(0, len(sent.proof) - 1))
    end = data.draw(st.integers(start + 1, len(sent.proof)))
    assert noticed(replace(sent, proof=sent.proof[:start] + sent.proof[end:]))


@settings(deadline=None)
@given(method=st.sampled_from(["POST", "PUT", "get", "HEAD", "GET ", ""]) | NAMES)
def test_another_method_is_noticed(sender: DpopSender, method: str) -> None:
    """A proof is for one method, and methods are case-sensitive (RFC 9110 §9.1)."""
    if method != "GET":
        assert noticed(replace(right(sender), method=method)) == {"dpop.08_htm"}


@settings(deadline=None)
@given(url=st.tuples(st.sampled_from(["http", "https"]), NAMES, st.sampled_from(["", ":444"]), st.text(max_size=20)))
def test_another_uri_is_noticed(sender: DpopSender, url: tuple[str, str, str, str]) -> None:
    """Another scheme, host, port or path, by itself or together."""
    scheme, host, port, path = url
    right_one = right(sender)
    for each in (
        right_one.url.replace("https", "http"),
        right_one.url.replace("api.example", host),
        right_one.url.replace("example", f"example{port or ':1'}"),
        f"https://api.example/{path}",
        f"{scheme}://{host}{port}/{path}",
    ):
        bare = each.partition("#")[0].partition("?")[0]
        if normal_form(bare) != right_one.url:
            assert noticed(replace(right_one, url=each)) == {"dpop.09_htu"}


@settings(deadline=None)
@given(token=NAMES, scheme=st.sampled_from(["DPoP", "dpop"]))
def test_another_token_is_noticed(sender: DpopSender, token: str, scheme: str) -> None:
    """A proof goes with one token; the case of the scheme means nothing (RFC 9110 §11.1)."""
    assert noticed(replace(right(sender), authorization=f"{scheme} {token}")) == {"dpop.12a_ath"}
    same = replace(right(sender), authorization=f"{scheme}  {sender.token} ")
    assert same.inspect().result is ProofResult.PASS


def test_another_scheme_is_noticed(sender: DpopSender) -> None:
    """A bound token as ``Bearer``, or in the query: the downgrade is noticed, whatever else passes."""
    assert noticed(replace(right(sender), authorization=f"Bearer {sender.token}")) == {"dpop.14_scheme"}
    url = f"https://api.example/mail?access_token={sender.token}"
    assert noticed(replace(right(sender), authorization="", url=url)) == {"dpop.14_scheme"}


def test_a_second_credential_is_noticed(sender: DpopSender) -> None:
    """Two tokens, in any two places, and two proofs."""
    bearer = f"Bearer {sender.token}"
    twice = {"dpop.15_single_token_method"}
    assert noticed(replace(right(sender), more=(("Authorization", bearer),))) == twice
    assert noticed(replace(right(sender), url=f"https://api.example/mail?access_token={sender.token}")) == twice
    both = replace(right(sender), authorization=bearer, more=(("Authorization", f"DPoP {sender.token}"),))
    assert noticed(both) == twice
    assert twice <= noticed(replace(right(sender), authorization=f"DPoP {sender.token}, {bearer}"))
    assert noticed(replace(right(sender), more=(("DPoP", right(sender).proof),))) == {"dpop.01_single_header"}


OTHER_HEADER = st.fixed_dictionaries({}, optional={"typ": NAMES, "alg": NAMES | st.sampled_from(["none", "HS256"])})


@settings(deadline=None)
@given(header=OTHER_HEADER.filter(bool))
def test_another_header_is_noticed_though_it_is_signed(sender: DpopSender, header: dict[str, str]) -> None:
    """Of a proof that the key itself signed: another type or algorithm."""
    if header.items() - {("typ", "dpop+jwt"), ("alg", "ES256")}:
        failed = noticed(right(sender, header))
        assert failed & {"dpop.04_typ", "dpop.05_alg", "jose.alg_key"}


@settings(deadline=None)
@given(ahead=st.integers(16, 10**9) | st.integers(-(10**9), -61))
def test_another_time_is_noticed(sender: DpopSender, ahead: int) -> None:
    """Too old or too new: by the proof, or by the clock that it meets."""
    assert noticed(right(sender, iat=int(sender.now.timestamp()) + ahead)) == {"dpop.11_time"}
    assert noticed(replace(right(sender), now=sender.now - timedelta(seconds=ahead))) == {"dpop.11_time"}


@settings(deadline=None)
@given(text=NAMES)
def test_another_claim_is_noticed_though_it_is_signed(sender: DpopSender, text: str) -> None:
    """Of a proof that the key itself signed: each claim that names this request, this token or this server's nonce."""
    assert noticed(right(sender, htm=f"{text}!")) == {"dpop.08_htm"}
    assert noticed(right(sender, htu=f"https://api.example/{text}!")) == {"dpop.09_htu"}
    assert noticed(right(sender, ath=text)) == {"dpop.12a_ath"}
    assert noticed(right(sender, ath=sender.ath(f"{text}!"))) == {"dpop.12a_ath"}
    assert noticed(right(sender, nonce=f"{text}!")) == {"dpop.10_nonce"}


@pytest.mark.parametrize(
    ("claim", "failed"),
    [
        ("jti", {"dpop.03_required_claims"}),
        ("htm", {"dpop.03_required_claims"}),
        ("htu", {"dpop.03_required_claims"}),
        ("iat", {"dpop.03_required_claims"}),
        ("ath", {"dpop.12a_ath"}),
        ("nonce", {"dpop.10_nonce", "dpop.16_nonce_downgrade"}),
    ],
)
def test_a_missing_claim_is_noticed(claim: str, failed: set[str], sender: DpopSender) -> None:
    """Each claim that a proof has to have."""
    assert noticed(right(sender, **{claim: ...})) == failed


def test_another_key_is_noticed(sender: DpopSender, stranger: DpopSender) -> None:
    """Somebody with the token and a key of their own; or with the right key's name over their own signature."""
    assert noticed(replace(right(stranger), sender=sender)) == {"dpop.12b_jkt"}
    assert noticed(replace(right(stranger, {"jwk": sender.jwk}), sender=sender)) == {"dpop.06_signature"}
    assert noticed(right(sender, {"jwk": stranger.jwk})) == {"dpop.06_signature", "dpop.12b_jkt"}


def test_a_second_use_is_noticed(sender: DpopSender) -> None:
    """The same bytes again; and the other signature that ECDSA has for the same proof, which needs no key to make."""
    sent = right(sender)
    assert noticed(replace(sent, times=2)) == {"dpop.13_jti_replay"}
    signing_input, _, signature = sent.proof.rpartition(".")
    raw = decode_base64url(signature) or b""
    mirrored = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    other = f"{signing_input}.{sender.encoded(mirrored)}"
    store = MemoryReplayStore(clock=sender.now.timestamp)
    results = [
        inspect_dpop(
            sender.request(proof),
            now=sender.now,
            bound_jkt=sender.jkt,
            token_verified=True,
            nonces=(NONCE,),
            replay=store,
        )
        for proof in (sent.proof, other)
    ]
    assert [each.failed for each in results] == [(), (CheckId.DPOP_JTI_REPLAY,)]
    assert results[0].proof_digest != results[1].proof_digest


@settings(deadline=None)
@given(query=NAMES, name=NAMES, value=NAMES)
def test_what_a_proof_does_not_cover(sender: DpopSender, query: str, name: str, value: str) -> None:
    """Query, other headers and the body are not signed (RFC 9449 §4.2, §11.7): a pass says nothing of them."""
    sent = right(sender)
    changed = replace(sent, url=f"{sent.url}?{query}", more=((f"X-{name}", value),))
    assert changed.inspect().result is ProofResult.PASS


@settings(deadline=None)
@given(claims=st.fixed_dictionaries({}, optional={"htm": NAMES, "iat": st.integers(), "nonce": NAMES}))
def test_inspecting_changes_nothing(sender: DpopSender, claims: dict[str, Any]) -> None:
    """The same request at the same moment gives the same answer, as often as it is asked."""
    request = sender.request(sender.proof(**claims))
    before = (request.method, request.url, request.headers)
    seen = [inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, nonces=(NONCE,)) for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    assert (request.method, request.url, request.headers) == before

"""The key in a proof: every kind that can sign, and every way in which it can be wrong."""

from __future__ import annotations

import builtins
import hmac
import json
import secrets
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from joserfc.jwk import ECKey, OKPKey, RSAKey

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.capture.jose import decode_base64url
from counterfoil.audit.proof.dpop import inspect_dpop
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.keys import ALGORITHMS
from counterfoil.audit.proof.policy import DpopPolicy
from counterfoil.schemas import CheckId, CheckOutcome, MissingExtra, ProofResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import DpopSender

KEY, ALG_KEY, RSA_BITS = CheckId.JOSE_KEY, CheckId.JOSE_ALG_KEY, CheckId.JOSE_RSA_BITS
SIGNATURE, PRIVATE = CheckId.DPOP_SIGNATURE, CheckId.DPOP_NO_PRIVATE_KEY


@cache
def a_key(kind: str) -> Any:
    """Return a private key: RSA of so many bits, or of this curve."""
    if kind.isdecimal():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joserfc warns of short keys
            return RSAKey.import_key(rsa.generate_private_key(65537, int(kind)))
    return OKPKey.generate_key(kind) if kind.startswith("Ed") else ECKey.generate_key(kind)  # type: ignore[arg-type]


def look(sender: DpopSender, header: dict[str, Any] | None = None) -> Inspection:
    """Inspect a proof that is right but for its header."""
    request = sender.request(sender.proof(header))
    return inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, token_verified=True)


def shown(inspection: Inspection, check_id: CheckId) -> tuple[str | None, str | None]:
    """Return what a check expected and found."""
    (check,) = [check for check in inspection.checks if check.id is check_id]
    return check.expected, check.observed


GOOD = [
    *((alg, "2048") for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ("RS256", "3072"),
    ("ES256", "P-256"),
    ("ES384", "P-384"),
    ("ES512", "P-521"),
    ("ES256K", "secp256k1"),
    ("EdDSA", "Ed25519"),
    ("Ed25519", "Ed25519"),
    ("EdDSA", "Ed448"),
    ("Ed448", "Ed448"),
]


@pytest.mark.parametrize(("alg", "kind"), GOOD)
def test_proofs_of_another_library_pass(alg: str, kind: str, make_sender: type[DpopSender]) -> None:
    """Signed by joserfc, with each algorithm and kind of key: the proof passes, under the thumbprint joserfc gives."""
    sender = make_sender(a_key(kind), alg)
    seen = look(sender)
    assert (seen.failed, seen.result, seen.key) == ((), ProofResult.PASS, sender.jkt)
    assert seen.outcome(RSA_BITS).value == ("pass" if kind.isdecimal() else "not_applicable")


def test_every_algorithm_is_tried() -> None:
    """The list above has each algorithm that a policy can allow."""
    assert {alg for alg, _ in GOOD} == set(ALGORITHMS)


@pytest.mark.parametrize(("alg", "kind"), GOOD)
def test_another_signature_fails(alg: str, kind: str, make_sender: type[DpopSender]) -> None:
    """One that was made over other claims, one cut short, one too long, and none: all fail ``06`` alone."""
    sender = make_sender(a_key(kind), alg)
    signing_input, _, signature = sender.proof().rpartition(".")
    good, other = (decode_base64url(each) or b"" for each in (signature, sender.proof().rpartition(".")[2]))
    half = len(good) // 2
    longer_s = good[:half] + b"\0" + good[half:]  # the same two numbers, if a reader splits after the first half
    for each in (other, good[:-1], good[1:], good + b"\0", longer_s, bytes(len(good)), b""):
        proof = f"{signing_input}.{sender.encoded(each)}"
        assert inspect_dpop(sender.request(proof), now=sender.now, bound_jkt=sender.jkt).failed == (SIGNATURE,)


def test_a_signature_without_its_leading_zero_fails(make_sender: type[DpopSender]) -> None:
    """An RSA signature is as long as the modulus (RFC 8017 §8.1.2). OpenSSL alone takes a shorter one with PSS."""
    sender = make_sender(a_key("2048"), "PS256")
    while True:
        signing_input, _, signature = sender.proof().rpartition(".")
        raw = decode_base64url(signature) or b""
        if raw[0] == 0:
            break
    for each, failed in ((raw, ()), (raw[1:], (SIGNATURE,))):
        proof = f"{signing_input}.{sender.encoded(each)}"
        assert inspect_dpop(sender.request(proof), now=sender.now, bound_jkt=sender.jkt).failed == failed


def test_a_der_signature_is_none(sender: DpopSender) -> None:
    """A JWS has R and S of an ECDSA signature at full length; the form that libraries give fails (RFC 7518 §3.4)."""
    signing_input = sender.proof().rpartition(".")[0]
    der = sender.key.private_key.sign(signing_input.encode(), ECDSA(hashes.SHA256()))
    seen = inspect_dpop(sender.request(f"{signing_input}.{sender.encoded(der)}"), now=sender.now, bound_jkt=sender.jkt)
    assert seen.failed == (SIGNATURE,)


def _changed(**changed: Any) -> Callable[[DpopSender], Any]:
    """Return what makes the sender's public key with some members changed, or left out by ``...``."""
    return lambda sender: {k: v for k, v in (sender.jwk | changed).items() if v is not ...}


NO_KEY: dict[str, Callable[[DpopSender], Any]] = {
    "a text": lambda sender: sender.jkt,
    "an array": lambda sender: [sender.jwk],
    "null": lambda _: None,
    "empty": lambda _: {},
    "without y": _changed(y=...),
    "y a number": _changed(y=7),
    "kty an array": _changed(kty=["EC"]),
    "kty in small letters": _changed(kty="ec"),
    "crv unknown": _changed(crv="P-255"),
    "crv of another length": _changed(crv="P-384"),
    "padded": lambda sender: sender.jwk | {"x": sender.jwk["x"] + "="},
    "with a leading zero": lambda sender: sender.jwk | {"x": sender.encoded(b"\0" + secrets.token_bytes(32))},
    "not on the curve": lambda sender: sender.jwk | {"y": sender.jwk["x"]},
    "the point at infinity": lambda sender: sender.jwk | dict.fromkeys(("x", "y"), sender.encoded(bytes(32))),
    "a coordinate beyond the field": lambda sender: sender.jwk | {"x": sender.encoded(b"\xff" * 32)},
    "for encryption": _changed(use="enc"),
    "for signing only": _changed(key_ops=["sign"]),
    "key_ops a text": _changed(key_ops="verify"),
    "RSA with a leading zero": lambda sender: {"kty": "RSA", "e": "AQAB", "n": sender.encoded(b"\0" + b"\xff" * 256)},
    "RSA without n": lambda _: {"kty": "RSA", "e": "AQAB"},
    "RSA with e 1": lambda sender: {"kty": "RSA", "e": "AQ", "n": sender.encoded(b"\xff" * 256)},
    "RSA with an even e": lambda sender: {"kty": "RSA", "e": "BA", "n": sender.encoded(b"\xff" * 256)},
    "RSA with a long e": lambda sender: {
        "kty": "RSA",
        "e": sender.encoded(b"\x7f" * 256),
        "n": sender.encoded(b"\xff" * 256),
    },
}


@pytest.mark.parametrize("what", NO_KEY)
def test_what_is_no_public_key_fails(what: str, sender: DpopSender) -> None:
    """A key in another spelling, for another purpose, or none at all fails ``jose.key``, and verifies nothing."""
    seen = look(sender, {"jwk": NO_KEY[what](sender), "alg": "RS256" if what.startswith("RSA") else "ES256"})
    assert seen.failed == (KEY,)
    assert seen.outcome(SIGNATURE) is CheckOutcome.NOT_PERFORMED
    assert (seen.key, seen.proof_id) == (None, None)


def test_the_use_of_a_key_may_be_stated(sender: DpopSender) -> None:
    """``use``, ``key_ops`` and ``alg`` of the JWK are no fault where they fit."""
    seen = look(sender, {"jwk": {**sender.jwk, "use": "sig", "key_ops": ["verify"], "alg": "ES256", "kid": "1"}})
    assert (seen.failed, seen.result, seen.key) == ((), ProofResult.PASS, sender.jkt)


@pytest.mark.parametrize(
    ("kind", "alg", "expected"),
    [
        ("P-256", "ES384", "P-384"),
        ("P-256", "ES256K", "secp256k1"),
        ("P-256", "PS256", "RSA"),
        ("P-256", "EdDSA", "Ed25519 or Ed448"),
        ("P-521", "ES256", "P-256"),
        ("Ed25519", "Ed448", "Ed448"),
        ("Ed25519", "ES256", "P-256"),
        ("2048", "ES256", "P-256"),
    ],
)
def test_an_algorithm_for_another_key_fails(kind: str, alg: str, expected: str, make_sender: type[DpopSender]) -> None:
    """The algorithm has to be one for this type and curve; otherwise the signature is not even tried."""
    sender = make_sender(a_key(kind), {"P-256": "ES256", "P-521": "ES512", "Ed25519": "EdDSA"}.get(kind, "RS256"))
    seen = look(sender, {"alg": alg})
    assert seen.failed == (ALG_KEY,)
    assert seen.outcome(SIGNATURE) is CheckOutcome.NOT_PERFORMED
    assert shown(seen, ALG_KEY) == (expected, "RSA" if kind.isdecimal() else kind)


def test_the_algorithm_that_the_key_states_holds(sender: DpopSender) -> None:
    """A JWK that is for another algorithm says so (RFC 7517 §4.4)."""
    seen = look(sender, {"jwk": sender.jwk | {"alg": "ES512"}})
    assert seen.failed == (ALG_KEY,)
    assert shown(seen, ALG_KEY) == ("alg ES512", "alg ES256")


def test_a_key_that_cannot_sign_fits_no_algorithm(sender: DpopSender) -> None:
    """X25519 is for agreement: a public key in good form, and for no signature."""
    jwk = {"kty": "OKP", "crv": "X25519", "x": sender.encoded(secrets.token_bytes(32))}
    seen = look(sender, {"jwk": jwk, "alg": "EdDSA"})
    assert set(seen.failed) == {ALG_KEY, CheckId.DPOP_JKT}


def test_a_short_rsa_key_fails(make_sender: type[DpopSender]) -> None:
    """RSA of 1024 bits fails its length alone; a good signature with it shows nothing, and is not tried."""
    seen = look(make_sender(a_key("1024"), "RS256"))
    assert seen.failed == (RSA_BITS,)
    assert shown(seen, RSA_BITS) == ("2048 to 8192", "1024")
    assert seen.outcome(SIGNATURE) is CheckOutcome.NOT_PERFORMED


@pytest.mark.parametrize("bits", [8200, 16_384])
def test_a_long_rsa_key_is_not_tried(bits: int, sender: DpopSender) -> None:
    """A modulus beyond 8192 bits would cost the server more than the client: it is refused by its length."""
    jwk = {"kty": "RSA", "e": "AQAB", "n": sender.encoded(b"\xff" * (bits // 8))}
    seen = look(sender, {"jwk": jwk, "alg": "RS256"})
    assert set(seen.failed) == {RSA_BITS, CheckId.DPOP_JKT}
    assert seen.outcome(SIGNATURE) is CheckOutcome.NOT_PERFORMED


PRIVATE_KEYS = ("2048", "P-256", "P-521", "Ed25519", "Ed448")


@pytest.mark.parametrize("kind", PRIVATE_KEYS)
def test_a_private_key_fails_and_is_shown_nowhere(
    kind: str, make_sender: type[DpopSender], leaks: Callable[..., list[str]]
) -> None:
    """A proof that shows its private key fails ``07`` alone; names of members are kept, their values nowhere."""
    algs = {"2048": "PS256", "P-256": "ES256", "P-521": "ES512", "Ed25519": "Ed25519", "Ed448": "Ed448"}
    sender = make_sender(a_key(kind), algs[kind])
    jwk = a_key(kind).as_dict(private=True)
    seen = look(sender, {"jwk": jwk})
    assert seen.failed == (PRIVATE,)
    private = [name for name in ("d", "p", "q", "dp", "dq", "qi") if name in jwk]
    assert shown(seen, PRIVATE) == (None, ", ".join(private))
    kept = [repr(seen), repr(seen.proof("tests")), seen.proof("tests").model_dump_json()]
    assert [leak for name in private for leak in leaks(jwk[name], *kept)] == []


def test_a_symmetric_key_is_no_public_key(sender: DpopSender) -> None:
    """A secret sent as the key fails as private, and is no key to verify with, whatever ``alg`` says."""
    secret = {"kty": "oct", "k": secrets.token_urlsafe(32)}
    seen = look(sender, {"jwk": secret, "alg": "HS256"})
    assert set(seen.failed) == {PRIVATE, KEY, CheckId.DPOP_ALG}
    assert secret["k"] not in seen.proof("tests").model_dump_json()


def test_a_mac_keyed_with_the_public_key_fails(sender: DpopSender) -> None:
    """Whoever knows the public key can make a MAC with it: no MAC is a signature."""
    for material in (json.dumps(sender.jwk).encode(), sender.key.as_pem(private=False)):
        signing_input = f"{sender.encoded(sender.header(alg='HS256'))}.{sender.encoded(sender.claims())}"
        mac = hmac.digest(material, signing_input.encode(), "sha256")
        proof = f"{signing_input}.{sender.encoded(mac)}"
        seen = inspect_dpop(sender.request(proof), now=sender.now, bound_jkt=sender.jkt)
        assert seen.failed == (CheckId.DPOP_ALG,)
        assert seen.outcome(SIGNATURE) is CheckOutcome.NOT_PERFORMED


def test_a_policy_narrows_the_algorithms(sender: DpopSender) -> None:
    """An algorithm that the policy leaves out fails ``05``, with the ones it allows; the signature is checked still."""
    policy = DpopPolicy(algorithms=frozenset({"PS256", "Ed25519"}))
    seen = inspect_dpop(sender.request(), now=sender.now, bound_jkt=sender.jkt, policy=policy)
    assert seen.failed == (CheckId.DPOP_ALG,)
    assert shown(seen, CheckId.DPOP_ALG) == ("Ed25519 PS256", "ES256")
    assert seen.outcome(SIGNATURE) is CheckOutcome.PASS


def test_a_library_without_the_curve_is_an_error(sender: DpopSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``cryptography`` lacks something nothing is known of the key: ``error``, and no pass."""

    def refuse(*_: object) -> None:
        raise UnsupportedAlgorithm("not here")

    monkeypatch.setattr("counterfoil.audit.proof.signatures.import_key", refuse)
    seen = look(sender)
    assert (seen.outcome(KEY), seen.result, seen.failed) == (CheckOutcome.ERROR, ProofResult.ERROR, ())


def test_a_signature_that_cannot_be_checked_is_an_error(sender: DpopSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of the signature."""

    def refuse(*_: object) -> None:
        raise UnsupportedAlgorithm("not here")

    monkeypatch.setattr("counterfoil.audit.proof.signatures.verifies", refuse)
    seen = look(sender)
    assert (seen.outcome(SIGNATURE), seen.result) == (CheckOutcome.ERROR, ProofResult.ERROR)


def test_the_missing_extra_is_named(sender: DpopSender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``cryptography`` an inspection says what to install; what DPoP does not concern needs nothing."""
    real = builtins.__import__

    def no_cryptography(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest)

    request = sender.request()
    monkeypatch.delitem(sys.modules, "counterfoil.audit.proof.signatures")
    monkeypatch.setattr(builtins, "__import__", no_cryptography)
    with pytest.raises(MissingExtra) as raised:
        inspect_dpop(request, now=sender.now)
    assert raised.value.advice == "pip install 'counterfoil[jose]'"
    bearer = HttpRequest("GET", sender.url, (("Authorization", "Bearer token"),))
    assert inspect_dpop(bearer, now=sender.now).result is ProofResult.NOT_APPLICABLE

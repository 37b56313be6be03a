"""Which algorithms a key is for (RFC 9421 §3.3), and which keys are none."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey

from counterfoil.audit.capture.jose import jwk_thumbprint
from counterfoil.audit.proof.message_key import ALGORITHMS, message_key
from counterfoil.schemas import ConfigurationError

RSA = rsa.generate_private_key(65537, 2048)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
SECRET = secrets.token_bytes(32)
BASE = b'"@signature-params": ()'


def _raw(der: bytes, size: int) -> bytes:
    r, s = decode_dss_signature(der)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


PSS = padding.PSS(padding.MGF1(hashes.SHA512()), 64)
SIGNED: dict[str, tuple[Any, bytes]] = {
    "rsa-pss-sha512": (RSA.public_key(), RSA.sign(BASE, PSS, hashes.SHA512())),
    "rsa-v1_5-sha256": (RSA.public_key(), RSA.sign(BASE, padding.PKCS1v15(), hashes.SHA256())),
    "ecdsa-p256-sha256": (P256.public_key(), _raw(P256.sign(BASE, ec.ECDSA(hashes.SHA256())), 32)),
    "ecdsa-p384-sha384": (P384.public_key(), _raw(P384.sign(BASE, ec.ECDSA(hashes.SHA384())), 48)),
    "ed25519": (ED25519.public_key(), ED25519.sign(BASE)),
}


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS - {"hmac-sha256"}))
def test_each_algorithm_verifies_its_own_format(algorithm: str) -> None:
    """PSS with a salt of 64 bytes, PKCS #1 v1.5, ECDSA as r‖s, Ed25519: and nothing changed, and no DER."""
    public, signature = SIGNED[algorithm]
    key = message_key(public)
    assert algorithm in key.algorithms(None)
    assert key.algorithms(algorithm) == (algorithm,)
    assert key.verifies(algorithm, BASE, signature)
    for wrong in (signature[:-1], signature + b"\0", bytes([signature[0] ^ 1]) + signature[1:], b""):
        assert not key.verifies(algorithm, BASE, wrong)
    assert not key.verifies(algorithm, BASE + b" ", signature)


def test_pss_needs_the_salt_of_the_rfc() -> None:
    """A salt of another length is another format (§3.3.1); so is ECDSA in DER (§3.3.4)."""
    short = RSA.sign(BASE, padding.PSS(padding.MGF1(hashes.SHA512()), 32), hashes.SHA512())
    assert not message_key(RSA.public_key()).verifies("rsa-pss-sha512", BASE, short)
    der = P256.sign(BASE, ec.ECDSA(hashes.SHA256()))
    assert not message_key(P256.public_key()).verifies("ecdsa-p256-sha256", BASE, der)


def test_a_shared_secret_is_for_hmac_alone() -> None:
    """A public key is never taken for a secret, nor the other way round."""
    key = message_key(SECRET)
    assert (key.is_shared, key.thumbprint, key.algorithms(None)) == (True, None, ("hmac-sha256",))
    assert key.algorithms("ed25519") == ()
    assert all(not message_key(public).algorithms("hmac-sha256") for public, _ in SIGNED.values())
    assert SECRET.hex() not in repr(key)
    encoded = urlsafe_b64encode(SECRET).rstrip(b"=").decode()
    assert message_key({"kty": "oct", "k": encoded}) == key


@pytest.mark.parametrize(
    ("alg", "usable"),
    [
        (None, ("rsa-pss-sha512", "rsa-v1_5-sha256")),
        ("PS512", ("rsa-pss-sha512",)),
        ("RS256", ("rsa-v1_5-sha256",)),
        ("PS256", ()),
        ("none", ()),
    ],
)
def test_a_jwk_may_name_its_algorithm(alg: str | None, usable: tuple[str, ...]) -> None:
    """An RSA key without ``alg`` is for two algorithms; the signature then has to say which (§3.2 item 6)."""
    jwk = RSAKey.import_key(RSA.public_key()).as_dict(private=False) | ({"alg": alg} if alg else {})
    assert message_key(jwk).algorithms(None) == usable
    assert message_key(jwk).algorithms("rsa-pss-sha512") == tuple(each for each in usable if "pss" in each)


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_ed25519_has_two_names(alg: str) -> None:
    """RFC 9864 renamed what RFC 8037 calls EdDSA."""
    jwk = OKPKey.import_key(ED25519.public_key()).as_dict(private=False) | {"alg": alg}
    assert message_key(jwk).algorithms("ed25519") == ("ed25519",)


def test_a_key_is_the_same_however_it_is_given() -> None:
    """A JWK, a key of cryptography, and one that was read already have one thumbprint."""
    for key in (RSA, P256, P384, ED25519):
        read = message_key(key.public_key())
        given: Any = {RSA: RSAKey, P256: ECKey, P384: ECKey, ED25519: OKPKey}[key]
        jwk = given.import_key(key.public_key()).as_dict(private=False)
        assert read.thumbprint == message_key(jwk).thumbprint == jwk_thumbprint(jwk)
        assert message_key(read) is read


@pytest.mark.parametrize(
    "given",
    [
        b"",
        {},
        {"kty": "oct"},
        {"kty": "oct", "k": "?"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        OKPKey.import_key(ED25519.public_key()).as_dict(private=False) | {"use": "enc"},
        rsa.generate_private_key(65537, 1024).public_key(),
        RSAKey.import_key(RSA.public_key()).as_dict(private=False) | {"n": "_" * 2000},
        ec.generate_private_key(ec.BrainpoolP256R1()).public_key(),
        dsa.generate_private_key(1024).public_key(),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_is_no_key_is_refused(given: Any) -> None:
    """No point of its curve, too short, too long, for encryption, or no kind of signature that is known here."""
    with pytest.raises(ConfigurationError):
        message_key(given)


def test_a_curve_without_an_algorithm_fits_nothing() -> None:
    """RFC 9421 registers none for P-521."""
    assert message_key(ec.generate_private_key(ec.SECP521R1()).public_key()).algorithms(None) == ()

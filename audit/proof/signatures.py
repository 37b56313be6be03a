"""Verifying a signature with a key whose form was checked. Needs the extra ``jose``.

The key is made from octets that were read strictly, and used with the primitives of ``cryptography``: joserfc's own
import takes private keys and several spellings of one key, and works out the JWK again for each key it verifies with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from counterfoil.schemas import MissingExtra

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
except ImportError:
    raise MissingExtra("jose") from None

if TYPE_CHECKING:
    from collections.abc import Callable

VerificationKey: TypeAlias = (
    ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
"""A public key that signatures are verified with."""

_MAX_EXPONENT_OCTETS: Final = 8

_CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}


def import_key(kind: str, octets: tuple[bytes, ...]) -> VerificationKey | None:
    """Make a key of the octets of a JWK; None where they are none, such as a point that is not on the curve.

    ``kind`` is ``RSA`` or the curve. Raises what ``cryptography`` raises where it lacks the curve.
    """
    try:
        if kind == "RSA":
            return _rsa_key(*octets)
        if kind in _CURVES:
            return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[kind], b"\x04" + octets[0] + octets[1])
        okp = ed25519.Ed25519PublicKey if kind == "Ed25519" else ed448.Ed448PublicKey
        return okp.from_public_bytes(*octets)
    except ValueError:
        return None


def _rsa_key(exponent: bytes, modulus: bytes) -> rsa.RSAPublicKey | None:
    if len(exponent) > _MAX_EXPONENT_OCTETS:
        return None
    return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()


def verifies(key: VerificationKey, alg: str, signing_input: bytes, signature: bytes) -> bool:
    """Whether a signature is one of this key (RFC 7515 §5.2). ``alg`` has to be one for the key."""
    try:
        _VERIFY[alg](key, signature, signing_input)
    except InvalidSignature:
        return False
    return True


def _rsa(scheme: padding.AsymmetricPadding, algorithm: hashes.HashAlgorithm) -> Callable[[Any, bytes, bytes], None]:
    """Return RSASSA-PKCS1-v1_5 or RSASSA-PSS (RFC 7518 §3.3, §3.5), with signatures as long as the modulus.

    OpenSSL alone would take one without its leading zero octets (RFC 8017 §8.1.2, §8.2.2 do not).
    """

    def verify(key: rsa.RSAPublicKey, signature: bytes, signing_input: bytes) -> None:
        if len(signature) != (key.key_size + 7) // 8:
            raise InvalidSignature
        key.verify(signature, signing_input, scheme, algorithm)

    return verify


def _pss(algorithm: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)


def _ecdsa(octets: int, algorithm: hashes.HashAlgorithm) -> Callable[[Any, bytes, bytes], None]:
    """Return ECDSA with signatures that are R and S of full length, one after the other (RFC 7518 §3.4)."""
    scheme = ec.ECDSA(algorithm)

    def verify(key: ec.EllipticCurvePublicKey, signature: bytes, signing_input: bytes) -> None:
        if len(signature) != 2 * octets:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:octets], "big"), int.from_bytes(signature[octets:], "big")
        key.verify(encode_dss_signature(r, s), signing_input, scheme)

    return verify


def _eddsa(key: ed25519.Ed25519PublicKey | ed448.Ed448PublicKey, signature: bytes, signing_input: bytes) -> None:
    """Verify EdDSA (RFC 8037 §3.1); the curve is the key's."""
    key.verify(signature, signing_input)


_VERIFY: Final[dict[str, Callable[[Any, bytes, bytes], None]]] = {
    "RS256": _rsa(padding.PKCS1v15(), hashes.SHA256()),
    "RS384": _rsa(padding.PKCS1v15(), hashes.SHA384()),
    "RS512": _rsa(padding.PKCS1v15(), hashes.SHA512()),
    "PS256": _rsa(_pss(hashes.SHA256()), hashes.SHA256()),
    "PS384": _rsa(_pss(hashes.SHA384()), hashes.SHA384()),
    "PS512": _rsa(_pss(hashes.SHA512()), hashes.SHA512()),
    "ES256": _ecdsa(32, hashes.SHA256()),
    "ES256K": _ecdsa(32, hashes.SHA256()),
    "ES384": _ecdsa(48, hashes.SHA384()),
    "ES512": _ecdsa(66, hashes.SHA512()),
    "EdDSA": _eddsa,
    "Ed25519": _eddsa,
    "Ed448": _eddsa,
}

"""Verifying a signature with a key whose form was checked. The only place here that needs the extra ``jose``.

joserfc knows the algorithms; the key is made from octets that were read strictly, since its own import takes private
keys and several spellings of one key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from counterfoil.schemas import MissingExtra

try:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from joserfc.jwk import ECKey, OKPKey, RSAKey
    from joserfc.jws import JWSRegistry
except ImportError:
    raise MissingExtra("jose") from None

if TYPE_CHECKING:
    from collections.abc import Callable

VerificationKey: TypeAlias = ECKey | OKPKey | RSAKey
"""A public key as joserfc has it."""

_MAX_EXPONENT_OCTETS: Final = 8

_CURVES: Final[dict[str, Callable[[], ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
}


def import_key(kind: str, octets: tuple[bytes, ...]) -> VerificationKey | None:
    """Make a key of the octets of a JWK; None where they are none, such as a point that is not on the curve.

    ``kind`` is ``RSA`` or the curve.
    """
    try:
        if kind == "RSA":
            return _rsa(*octets)
        if kind in _CURVES:
            point = b"\x04" + b"".join(octets)
            return ECKey.import_key(ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[kind](), point))
        okp = ed25519.Ed25519PublicKey if kind == "Ed25519" else ed448.Ed448PublicKey
        return OKPKey.import_key(okp.from_public_bytes(*octets))
    except ValueError:
        return None


def _rsa(exponent: bytes, modulus: bytes) -> RSAKey | None:
    if len(exponent) > _MAX_EXPONENT_OCTETS:
        return None
    e, n = int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")
    return RSAKey.import_key(rsa.RSAPublicNumbers(e, n).public_key())


def verifies(key: VerificationKey, alg: str, signing_input: bytes, signature: bytes) -> bool:
    """Whether a signature is one of this key. ``alg`` has to fit the key (RFC 7515 §5.2)."""
    return JWSRegistry.algorithms[alg].verify(signing_input, signature, key)

"""Keys of HTTP Message Signatures: which algorithm a key is for, and verifying with it (RFC 9421 §3.3).

The algorithms of the registry are those of JOSE under other names, with the same signature formats: ECDSA is r‖s
(§3.3.4), PSS has a salt as long as the hash (§3.3.1). What a key is decides which of them it can be used with, so that
a public key is never taken for a shared secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from counterfoil.schemas import ConfigurationError, Thumbprint
from counterfoil.schemas.values import b64url

from ..capture.jose import decode_base64url, public_members
from .keys import MAX_RSA_BITS, MIN_RSA_BITS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from .signatures import VerificationKey

HMAC: Final = "hmac-sha256"

_JOSE: Final = {
    "rsa-pss-sha512": ("RSA", "PS512"),
    "rsa-v1_5-sha256": ("RSA", "RS256"),
    HMAC: ("oct", "HS256"),
    "ecdsa-p256-sha256": ("P-256", "ES256"),
    "ecdsa-p384-sha384": ("P-384", "ES384"),
    "ed25519": ("Ed25519", "EdDSA"),
}
"""The registered algorithms (RFC 9421 §6.2.2), each with the kind of key it takes and its name in JOSE."""

ALGORITHMS: Final = frozenset(_JOSE)
"""The algorithms that can be checked."""


@dataclass(frozen=True, slots=True, repr=False)
class MessageKey:
    """A key that signatures are checked with. Its ``repr`` shows nothing: it may be a secret."""

    kind: str
    """``RSA``, a curve, or ``oct`` for a shared secret."""
    alg: str | None
    """The JOSE algorithm that the key is restricted to (RFC 7517 §4.4)."""
    thumbprint: Thumbprint | None
    """Its ``jkt``; a shared secret has none."""
    verification: VerificationKey | bytes
    """What verifies with it."""

    @property
    def is_shared(self) -> bool:
        """Whether it is a shared secret, so that a signature does not tell which of its holders signed."""
        return self.kind == "oct"

    def algorithms(self, named: str | None) -> tuple[str, ...]:
        """Return the algorithms that it can be used with, given the ``alg`` of a signature (RFC 9421 §3.2 item 6)."""
        own = None if self.alg is None else self.alg.replace("Ed25519", "EdDSA")
        return tuple(
            name
            for name, (kind, jose) in _JOSE.items()
            if kind == self.kind and own in {None, jose} and named in {None, name}
        )

    def verifies(self, algorithm: str, base: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is one of this key. ``algorithm`` is one of ``algorithms``."""
        if isinstance(self.verification, bytes):
            return hmac.compare_digest(hmac.digest(self.verification, base, hashlib.sha256), signature)
        from .signatures import verifies

        return verifies(self.verification, _JOSE[algorithm][1], base, signature)


if TYPE_CHECKING:
    GivenKey: TypeAlias = Mapping[str, Any] | bytes | PublicKeyTypes | MessageKey
    """A JWK, a public key of ``cryptography``, the bytes of a shared secret, or what ``message_key`` made of one."""


def message_key(given: GivenKey) -> MessageKey:
    """Read a key of the configuration. Raises ``ConfigurationError`` for one that nothing is to be verified with.

    RSA keys need 2048 to 8192 bits. Raises ``MissingExtra``. A key that is used often is best read once.
    """
    if isinstance(given, MessageKey):
        return given
    if isinstance(given, bytes):
        return _secret(given, None)
    jwk = given if isinstance(given, Mapping) else _jwk_of(given)
    alg = jwk.get("alg")
    if jwk.get("kty") == "oct":
        encoded = jwk.get("k")
        return _secret(decode_base64url(encoded) if isinstance(encoded, str) else None, alg)
    public = public_members(dict(jwk)) if jwk.get("use", "sig") == "sig" else None
    if public is None:
        raise ConfigurationError("a key is no public key for signatures, in its canonical form (RFC 7517 §4)")
    from .signatures import import_key

    kind = public.members.get("crv", "RSA")
    bits = int.from_bytes(public.octets[1], "big").bit_length() if kind == "RSA" else MIN_RSA_BITS
    verification = import_key(kind, public.octets) if MIN_RSA_BITS <= bits <= MAX_RSA_BITS else None
    if verification is None:
        raise ConfigurationError(f"a key is not on its curve, or an RSA key of {bits} bits")
    return MessageKey(kind, alg if isinstance(alg, str) else None, public.thumbprint(), verification)


def _secret(secret: bytes | None, alg: object) -> MessageKey:
    if not secret:
        raise ConfigurationError("a shared secret is empty, or no base64url (RFC 7518 §6.4.1)")
    return MessageKey("oct", alg if isinstance(alg, str) else None, None, secret)


def _jwk_of(key: PublicKeyTypes) -> Mapping[str, Any]:
    """Write a key of ``cryptography`` as a JWK (RFC 7518 §6.2, §6.3; RFC 8037 §2)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "e": _integer(numbers.e), "n": _integer(numbers.n)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, size = key.public_numbers(), (key.key_size + 7) // 8
        crv = _CURVES.get(key.curve.name)
        return {"kty": "EC", "crv": crv, "x": _integer(point.x, size), "y": _integer(point.y, size)}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64url(key.public_bytes_raw())}
    raise ConfigurationError("a key is no RSA, EC or Ed25519 public key")


_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}


def _integer(number: int, size: int | None = None) -> str:
    return b64url(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))

"""The public key that a proof carries: is it one, only one, and fit for the algorithm.

Each rule is a check of its own:

1. No private member. joserfc, like others, takes a private JWK as verification key and says nothing.
2. ``jose.key``: a public key in its one canonical form, for signing, and a point of its curve (RFC 7517 §4, RFC 7518
   §6.2.1.2, §6.3.1.1). In another spelling one key would have several thumbprints.
3. ``jose.alg_key``: the algorithm is one for this type or curve (RFC 7518 §3.1, RFC 8037 §3.1, RFC 8812, RFC 9864).
4. ``jose.rsa_bits``: an RSA modulus has at least 2048 bits (RFC 7518 §3.3), and no more than 8192, since checking a
   longer one takes long.

A key that any of 2 to 4 refuses verifies nothing. RSA exponents are odd and have at most 64 bits: a long one is as slow
as a long modulus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from counterfoil.schemas import CheckId, CheckOutcome, Thumbprint

from ..capture.jose import public_members
from .shown import shown

if TYPE_CHECKING:
    from .inspection import Outcomes
    from .jws import Jws
    from .signatures import VerificationKey

KEY_CHECKS: Final = (CheckId.JOSE_KEY, CheckId.JOSE_ALG_KEY, CheckId.JOSE_RSA_BITS)
"""The checks that ``read_key`` settles."""

ALGORITHMS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA",)),
    "ES256": ("P-256",),
    "ES384": ("P-384",),
    "ES512": ("P-521",),
    "ES256K": ("secp256k1",),
    "EdDSA": ("Ed25519", "Ed448"),
    "Ed25519": ("Ed25519",),
    "Ed448": ("Ed448",),
}
"""The asymmetric signature algorithms that can be checked, each with the type of RSA keys or the curves it takes."""

_KINDS: Final = frozenset(kind for kinds in ALGORITHMS.values() for kind in kinds)

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
_RSA_BITS: Final = f"{MIN_RSA_BITS} to {MAX_RSA_BITS}"

_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv")
_PRIVATE_NAMES: Final = frozenset(_PRIVATE)


def private_members(jwk: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the private or secret members of a JWK (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2)."""
    return () if _PRIVATE_NAMES.isdisjoint(jwk) else tuple(name for name in _PRIVATE if name in jwk)


class ProofKey(NamedTuple):
    """A public key that was read."""

    thumbprint: Thumbprint
    """Its ``jkt``."""
    verification: VerificationKey | None
    """What verifies with it; None where a check of the key failed."""


def read_key(jwk: dict[str, Any], alg: object, outcomes: Outcomes) -> ProofKey | None:
    """Read a public JWK and settle its checks; None where it is no public key in canonical form.

    ``alg`` is that of the header. Raises ``MissingExtra``.
    """
    from .signatures import import_key

    public = public_members(jwk) if _for_signing(jwk) else None
    if public is None:
        outcomes.judge(CheckId.JOSE_KEY, good=False)
        return None
    kind = public.members.get("crv", "RSA")
    fits_key = _judge_algorithm(alg, jwk.get("alg", alg), kind, outcomes)
    if not _judge_size(kind, public.octets, outcomes) or kind not in _KINDS:
        outcomes.settle(CheckId.JOSE_KEY, CheckOutcome.PASS)
        return ProofKey(public.thumbprint(), None)
    try:
        key = import_key(kind, public.octets)
    except Exception:  # noqa: BLE001 -- a library without this curve: nothing is known of the point
        outcomes.settle(CheckId.JOSE_KEY, CheckOutcome.ERROR)
        return ProofKey(public.thumbprint(), None)
    if not outcomes.judge(CheckId.JOSE_KEY, key):
        return None
    return ProofKey(public.thumbprint(), key if fits_key else None)


def _for_signing(jwk: dict[str, Any]) -> bool:
    """Whether ``use`` and ``key_ops``, where stated, let it verify (RFC 7517 §4.2, §4.3)."""
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _judge_algorithm(alg: object, stated: object, kind: str, outcomes: Outcomes) -> bool:
    """Judge ``jose.alg_key``. An algorithm that is none of ours is refused elsewhere, and fits no key."""
    kinds = ALGORITHMS.get(alg) if isinstance(alg, str) else None
    if kinds is None:
        return False
    if stated != alg:
        return outcomes.judge(CheckId.JOSE_ALG_KEY, good=False, expected=f"alg {shown(stated)}", observed=f"alg {alg}")
    expected = kinds[0] if len(kinds) == 1 else " or ".join(kinds)
    return outcomes.judge(CheckId.JOSE_ALG_KEY, kind in kinds, expected=expected, observed=kind)


def _judge_size(kind: str, octets: tuple[bytes, ...], outcomes: Outcomes) -> bool:
    if kind != "RSA":
        outcomes.settle(CheckId.JOSE_RSA_BITS, CheckOutcome.NOT_APPLICABLE)
        return True
    bits = int.from_bytes(octets[1], "big").bit_length()
    good = MIN_RSA_BITS <= bits <= MAX_RSA_BITS
    return outcomes.judge(CheckId.JOSE_RSA_BITS, good, expected=_RSA_BITS, observed=f"{bits}")


def judge_signature(check_id: CheckId, key: VerificationKey, alg: str, jws: Jws, outcomes: Outcomes) -> None:
    """Judge a signature with a key that fits its algorithm. What cannot be verified at all is an ``error``."""
    from .signatures import verifies

    try:
        good = verifies(key, alg, jws.signing_input, jws.signature)
    except Exception:  # noqa: BLE001 -- a key or a library out of order: nothing is known of the signature
        outcomes.settle(check_id, CheckOutcome.ERROR)
    else:
        outcomes.judge(check_id, good)

"""What stands in a record instead of a proof of possession: its digest, and the id that shows a replay.

A proof can be replayed for a short time, so it is not kept. Its checks (RFC 9449 §4.3) are not made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.schemas import Sha256, Thumbprint

from .jose import jwk_thumbprint, read_compact

if TYPE_CHECKING:
    from .request import HttpRequest


@dataclass(frozen=True, slots=True)
class ProofMark:
    """What is kept of a proof."""

    digest: Sha256
    """SHA-256 of the proof as it was sent."""
    proof_id: Sha256 | None = None
    """SHA-256(jkt ‖ 0x00 ‖ jti), where the proof can be read."""
    key: Thumbprint | None = None
    """The thumbprint of the key that the proof names: a claim, until its signature is checked."""


def dpop_proof(request: HttpRequest) -> ProofMark | None:
    """Return what is kept of the ``DPoP`` header (RFC 9449 §4.1); of several, which no server takes, the digest."""
    values = request.values("dpop")
    if len(values) != 1:
        return ProofMark(digest_of(*values)) if values else None
    jose = read_compact(values[0])
    return mark(values[0], jwk_thumbprint(jose.header.get("jwk")) if jose else None)


def mark(proof: str, key: Thumbprint | None) -> ProofMark:
    """Return what is kept of a proof JWT that is signed with ``key``."""
    jose = read_compact(proof)
    jti = jose.claims.get("jti") if jose and jose.claims else None
    return ProofMark(digest_of(proof), proof_id(key, jti) if key and isinstance(jti, str) else None, key)


def proof_id(key: Thumbprint, jti: str) -> Sha256:
    """Return SHA-256(jkt ‖ 0x00 ‖ jti): equal for equal proofs, whoever sees them."""
    return Sha256.of(f"{key}\x00{jti}".encode("utf-8", "surrogatepass"))


def digest_of(*proofs: str) -> Sha256:
    """Return SHA-256 of a proof as it was sent; of several, of their fields joined as RFC 9110 §5.3 joins them."""
    return Sha256.of(", ".join(proofs).encode("utf-8", "surrogatepass"))

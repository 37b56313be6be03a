"""How possession was proven: what binds the credential to its sender, and how each check of the proof ended."""

from __future__ import annotations

from .part import Part
from .values import Name, Sha256, Thumbprint
from .vocabulary import (
    BindingMethod,
    CertificateSource,
    CheckId,
    CheckOutcome,
    HtuSource,
    ProofResult,
    ReplayScope,
)


class Binding(Part):
    """What ties the credential to its sender: three different facts, since a bound token may be sent as Bearer."""

    declared: BindingMethod = BindingMethod.UNKNOWN
    """What the token or its metadata says (``cnf``, RFC 7800)."""
    presented: BindingMethod = BindingMethod.UNKNOWN
    """How the sender presented it: the authentication scheme, the header, the TLS layer."""
    verified: BindingMethod = BindingMethod.UNKNOWN
    """What the resource server checked and found good; ``none`` when it checked nothing."""
    method: BindingMethod = BindingMethod.UNKNOWN
    """The method that this record is about, for filtering: verified, else presented, else declared."""
    key_thumbprint: Thumbprint | None = None
    """The key or certificate: ``jkt`` (RFC 7638) or ``x5t#S256`` (RFC 8705 §3.1)."""


class Check(Part):
    """One check and how it ended."""

    id: CheckId
    """Which check; ``CheckId`` names the section behind it."""
    outcome: CheckOutcome
    """One of five. A check whose input another check refused is ``not_performed``."""
    expected: Name | None = None
    """What was expected, where that is no secret. Never for ``ath`` and nonce."""
    observed: Name | None = None
    """What was found, where that is no secret. Never for ``ath`` and nonce."""


class Proof(Part):
    """The proof of possession and its checks. A passing proof says who sent, not that the action was right."""

    mechanism: BindingMethod = BindingMethod.UNKNOWN
    """By what means possession was shown; ``none`` for a bearer credential."""
    result: ProofResult = ProofResult.UNKNOWN
    """The whole: ``pass`` only if no check failed and the required ones ran."""
    checks: tuple[Check, ...] = ()
    """Every check that was considered, also those that did not run."""
    checked_by: Name | None = None
    """Who checked: a server, a gateway, a library."""
    proof_digest: Sha256 | None = None
    """SHA-256 of the proof as it was sent: a proof can be replayed for a short time, so it is not kept."""
    proof_id: Sha256 | None = None
    """SHA-256(jkt ‖ 0x00 ‖ jti): the same on both sides of a use, and twice in a log when a proof is replayed."""
    replay_scope: ReplayScope = ReplayScope.UNKNOWN
    """Within what the ``jti`` was checked to be new (RFC 9449 §11.1)."""
    htu_source: HtuSource = HtuSource.UNKNOWN
    """From where the compared URI came (RFC 9449 §4.3)."""
    certificate_source: CertificateSource = CertificateSource.UNKNOWN
    """From where the client certificate came (RFC 8705 §6.5)."""

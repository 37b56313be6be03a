"""What an X.509 certificate states (RFC 5280 §4.1). Nothing read here is verified: anybody can make a certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from counterfoil.schemas import Sha256, Thumbprint

from .claims import name_of

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate states. All but the thumbprint may be unknown: a record of an earlier use holds only some."""

    thumbprint: Thumbprint
    """``x5t#S256`` (RFC 8705 §3.1)."""
    subject: str | None = field(default=None, repr=False)
    """The SPIFFE ID where it is an X.509-SVID, else the subject (RFC 4514)."""
    issuer: str | None = field(default=None, repr=False)
    """The issuer (RFC 4514)."""
    not_before: datetime | None = None
    """Good from then on (RFC 5280 §4.1.2.5)."""
    not_after: datetime | None = None
    """Good until then."""
    public_key: Sha256 | None = None
    """SHA-256 of its SubjectPublicKeyInfo: equal where a renewal kept the key."""
    spiffe: bool = False
    """Whether it is an X.509-SVID, that is, has exactly one URI and that a SPIFFE ID."""

    @classmethod
    def read(cls, der: bytes) -> Self | None:
        """Read a DER certificate. None if it cannot be read, or ``cryptography`` is not installed."""
        try:
            from cryptography import x509
        except ImportError:
            return None
        try:
            certificate = x509.load_der_x509_certificate(der)
            uris = _uris(certificate)
            spiffe = len(uris) == 1 and uris[0].startswith("spiffe://")
            return cls(
                thumbprint=Thumbprint.of_certificate(der),
                subject=name_of(uris[0] if spiffe else certificate.subject.rfc4514_string()),
                issuer=name_of(certificate.issuer.rfc4514_string()),
                not_before=certificate.not_valid_before_utc,
                not_after=certificate.not_valid_after_utc,
                public_key=_digest_of_key(certificate),
                spiffe=spiffe,
            )
        except Exception:  # noqa: BLE001 -- a hostile certificate raises several kinds that share no other root
            return None


def _uris(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return list(names.get_values_for_type(x509.UniformResourceIdentifier))


def _digest_of_key(certificate: Any) -> Sha256 | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        return Sha256.of(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    except (UnsupportedAlgorithm, ValueError):
        return None

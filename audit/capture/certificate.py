"""The client certificate: from the TLS layer, or from the Client-Cert header of a proxy (RFC 9440).

Its thumbprint needs no library. Its names are read where ``cryptography`` is installed; without it every certificate
is a ``client_cert``.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from counterfoil.schemas import (
    Basis,
    BindingMethod,
    CertificateSource,
    Lifetime,
    Presentation,
    Thumbprint,
    TokenClass,
    TokenFormat,
)

from .claims import name_of
from .sighting import Sighting

if TYPE_CHECKING:
    from .request import HttpRequest


def find_certificate(request: HttpRequest, certificate: bytes | None) -> Sighting | None:
    """Return the certificate that the caller hands over as DER; else that of ``Client-Cert``, which anybody can set."""
    if certificate:
        return _sight_certificate(certificate, Presentation.MTLS, CertificateSource.UNKNOWN)
    der = _client_cert(request)
    if der:
        return _sight_certificate(der, Presentation.CUSTOM_HEADER, CertificateSource.CLIENT_CERT_HEADER)
    return None


def _client_cert(request: HttpRequest) -> bytes | None:
    """Read ``:base64(DER):`` (RFC 9440 §2.2); None where it is not exactly one value of that form."""
    values = request.values("client-cert")
    if len(values) != 1 or len(values[0]) < 3 or values[0][0] != ":" or values[0][-1] != ":":
        return None
    try:
        return b64decode(values[0][1:-1], validate=True)
    except (binascii.Error, ValueError):
        return None


def _sight_certificate(der: bytes, presentation: Presentation, source: CertificateSource) -> Sighting:
    sighting = Sighting(TokenClass.CLIENT_CERT, presentation, der, {"format": TokenFormat.CERTIFICATE})
    sighting.key = Thumbprint.of_certificate(der)
    sighting.presented = sighting.mechanism = BindingMethod.MTLS
    sighting.certificate_source = source
    names = _names_of(der)
    if names:
        spiffe_id, sighting.stated = names
        if spiffe_id:
            sighting.token_class = TokenClass.X509_SVID
    return sighting


def _names_of(der: bytes) -> tuple[bool, dict[str, Any]] | None:
    """Return whether it is an X.509-SVID, and what it states. An SVID has exactly one URI, a SPIFFE ID."""
    try:
        from cryptography import x509
    except ImportError:
        return None
    try:
        certificate = x509.load_der_x509_certificate(der)
        uris = _uris(certificate)
        spiffe = len(uris) == 1 and uris[0].startswith("spiffe://")
        return spiffe, {
            "subject": name_of(uris[0] if spiffe else certificate.subject.rfc4514_string()),
            "issuer": name_of(certificate.issuer.rfc4514_string()),
            "lifetime": Lifetime(
                not_before=certificate.not_valid_before_utc, expires_at=certificate.not_valid_after_utc
            ),
            "basis": Basis.UNVERIFIED_CLAIMS,
        }
    except Exception:  # noqa: BLE001 -- a hostile certificate raises several kinds that share no other root
        return None


def _uris(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return list(names.get_values_for_type(x509.UniformResourceIdentifier))

"""The client certificate: from the TLS layer, or from the Client-Cert header of a proxy (RFC 9440).

Its thumbprint needs no library. Its names are read where ``cryptography`` is installed; without it every certificate
is a ``client_cert``.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, Final

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

from .certificate_facts import CertificateFacts
from .sighting import Sighting

if TYPE_CHECKING:
    from .request import HttpRequest

MAX_CERTIFICATE: Final = 64 * 1024
"""The longest certificate that is read, in bytes of DER."""


def find_certificate(
    request: HttpRequest, certificate: bytes | None, source: CertificateSource = CertificateSource.UNKNOWN
) -> Sighting | None:
    """Return the certificate that the caller hands over as DER; else that of ``Client-Cert``, which anybody can set.

    ``source`` says where the caller has it from.
    """
    if certificate:
        return _sight_certificate(certificate, Presentation.MTLS, source)
    der = client_cert(request)
    if der:
        return _sight_certificate(der, Presentation.CUSTOM_HEADER, CertificateSource.CLIENT_CERT_HEADER)
    return None


def client_cert(request: HttpRequest) -> bytes | None:
    """Read ``:base64(DER):`` (RFC 9440 §2.2); None where it is not exactly one value of that form and of bounded size.

    Whether the hop that set it can be trusted, the request does not tell.
    """
    values = request.values("client-cert")
    if len(values) != 1 or not 3 <= len(values[0]) <= MAX_CERTIFICATE * 4 // 3 + 4:
        return None
    if values[0][0] != ":" or values[0][-1] != ":":
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
    facts = CertificateFacts.read(der)
    if facts:
        sighting.stated = {
            "subject": facts.subject,
            "issuer": facts.issuer,
            "lifetime": Lifetime(not_before=facts.not_before, expires_at=facts.not_after),
            "basis": Basis.UNVERIFIED_CLAIMS,
        }
        if facts.spiffe:
            sighting.token_class = TokenClass.X509_SVID
    return sighting

"""Which certificate is the client's, and whether its source can be believed (RFC 8705 §6.5, RFC 9440).

It depends on who is at the other end of the connection:

1. The client itself: the TLS layer's certificate. A ``Client-Cert`` field that comes with it is an attempt at
   injection (RFC 9440 §4) and is not read.
2. A trusted proxy: what the proxy says, in ``Client-Cert`` (§2) or in a field of its own that the caller read. The TLS
   layer's certificate is then the proxy's, and never taken for the client's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.schemas import CertificateSource

from ..capture.certificate import MAX_CERTIFICATE, client_cert

if TYPE_CHECKING:
    from ..capture.request import HttpRequest


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What counts for the client's certificate, or why there is none."""

    der: bytes | None = None
    """One DER certificate; what it says was not read."""
    source: CertificateSource = CertificateSource.UNKNOWN
    """From where it came."""
    trusted: bool | None = None
    """Whether that source can be believed; None where nothing came."""
    missing: str | None = None
    """Why there is none."""
    injected: str | None = None
    """What came with it that must not."""


def client_certificate(
    request: HttpRequest, certificate: bytes | None, source: CertificateSource, *, trusted_hop: bool
) -> ClientCertificate:
    """Return the client's certificate. ``certificate`` is what the caller has, from ``source``."""
    by_field = bool(request.values("client-cert") or request.values("client-cert-chain"))
    untrusted = "Client-Cert from an untrusted hop" if by_field and not trusted_hop else None
    from_tls = source is CertificateSource.TLS_LAYER
    if certificate and not (from_tls and trusted_hop):
        differs = by_field and trusted_hop and client_cert(request) != certificate
        injected = "Client-Cert and another field differ" if differs else untrusted
        return _taken(certificate, source, trusted=from_tls or trusted_hop, injected=injected)
    if not by_field:
        return ClientCertificate(missing="the certificate of the hop alone" if certificate else "none")
    der = client_cert(request)
    if der is not None:
        return _taken(der, CertificateSource.CLIENT_CERT_HEADER, trusted=trusted_hop, injected=untrusted)
    count = len(request.values("client-cert"))
    missing = "a malformed Client-Cert" if count == 1 else f"{count} Client-Cert fields"
    return ClientCertificate(None, CertificateSource.CLIENT_CERT_HEADER, trusted_hop, missing, untrusted)


def _taken(der: bytes, source: CertificateSource, *, trusted: bool, injected: str | None) -> ClientCertificate:
    if len(der) > MAX_CERTIFICATE:
        return ClientCertificate(None, source, trusted, f"more than {MAX_CERTIFICATE:,} bytes", injected)
    if not _is_one_sequence(der):
        return ClientCertificate(None, source, trusted, "no DER certificate", injected)
    return ClientCertificate(der, source, trusted, None, injected)


def _is_one_sequence(der: bytes) -> bool:
    """Whether it is one DER SEQUENCE and nothing after it (X.690 §8.1, §10.1): as much as needs no library."""
    if len(der) < 2 or der[0] != 0x30:
        return False
    if der[1] < 0x80:
        return len(der) == 2 + der[1]
    octets = der[1] & 0x7F
    return 1 <= octets <= 4 and len(der) == 2 + octets + int.from_bytes(der[2 : 2 + octets], "big")

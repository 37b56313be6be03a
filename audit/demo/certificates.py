"""A certificate authority for one run, and TLS contexts made from what it issues. Keys live minutes, in memory only.

The parent plays the authority. Each role is given its certificate with its brief, and nobody else's key.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Generator

_LIFETIME: Final = timedelta(hours=1)

_ONLY_CERTIFICATES: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key, as PEM, with the authority that both sides trust."""

    certificate: str
    authority: str
    key: str

    def __repr__(self) -> str:
        return "<Identity>"

    def brief(self) -> dict[str, dict[str, str]]:
        """Return what a role is told."""
        return {"identity": asdict(self)}

    @classmethod
    def of(cls, brief: dict[str, Any]) -> Identity:
        """Return what this role was given."""
        return cls(**brief["identity"])

    def client_context(self, *, present: bool) -> ssl.SSLContext:
        """Return the context of a client; with ``present`` it shows its certificate to whoever asks."""
        context = ssl.create_default_context(cadata=self.authority)
        if present:
            self._load_into(context)
        return context

    def server_context(self) -> ssl.SSLContext:
        """Return the context of a server, which asks for a certificate and takes a client without one too."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(cadata=self.authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._load_into(context)
        return context

    def der(self) -> bytes:
        """Return the certificate as DER."""
        return ssl.PEM_cert_to_DER_cert(self.certificate)

    def _load_into(self, context: ssl.SSLContext) -> None:
        with _in_memory(f"{self.key}{self.certificate}".encode("ascii")) as path:
            context.load_cert_chain(path)


class Authority:
    """The authority of one run."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("Counterfoil demo authority")
        made = (
            _template(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_ONLY_CERTIFICATES, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self._certificate = made.sign(self._key, hashes.SHA256())

    def issue(self, name: str) -> Identity:
        """Issue a certificate to a workload, good for the loopback. ``name`` ends its SPIFFE ID."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(f"spiffe://demo.example/{name}"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            ]
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = _template(_named(name), self._name, key).add_extension(names, critical=False)
        certificate = made.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Identity(_pem(certificate), _pem(self._certificate), private.decode("ascii"))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _template(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + _LIFETIME)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


@contextmanager
def _in_memory(content: bytes) -> Generator[str]:
    """Give a path to what is in no folder: the ssl module reads keys from paths only."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("identity")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:  # elsewhere a file that only we can read, for the moment of reading
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield file.name

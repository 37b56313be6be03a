"""The httpx and httpx2 instruments: client certificates on the sender's side, over real TLS."""

from __future__ import annotations

import json
import secrets
import ssl
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from counterfoil.audit import AuditLog
from counterfoil.schemas import (
    AssertedBy,
    BindingMethod,
    CertificateSource,
    ConfigurationError,
    CredentialUse,
    CustodyStore,
    Fingerprint,
    KeyCustody,
    Phase,
    Presentation,
    Thumbprint,
    TokenClass,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Client, Library

Told: TypeAlias = Callable[[], list[CredentialUse]]

_PEM = serialization.Encoding.PEM
_SIGNS = ("key_cert_sign", "crl_sign")
_USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
_KEY_USAGE = x509.KeyUsage(
    **dict.fromkeys(_SIGNS, True), **dict.fromkeys(_USES, False), encipher_only=False, decipher_only=False
)
_SPIFFE = "spiffe://example.org/mail-agent"


class Authority:
    """A certificate authority of this test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        extensions = x509.BasicConstraints(ca=True, path_length=0), _KEY_USAGE
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._signed(self._name, self._key.public_key(), *extensions).public_bytes(_PEM))

    def issue(self, subject: str, name: x509.GeneralName) -> Path:
        """Issue a certificate; the file has the private key first."""
        key = ec.generate_private_key(ec.SECP256R1())
        common = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        certificate = self._signed(common, key.public_key(), x509.SubjectAlternativeName([name]))
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = self._folder / f"{subject}.pem"
        file.write_bytes(private + certificate.public_bytes(_PEM))
        return file

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        """Sign a certificate with all that Python 3.13 wants to see in it (RFC 5280 §4.2)."""
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(minutes=1)).not_valid_after(now + timedelta(hours=1))
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for each in (authority, x509.SubjectKeyIdentifier.from_public_key(key)):
            builder = builder.add_extension(each, critical=False)
        for each in extensions:
            builder = builder.add_extension(each, critical=not isinstance(each, x509.SubjectAlternativeName))
        return builder.sign(self._key, hashes.SHA256())


class TlsServer(ThreadingHTTPServer):
    """Serves over TLS to whoever has a certificate of the authority, or to anybody; keeps the certificates it saw."""

    daemon_threads = True

    def __init__(self, authority: Authority, file: Path, asked: ssl.VerifyMode) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.load_verify_locations(authority.file)
        context.verify_mode = asked
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.server_bind()
        self.server_activate()
        self.url = f"https://127.0.0.1:{self.server_address[1]}"
        self.seen: list[bytes | None] = []
        self.answers: dict[str, tuple[int, str]] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: handshakes that fail are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TlsServer  # pyright: ignore[reportIncompatibleVariableOverride] -- the only server that it serves

    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        self.server.seen.append(self.connection.getpeercert(binary_form=True))
        status, location = self.server.answers.get(self.path, (200, ""))
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name in the base
        """Say nothing."""


@dataclass(frozen=True)
class Tls:
    """What a client needs: a server, its own certificate, and a context that has it."""

    server: TlsServer
    lenient: TlsServer
    """A server that does not ask for a certificate."""
    file: Path
    der: bytes
    context: ssl.SSLContext
    bare: ssl.SSLContext
    """A context that trusts the server, without a certificate of its own."""


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Tls]:
    """Serve over TLS."""
    folder = tmp_path / "keys"
    folder.mkdir()
    authority = Authority(folder)
    server_file = authority.issue("server", x509.IPAddress(ip_address("127.0.0.1")))
    file = authority.issue("client", x509.UniformResourceIdentifier(_SPIFFE))
    context, bare = (ssl.create_default_context(cafile=authority.file) for _ in range(2))
    for each in (context, bare):
        each.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by itself
    context.load_cert_chain(file)
    der = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(serialization.Encoding.DER)
    with (
        TlsServer(authority, server_file, ssl.CERT_REQUIRED) as strict,
        TlsServer(authority, server_file, ssl.CERT_NONE) as lenient,
    ):
        threads = [
            threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.01}) for each in (strict, lenient)
        ]
        for thread in threads:
            thread.start()
        yield Tls(strict, lenient, file, der, context, bare)
        for each, thread in zip((strict, lenient), threads, strict=True):
            each.shutdown()
            thread.join()


def _jwt(**claims: Any) -> str:
    header, payload = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "ES256"}, claims))
    return b".".join((header, payload, secrets.token_urlsafe(64).encode())).decode()


def test_the_certificate_is_a_credential(client: Client, tls: Tls, log: AuditLog, told: Told) -> None:
    """What the server saw on the connection, and what the sender records, are one certificate."""
    custody = KeyCustody(store=CustodyStore.SOFTWARE_FILE, exportable=True, source=AssertedBy.SELF_ASSERTED)
    with log.scope(key_custody=custody):
        answer = client.send(log, "GET", f"{tls.server.url}/mail", verify=tls.context, certificate=tls.file)
    assert answer.status_code == 200
    assert tls.server.seen == [tls.der]
    for each in told():
        assert each.token.token_class == "x509_svid"
        assert (each.token.subject, each.token.presentation) == (_SPIFFE, Presentation.MTLS)
        assert each.token.fingerprint == Fingerprint.of(tls.der, log.fingerprint_key)
        assert each.binding.key_thumbprint == Thumbprint.of_certificate(tls.der)
        assert each.proof.mechanism == each.binding.presented == BindingMethod.MTLS
        assert each.proof.certificate_source is CertificateSource.TLS_LAYER
        assert each.key_custody.store is CustodyStore.SOFTWARE_FILE
    assert [each.action.outcome.value for each in told()] == ["pending", "executed"]


def test_a_bound_token_is_presented_with_it(client: Client, tls: Tls, log: AuditLog, told: Told) -> None:
    """A token that is bound to the certificate (RFC 8705 §3) is no bearer token, and its key is the certificate."""
    thumbprint = Thumbprint.of_certificate(tls.der)
    headers = {"Authorization": f"Bearer {_jwt(cnf={'x5t#S256': thumbprint})}"}
    client.send(log, "GET", f"{tls.server.url}/mail", headers=headers, verify=tls.context, certificate=tls.der)
    bound = [each for each in told() if each.token.token_class is TokenClass.MTLS_BOUND_ACCESS]
    assert [each.action.phase for each in bound] == [Phase.INTENT, Phase.OUTCOME]
    for each in bound:
        assert each.binding.declared == each.binding.presented == BindingMethod.MTLS
        assert each.binding.key_thumbprint == thumbprint
        assert each.proof.certificate_source is CertificateSource.TLS_LAYER
    assert {each.token.token_class.value for each in told()} == {"mtls_bound_access", "x509_svid"}


def test_a_plain_token_is_not_made_bound(client: Client, tls: Tls, log: AuditLog, told: Told) -> None:
    """A JWT without ``cnf`` stays a bearer credential, whatever the connection shows."""
    headers = {"Authorization": f"Bearer {_jwt(sub='alice')}"}
    client.send(log, "GET", f"{tls.server.url}/mail", headers=headers, verify=tls.context, certificate=tls.der)
    (outcome,) = [each for each in told() if each.token.subject == "alice" and each.action.phase is Phase.OUTCOME]
    assert outcome.binding.presented is BindingMethod.NONE


def test_only_over_tls(library: Library, log: AuditLog, told: Told) -> None:
    """Without TLS there is no certificate on the connection, whatever the transport was made with."""
    module, door = library

    def answer(_: object) -> Any:
        return module.Response(204)

    inner = module.MockTransport(answer)
    with module.Client(transport=door.AuditTransport(log, inner, certificate=b"\x30\x00")) as client:
        client.get("http://api.example/mail", headers={"X-API-Key": secrets.token_urlsafe(32)})
        assert {each.token.token_class.value for each in told()} == {"api_key"}
        client.get("https://api.example/mail")
    assert {each.token.token_class.value for each in told()} == {"api_key", "client_cert"}


def test_what_the_sender_cannot_see(client: Client, tls: Tls, log: AuditLog, told: Told) -> None:
    """A server that asks for no certificate is shown none; the record of the sender says what it was ready to show."""
    client.send(log, "GET", f"{tls.lenient.url}/mail", verify=tls.context, certificate=tls.file)
    assert tls.lenient.seen == [None]
    assert told()[1].token.token_class == "x509_svid"


def test_a_refused_handshake(client: Client, tls: Tls, log: AuditLog, bearer: dict[str, str], told: Told) -> None:
    """Without the certificate that the server wants nothing is answered; the use failed, with the error that came."""
    # The alert of TLS 1.3 comes after the handshake; httpx2 lets it through as it is where it meets a read.
    with pytest.raises((client.library.TransportError, ssl.SSLError)) as caught:
        client.send(log, "GET", f"{tls.server.url}/mail", headers=bearer, verify=tls.bare)
    assert tls.server.seen == []
    assert [(each.action.outcome.value, each.action.error_type) for each in told()] == [
        ("pending", None),
        ("failed", type(caught.value).__name__),
    ]


def test_a_redirect_to_another_origin(client: Client, tls: Tls, log: AuditLog, told: Told) -> None:
    """The same context offers the certificate wherever it connects: both origins stand in the record."""
    tls.lenient.answers["/away"] = (302, f"{tls.server.url}/steal")
    url = f"{tls.lenient.url}/away"
    client.send(log, "GET", url, verify=tls.context, certificate=tls.file, follow_redirects=True)
    assert tls.server.seen == [tls.der]
    outcomes = [each for each in told() if each.action.phase is Phase.OUTCOME]
    assert [(each.resource.uri, each.action.redirected_from) for each in outcomes] == [
        (url, None),
        (f"{tls.server.url}/steal", url),
    ]
    assert len({each.token.fingerprint for each in outcomes}) == 1


def test_a_certificate_that_cannot_be_read(library: Library, log: AuditLog, tmp_path: Path) -> None:
    """It is refused when the transport is made, not when it is needed."""
    _, door = library
    for make in (door.AuditTransport, door.AsyncAuditTransport):
        with pytest.raises(ConfigurationError):
            make(log, certificate=tmp_path / "missing.pem")


def test_no_sink_has_the_private_key(
    client: Client, tls: Tls, log: AuditLog, address: Path, leaks: Callable[..., list[str]]
) -> None:
    """The file was read for the certificate; its key is in no file of the log."""
    client.send(log, "GET", f"{tls.server.url}/mail", verify=tls.context, certificate=tls.file)
    private = "".join(tls.file.read_text().partition("-----END PRIVATE KEY-----")[0].splitlines()[1:])
    assert len(private) > 100
    for secret in (private, private[:64], private[64:]):
        assert leaks(secret, *(file for file in address.parent.iterdir() if file.is_file())) == []

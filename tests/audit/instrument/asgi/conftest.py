"""What the tests of the ASGI instrument share: real servers on the loopback, and connections driven by hand."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

import httpx2
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from counterfoil.schemas import CredentialUse, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from counterfoil.audit import AuditLog
    from counterfoil.schemas import Entry, Event, UnlistedEvent


@contextmanager
def served(app: Any, **options: Any) -> Generator[str]:
    """Serve an application in a thread of its own. No header may say who the peer is."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings: dict[str, Any] = {"log_config": None, "proxy_headers": False, "ws": "none", "lifespan": "off", **options}
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    scheme = "https" if "ssl_certfile" in settings else "http"
    try:
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Side:
    """The server's side of a test: applications served, requests sent to them, and what the log then holds."""

    def __init__(self, log: AuditLog, entries: Callable[[], list[Entry]], stack: ExitStack) -> None:
        self.log = log
        self._entries = entries
        self._stack = stack
        self._client = stack.enter_context(httpx2.Client(trust_env=False, timeout=10))

    def serve(self, app: Any, **options: Any) -> str:
        """Serve an application with uvicorn, and return its base URL."""
        return self._stack.enter_context(served(app, **options))

    def get(self, url: str, token: str | None = None, **options: Any) -> httpx2.Response:
        """Send GET, with a bearer token if one is given."""
        headers = options.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return self._client.get(url, headers=headers, **options)

    def stubs(self) -> list[CredentialUse]:
        """Return the uses that the log holds. An outcome follows the answer, so the servers are ended first."""
        self._stack.close()
        return [entry.event for entry in self._entries() if isinstance(entry.event, CredentialUse)]

    def events(self) -> list[Event | UnlistedEvent]:
        """Return everything that the log holds."""
        self._stack.close()
        return [entry.event for entry in self._entries()]

    def uses(self) -> list[CredentialUse]:
        """Return the uses that the log holds, intents left out."""
        return [each for each in self.stubs() if each.action.phase is not Phase.INTENT]


@pytest.fixture
def side(log: AuditLog, entries: Callable[[], list[Entry]]) -> Iterator[Side]:
    """Give the server's side."""
    with ExitStack() as stack:
        yield Side(log, entries, stack)


class Drive(Protocol):
    """Put one connection through an application, as a server would."""

    def __call__(self, app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what the application sent."""
        ...


@pytest.fixture
def drive() -> Drive:
    """Give the function that drives a connection by hand."""

    def run(app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        waiting = list(messages)

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        return sent

    return run


def http_scope(path: str = "/mail", **changes: Any) -> dict[str, Any]:
    """Return the scope of a GET request, as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"api.example")],
        "client": ("192.0.2.7", 4711),
        "server": ("127.0.0.1", 8000),
        "state": {},
        **changes,
    }


class Authority:
    """A certificate authority for one test, and what is made of its certificates. Everything is in files of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority {secrets.token_hex(4)}")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        built = self._builder(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        usage = {name: name == "key_cert_sign" for name in _USAGES}
        built = built.add_extension(x509.KeyUsage(**usage), critical=True)
        self.file = folder / f"authority-{secrets.token_hex(4)}.pem"
        self.file.write_bytes(built.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(minutes=1)).not_valid_after(now + timedelta(hours=1))

    def issue(self, name: str) -> Path:
        """Return a file with a certificate for the loopback, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        host = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        built = self._builder(subject, key.public_key()).add_extension(host, critical=False)
        signed = built.add_extension(authority, critical=False).sign(self._key, hashes.SHA256())
        file = self._folder / f"{name}-{secrets.token_hex(4)}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(signed.public_bytes(Encoding.PEM) + private)
        return file

    def server_options(self) -> dict[str, Any]:
        """Return the options of a server that asks for a certificate, and takes clients without one too."""
        own = str(self.issue("server"))
        return {"ssl_certfile": own, "ssl_keyfile": own, "ssl_ca_certs": str(self.file), "ssl_cert_reqs": 1}

    def client(self, certificate: Path | None = None) -> httpx2.Client:
        """Return a client that trusts this authority, with a certificate if one is given."""
        context = ssl.create_default_context(cafile=self.file)
        if certificate:
            context.load_cert_chain(certificate)
        return httpx2.Client(verify=context, trust_env=False, timeout=10)

    @staticmethod
    def der(certificate: Path) -> bytes:
        """Return the certificate of a file."""
        return x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)


_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give a certificate authority."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def make_authority() -> type[Authority]:
    """Give the class, for another authority."""
    return Authority

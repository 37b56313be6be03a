"""What the tests of the log and its readers share: a small event, what a log holds, and a store that is busy."""

from __future__ import annotations

import json
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from counterfoil.audit.capture import HttpRequest
from counterfoil.schemas import Action, CredentialUse, LogEvent, Resource, Thumbprint, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from counterfoil.audit import AuditLog
    from counterfoil.schemas import Entry, FingerprintKey


class MakeUse(Protocol):
    """Make the smallest credential use that can be recorded, with whatever is given in place of its parts."""

    def __call__(self, name: str = "read_mail", **parts: Any) -> CredentialUse:
        """Return it."""
        ...


@pytest.fixture
def a_use() -> MakeUse:
    """Give the function that makes uses."""

    def make(name: str = "read_mail", **parts: Any) -> CredentialUse:
        resource = Resource(uri="https://api.example/mail")
        return CredentialUse(**{"token": Token(), "resource": resource, "action": Action(name=name), **parts})

    return make


@pytest.fixture
def entries(address: Path) -> Callable[[], list[Entry]]:
    """Give what the log holds, without what it says of its own opening and closing."""
    from counterfoil.audit import AuditReader
    from counterfoil.exporters.filter import Filter

    def read() -> list[Entry]:
        with AuditReader.open(address) as reader:
            assert reader.verify().consistent
            return [entry for entry in reader.find(Filter()) if getattr(entry.event, "change", "") not in _LIFE]

    return read


_LIFE = {"created", "opened", "closed"}


@pytest.fixture
def everything(address: Path) -> Callable[[], list[Entry]]:
    """Give all that the log holds."""
    from counterfoil.audit import AuditReader
    from counterfoil.exporters.filter import Filter

    def read() -> list[Entry]:
        with AuditReader.open(address) as reader:
            assert reader.verify().consistent
            return list(reader.find(Filter()))

    return read


@pytest.fixture
def unaccounted(everything: Callable[[], list[Entry]]) -> Callable[[], set[int]]:
    """Give the numbers of a log's one producer that stand in no entry, and that no entry declares or tells of."""

    def numbers() -> set[int]:
        seen: set[int] = set()
        for entry in everything():
            event, producer = entry.event, entry.event.context.producer
            assert producer is not None
            assert producer.seq not in seen
            seen |= {producer.seq, *producer.raised}
            if isinstance(event, LogEvent) and event.first is not None and event.last is not None:
                seen |= set(range(event.first, event.last + 1))
        return set(range(1, max(seen) + 1)) - seen

    return numbers


@pytest.fixture
def queued(address: Path, key: FingerprintKey) -> Iterator[AuditLog]:
    """Open a log with queued delivery, and close it."""
    from counterfoil.audit import AuditLog

    with AuditLog.open(address, fingerprint_key=key, delivery="queued") as opened:
        yield opened


@pytest.fixture
def small(address: Path, key: FingerprintKey) -> Iterator[AuditLog]:
    """Open a log whose queue holds five entries, and which waits no longer than 0.2 s."""
    from counterfoil.audit import AuditLog

    with AuditLog.open(address, fingerprint_key=key, delivery="queued", queue_entries=5, deadline=0.2) as opened:
        yield opened


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Run a command of ``counterfoil`` in this process, from its arguments to its exit code."""

    def __call__(self, *arguments: object, stdin: bytes = b"") -> Ran:
        """Return how it ended. An exception that is not turned into an exit code fails the test."""
        ...


@pytest.fixture
def run(address: Path, key: FingerprintKey, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give the command line, with the test's own log and key as the defaults, and room for wide tables."""
    from counterfoil.audit.cli.main import main

    assert key.key_id
    monkeypatch.setenv("COUNTERFOIL_DB", str(address))
    monkeypatch.setenv("COLUMNS", "400")

    def command(*arguments: object, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "argv", ["counterfoil", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Ran(int(ended.value.code or 0), out, err)

    return command


@pytest.fixture
def busy(address: Path) -> Callable[[], AbstractContextManager[None]]:
    """Give a way to keep every writer from its turn for a while, as another process could."""
    from counterfoil.exporters.sql.sqlite import SharedLock

    @contextmanager
    def keep() -> Generator[None]:
        lock = SharedLock(address)
        with lock.held(time.monotonic() + 1):
            yield
        lock.close()

    return keep


class CpuSeconds(Protocol):
    """Measure an action."""

    def __call__(self, action: Callable[[], object]) -> float:
        """Return the CPU time that it takes, in seconds: of three runs the shortest."""
        ...


@pytest.fixture(scope="session")
def cpu_seconds() -> CpuSeconds:
    """Give a measure that neither other processes nor the garbage collector disturb much."""

    def measured(action: Callable[[], object]) -> float:
        return min(_cpu_seconds(action) for _ in range(3))

    return measured


def _cpu_seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


class Issue(Protocol):
    """Make a self-signed certificate."""

    def __call__(self, key: Any, subject: str = "agent-1", *, since: datetime, uris: tuple[str, ...] = ()) -> bytes:
        """Return its DER. It is good for an hour."""
        ...


@pytest.fixture(scope="session")
def issue() -> Issue:
    """Give the function that makes self-signed certificates of any kind of key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    def make(key: Any, subject: str = "agent-1", *, since: datetime, uris: tuple[str, ...] = ()) -> bytes:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else [])
        until = since + timedelta(hours=1)
        serial = x509.random_serial_number()
        builder = x509.CertificateBuilder(name, name, key.public_key(), serial, since, until)
        if uris:
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
            builder = builder.add_extension(names, critical=False)
        hashed = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        der: bytes = builder.sign(key, hashed).public_bytes(serialization.Encoding.DER)
        return der

    return make


class DpopSender:
    """A client with a key of its own: it signs proofs that are right, unless told otherwise."""

    url = "https://api.example/mail"
    now = datetime(2026, 9, 1, tzinfo=UTC)

    def __init__(self, key: Any, alg: str, *, token: str | None = None) -> None:
        self.key = key
        self.alg = alg
        self.token = secrets.token_urlsafe(24) if token is None else token
        self.jwk: dict[str, Any] = key.as_dict(private=False)
        self.jkt = Thumbprint(key.thumbprint())

    @staticmethod
    def encoded(content: object) -> str:
        """Return bytes, or what is written as JSON, in base64url (RFC 7515 §2)."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        return urlsafe_b64encode(raw).rstrip(b"=").decode()

    def ath(self, token: str | None = None) -> str:
        """Return the hash of a token, its own unless another is given."""
        return self.encoded(sha256((self.token if token is None else token).encode()).digest())

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return the claims of a right proof. A member that is changed to ``...`` is left out."""
        right = {"jti": secrets.token_urlsafe(12), "htm": "GET", "htu": self.url, "iat": int(self.now.timestamp())}
        claims = right | ({"ath": self.ath()} if self.token else {}) | changed
        return {name: value for name, value in claims.items() if value is not ...}

    def header(self, **changed: Any) -> dict[str, Any]:
        """Return the header of a right proof. A member that is changed to ``...`` is left out."""
        header = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk} | changed
        return {name: value for name, value in header.items() if value is not ...}

    def sign(self, header: object, claims: object) -> str:
        """Sign whatever stands as header and claims."""
        from joserfc.jws import JWSRegistry

        signing_input = f"{self.encoded(header)}.{self.encoded(claims)}"
        signature = JWSRegistry.algorithms[self.alg].sign(signing_input.encode(), self.key)
        return f"{signing_input}.{self.encoded(signature)}"

    def proof(self, header: dict[str, Any] | None = None, /, **claims: Any) -> str:
        """Return a proof that is right but for what is given."""
        return self.sign(self.header(**(header or {})), self.claims(**claims))

    def request(self, *proofs: str, method: str = "GET", url: str = url, **fields: str) -> HttpRequest:
        """Return a request with these proofs, or a right one, and its token, unless ``authorization`` is given."""
        fields.setdefault("authorization", f"DPoP {self.token}" if self.token else "")
        named = [(name.replace("_", "-"), value) for name, value in fields.items() if value]
        return HttpRequest(method, url, (*named, *(("DPoP", each) for each in (proofs or (self.proof(),)))))


@pytest.fixture(scope="session")
def make_sender() -> type[DpopSender]:
    """Give the class, for clients with other keys."""
    return DpopSender


@pytest.fixture(scope="session")
def sender() -> DpopSender:
    """Give a client with a P-256 key."""
    from joserfc.jwk import ECKey

    return DpopSender(ECKey.generate_key("P-256"), "ES256")


@pytest.fixture(scope="session")
def stranger(sender: DpopSender) -> DpopSender:
    """Give a client with another key, who has the same token."""
    from joserfc.jwk import ECKey

    return DpopSender(ECKey.generate_key("P-256"), "ES256", token=sender.token)


class TokenIssuer:
    """An authorization server with a signing key: it issues access tokens that are right, unless told otherwise."""

    url = "https://as.example"
    audience = "https://api.example"
    now = DpopSender.now

    def __init__(self, key: Any, alg: str = "ES256", kid: str = "k1") -> None:
        self.key = key
        self.alg = alg
        self.kid = kid
        self.jwk: dict[str, Any] = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": alg}
        self.jwks: dict[str, Any] = {"keys": [self.jwk]}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return the claims of a right token (RFC 9068 §2.2). A member that is changed to ``...`` is left out."""
        issued = int(self.now.timestamp())
        right = {"iss": self.url, "aud": self.audience, "sub": "dana", "client_id": "agent", "scope": "mail:read"}
        claims = {**right, "iat": issued, "exp": issued + 300, "jti": secrets.token_urlsafe(12), **changed}
        return {name: value for name, value in claims.items() if value is not ...}

    def header(self, **changed: Any) -> dict[str, Any]:
        """Return the header of a right token. A member that is changed to ``...`` is left out."""
        header = {"typ": "at+jwt", "alg": self.alg, "kid": self.kid, **changed}
        return {name: value for name, value in header.items() if value is not ...}

    def sign(self, header: object, claims: object) -> str:
        """Sign whatever stands as header and claims; bytes are taken as they are."""
        from joserfc.jws import JWSRegistry

        signing_input = ".".join(map(DpopSender.encoded, (header, claims)))
        signature = JWSRegistry.algorithms[self.alg].sign(signing_input.encode(), self.key)
        return f"{signing_input}.{DpopSender.encoded(signature)}"

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token that is right but for what is given."""
        return self.sign(self.header(**(header or {})), self.claims(**claims))


@pytest.fixture(scope="session")
def issuer() -> TokenIssuer:
    """Give an authorization server with a P-256 key."""
    from joserfc.jwk import ECKey

    return TokenIssuer(ECKey.generate_key("P-256"))

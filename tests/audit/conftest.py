"""What the tests of the log and its readers share: a small event, what a log holds, and a store that is busy."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from counterfoil.schemas import Action, CredentialUse, Resource, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

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

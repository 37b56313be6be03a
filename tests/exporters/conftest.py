"""What the tests of the SQL store share: entries ready for the writer, and a writer."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from counterfoil.exporters.sql import Pending, Writer, open_writer
from counterfoil.schemas import Action, CredentialUse, Event, Resource, Token, canonical_bytes, chain_hash, leaf_hash
from counterfoil.schemas.entry import GENESIS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Seal(Protocol):
    """Make an entry of an event, or of any small one."""

    def __call__(self, event: Event | None = None) -> Pending:
        """Return it, ready for ``Writer.append``."""
        ...


@dataclass(frozen=True)
class Connections:
    """SQLite's connections, in the order in which they were opened."""

    writing: list[sqlite3.Connection] = field(default_factory=list[sqlite3.Connection])
    reading: list[sqlite3.Connection] = field(default_factory=list[sqlite3.Connection])


@pytest.fixture
def seal() -> Seal:
    """Give the function that makes entries."""
    return _seal


@pytest.fixture
def writer(address: Path) -> Iterator[Writer]:
    """Open a log below ``AuditLog``, and close it."""
    opened = open_writer(address, deadline=2.0, fingerprint_key_id="00000000")
    yield opened
    opened.close()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Collect the connections that are opened, so that a test can look at them, or disturb them."""
    opened = Connections()
    connect = sqlite3.connect

    def seen(database: Any, /, **options: Any) -> sqlite3.Connection:
        connection = connect(database, **options)
        if "mode=" in str(database):
            (opened.writing if "mode=rw" in database else opened.reading).append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", seen)
    return opened


@pytest.fixture
def count_chained(address: Path) -> Callable[[], int]:
    """Give a count of the entries in the log that fails unless they are one unbroken chain from 1 on."""

    def count() -> int:
        connection = sqlite3.connect(address)
        (log_id,) = connection.execute("SELECT log_id FROM log").fetchone()
        head, expected = GENESIS, 1
        for seq, body, leaf, chain in connection.execute("SELECT seq, body, leaf_hash, chain_hash FROM entry"):
            head = chain_hash(log_id, expected, head, leaf_hash(body.encode()))
            assert (seq, leaf, chain) == (expected, leaf_hash(body.encode()), head)
            expected += 1
        connection.close()
        return expected - 1

    return count


def _seal(event: Event | None = None) -> Pending:
    event = event or CredentialUse(
        token=Token(), resource=Resource(uri="https://api.example/mail"), action=Action(name="read_mail")
    )
    members = event.model_dump(mode="json", exclude_none=True)
    members["context"]["salt"] = secrets.token_hex(16)  # as the log does, so that no two seals are alike
    body = canonical_bytes(members)
    return Pending(str(event.context.event_id), body, leaf_hash(body))

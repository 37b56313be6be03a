"""Whether a log's files are in place: what is noticed, and what is nobody's fault."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from counterfoil.exporters.sql.presence import Presence
from counterfoil.exporters.sql.sqlite import connect, make_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def connection(address: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that has some rows in its -wal."""
    make_file(address)
    opened = connect(address)
    opened.execute("CREATE TABLE row (content BLOB)")
    _write(opened)
    yield opened
    opened.close()


@pytest.fixture
def presence(connection: sqlite3.Connection, address: Path) -> Iterator[Presence]:
    """Look at its files for the first time."""
    seen = Presence(address)
    assert seen.trouble(connection) is None
    yield seen
    seen.close()


def _write(connection: sqlite3.Connection, rows: int = 20) -> None:
    for _ in range(rows):
        connection.execute("INSERT INTO row VALUES (?)", (os.urandom(500),))


def _wal(address: Path) -> Path:
    return address.with_name("audit.db-wal")


def _delete_shm(address: Path) -> None:
    address.with_name("audit.db-shm").unlink()


def _empty_wal(address: Path) -> None:
    os.truncate(_wal(address), 0)


def _cut_wal(address: Path) -> None:
    os.truncate(_wal(address), _wal(address).stat().st_size - 1)


def _overwrite_wal(address: Path) -> None:
    with _wal(address).open("r+b") as file:
        file.write(bytes(32))


def _protect(address: Path) -> None:
    address.chmod(0o444)


@pytest.mark.parametrize(
    ("disturb", "words"),
    [
        (_delete_shm, "removed or replaced"),
        (_empty_wal, "cut or overwritten"),
        (_cut_wal, "cut or overwritten"),
        (_overwrite_wal, "cut or overwritten"),
        (_protect, "read-only"),
    ],
)
def test_it_is_noticed_and_stays_so(
    disturb: Callable[[Path], None], words: str, presence: Presence, connection: sqlite3.Connection, address: Path
) -> None:
    """What happened is said, at each look."""
    disturb(address)
    for _ in range(3):
        assert words in (presence.trouble(connection) or "")


def test_a_wal_emptied_during_a_commit_is_noticed(
    presence: Presence, connection: sqlite3.Connection, address: Path
) -> None:
    """SQLite writes on behind the hole; the file no longer begins as a -wal does."""
    _empty_wal(address)
    _write(connection, 1)
    assert "cut or overwritten" in (presence.trouble(connection) or "")


def test_checkpoints_of_others_are_no_trouble(
    presence: Presence, connection: sqlite3.Connection, address: Path
) -> None:
    """A -wal that was emptied by a checkpoint, or begun anew, is as it should be."""
    with closing(sqlite3.connect(address)) as other:
        for _ in range(3):
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert _wal(address).stat().st_size == 0
            assert presence.trouble(connection) is None
            _write(connection, 3)
            assert presence.trouble(connection) is None


def test_a_shorter_database_is_told_apart(presence: Presence, connection: sqlite3.Connection, address: Path) -> None:
    """VACUUM makes it shorter, and so does damage: whoever asks is to look closer, once."""
    _write(connection, 500)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert presence.trouble(connection) is None
    assert not presence.shrunk
    with closing(sqlite3.connect(address, isolation_level=None)) as other:
        other.execute("DELETE FROM row")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert presence.trouble(connection) is None
    assert presence.shrunk
    assert presence.trouble(connection) is None
    assert not presence.shrunk

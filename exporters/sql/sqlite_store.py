"""One SQLite file as a writer's store: one transaction at a time, under the lock that its processes share."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from counterfoil.schemas import AuditTimeout, AuditUnavailable, EntryRefused
from counterfoil.schemas.entry import GENESIS

from .chain import chained, settled, without_twins
from .faults import translated
from .sqlite import APPLICATION_ID, SharedLock, check_file, connect, identify, is_empty, make_file
from .tables import SCHEMA_VERSION, TABLES, EntryRow, table_of
from .versions import migrate
from .writer import SIGNED_NOTE, SavedCheckpoint

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..pending import Pending

_Files: TypeAlias = tuple[int, int, int, int]

_PATIENCE_MS: Final = 100


@dataclass(frozen=True, slots=True)
class _Open:
    """What is open: the connection, the lock shared with other processes, and which files they were."""

    connection: sqlite3.Connection
    lock: SharedLock
    files: _Files | None


class SqliteStore:
    """One SQLite log, open for writing. One thread at a time may use it."""

    def __init__(self, path: Path, *, deadline: float, fingerprint_key_id: str) -> None:
        """Open the log at ``path``, making it if there is none. ``deadline`` in seconds bounds the wait for others.

        Raises ``AuditUnavailable``, ``StoreForeign`` or ``StoreCorrupt``; an existing file is left as it was.
        """
        self.name = str(path)
        self._path = path
        self._files = str(path), f"{path}-wal"
        self._deadline = deadline
        self._open: _Open | None = None
        make_file(path)
        with translated(path):
            self._open_all(fingerprint_key_id, time.monotonic() + deadline)

    def _open_all(self, fingerprint_key_id: str, until: float) -> _Open:
        lock = SharedLock(self._path)
        try:
            with lock.held(until):
                connection = self._connect(fingerprint_key_id, until)
        except BaseException:
            lock.close()
            raise
        self._open = _Open(connection, lock, _files(*self._files))
        return self._open

    def _connect(self, fingerprint_key_id: str, until: float) -> sqlite3.Connection:
        """Open an existing log, or make one of an empty file. Any other file is not touched."""
        if self._path.stat().st_size > 0:
            check_file(self._path, deadline=_left(until))
        connection = connect(self._path, deadline=_left(until))
        try:
            connection.execute(_BUSY_TIMEOUT.format(self._deadline * 1000))
            if is_empty(connection):
                _make_tables(connection, fingerprint_key_id)
            self.log_id, self.fingerprint_key_id = identify(connection, self._path)
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def commit(self, batch: list[Pending], until: float) -> None:
        """Store ``batch`` in one transaction, under the lock, if the file is still the one that was opened."""
        with self._transaction(until) as connection:
            self._insert(connection, batch)

    @contextmanager
    def _transaction(self, until: float) -> Generator[sqlite3.Connection]:
        with translated(self._path):
            opened = self._opened(until)
            with opened.lock.held(until):
                if not self._is_in_place(opened):
                    raise AuditUnavailable(f"{self.name}, or its -wal, was removed or replaced while it was in use")
                connection = opened.connection
                self._begin(connection, until)
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                if not self._is_in_place(opened):
                    raise AuditTimeout(f"{self.name}, or its -wal, was removed or replaced during the commit")

    def _begin(self, connection: sqlite3.Connection, until: float) -> None:
        """Begin, and wait for whoever has SQLite's own lock without ours, as long as there is time."""
        left = _left(until)
        if left > self._deadline * _NEARLY:  # the way that costs nothing
            connection.execute("BEGIN IMMEDIATE")
            return
        connection.execute(_BUSY_TIMEOUT.format(left * 1000))
        try:
            connection.execute("BEGIN IMMEDIATE")
        finally:
            connection.execute(_BUSY_TIMEOUT.format(self._deadline * 1000))

    def _opened(self, until: float | None = None) -> _Open:
        # None after a fork, since a connection must not be shared.
        return self._open or self._open_all(self.fingerprint_key_id, until or time.monotonic() + self._deadline)

    def _insert(self, connection: sqlite3.Connection, batch: list[Pending]) -> None:
        try:
            connection.executemany(_INSERT, chained(batch, self.log_id, *_head(connection)))
        except sqlite3.IntegrityError:
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            firsts, twins = without_twins(batch)
            for each in firsts:
                if not settled(each, _stored(connection, each)):
                    self._insert_alone(connection, each)
            for twin in twins:
                if not settled(twin, _stored(connection, twin)):
                    twin.error = next(each.error for each in firsts if each.event_id == twin.event_id)

    def _insert_alone(self, connection: sqlite3.Connection, pending: Pending) -> None:
        """Insert an entry of a batch in which one was refused, so that it costs none of the others their place."""
        connection.execute("SAVEPOINT alone")
        try:
            connection.executemany(_INSERT, chained([pending], self.log_id, *_head(connection)))
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:  # not the entry's fault, but its place's
                raise
            connection.execute("ROLLBACK TO alone")
            pending.error = EntryRefused(error.sqlite_errorname)
        connection.execute("RELEASE alone")

    def _is_in_place(self, opened: _Open) -> bool:
        """Notice a file that was deleted or replaced: it would take our commits with it, acknowledged and lost."""
        found = _files(*self._files)
        return found is not None and found == opened.files

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        with translated(self._path):
            return _head(self._opened().connection)[0]

    def leaves_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return ``(seq, leaf_hash)`` of up to ``limit`` entries that follow ``seq``, in order."""
        with translated(self._path):
            return self._opened().connection.execute(_LEAVES, (seq, seq, limit)).fetchall()

    def last_checkpoint(self, *, signed: bool) -> SavedCheckpoint | None:
        """Return the checkpoint of the largest size, of all or of those with a signature."""
        with translated(self._path):
            found = self._opened().connection.execute(_LAST_CHECKPOINT, (SIGNED_NOTE if signed else "%",)).fetchone()
        return SavedCheckpoint(*found) if found else None

    def save_checkpoint(self, checkpoint: SavedCheckpoint, until: float) -> None:
        """Store a checkpoint, with the signatures of one of the same size and root. No other root is stored."""
        with self._transaction(until) as connection:
            if stored := connection.execute(_CHECKPOINT, (checkpoint.size,)).fetchone():
                checkpoint = checkpoint.with_signatures_of(stored[0])
            connection.execute(_SAVE_CHECKPOINT, checkpoint)

    def prune(self, pending: Pending, first: int, last: int, count: int, until: float) -> None:
        """Remove ``count`` bodies and store ``pending``, which tells of it, in one transaction."""
        with self._transaction(until) as connection:
            for statement in (_KEEP_HASHES, _REMOVE_BODIES):
                if connection.execute(statement, (first, last)).rowcount != count:
                    raise AuditUnavailable(f"{self.name}: somebody else prunes these entries; nothing was removed")
            connection.executemany(_INSERT, chained([pending], self.log_id, *_head(connection)))

    def purge(self, until: float) -> bool:
        """Empty the -wal, where removed bodies may still stand. False if somebody reads from it."""
        with translated(self._path):
            opened = self._opened()
            with opened.lock.held(until):
                opened.connection.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
                (busy, _, _) = opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                opened.connection.execute(f"PRAGMA busy_timeout={int(self._deadline * 1000)}")
        return not busy

    def adopt_key(self, fingerprint_key_id: str) -> None:
        """From now on the log's fingerprints are made with another key."""
        with self._transaction(time.monotonic() + self._deadline) as connection:
            connection.execute("UPDATE log SET fingerprint_key_id = ?", (fingerprint_key_id,))
        self.fingerprint_key_id = fingerprint_key_id

    def close(self) -> None:
        """Close the connection and the lock."""
        if self._open is not None:
            self._open.connection.close()
            self._open.lock.close()
            self._open = None

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection alone, not even closed: that would drop locks of the parent."""
        if self._open is not None:
            self._open.lock.close()
            _inherited.append(self._open.connection)
            self._open = None


def _left(until: float) -> float:
    return max(until - time.monotonic(), 0)


def _head(connection: sqlite3.Connection) -> tuple[int, bytes]:
    found = connection.execute("SELECT seq, chain_hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    return found or (0, GENESIS)


def _stored(connection: sqlite3.Connection, pending: Pending) -> tuple[int, str, bytes] | None:
    found = connection.execute("SELECT seq, body, chain_hash FROM entry WHERE event_id = ?", (pending.event_id,))
    row: tuple[int, str, bytes] | None = found.fetchone()
    return row


def _make_tables(connection: sqlite3.Connection, fingerprint_key_id: str) -> None:
    """Make the tables of a new log in one transaction, so that a crash leaves either none or all."""
    connection.execute("BEGIN IMMEDIATE")
    for model in TABLES:
        table = table_of(model)
        connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            connection.execute(str(CreateIndex(index).compile(dialect=_DIALECT)))
    connection.execute(
        "INSERT INTO log (log_id, schema_version, fingerprint_key_id) VALUES (?, ?, ?)",
        (os.urandom(16), SCHEMA_VERSION, fingerprint_key_id),
    )
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("COMMIT")


def _files(database: str, wal: str) -> _Files | None:
    """Return which files stand there: device and inode of each. None where one is missing."""
    try:
        first, second = os.stat(database), os.stat(wal)  # noqa: PTH116 -- once a commit; a Path costs three times that
    except OSError:
        return None
    return first.st_dev, first.st_ino, second.st_dev, second.st_ino


_NEARLY = 0.95  # of the deadline: what SQLite waits for by itself
_BUSY_TIMEOUT = "PRAGMA busy_timeout={:.0f}"

_DIALECT = sqlite.dialect()

# Compiled once: SQLAlchemy writes the statement, the driver runs it, and the hot path pays for neither twice.
_INSERT = str(
    insert(table_of(EntryRow)).compile(dialect=_DIALECT, column_keys=["seq", "body", "leaf_hash", "chain_hash"])
)
_LEAVES = (
    "SELECT seq, leaf_hash FROM entry WHERE seq > ? UNION ALL SELECT seq, leaf_hash FROM pruned WHERE seq > ? "
    "ORDER BY seq LIMIT ?"
)
_KEEP_HASHES = (
    "INSERT INTO pruned (seq, leaf_hash, chain_hash) SELECT seq, leaf_hash, chain_hash FROM entry "
    "WHERE seq BETWEEN ? AND ? AND kind IS NOT 'log'"
)
_REMOVE_BODIES = "DELETE FROM entry WHERE seq BETWEEN ? AND ? AND kind IS NOT 'log'"
_LAST_CHECKPOINT = "SELECT size, note, frontier FROM checkpoint WHERE note LIKE ? ORDER BY size DESC LIMIT 1"
_CHECKPOINT = "SELECT note FROM checkpoint WHERE size = ?"
_SAVE_CHECKPOINT = (
    "INSERT INTO checkpoint (size, note, frontier) VALUES (?, ?, ?) "
    "ON CONFLICT (size) DO UPDATE SET note = excluded.note, frontier = excluded.frontier"
)

_inherited: list[sqlite3.Connection] = []

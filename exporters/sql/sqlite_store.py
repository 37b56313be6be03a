"""One SQLite file as a writer's store: one transaction at a time, under the lock that its processes share."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING

from sqlalchemy import insert
from sqlalchemy.dialects import sqlite

from counterfoil.schemas import AuditTimeout, AuditUnavailable, EntryRefused, KeyMismatch, StoreCorrupt, StoreError
from counterfoil.schemas.entry import GENESIS

from .chain import chained, settled, without_twins
from .mounts import require_shared_memory
from .sqlite import APPLICATION_ID, identify, is_empty
from .sqlite_file import CommitFailed, SqliteFile
from .store import SIGNED_NOTE, SavedCheckpoint
from .tables import SCHEMA_VERSION, EntryRow, definitions, table_of
from .versions import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ..pending import Pending
    from .store import Place


class SqliteStore:
    """One SQLite log, open for writing. One thread at a time may use it."""

    def __init__(self, path: Path, *, deadline: float, fingerprint_key_id: str) -> None:
        """Open the log at ``path``, making it if there is none. ``deadline`` in seconds bounds the wait for others.

        Raises ``ConfigurationError`` for a file system that cannot keep one, ``AuditUnavailable``, ``StoreForeign`` or
        ``StoreCorrupt``; an existing file is left as it was.
        """
        self.name = str(path)
        self._path = path
        self.log_id = b""
        self.fingerprint_key_id = fingerprint_key_id
        self._deadline = deadline
        self._adopting = ""
        self._last = (0, GENESIS)
        require_shared_memory(path)
        self._file = SqliteFile(path, deadline=deadline, prepare=self._prepare)

    def _prepare(self, connection: sqlite3.Connection) -> bytes:
        """Make sure that this is the log that was opened first; make the tables of an empty one."""
        if is_empty(connection):
            if self.log_id:
                raise StoreCorrupt(f"{self.name}: everything in it is gone since it was opened")
            _make_tables(connection, self.fingerprint_key_id)
        log_id, key_id = identify(connection, self._path)
        if not self.log_id:
            self.log_id, self.fingerprint_key_id = log_id, key_id
        elif log_id != self.log_id:
            raise AuditUnavailable(f"{self.name}: another log stands in its place")
        migrate(connection)
        self._require_last(connection)
        return log_id

    def _require_last(self, connection: sqlite3.Connection) -> None:
        """Require that the last entry which was acknowledged here is still there."""
        seq, chain_hash = self._last
        found = connection.execute("SELECT chain_hash FROM entry WHERE seq = ?", (seq,)).fetchone()
        if seq and found != (chain_hash,) and (found or _head(connection) < seq):
            raise StoreCorrupt(f"{self.name}: entries that were acknowledged are gone")

    def commit(self, batch: list[Pending], until: float, gather: Callable[[list[Pending]], None]) -> None:
        """Store ``batch`` in one transaction, under the lock, if the file is still the one that was opened."""
        try:
            with self._file.transaction(until) as connection:
                gather(batch)
                self._insert(connection, batch)
                if self._adopting:
                    connection.execute("UPDATE log SET fingerprint_key_id = ?", (self._adopting,))
        except CommitFailed as failed:
            self._settle(batch, until, failed)
        if self._adopting:
            self.fingerprint_key_id, self._adopting = self._adopting, ""
        self._last = max([self._last, *((each.seq, each.chain_hash) for each in batch if not each.error)])

    def _settle(self, batch: list[Pending], until: float, failed: CommitFailed) -> None:
        """Find out on a new connection whether a commit that failed arrived after all; nothing is tried again."""
        try:
            with self._file.reading(until) as connection:
                arrived = [settled(each, _stored(connection, each)) for each in batch if not each.error]
        except StoreError:
            raise AuditTimeout(str(failed)) from None
        if not all(arrived):
            raise failed.fault from None

    def _insert(self, connection: sqlite3.Connection, batch: list[Pending]) -> None:
        try:
            connection.executemany(_INSERT, chained(batch, self.log_id, *self._end(connection)))
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
            connection.executemany(_INSERT, chained([pending], self.log_id, *self._end(connection)))
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:  # not the entry's fault, but its place's
                raise
            connection.execute("ROLLBACK TO alone")
            pending.error = EntryRefused(error.sqlite_errorname)
        connection.execute("RELEASE alone")

    def _end(self, connection: sqlite3.Connection) -> tuple[int, bytes]:
        """Return the end of the chain. What was acknowledged is to be before it, and the key is to be the same."""
        seq, chain_hash, key_id = connection.execute(_END).fetchone() or (0, GENESIS, self.fingerprint_key_id)
        if seq <= self._last[0] and (seq, chain_hash) != self._last:
            raise StoreCorrupt(f"{self.name}: entries that were acknowledged are gone")
        if key_id != self.fingerprint_key_id:
            raise KeyMismatch(key_id, self.fingerprint_key_id)
        return seq, chain_hash

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        with self._file.reading(self._soon()) as connection:
            return _head(connection)

    def leaves_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return ``(seq, leaf_hash)`` of up to ``limit`` entries that follow ``seq``, in order."""
        with self._file.reading(self._soon()) as connection:
            return connection.execute(_LEAVES, (seq, seq, seq, limit)).fetchall()

    def last_checkpoint(self, *, signed: bool) -> SavedCheckpoint | None:
        """Return the checkpoint of the largest size, of all or of those with a signature."""
        with self._file.reading(self._soon()) as connection:
            found = connection.execute(_LAST_CHECKPOINT, (SIGNED_NOTE if signed else "%",)).fetchone()
        return SavedCheckpoint(*found) if found else None

    def save_checkpoint(self, checkpoint: SavedCheckpoint, until: float) -> None:
        """Store a checkpoint, with the signatures of one of the same size and root. No other root is stored."""
        with self._file.transaction(until) as connection:
            if stored := connection.execute(_CHECKPOINT, (checkpoint.size,)).fetchone():
                checkpoint = checkpoint.with_signatures_of(stored[0])
            connection.execute(_SAVE_CHECKPOINT, checkpoint)

    def prune(self, pending: Pending, first: int, last: int, count: int, until: float) -> None:
        """Remove ``count`` bodies and store ``pending``, which tells of it, in one transaction."""
        with self._file.transaction(until) as connection:
            for statement in (_KEEP_HASHES, _REMOVE_BODIES):
                if connection.execute(statement, (first, last)).rowcount != count:
                    raise AuditUnavailable(f"{self.name}: somebody else prunes these entries; nothing was removed")
            connection.executemany(_INSERT, chained([pending], self.log_id, *self._end(connection)))

    def erase(self, pending: Pending, places: Sequence[Place], until: float) -> None:
        """Remove the bodies of these entries and store ``pending``, which tells of it, in one transaction."""
        with self._file.transaction(until) as connection:
            connection.executemany(_INSERT, chained([pending], self.log_id, *self._end(connection)))
            for place in places:
                for statement, given in ((_KEEP_ERASED, (pending.seq, *place)), (_ERASE, place)):
                    if connection.execute(statement, given).rowcount != 1:
                        raise AuditUnavailable(f"{self.name}: entry {place.seq} changed; nothing was erased")

    def rewrite(self, until: float) -> list[str]:
        """Write the file anew, page by page, without what was removed, and empty the -wal."""
        return [] if self._file.rewrite(until) else [f"{self._path.name}-wal, while somebody reads the log"]

    def purge(self, until: float) -> bool:
        """Empty the -wal, where removed bodies may still stand. False if somebody reads from it."""
        return self._file.purge(until)

    def adopt_key(self, fingerprint_key_id: str) -> None:
        """Make the log's fingerprints with another key from the next entry on, which tells of it."""
        self._adopting = fingerprint_key_id

    def _soon(self) -> float:
        return time.monotonic() + self._deadline

    def close(self) -> None:
        """Close the connection and the lock."""
        self._file.close()

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection alone, not even closed: that would drop locks of the parent."""
        self._file.after_fork_in_child()


def _head(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0])


def _stored(connection: sqlite3.Connection, pending: Pending) -> tuple[int, str, bytes] | None:
    found = connection.execute("SELECT seq, body, chain_hash FROM entry WHERE event_id = ?", (pending.event_id,))
    row: tuple[int, str, bytes] | None = found.fetchone()
    return row


def _make_tables(connection: sqlite3.Connection, fingerprint_key_id: str) -> None:
    """Make the tables of a new log in one transaction, so that a crash leaves either none or all."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in definitions(_DIALECT):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO log (log_id, schema_version, fingerprint_key_id) VALUES (?, ?, ?)",
        (os.urandom(16), SCHEMA_VERSION, fingerprint_key_id),
    )
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("COMMIT")


_DIALECT = sqlite.dialect()

# Compiled once: SQLAlchemy writes the statement, the driver runs it, and the hot path pays for neither twice.
_INSERT = str(
    insert(table_of(EntryRow)).compile(dialect=_DIALECT, column_keys=["seq", "body", "leaf_hash", "chain_hash"])
)
_END = "SELECT seq, chain_hash, (SELECT fingerprint_key_id FROM log) FROM entry ORDER BY seq DESC LIMIT 1"
_LEAVES = (
    "SELECT seq, leaf_hash FROM entry WHERE seq > ? UNION ALL SELECT seq, leaf_hash FROM pruned WHERE seq > ? "
    "UNION ALL SELECT seq, leaf_hash FROM erased WHERE seq > ? ORDER BY seq LIMIT ?"
)
_KEEP_ERASED = (
    "INSERT INTO erased (seq, leaf_hash, chain_hash, erased_by) SELECT seq, leaf_hash, chain_hash, ? FROM entry "
    "WHERE seq = ? AND chain_hash = ?"
)
_ERASE = "DELETE FROM entry WHERE seq = ? AND chain_hash = ?"
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

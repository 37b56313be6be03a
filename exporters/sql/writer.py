"""Appending to a log, durably, from many threads and processes at once.

A caller queues its entry and then asks for the lead. Whoever gets it commits everything that waits, in one
transaction; the others find their entry done. No writer thread: nothing is lost at fork or exit, and one thread alone
pays for nothing but its own commit.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from counterfoil.schemas import AuditTimeout, AuditUnavailable, EventConflict, LogClosed, StoreError
from counterfoil.schemas.entry import GENESIS, chain_hash, same_content

from ..pending import Pending
from .faults import fault_of, translated
from .sqlite import APPLICATION_ID, SharedLock, check_file, connect, identify, is_empty, make_file
from .tables import SCHEMA_VERSION, CheckpointRow, CursorRow, EntryRow, LogRow, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BATCH: Final = 64
"""How many entries one commit takes at most."""

_Files: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Store:
    """What is open: the connection, the lock shared with other processes, and which files they were."""

    connection: sqlite3.Connection
    lock: SharedLock
    files: _Files | None


class SqliteWriter:
    """The writing end of one SQLite log. Thread-safe; several processes may each have one."""

    def __init__(self, path: Path, *, deadline: float, fingerprint_key_id: str) -> None:
        """Open the log at ``path``, making it if there is none. ``deadline`` in seconds bounds every wait.

        Raises ``AuditUnavailable``, ``StoreForeign`` or ``StoreCorrupt``; an existing file is left as it was.
        """
        self._path = path
        self._files = str(path), f"{path}-wal"
        self._deadline = deadline
        self._begin_life()
        make_file(path)
        with translated(path):
            self._open(fingerprint_key_id)
        _writers.add(self)

    def _begin_life(self) -> None:
        self._waiting: deque[Pending] = deque()
        self._lead = threading.Lock()
        self._forking = False
        self._store: _Store | None = None
        self._closed = False

    def _open(self, fingerprint_key_id: str) -> _Store:
        lock = SharedLock(self._path)
        try:
            with lock.held(time.monotonic() + self._deadline):
                connection = self._connect(fingerprint_key_id)
        except BaseException:
            lock.close()
            raise
        self._store = _Store(connection, lock, _files(*self._files))
        return self._store

    def _connect(self, fingerprint_key_id: str) -> sqlite3.Connection:
        """Open an existing log, or make one of an empty file. Any other file is not touched."""
        if self._path.stat().st_size > 0:
            check_file(self._path, deadline=self._deadline)
        connection = connect(self._path, deadline=self._deadline)
        try:
            if is_empty(connection):
                _make_tables(connection, fingerprint_key_id)
            self.log_id, self.fingerprint_key_id = identify(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def append(self, pending: Pending) -> None:
        """Commit ``pending``, together with whatever else waits. On return it has its ``seq`` and ``chain_hash``.

        Raises ``AuditUnavailable`` (nothing was written), ``AuditTimeout`` (unknown), ``EventConflict``, ``LogClosed``.
        """
        until = time.monotonic() + self._deadline
        self._waiting.append(pending)
        if self._lead.acquire(blocking=False) or self._lead.acquire(timeout=self._deadline):
            try:
                while not pending.done:
                    self._commit_waiting(until)
            finally:
                self._lead.release()
        else:
            self._withdraw(pending)
        if pending.error is not None:
            raise pending.error

    def append_all(self, batch: list[Pending]) -> None:
        """Commit ``batch`` in this order, up to 64 in one commit. On return each has its place, or its ``error``.

        What was not written may be given again as it is: an entry that did arrive is not written twice.
        """
        until = time.monotonic() + self._deadline
        if not self._lead.acquire(timeout=self._deadline):
            return _fail(batch, AuditUnavailable(f"{self._path} was busy until the deadline"))
        try:
            for start in range(0, len(batch), MAX_BATCH):
                self._commit_batch(batch[start : start + MAX_BATCH], until)
        finally:
            self._lead.release()

    def _withdraw(self, pending: Pending) -> None:
        try:
            self._waiting.remove(pending)
        except ValueError:
            if not pending.done:
                raise AuditTimeout("the deadline passed while another thread was committing this entry") from None
        else:
            raise AuditUnavailable(f"{self._path} was busy until the deadline; the entry was not written")

    def _commit_waiting(self, until: float) -> None:
        batch: list[Pending] = []
        while self._waiting and len(batch) < MAX_BATCH:
            batch.append(self._waiting.popleft())
        self._commit_batch(batch, until)

    def _commit_batch(self, batch: list[Pending], until: float) -> None:
        for pending in batch:
            pending.error = None
        try:
            self._commit(batch, until)
        except StoreError as error:
            _fail(batch, error)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            _fail(batch, fault_of(error, self._path))
        except BaseException:
            _fail(batch, AuditTimeout("the commit was interrupted"))
            raise
        finally:
            for pending in batch:
                pending.done = True

    def _commit(self, batch: list[Pending], until: float) -> None:
        if self._closed:
            raise LogClosed
        store = self._opened()
        store.lock.acquire(until)
        try:
            if not self._is_in_place(store):
                raise AuditUnavailable(f"{self._path}, or its -wal, was removed or replaced while it was in use")
            self._transact(store.connection, batch)
            if not self._is_in_place(store):
                raise AuditTimeout(f"{self._path}, or its -wal, was removed or replaced during the commit")
        finally:
            store.lock.release()

    def _transact(self, connection: sqlite3.Connection, batch: list[Pending]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._insert(connection, batch)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _opened(self) -> _Store:
        # None after a fork, since a connection must not be shared.
        return self._store or self._open(self.fingerprint_key_id)

    def _insert(self, connection: sqlite3.Connection, batch: list[Pending]) -> None:
        try:
            connection.executemany(_INSERT, self._rows(connection, batch))
        except sqlite3.IntegrityError:
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            first = {pending.event_id: pending for pending in reversed(batch)}
            new = [each for each in batch if first[each.event_id] is each and not _settled(connection, each)]
            connection.executemany(_INSERT, self._rows(connection, new))
            for twin in (each for each in batch if first[each.event_id] is not each):
                _settled(connection, twin)

    def _rows(self, connection: sqlite3.Connection, batch: list[Pending]) -> list[tuple[int, str, bytes, bytes]]:
        seq, head = connection.execute(_HEAD).fetchone() or (0, GENESIS)
        rows: list[tuple[int, str, bytes, bytes]] = []
        for pending in batch:
            seq += 1
            head = chain_hash(self.log_id, seq, head, pending.leaf_hash)
            pending.seq, pending.chain_hash = seq, head
            rows.append((seq, str(pending.body, "utf-8"), pending.leaf_hash, head))
        return rows

    def _is_in_place(self, store: _Store) -> bool:
        """Notice a file that was deleted or replaced: it would take our commits with it, acknowledged and lost."""
        found = _files(*self._files)
        return found is not None and found == store.files

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def flush(self) -> None:
        """Return when everything appended before is committed."""
        with self._lead:
            pass

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        with self._lead, translated(self._path):
            return int((self._opened().connection.execute(_HEAD).fetchone() or (0,))[0])

    def adopt_key(self, fingerprint_key_id: str) -> None:
        """From now on the log's fingerprints are made with another key."""
        with self._lead, translated(self._path):
            self._opened().connection.execute("UPDATE log SET fingerprint_key_id = ?", (fingerprint_key_id,))
        self.fingerprint_key_id = fingerprint_key_id

    def close(self) -> None:
        """Close. Later appends raise ``LogClosed``."""
        with self._lead:
            self._closed = True
            if self._store is not None:
                self._store.connection.close()
                self._store.lock.close()
                self._store = None

    def before_fork(self) -> None:
        """Let a commit end: SQLite would hand its locks down to the child, where nobody could give them up."""
        if self._lead.acquire(blocking=False) or self._lead.acquire(timeout=self._deadline):
            self._forking = True

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._forking:
            self._forking = False
            self._lead.release()

    def after_fork_in_child(self) -> None:
        """Begin anew: new locks, an empty queue, and the parent's connection left alone, not even closed."""
        closed = self._closed
        if self._store is not None:
            self._store.lock.close()
            _inherited.append(self._store.connection)
        self._begin_life()
        self._closed = closed


def _settled(connection: sqlite3.Connection, pending: Pending) -> bool:
    """Settle an entry whose event_id is taken: the same content gets the first receipt, other content an error."""
    row = connection.execute(_BY_EVENT_ID, (pending.event_id,)).fetchone()
    if row is None:
        return False
    seq, body, head = row
    # Of two calls that record one event each has a salt of its own; the very same bytes are this entry, given again.
    pending.seq, pending.chain_hash, pending.repeated = seq, head, body != str(pending.body, "utf-8")
    if pending.repeated and not same_content(body, pending.body):
        pending.error = EventConflict(pending.event_id, seq)
    return True


def _fail(batch: list[Pending], error: Exception) -> None:
    for pending in batch:
        pending.error = error


def _make_tables(connection: sqlite3.Connection, fingerprint_key_id: str) -> None:
    """Make the tables of a new log in one transaction, so that a crash leaves either none or all."""
    connection.execute("BEGIN IMMEDIATE")
    for model in (EntryRow, LogRow, CursorRow, CheckpointRow):
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


_DIALECT = sqlite.dialect()

# Compiled once: SQLAlchemy writes the statement, the driver runs it, and the hot path pays for neither twice.
_INSERT = str(
    insert(table_of(EntryRow)).compile(dialect=_DIALECT, column_keys=["seq", "body", "leaf_hash", "chain_hash"])
)
_HEAD = "SELECT seq, chain_hash FROM entry ORDER BY seq DESC LIMIT 1"
_BY_EVENT_ID = "SELECT seq, body, chain_hash FROM entry WHERE event_id = ?"

_writers: weakref.WeakSet[SqliteWriter] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _each(step: Callable[[SqliteWriter], None]) -> Callable[[], None]:
    def tell_all() -> None:
        for writer in list(_writers):
            step(writer)

    return tell_all


os.register_at_fork(
    before=_each(SqliteWriter.before_fork),
    after_in_parent=_each(SqliteWriter.after_fork_in_parent),
    after_in_child=_each(SqliteWriter.after_fork_in_child),
)

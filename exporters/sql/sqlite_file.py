"""The file of one log, open for writing: its lock, its connection, and when neither is to be trusted any more.

An error of the disk ends the life of a connection: what it holds in memory, and what the operating system holds, need
not be what is on the disk. The next transaction opens another one, and looks before it goes on (``soundness``).
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import AuditTimeout, AuditUnavailable, StoreError

from ..diagnostics import diagnostics
from .faults import fault_of, translated
from .forks import leave_alone
from .presence import Presence
from .soundness import require_sound
from .sqlite import SharedLock, check_file, connect, make_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

_UNTRUSTED: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""After these the file is checked before it is written again."""

_STALE: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL})
"""After these only another connection can go on: one that was opened read-only stays so."""

_PATIENCE: Final = 0.1
"""Seconds to wait for readers that keep the -wal from being emptied."""

_WAL_ALARM: Final = 64 * 1024 * 1024


class CommitFailed(AuditTimeout):
    """COMMIT itself failed on an error of the disk, so that its outcome is open."""

    def __init__(self, path: Path, error: sqlite3.Error) -> None:
        super().__init__(f"{path}: the disk failed during the commit, and whether it arrived cannot be told now")
        self.fault = fault_of(error, path)
        """The error if it turns out that nothing was written."""


@dataclass(frozen=True, slots=True)
class _Open:
    connection: sqlite3.Connection
    presence: Presence


class SqliteFile:
    """The file of one log. One thread at a time may use it."""

    def __init__(self, path: Path, *, deadline: float, prepare: Callable[[sqlite3.Connection], bytes]) -> None:
        """Open the file at ``path``, making an empty one if there is none. ``deadline`` in seconds bounds the waits.

        ``prepare`` is called under the lock with each new connection, makes sure that the tables are there, and returns
        the ``log_id``. Raises ``AuditUnavailable``, ``StoreForeign`` or ``StoreCorrupt``.
        """
        self.path = path
        self._deadline = deadline
        self._prepare = prepare
        self._lock: SharedLock | None = None
        self._open: _Open | None = None
        self._timeout = deadline
        self._untrusted = self._alarmed = False
        make_file(path)
        with translated(path):
            if path.stat().st_size > 0:
                check_file(path, deadline=deadline)  # before the lock: beside a file of somebody else none is left
            self._which = _identity(path)
            until = time.monotonic() + deadline
            with self._locked(until):
                self._connect(until)

    def _locked(self, until: float) -> SharedLock:
        self._lock = self._lock or SharedLock(self.path)
        return self._lock.held(until)

    def _connect(self, until: float) -> _Open:
        """Open a connection; the caller holds the lock. After an error of the disk it is checked first."""
        if _identity(self.path) != self._which:
            raise AuditUnavailable(f"{self.path}: it was removed or replaced while it was in use")
        connection = connect(self.path, deadline=_left(until))
        try:
            log_id = self._prepare(connection)
            if self._untrusted:
                require_sound(connection, self.path, log_id, until)
            presence = Presence(self.path)
        except OSError:
            connection.close()
            raise AuditUnavailable(f"{self.path}: it, its -wal or its -shm was removed while it was opened") from None
        except BaseException as error:
            self._untrusted = self._untrusted or _code(error) in _UNTRUSTED
            connection.close()
            raise
        self._open, self._untrusted, self._timeout = _Open(connection, presence), False, _left(until)
        return self._open

    @contextmanager
    def transaction(self, until: float) -> Generator[sqlite3.Connection]:
        """Give a connection within one transaction, under the lock, if the file is still the one that was opened.

        Raises ``AuditTimeout`` when the file went away during the commit, and its kind ``CommitFailed``; whatever else
        it raises, nothing was written.
        """
        with translated(self.path), self._locked(until):
            opened = self._open or self._connect(until)
            self._require_presence(opened, AuditUnavailable)
            if opened.presence.shrunk:
                self._untrusted = True
                self._disconnect()
                opened = self._connect(until)
            self._wait_at_most(opened, _left(until))
            connection = opened.connection
            committing = False
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                committing = True
                connection.execute("COMMIT")
            except BaseException as error:
                self._abandon(connection, error)
                if committing and isinstance(error, sqlite3.Error) and _code(error) in _UNTRUSTED:
                    raise CommitFailed(self.path, error) from None
                raise
            self._require_presence(opened, AuditTimeout)
        self._tell_growth(opened.presence.wal_bytes)

    def _require_presence(self, opened: _Open, error: type[StoreError]) -> None:
        if trouble := opened.presence.trouble(opened.connection):
            raise error(f"{self.path}: {trouble}")

    def _tell_growth(self, wal_bytes: int) -> None:
        """Give the alarm once, while nobody waits for the lock."""
        large = wal_bytes > _WAL_ALARM
        if large and not self._alarmed:
            told = {"path": f"{self.path}-wal", "bytes": wal_bytes}
            diagnostics().warning("the -wal of a log grows: somebody has been reading in one transaction", **told)
        self._alarmed = large

    def _wait_at_most(self, opened: _Open, left: float) -> None:
        """Let SQLite wait for others no longer than what is left of the deadline, in seconds."""
        if abs(left - self._timeout) > self._deadline / 10:
            self._timeout = left
            opened.connection.execute(f"PRAGMA busy_timeout={round(self._timeout * 1000)}")

    def _abandon(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """Undo the transaction; give up the connection if the error says so, or if that fails too."""
        broken = _code(error) in _UNTRUSTED
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            broken = True
        if broken or _code(error) in _STALE:
            self._untrusted = self._untrusted or broken
            self._disconnect()

    def _disconnect(self) -> None:
        if self._open is not None:
            with suppress(sqlite3.Error):
                self._open.connection.close()
            self._open.presence.close()
            self._open = None

    @contextmanager
    def reading(self, until: float) -> Generator[sqlite3.Connection]:
        """Give a connection to read with, under the lock only if one has to be opened."""
        with translated(self.path):
            opened = self._open
            if opened is None:
                with self._locked(until):
                    opened = self._connect(until)
            try:
                yield opened.connection
            except sqlite3.Error as error:
                self._abandon(opened.connection, error)
                raise

    def purge(self, until: float) -> bool:
        """Write the -wal into the database and empty it. False if somebody reads from it."""
        with translated(self.path), self._locked(until):
            return self._emptied(self._open or self._connect(until), min(_left(until), _PATIENCE))

    def rewrite(self, until: float) -> bool:
        """Write the database anew without its free space, and empty the -wal. False if somebody reads from that.

        Until the lock is there it waits; the writing takes its time.
        """
        with translated(self.path), self._locked(until):
            opened = self._open or self._connect(until)
            self._require_presence(opened, AuditUnavailable)
            connection = opened.connection
            # Samples of what indexes hold, which somebody may have had SQLite take: they are made again by ANALYZE.
            connection.execute("DROP TABLE IF EXISTS sqlite_stat4")
            connection.execute("VACUUM")
            return self._emptied(opened, _PATIENCE)

    def _emptied(self, opened: _Open, patience: float) -> bool:
        self._wait_at_most(opened, patience)
        (busy, _, _) = opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def close(self) -> None:
        """Close the connection and the lock. One whose files are in trouble is left alone: closing would write."""
        if self._open is not None and self._open.presence.trouble(self._open.connection):
            self._leave()
        self._disconnect()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection alone, not even closed: that would drop locks of the parent."""
        self._leave()
        self.close()

    def _leave(self) -> None:
        if self._open is not None:
            leave_alone(self._open.connection)
            self._open.presence.close()
            self._open = None


def _left(until: float) -> float:
    return max(until - time.monotonic(), 0.0)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _code(error: BaseException) -> int:
    """Return the primary result code of SQLite's error, 0 for any other."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF

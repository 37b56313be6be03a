"""A SQLite log as exporters see it."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .faults import translated
from .forks import leave_alone, tell_after_fork
from .mounts import require_shared_memory
from .source import LogSource
from .sqlite import SharedLock, connect
from .sqlite_reader import SqliteReader

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class _Open:
    connection: sqlite3.Connection
    lock: SharedLock


class SqliteSource(LogSource):
    """Reads entries read-only; writes nothing but its cursors, under the lock that the writers share."""

    def __init__(self, path: Path, *, deadline: float = 2.0) -> None:
        """Open the log at ``path``, which must exist. Raises ``ConfigurationError`` and ``StoreError``."""
        require_shared_memory(path)
        super().__init__(SqliteReader(path))
        self._path = path
        self._deadline = deadline
        self._open: _Open | None = None
        self._opened()
        tell_after_fork(self)

    def _opened(self) -> _Open:
        # None after a fork, since a connection must not be shared.
        if self._open is None:
            with translated(self._path):
                self._open = _Open(connect(self._path, deadline=self._deadline), SharedLock(self._path))
        return self._open

    def cursor(self, name: str) -> int:
        """Return the last sequence number that the destination ``name`` has received, 0 at first."""
        with translated(self._path):
            row = self._opened().connection.execute("SELECT seq FROM cursor WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def move_cursor(self, name: str, seq: int) -> None:
        """Remember, durably, that ``name`` has received everything up to ``seq``. A cursor never goes back."""
        with translated(self._path):
            opened = self._opened()
            with opened.lock.held(time.monotonic() + self._deadline):
                opened.connection.execute(_MOVE_CURSOR, (name, seq))

    def close(self) -> None:
        """Close all connections."""
        super().close()
        if self._open is not None:
            self._open.connection.close()  # the last to close, it takes what is in the -wal into the file
            self._open.lock.close()
            self._open = None

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection alone; the reader sees to its own."""
        if self._open is not None:
            leave_alone(self._open.connection)
            self._open.lock.close()
            self._open = None


_MOVE_CURSOR = (
    "INSERT INTO cursor (name, seq) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)"
)

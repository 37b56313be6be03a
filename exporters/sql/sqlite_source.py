"""A SQLite log as exporters see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .faults import translated
from .source import LogSource
from .sqlite import SharedLock, connect
from .sqlite_reader import SqliteReader

if TYPE_CHECKING:
    from pathlib import Path


class SqliteSource(LogSource):
    """Reads entries read-only; writes nothing but its cursors, under the lock that the writers share."""

    def __init__(self, path: Path, *, deadline: float = 2.0) -> None:
        """Open the log at ``path``, which must exist. Raises ``StoreError``."""
        super().__init__(SqliteReader(path))
        self._path = path
        self._deadline = deadline
        with translated(path):
            self._connection = connect(path, deadline=deadline)
        self._lock = SharedLock(path)

    def cursor(self, name: str) -> int:
        """Return the last sequence number that the destination ``name`` has received, 0 at first."""
        with translated(self._path):
            row = self._connection.execute("SELECT seq FROM cursor WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def move_cursor(self, name: str, seq: int) -> None:
        """Remember, durably, that ``name`` has received everything up to ``seq``. A cursor never goes back."""
        with translated(self._path), self._lock.held(time.monotonic() + self._deadline):
            self._connection.execute(_MOVE_CURSOR, (name, seq))

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self._connection.close()  # the last to close, it takes what is in the -wal into the file
        self._lock.close()


_MOVE_CURSOR = (
    "INSERT INTO cursor (name, seq) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)"
)

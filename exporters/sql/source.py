"""A log as exporters see it: entries in order, and a cursor for each destination."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .faults import translated
from .reader import SqliteReader
from .sqlite import SharedLock, connect

if TYPE_CHECKING:
    from pathlib import Path

    from counterfoil.schemas import Entry


class SqliteSource:
    """Reads entries read-only; writes nothing but its cursors."""

    def __init__(self, path: Path, *, deadline: float = 2.0) -> None:
        """Open the log at ``path``, which must exist. Raises ``StoreError``."""
        self._path = path
        self._reader = SqliteReader(path)
        self._deadline = deadline
        with translated(path):
            self._connection = connect(path, deadline=deadline)
        self._lock = SharedLock(path)

    @property
    def log_id(self) -> str:
        """Which log, 32 hex digits."""
        return self._reader.log_id

    def entries_after(self, seq: int, limit: int) -> list[Entry]:
        """Return up to ``limit`` entries that follow ``seq``, in order."""
        return self._reader.entries_after(seq, limit)

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        return self._reader.head()

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
        self._connection.close()
        self._lock.close()
        self._reader.close()


_MOVE_CURSOR = (
    "INSERT INTO cursor (name, seq) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)"
)

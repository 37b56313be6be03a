"""A log as exporters see it: entries in order, and a cursor for each destination."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterfoil.schemas import Entry

    from .reader import LogReader


class LogSource(ABC):
    """Reads entries read-only; writes nothing but its cursors."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader

    @property
    def log_id(self) -> str:
        """Which log, 32 hex digits."""
        return self._reader.log_id

    def entries_after(self, seq: int, limit: int) -> list[Entry]:
        """Return up to ``limit`` entries that follow ``seq``, in order."""
        return self._reader.entries_after(seq, limit)

    def chain_hash(self, seq: int) -> bytes | None:
        """Return the chain hash of an entry, also of one whose body was removed; None if there is no such entry."""
        return self._reader.chain_hash(seq)

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        return self._reader.head()

    @abstractmethod
    def cursor(self, name: str) -> int:
        """Return the last sequence number that the destination ``name`` has received, 0 at first."""

    @abstractmethod
    def move_cursor(self, name: str, seq: int) -> None:
        """Remember, durably, that ``name`` has received everything up to ``seq``. A cursor never goes back."""

    def close(self) -> None:
        """Close all connections."""
        self._reader.close()


class CopiedSource(LogSource):
    """A copy that nobody may write to: how far each destination has come is remembered in memory."""

    def __init__(self, reader: LogReader) -> None:
        super().__init__(reader)
        self._cursors = reader.cursors()

    def cursor(self, name: str) -> int:
        """Return the last sequence number that the destination ``name`` has received, 0 at first."""
        return self._cursors.get(name, 0)

    def move_cursor(self, name: str, seq: int) -> None:
        """Remember that ``name`` has received everything up to ``seq``, until this source is closed."""
        self._cursors[name] = max(seq, self.cursor(name))

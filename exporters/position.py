"""Destinations that are their own cursor: a file shows how far it has come, a console begins where it is told.

The store's cursor would go on counting for a file that somebody moved away, and leave entries out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.schemas import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterfoil.schemas import Entry

    from .protocol import Source


@dataclass(slots=True)
class Position:
    """A source whose cursor is kept here instead of in the store."""

    source: Source
    after: int = 0
    """The last sequence number that the destination has."""

    @property
    def log_id(self) -> str:
        """Which log, 32 hex digits."""
        return self.source.log_id

    def entries_after(self, seq: int, limit: int) -> list[Entry]:
        """Return up to ``limit`` entries that follow ``seq``, in order."""
        return self.source.entries_after(seq, limit)

    def chain_hash(self, seq: int) -> bytes | None:
        """Return the chain hash of an entry, also of one whose body was removed; None if there is no such entry."""
        return self.source.chain_hash(seq)

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        return self.source.head()

    def cursor(self, name: str) -> int:  # noqa: ARG002 -- there is one destination
        """Return how far the destination has come."""
        return self.after

    def move_cursor(self, name: str, seq: int) -> None:  # noqa: ARG002 -- there is one destination
        """Remember how far the destination has come."""
        self.after = seq


def position_after(source: Source, line: bytes, last_entry: Callable[[bytes], tuple[int, str]]) -> Position:
    """Return the position behind the last line of a file. ``last_entry`` reads ``seq`` and ``chain_hash`` from it.

    Raises ``ConfigurationError`` if the file does not end with an entry of this log.
    """
    if not line:
        return Position(source)
    try:
        seq, chain_hash = last_entry(line)
    except ValueError:
        raise _foreign_file() from None
    found = source.chain_hash(seq)
    if found is None or found.hex() != chain_hash:
        raise _foreign_file()
    return Position(source, seq)


def _foreign_file() -> ConfigurationError:
    return ConfigurationError(
        "the file does not end with an entry of this log",
        advice="Name another file: this one holds something else, or another log, or the log was changed since.",
    )

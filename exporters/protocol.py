"""What an exporter is, and what it reads from.

An exporter is a cursor over the store, never a sibling of it: a dead destination delays no ``record()`` and loses
nothing. It has one duty: to return only when the whole batch has arrived, and to raise ``ExportFailed`` otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.schemas import Entry


class Exporter(Protocol):
    """Sends entries somewhere. ``name`` identifies the destination: each name has its own cursor."""

    @property
    def name(self) -> str:
        """Identify the destination, such as ``otel:http://localhost:4318``. Never holds a credential."""
        ...

    def export(self, entries: Sequence[Entry]) -> None:
        """Send the batch. Return when all of it has arrived; raise ``ExportFailed`` otherwise. A resend is harmless."""
        ...

    def close(self) -> None:
        """Release what the exporter holds."""
        ...


class Source(Protocol):
    """What exporters read from: entries in order, and how far each destination has come."""

    @property
    def log_id(self) -> str:
        """Which log, 32 hex digits."""
        ...

    def entries_after(self, seq: int, limit: int) -> list[Entry]:
        """Return up to ``limit`` entries that follow ``seq``, in order. ``seq`` 0 is before the first."""
        ...

    def chain_hash(self, seq: int) -> bytes | None:
        """Return the chain hash of an entry, also of one whose body was removed; None if there is no such entry."""
        ...

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        ...

    def cursor(self, name: str) -> int:
        """Return the last sequence number that the destination ``name`` has received, 0 at first."""
        ...

    def move_cursor(self, name: str, seq: int) -> None:
        """Remember, durably, that ``name`` has received everything up to ``seq``."""
        ...

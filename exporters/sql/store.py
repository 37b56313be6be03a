"""What the writer needs of a database: one log in it, written by one thread at a time, and its checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from counterfoil.schemas import StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..pending import Pending

SIGNED_NOTE: Final = "%\n\n— %"
"""What a note with a signature line is LIKE."""


class SavedCheckpoint(NamedTuple):
    """A commitment to the first ``size`` entries: a C2SP note, and the compact range behind it (RFC 9162)."""

    size: int
    note: str
    frontier: bytes | None = None

    def with_signatures_of(self, stored: str) -> SavedCheckpoint:
        """Return this one with the signatures of the note that is stored for its size: two processes may have two keys.

        Raises ``StoreCorrupt`` if that note says something else: there are no two roots of one size.
        """
        text, _, theirs = stored.partition("\n\n")
        ours, _, lines = self.note.partition("\n\n")
        if text != ours:
            raise StoreCorrupt(f"another checkpoint of {self.size} entries is stored already, with another root")
        more = [line for line in theirs.splitlines(keepends=True) if line not in lines]
        return self._replace(note=self.note + "".join(more))


class Place(NamedTuple):
    """Where an entry stands in the chain."""

    seq: int
    chain_hash: bytes


class Store(Protocol):
    """One log in one database, open for writing, for one thread at a time. Everything raises ``StoreError``."""

    name: str
    """Which log, for errors. It holds no password."""
    log_id: bytes
    fingerprint_key_id: str

    def commit(self, batch: list[Pending], until: float, gather: Callable[[list[Pending]], None]) -> None:
        """Store ``batch`` in one transaction, and give each entry its place, or its ``error``.

        ``gather`` is called with it once the log is ours to write, and adds what came while we waited. Waits for other
        processes until ``until`` (``time.monotonic``). Raises ``AuditTimeout`` if the outcome is unknown; whatever else
        it raises, nothing was written.
        """
        ...

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        ...

    def leaves_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return ``(seq, leaf_hash)`` of up to ``limit`` entries that follow ``seq``, in order, pruned or not."""
        ...

    def last_checkpoint(self, *, signed: bool) -> SavedCheckpoint | None:
        """Return the checkpoint of the largest size, of all or of those with a signature."""
        ...

    def save_checkpoint(self, checkpoint: SavedCheckpoint, until: float) -> None:
        """Store a checkpoint, with the signatures of one of the same size and root. No other root is stored."""
        ...

    def prune(self, pending: Pending, first: int, last: int, count: int, until: float) -> None:
        """Remove the bodies of ``count`` entries and store ``pending``, which tells of it, in one transaction.

        They are those from ``first`` to ``last`` but for what the log tells of itself. Their hashes stay. Raises
        ``AuditUnavailable`` if there are more or fewer of them.
        """
        ...

    def erase(self, pending: Pending, places: Sequence[Place], until: float) -> None:
        """Remove the bodies of these entries and store ``pending``, which tells of it, in one transaction.

        Their hashes stay. Raises ``AuditUnavailable`` if one of them does not stand there so.
        """
        ...

    def rewrite(self, until: float) -> list[str]:
        """Write the database anew without what was removed. Return in words where some of it may still stand.

        ``until`` bounds the waits for others, not the writing itself.
        """
        ...

    def purge(self, until: float) -> bool:
        """Remove what still stands of pruned bodies beside the table. False if somebody reads it."""
        ...

    def adopt_key(self, fingerprint_key_id: str) -> None:
        """Make the log's fingerprints with another key from the next entry on, which tells of it."""
        ...

    def close(self) -> None:
        """Close all that is open."""
        ...

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection alone, not even closed; open another when there is need of one."""
        ...

"""The chain of one log, followed row by row."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeAlias

from counterfoil.schemas.entry import GENESIS

from .facts import members
from .merkle import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

Row: TypeAlias = tuple[int, bytes | None, bytes, bytes]
"""``(seq, body, leaf_hash, chain_hash)`` as stored; the body is None where it was pruned, empty where it was erased."""


class Chain:
    """How far the rows hold, and what is wrong with the first that does not."""

    def __init__(self, log_id: str) -> None:
        self._log_id = log_id
        self._prefix = b"counterfoil/1\x00" + bytes.fromhex(log_id)
        self.entries = 0
        """How many entries hold, counted from the first."""
        self.head = GENESIS
        """The chain hash of the last of them."""
        self.broken: tuple[int, str] | None = None
        """The first entry that does not hold, and why."""

    def take(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Follow the next rows, and return those that hold: all, or those before the first that is bad."""
        sha256, prefix = hashlib.sha256, self._prefix
        first = expected = self.entries + 1
        head = self.head
        for seq, body, leaf, chain in rows:
            if (
                seq != expected
                or (leaf != sha256(b"\x00" + body).digest() if body else not _is_hash(leaf))
                or chain != sha256(prefix + seq.to_bytes(8, "big") + head + leaf).digest()
                or (seq == 1 and not self._is_creation(body))
            ):
                self.broken = min(seq, expected), self._problem(seq, body, leaf, expected, head, chain)
                break
            head = chain
            expected += 1
        self.entries, self.head = expected - 1, head
        return rows if self.broken is None else rows[: expected - first]

    def end(self) -> None:
        """Say that there are no more rows: a log without any has lost its creation."""
        if not self.entries and self.broken is None:
            self.broken = 1, _NO_CREATION

    def _problem(  # noqa: PLR0913, PLR0917 -- the row, and what it should follow
        self, seq: int, body: bytes | None, leaf: bytes, expected: int, head: bytes, chain: bytes
    ) -> str:
        if seq != expected:
            return "the entry is missing" if seq > expected else "the sequence number is repeated or below 1"
        if body and leaf != hashlib.sha256(b"\x00" + body).digest():
            return "the body is not the one that was sealed"
        if not _is_hash(leaf):
            return "the leaf hash of the pruned or erased entry is no hash"
        if chain != hashlib.sha256(self._prefix + seq.to_bytes(8, "big") + head + leaf).digest():
            return "the chain hash does not follow from the entry before"
        return _NO_CREATION

    def _is_creation(self, body: bytes | None) -> bool:
        event = members(body or b"")
        return (event.get("kind"), event.get("change"), event.get("log_id")) == ("log", "created", self._log_id)


_NO_CREATION: Final = "the log does not begin with its own creation"


def _is_hash(found: object) -> bool:
    return isinstance(found, bytes) and len(found) == HASH_SIZE

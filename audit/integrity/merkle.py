"""The Merkle tree of a log, RFC 9162 §2.1.1, by its compact range: no more than 63 hashes, whatever the size.

The leaves are the ``leaf_hash`` of each entry, in the order of ``seq``. A compact range holds the roots of the largest
complete subtrees, one for each bit that is set in the size. It grows at the right and forgets what it has taken in.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

HASH_SIZE: Final = 32
"""Bytes of a leaf hash, a node, a root."""

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

_SIZE_BYTES: Final = 8


class CompactRange:
    """A Merkle tree that only grows. Not safe to share between threads."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        """How many leaves it has taken in."""
        self._peaks: list[bytes] = []  # from the smallest complete subtree to the largest

    def append(self, leaf: bytes) -> None:
        """Take in one leaf hash."""
        self.extend((leaf,))

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Take in leaf hashes, in order. Level by level, so that thousands cost one hash each and little more."""
        sha256, nodes, peaks = hashlib.sha256, list(leaves), iter(self._peaks)
        before, grown = self.size, list[bytes]()
        self.size = before + len(nodes)
        while nodes or before:
            if before & 1:
                nodes.insert(0, next(peaks))
            if len(nodes) & 1:
                grown.append(nodes.pop())
            pairs = iter(nodes)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
            before >>= 1
        self._peaks = grown

    def root(self) -> bytes:
        """Return the root of the tree as it is now, 32 bytes."""
        if not self._peaks:
            return EMPTY_ROOT
        root, *larger = self._peaks
        for peak in larger:
            root = hashlib.sha256(b"\x01" + peak + root).digest()
        return root

    def copy(self) -> Self:
        """Return a tree of its own with the same leaves."""
        return self.from_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the size, 8 bytes big-endian, and the subtree roots from the smallest to the largest."""
        return self.size.to_bytes(_SIZE_BYTES, "big") + b"".join(self._peaks)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Return the tree that ``to_bytes`` wrote. Raises ``ValueError`` unless there is a subtree for each bit.

        Whether it is the tree of this log is for its ``root`` to tell.
        """
        size, hashes = int.from_bytes(raw[:_SIZE_BYTES], "big"), raw[_SIZE_BYTES:]
        if len(raw) < _SIZE_BYTES or len(hashes) != HASH_SIZE * size.bit_count():
            raise ValueError("these are not the bytes of a compact range")
        grown = cls()
        grown.size = size
        grown._peaks = [hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)]
        return grown


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes."""
    grown = CompactRange()
    grown.extend(leaves)
    return grown.root()

"""The Merkle tree: by the definition, by published roots, and the same however it grew."""

from __future__ import annotations

import hashlib
import json
import secrets
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.integrity.merkle import EMPTY_ROOT, CompactRange, root_of
from counterfoil.schemas.entry import leaf_hash

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "merkle-tree.json").read_text(encoding="utf-8")
)
LEAVES = [secrets.token_bytes(32) for _ in range(41)]


def defined(leaves: list[bytes]) -> bytes:
    """Return the Merkle Tree Hash as RFC 9162 §2.1.1 writes it, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + defined(leaves[:split]) + defined(leaves[split:])).digest()


def grown(*parts: list[bytes]) -> CompactRange:
    """Return a tree that took in these leaves, one part after the other."""
    tree = CompactRange()
    for part in parts:
        tree.extend(part)
    return tree


@pytest.mark.parametrize("size", range(41))
def test_every_way_to_grow_leads_to_the_defined_root(size: int) -> None:
    """For each size up to 40: leaf by leaf, at once, and in two parts cut anywhere."""
    leaves = LEAVES[:size]
    expected = defined(leaves)
    single = CompactRange()
    for leaf in leaves:
        single.append(leaf)
    assert (single.root(), single.size) == (expected, size)
    assert root_of(leaves) == expected
    for cut in range(size + 1):
        tree = grown(leaves[:cut], leaves[cut:])
        assert (tree.root(), tree.size, tree.to_bytes()) == (expected, size, single.to_bytes())


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """The roots of the trees over the eight test leaves of Certificate Transparency."""
    leaves = [leaf_hash(bytes.fromhex(each)) for each in VECTORS["leaves"][:size]]
    assert root_of(leaves).hex() == VECTORS["roots"][size]
    assert VECTORS["roots"][0] == EMPTY_ROOT.hex()


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(0, 40))
def test_growing_goes_on_from_bytes(cuts: list[int], last: int) -> None:
    """A tree that was written down and read back anywhere is the same tree, and a copy grows by itself."""
    tree, places = CompactRange(), sorted([0, *cuts, last])
    for start, end in pairwise(places):
        tree = CompactRange.from_bytes(tree.to_bytes())
        tree.extend(LEAVES[start:end])
    assert tree.root() == defined(LEAVES[: places[-1]])
    copy = tree.copy()
    copy.append(LEAVES[40])
    assert tree.root() == defined(LEAVES[: places[-1]]) != copy.root()


@given(st.binary(max_size=200))
def test_bytes_of_another_shape_are_refused(raw: bytes) -> None:
    """Whatever is read back has a subtree for each bit of its size, or it is refused."""
    size = int.from_bytes(raw[:8], "big")
    if len(raw) == 8 + 32 * size.bit_count():
        assert CompactRange.from_bytes(raw).to_bytes() == raw
    else:
        with pytest.raises(ValueError, match="compact range"):
            CompactRange.from_bytes(raw)


@pytest.mark.parametrize("change", [b"", b"\x00" * 7, b"\x00" * 8 + b"x" * 32, b"\x00" * 7 + b"\x01" + b"x" * 31])
def test_bytes_cut_short_are_refused(change: bytes) -> None:
    """Too short, too long, or for another size."""
    with pytest.raises(ValueError, match="compact range"):
        CompactRange.from_bytes(change)


def test_a_changed_leaf_or_order_changes_the_root() -> None:
    """For each leaf of 33: another leaf, or two leaves in the other order."""
    leaves = LEAVES[:33]
    roots = {root_of(leaves)}
    for place in range(33):
        roots.add(root_of([*leaves[:place], LEAVES[40], *leaves[place + 1 :]]))
    for place in range(32):
        roots.add(root_of([*leaves[:place], leaves[place + 1], leaves[place], *leaves[place + 2 :]]))
    assert len(roots) == 1 + 33 + 32


def test_each_node_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 leaves in parts of 700: a hash for each complete subtree, and none again when the tree grows."""
    hashed: list[bytes] = []

    def counted(node: bytes) -> _Digest:
        hashed.append(node)
        return _Digest()

    monkeypatch.setattr(hashlib, "sha256", counted)
    tree = CompactRange()
    for start in range(0, 10_000, 700):
        tree.extend([bytes(32)] * min(700, 10_000 - start))
    assert len(hashed) == 10_000 - (10_000).bit_count()
    assert (tree.size, {len(node) for node in hashed}) == (10_000, {65})


class _Digest:
    def digest(self) -> bytes:
        return bytes(32)

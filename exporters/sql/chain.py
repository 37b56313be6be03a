"""A batch of entries and the chain that it joins: their places, and what happens where an event is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from counterfoil.schemas import EventConflict
from counterfoil.schemas.entry import chain_hash, same_content

if TYPE_CHECKING:
    from ..pending import Pending

EntryColumns: TypeAlias = tuple[int, str, bytes, bytes]
"""What a writer gives of an entry: ``seq``, ``body``, ``leaf_hash``, ``chain_hash``."""


def chained(batch: list[Pending], log_id: bytes, seq: int, head: bytes) -> list[EntryColumns]:
    """Give each entry its place behind entry ``seq``, whose chain hash is ``head``, and return what is to be stored."""
    rows: list[EntryColumns] = []
    for pending in batch:
        seq += 1
        head = chain_hash(log_id, seq, head, pending.leaf_hash)
        pending.seq, pending.chain_hash = seq, head
        rows.append((seq, str(pending.body, "utf-8"), pending.leaf_hash, head))
    return rows


def without_twins(batch: list[Pending]) -> tuple[list[Pending], list[Pending]]:
    """Return the first entry of each event in the batch, and the others."""
    first = {pending.event_id: pending for pending in reversed(batch)}
    firsts = [each for each in batch if first[each.event_id] is each]
    return firsts, [each for each in batch if first[each.event_id] is not each]


def settled(pending: Pending, found: tuple[int, str, bytes] | None) -> bool:
    """Settle an entry whose event_id is taken: the same content gets the first receipt, other content an error.

    ``found`` is the ``seq``, ``body`` and ``chain_hash`` stored under its event_id. False if there is nothing.
    """
    if found is None:
        return False
    seq, body, head = found
    # Of two calls that record one event each has a salt of its own; the very same bytes are this entry, given again.
    pending.seq, pending.chain_hash, pending.repeated = seq, head, body != str(pending.body, "utf-8")
    if pending.repeated and not same_content(body, pending.body):
        pending.error = EventConflict(pending.event_id, seq)
    return True

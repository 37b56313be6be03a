"""Whether the agents that hold a credential recorded everything around a moment: the producers' numbers have no hole.

A producer counts each call of ``record``, and declares the numbers whose call raised. So between two of its entries
nothing of it is missing if every number between theirs is there or declared. Before its first entry, number 1, it did
not record yet; after an entry that says ``closed`` it did not record any more.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Protocol

from counterfoil.schemas import LogChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from counterfoil.exporters.reach import Numbered

_NEAR: Final = 20_000
"""How many entries before and after a use are looked at."""
_MOST: Final = 500_000
_DISORDER: Final = 64  # threads of one producer may commit in another order than they counted


class Counted(Protocol):
    """What the numbers are read from."""

    def numbered(self, producer: str, first: int, last: int) -> Sequence[Numbered]:
        """Return how a producer counted its entries from ``first`` to ``last``, in order."""
        ...


def recorded_whole(store: Counted, producers: Iterable[str], seqs: Sequence[int]) -> dict[int, bool | None]:
    """Say of each entry whether these producers recorded everything around it; None where it cannot be told."""
    if not seqs:
        return {}
    first, last = max(1, min(seqs) - _NEAR), max(seqs) + _NEAR
    if last - first > _MOST:
        return dict.fromkeys(seqs)
    counts = [_Count(store.numbered(producer, first, last)) for producer in producers]
    return {seq: _all([count.whole_around(seq) for count in counts]) for seq in seqs}


def _all(answers: list[bool | None]) -> bool | None:
    if False in answers:
        return False
    return True if answers and None not in answers else None


class _Count:
    """The numbers of one producer, as far as they were looked at."""

    def __init__(self, entries: Sequence[Numbered]) -> None:
        self._entries = entries
        self._seqs = [each.seq for each in entries]
        self._known = {each.number for each in entries} | {number for each in entries for number in each.raised}
        self._gap = any(each.change == LogChange.GAP.value for each in entries)

    def whole_around(self, seq: int) -> bool | None:
        """Say whether no number is missing between the entries before ``seq`` and the one that follows it."""
        position = bisect_left(self._seqs, seq)
        before = self._entries[max(0, position - _DISORDER) : position]
        after = self._entries[position : position + 1]
        if self._gap:
            return False
        if not before:
            return True if after and after[0].number == 1 else None
        if not after and before[-1].change != LogChange.CLOSED.value:
            return None
        last = max(each.number for each in (before[-1], *after))
        return self._known.issuperset(range(before[0].number, last + 1))

"""Whether agents recorded everything around a moment: only where every number is there, or declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit.review.completeness import recorded_whole
from counterfoil.exporters.reach import Numbered

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class _Store:
    """Entries by producer, as a store returns them."""

    entries: dict[str, list[Numbered]]

    def numbered(self, producer: str, first: int, last: int) -> Sequence[Numbered]:
        """Return those in the window."""
        return [each for each in self.entries[producer] if first <= each.seq <= last]


def _numbered(*entries: tuple[int, int] | tuple[int, int, str], raised: tuple[int, ...] = ()) -> list[Numbered]:
    return [Numbered(each[0], each[1], raised, each[2] if len(each) == 3 else None) for each in entries]


@pytest.mark.parametrize(
    ("entries", "whole"),
    [
        (_numbered((8, 4), (12, 5)), True),
        (_numbered((8, 4), (12, 6)), False),
        (_numbered((8, 4), (12, 7), raised=(5, 6)), True),
        (_numbered((7, 4), (8, 6), (12, 7)), False),
        (_numbered((7, 5), (8, 4), (12, 6)), True),
        (_numbered((8, 4), (12, 6), (13, 5)), True),
        (_numbered((8, 4)), None),
        (_numbered((8, 4, "closed")), True),
        (_numbered((7, 2), (8, 4, "closed")), False),
        (_numbered((12, 1), (13, 2)), True),
        (_numbered((12, 2), (13, 3)), None),
        (_numbered((8, 4), (12, 5), (20, 6, "gap")), False),
        ([], None),
    ],
    ids=[
        "nothing missing",
        "one missing",
        "those missing raised",
        "one missing before",
        "threads out of order before",
        "threads out of order after",
        "nothing follows",
        "it was closed",
        "closed with one missing",
        "it began later",
        "its beginning is not known",
        "it admits a gap",
        "it recorded nothing near",
    ],
)
def test_one_producer(entries: list[Numbered], whole: bool | None) -> None:  # noqa: FBT001 -- pytest gives it by name
    """What its numbers say of the moment of entry 10."""
    assert recorded_whole(_Store({"p": entries}), ["p"], [10]) == {10: whole}


@pytest.mark.parametrize(
    ("other", "whole"),
    [
        (_numbered((9, 1), (11, 2)), True),
        (_numbered((9, 1)), None),
        (_numbered((9, 1), (11, 3)), False),
    ],
)
def test_all_of_them(other: list[Numbered], whole: bool | None) -> None:  # noqa: FBT001 -- pytest gives it by name
    """One with a hole is enough to say no; one that cannot be told, to say nothing."""
    store = _Store({"p": _numbered((8, 4), (12, 5)), "q": other})
    assert recorded_whole(store, ["p", "q"], [10]) == {10: whole}


def test_nobody_is_not_everybody() -> None:
    """Without a producer there is nothing to be whole."""
    assert recorded_whole(_Store({}), [], [10]) == {10: None}
    assert recorded_whole(_Store({}), ["p"], []) == {}


def test_a_hole_far_away_says_nothing() -> None:
    """What was lost a hundred entries before is not around the moment."""
    entries = _numbered(*((seq, seq + (seq > 20)) for seq in range(1, 200)))
    store = _Store({"p": [each for each in entries if each.seq != 150]})
    assert recorded_whole(store, ["p"], [21, 60, 110, 150]) == {21: False, 60: False, 110: True, 150: False}


def test_a_span_that_is_too_long_is_not_looked_at() -> None:
    """Half a million entries would take a while; nothing is said then."""
    assert recorded_whole(_Store({"p": _numbered((1, 1))}), ["p"], [1, 1_000_000]) == {1: None, 1_000_000: None}

"""Whether the producers recorded everything: over a whole log, none of their numbers is missing.

A producer counts each call of ``record`` from 1, and a later entry declares the numbers whose call raised. So a number
that is in no entry and is not declared is a call whose caller was not told, and whose entry is not there. The rules,
each with what it tells:

1. A number that is missing although its producer closed, or long went on without it, is a hole: an entry was lost.
2. A gap entry says of itself that entries are missing.
3. A producer without a ``closed`` entry that does not run any more was killed: what it still had is not known.
4. A body that was pruned has a number that cannot be read. If exactly as many numbers are missing as bodies, each is
   one of those; if more are missing, what else is among them is not known.
5. The numbers of a body that was erased stand in the entry that tells of it.

Memory grows with the processes that wrote, some hundred bytes each, and not with the entries.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from .facts import LOG_OPENING, Process, process_of, told
from .verdict import State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .chain import Row
    from .facts import Told

_PATIENCE: Final = 2_000
"""Entries that a producer may write before a call that began earlier is in the log or declared."""
_DECLARED_AT_ONCE: Final = 100  # numbers that an entry declares, at least, while there are more to declare
_MOST_HOLES: Final = 1_000
_NO_MARK: Final = b"\x00"  # stands in no canonical body


@dataclass(slots=True, eq=False)
class _Hole:
    """Numbers that are missing as yet."""

    first: int
    last: int
    seq: int
    """The entry that showed it."""
    age: int
    """How many entries the producer had written then."""


@dataclass(slots=True, eq=False)
class _Count:
    """How far one producer has counted, and what is missing."""

    process: Process | None
    highest: int = 0
    entries: int = 0
    closed: bool = False
    holes: list[_Hole] = field(default_factory=list[_Hole])
    overflowed: bool = False

    def account(self, number: int, seq: int) -> None:
        """Take note of a number that was recorded or declared."""
        if number > self.highest:
            if number > self.highest + 1:
                self._open(self.highest + 1, number - 1, seq)
            self.highest = number
            return
        at = bisect_left(self.holes, number, key=lambda hole: hole.last)
        if at < len(self.holes) and self.holes[at].first <= number:
            hole = self.holes[at]
            parts = ((hole.first, number - 1), (number + 1, hole.last))
            self.holes[at : at + 1] = [_Hole(*part, hole.seq, hole.age) for part in parts if part[0] <= part[1]]

    def _open(self, first: int, last: int, seq: int) -> None:
        if len(self.holes) < _MOST_HOLES:
            self.holes.append(_Hole(first, last, seq, self.entries))
        else:  # enough is known already
            self.overflowed = True

    def is_lost(self, hole: _Hole) -> bool:
        """Whether what is missing cannot be on its way any more."""
        size = hole.last - hole.first + 1
        return self.closed or self.entries - hole.age > _PATIENCE + size // _DECLARED_AT_ONCE


class Producers:
    """The count of every producer, fed with all rows in order."""

    def __init__(self) -> None:
        self._counts: dict[bytes, _Count] = {}
        self._ended: dict[bytes, int] = {}  # those that closed with nothing missing: their last number
        self._current = _Count(None)
        self._mark = _NO_MARK
        self._gaps: list[tuple[int, str]] = []
        self._gap_entries = 0
        self._nameless: int | None = None
        self._pruned = 0
        self._erased = False

    def take(self, rows: Sequence[Row]) -> list[tuple[int, bytes]]:
        """Take the next rows, which must have held, and return number and body of those that may be about the log."""
        own: list[tuple[int, bytes]] = []
        current, mark = self._current, self._mark
        highest, at = current.highest, 0
        for seq, body, _, _ in rows:
            if not body:
                self._pruned += body is None
                self._erased = self._erased or body is not None
                continue
            if body.startswith(LOG_OPENING):
                own.append((seq, body))
            # The mark is the part itself, up to the number. It is not within attributes, which would stand before it.
            expected = b"%b%d}" % (mark, highest + 1)
            if not body.startswith(expected, at):  # entries that are alike have it at the same place
                at = body.find(expected)
            if at >= 0 and body.find(b'"attributes":', 0, at) < 0:
                highest += 1
                continue
            current.entries += highest - current.highest
            current.highest = highest
            found = told(body)
            if found is None:
                self._nameless = self._nameless or seq
                continue
            self._current = current = self._count_of(found, body)
            current.entries += 1
            current.account(found.number, seq)
            for raised in found.raised:
                current.account(raised, seq)
            mark, highest = found.mark or _NO_MARK, current.highest
        current.entries += highest - current.highest
        current.highest = highest
        self._mark = mark
        return own

    def hear(self, seq: int, event: Mapping[str, Any], producer: bytes | None) -> None:
        """Take an entry about the log itself, after the rows with which it came."""
        change = event.get("change")
        if change == "gap":
            self._gap_entries += 1
            if len(self._gaps) < 3:
                self._gaps.append((seq, str(event.get("reason") or "entries are missing")))
        elif change == "closed" and producer and (count := self._counts.get(producer)):
            count.closed = True
            if not count.holes and not count.overflowed:
                self._ended[producer] = count.highest
                del self._counts[producer]
                if count is self._current:
                    self._current, self._mark = _Count(None), _NO_MARK

    def restore(self, seq: int, erased: Mapping[str, Any]) -> None:
        """Take what entry ``seq`` says of one that was erased."""
        producer, numbers = erased.get("producer"), erased.get("numbers")
        if not isinstance(producer, str) or not isinstance(numbers, list):
            return
        name = producer.encode("utf-8", "surrogatepass")
        count = self._counts.get(name)
        for number in cast("list[object]", numbers):
            if count and type(number) is int:
                count.account(number, seq)
        self.hear(seq, {"change": erased.get("change"), "reason": "entries are missing"}, name)

    def _count_of(self, found: Told, body: bytes) -> _Count:
        count = self._counts.get(found.producer)
        if count is None:
            count = self._counts[found.producer] = _Count(process_of(body))
            if (ended := self._ended.pop(found.producer, None)) is not None:
                count.highest, count.closed = ended, True
        return count

    def verdict(self, entries: int, is_running: Callable[[Process], bool]) -> Verdict:
        """Say whether anything is missing, after ``entries`` entries. ``is_running`` tells who may still write."""
        if failed := self._lost():
            seq, words = failed
            return Verdict(State.FAILED, entries, words, seq)
        missing = sum(hole.last - hole.first + 1 for count in self._counts.values() for hole in count.holes)
        running, killed = 0, 0
        for count in self._counts.values():
            if not count.closed:
                alive = count.process is not None and is_running(count.process)
                running, killed = running + alive, killed + (not alive)
        doubts = self._doubts(missing, killed)
        if doubts:
            return Verdict(State.UNKNOWN, entries, "; ".join(doubts))
        return Verdict(State.PROVEN, entries, self._praise(running))

    def _lost(self) -> tuple[int, str] | None:
        found = [(seq, f"entry {seq} tells of a gap: {reason}") for seq, reason in self._gaps]
        for producer, count in self._counts.items():
            if self._pruned:  # any of them may be the number of a pruned entry
                continue
            if lost := [hole for hole in count.holes if count.is_lost(hole)]:
                numbers = ", ".join(_span(hole) for hole in lost[:3]) + (" and more" if len(lost) > 3 else "")
                told = (
                    f"producer {producer.decode('ascii', 'replace')} counted calls that are not in the log: {numbers}"
                )
                found.append((lost[0].seq, f"{told} (entry {lost[0].seq} shows it)"))
            elif count.overflowed and not self._erased:
                found.append((count.holes[0].seq, "a producer's numbers have more holes than can be counted"))
        if not found:
            return None
        found.sort()
        more = self._gap_entries - len(self._gaps) + max(0, len(found) - 3)
        return found[0][0], "; ".join(words for _, words in found[:3]) + (f"; and {more} more" if more else "")

    def _doubts(self, missing: int, killed: int) -> list[str]:
        doubts: list[str] = []
        if killed:
            doubts.append(f"{_processes(killed)} ended without saying so: what was under way then is not known")
        if any(count.overflowed for count in self._counts.values()):
            doubts.append("there are more holes than can be counted, and erased entries are among them")
        if missing > self._pruned:
            those = "besides those of pruned entries, " if self._pruned else ""
            doubts.append(f"{those}{missing - self._pruned:,} numbers are not in the log yet, nor declared")
        elif missing < self._pruned:
            doubts.append("entries were pruned whose numbers would come after the last that can be read")
        if self._nameless:
            doubts.append(f"entry {self._nameless} does not say which producer wrote it")
        return doubts

    def _praise(self, running: int) -> str:
        written = len(self._counts) + len(self._ended)
        still = f"; {_processes(running)} still {'runs' if running == 1 else 'run'}" if running else ""
        return f"every number that {_processes(written)} counted is in the log, or was declared to its caller{still}"


def _span(hole: _Hole) -> str:
    return f"{hole.first}" if hole.first == hole.last else f"{hole.first} to {hole.last}"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count:,} processes"

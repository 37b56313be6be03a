"""Rows whose body was pruned: each must be among those that a signed note of a ``pruned`` entry names.

What stays of such a row is its leaf hash, and nothing shows that it is the hash of anything. So the key vouches for it:
the note commits to the leaf hashes of the entries that were pruned together, in their order (RFC 9162 root).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from counterfoil.schemas import InvalidNote

from .merkle import CompactRange
from .note import parse_checkpoint, pruned_origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .chain import Row
    from .note import VerifierKey

PrunedLeaves: TypeAlias = "Callable[[int, int], Iterable[tuple[int, bytes]]]"
"""Gives ``(seq, leaf_hash)`` of the pruned rows from one number to another, in order."""

_BATCH: Final = 512


@dataclass(frozen=True, slots=True)
class _Pruning:
    """One entry that says which bodies were removed."""

    seq: int
    first: int
    last: int
    count: int
    note: str


class Prunings:
    """The pruned rows of one log, and the entries that speak of them."""

    def __init__(self, log_id: str) -> None:
        self._origin = pruned_origin_of(log_id)
        self._entries: list[_Pruning] = []
        self._seen = self._last_seen = 0

    def hear(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an entry about the log itself: it may tell of pruning."""
        if event.get("change") != "pruned":
            return
        first, last, count = (event.get(name) for name in ("first", "last", "count"))
        note = event.get("note")
        if isinstance(first, int) and isinstance(last, int) and isinstance(count, int) and isinstance(note, str):
            self._entries.append(_Pruning(seq, first, last, count, note))

    def take(self, rows: Sequence[Row]) -> None:
        """Note which of the next rows have no body."""
        if pruned := [row[0] for row in rows if row[1] is None]:
            self._seen += len(pruned)
            self._last_seen = pruned[-1]

    def problem(self, leaves: PrunedLeaves | None, keys: Sequence[VerifierKey]) -> tuple[int, str] | None:
        """Return the first pruned row for which nothing vouches under these keys, and why; None if there is none."""
        if not self._seen:
            return None
        last = max(self._last_seen, *(each.last for each in self._entries), 0)
        rows = iter(leaves(1, last) if leaves else ())
        row = next(rows, None)
        for each in sorted(self._entries, key=lambda each: each.first):
            if row and row[0] < each.first:
                break
            tree = CompactRange()
            batch: list[bytes] = []
            while row and row[0] <= each.last:
                batch.append(row[1])
                if len(batch) == _BATCH:
                    tree.extend(batch)
                    batch = []
                row = next(rows, None)
            tree.extend(batch)
            if words := self._fault(each, tree, keys):
                return each.first, words
        if row and row[0] <= self._last_seen:
            return row[0], "the body is gone, and no entry says that it was pruned"
        return None

    def words(self) -> str:
        """Say how many bodies are gone."""
        return f"; {self._seen:,} bodies were pruned, under signed notes" if self._seen else ""

    def _fault(self, pruning: _Pruning, tree: CompactRange, keys: Sequence[VerifierKey]) -> str:
        where = f"entry {pruning.seq:,} says that bodies were pruned, but"
        try:
            note = parse_checkpoint(pruning.note)
        except InvalidNote:
            return f"{where} its note is none"
        if note.origin != self._origin:
            return f"{where} its note is about something else"
        if (note.size, note.root, pruning.count) != (tree.size, tree.root(), tree.size):
            return f"{where} its note is about other entries"
        signed = note.checked(keys)
        if not signed or False in signed.values():
            return f"{where} its note is not signed with a key that counts"
        return ""

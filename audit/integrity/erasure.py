"""Rows whose body was erased: each must be one that an ``erased`` entry names, and a signed note vouches for.

What stays of such a row is its hashes, and nothing shows that they are those of anything. So the key vouches for them:
the note commits to the chain hashes of the entries that were erased together, in their order (RFC 9162 root). A chain
hash follows from the log's id, the number, and all that came before, so that the note holds for no other entry, at no
other place, in no other log. The rules, each with what it stops:

1. Each row without a body is named by one entry: bodies that somebody took away.
2. That entry names number and leaf hash as they stand, and the note is about just these: an erasure of other entries.
3. The note is signed with a key that counts: an erasure that is unsigned, or forged.
4. Each is named once, and every entry that tells of an erasure is true: one that is told again, of whatever.

Memory grows with the entries that were erased, some hundred bytes each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from counterfoil.schemas import InvalidNote

from .merkle import root_of
from .note import erased_origin_of, parse_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from counterfoil.exporters.reach import Erased

    from .chain import Row
    from .note import VerifierKey

ErasedRows: TypeAlias = "Callable[[int, int], Iterable[Erased]]"
"""Gives what stands of the erased rows from one number to another, in order."""

_NOTHING_SAID: Final = "it does not say which, one after the other"


@dataclass(frozen=True, slots=True)
class _Telling:
    """One entry that says which bodies were erased."""

    seq: int
    leaves: dict[int, object]
    """What it names: numbers and leaf hashes."""
    well_formed: bool
    note: object


class Erasures:
    """The erased rows of one log, and the entries that speak of them."""

    def __init__(self, log_id: str) -> None:
        self._log_id = log_id
        self._origin = erased_origin_of(log_id)
        self._tellings: list[_Telling] = []
        self._seen: dict[int, bytes] = {}

    def hear(self, seq: int, event: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Take an entry about the log itself: it may tell of erased entries. Return what it says of each.

        One that was copied out of another log tells of that.
        """
        named = event.get("erased")
        if event.get("change") != "erased" or event.get("log_id") != self._log_id or not isinstance(named, list):
            return []
        told = [cast("dict[str, Any]", each) for each in cast("list[object]", named) if isinstance(each, dict)]
        numbers = [each.get("seq") for each in told]
        rising = [number for number in numbers if type(number) is int and 1 < number < seq]
        well_formed = bool(told) and len(told) == len(cast("list[object]", named)) and sorted(set(rising)) == numbers
        leaves: dict[int, object] = {each["seq"]: each.get("leaf_hash") for each in told} if well_formed else {}
        self._tellings.append(_Telling(seq, leaves, well_formed, event.get("note")))
        return told

    def take(self, bodiless: Sequence[Row]) -> None:
        """Note which of the next rows without a body were erased."""
        self._seen |= {seq: chain for seq, body, _, chain in bodiless if body is not None}

    def problem(self, rows: ErasedRows | None, keys: Sequence[VerifierKey]) -> tuple[int, str] | None:
        """Return the first entry for which nothing vouches under these keys, and why; None if there is none."""
        left, named = dict(self._seen), set[int]()
        for each in self._tellings:
            if words := self._fault(each, rows, named, keys):
                first = min(left.keys() & each.leaves.keys(), default=each.seq)
                return first, f"entry {each.seq:,} says that bodies were erased, but {words}"
            named |= each.leaves.keys()
            for seq in each.leaves:
                left.pop(seq, None)  # one that was erased a moment ago was seen with its body
        if left:
            return min(left), "the body is gone, and no entry says that it was erased"
        return None

    def words(self) -> str:
        """Say how many bodies are gone."""
        count = len(self._seen)
        return f"; {count:,} {'bodies were' if count > 1 else 'body was'} erased, under signed notes" if count else ""

    def _fault(self, telling: _Telling, rows: ErasedRows | None, named: set[int], keys: Sequence[VerifierKey]) -> str:
        if not telling.well_formed:
            return _NOTHING_SAID
        leaves = telling.leaves
        stand = {each.seq: each for each in (rows(min(leaves), max(leaves)) if rows else ()) if each.seq in leaves}
        for seq, leaf in leaves.items():
            found = stand.get(seq)
            if seq in named:
                return f"entry {seq:,} was erased before"
            if found is None or self._seen.get(seq, found.chain_hash) != found.chain_hash:
                return f"entry {seq:,} is not"
            if found.leaf_hash.hex() != leaf or found.erased_by != telling.seq:
                return f"of entry {seq:,} it says something else than what stands there"
        return self._note_fault(telling.note, [each.chain_hash for each in stand.values()], keys)

    def _note_fault(self, told: object, chain_hashes: Sequence[bytes], keys: Sequence[VerifierKey]) -> str:
        try:
            note = parse_checkpoint(told) if isinstance(told, str) else None
        except InvalidNote:
            note = None
        if note is None:
            return "its note is none"
        if note.origin != self._origin:
            return "its note is about something else"
        if (note.size, note.root) != (len(chain_hashes), root_of(chain_hashes)):
            return "its note is about other entries"
        signed = note.checked(keys)
        if not signed or False in signed.values():
            return "its note is not signed with a key that counts"
        return ""

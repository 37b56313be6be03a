"""Erased rows: each must be named, once, by an entry whose note is about just this place and signed with a key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.integrity.erasure import Erasures
from counterfoil.audit.integrity.merkle import root_of
from counterfoil.audit.integrity.note import Checkpoint, erased_origin_of, pruned_origin_of
from counterfoil.audit.integrity.signing_key import SigningKey
from counterfoil.audit.integrity.verify import verify_rows
from counterfoil.exporters.reach import Erased
from counterfoil.schemas import canonical_bytes
from counterfoil.schemas.entry import GENESIS, chain_hash, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from counterfoil.audit.integrity import Verification

LOG_ID, OTHER_LOG = "a1" * 16, "b2" * 16
KEY, OTHER_KEY = (SigningKey.generate("test/audit")[0] for _ in range(2))
ENTRIES, GONE = 8, (3, 5)


@dataclass
class Sealed:
    """A small log: eight entries by one producer, and what is appended, with the rows of some taken away."""

    rows: list[tuple[int, bytes | None, bytes, bytes]] = field(default_factory=list[Any])
    erased: dict[int, Erased] = field(default_factory=dict[int, Erased])

    def append(self, **event: Any) -> int:
        """Seal an entry at the end, and return its number."""
        seq = len(self.rows) + 1
        producer: dict[str, Any] = {"host": "h", "id": "ab", "library": "l", "pid": 1, "raised": [], "seq": seq}
        body = canonical_bytes({**event, "context": {"event_id": f"{seq}", "producer": producer}})
        head = self.rows[-1][3] if self.rows else GENESIS
        leaf = leaf_hash(body)
        self.rows.append((seq, body, leaf, chain_hash(bytes.fromhex(LOG_ID), seq, head, leaf)))
        return seq

    def heads(self, *seqs: int) -> list[bytes]:
        """Return the chain hashes of some entries."""
        return [self.rows[seq - 1][3] for seq in seqs]

    def note(self, *seqs: int, origin: str = erased_origin_of(LOG_ID), key: SigningKey = KEY) -> str:
        """Return a signed note about some entries."""
        return str(Checkpoint(origin, len(seqs), root_of(self.heads(*seqs))).signed(key))

    def named(self, *seqs: int) -> list[dict[str, Any]]:
        """Return what an entry says of some entries."""
        return [
            {"seq": seq, "leaf_hash": self.rows[seq - 1][2].hex(), "producer": "ab", "numbers": [seq]} for seq in seqs
        ]

    def take(self, *seqs: int, told_in: int | None = None) -> None:
        """Take bodies away."""
        for seq in seqs:
            _, _, leaf, chain = self.rows[seq - 1]
            self.rows[seq - 1] = seq, b"", leaf, chain
            self.erased[seq] = Erased(seq, leaf, chain, told_in or len(self.rows))

    def tell(self, **said: Any) -> None:
        """Append the entry that tells of the erasure of ``GONE``, with something else in it, and take these away."""
        right = {"erased": self.named(*GONE), "note": self.note(*GONE), "log_id": LOG_ID}
        told = {name: member for name, member in {**right, **said}.items() if member is not ...}
        self.append(kind="log", change="erased", **told)
        self.take(*GONE)

    def verify(self, keys: tuple[SigningKey, ...] = (KEY,)) -> Verification:
        """Verify what stands there."""

        def between(first: int, last: int) -> Iterator[Erased]:
            yield from (each for seq, each in sorted(self.erased.items()) if first <= seq <= last)

        found = verify_rows(self.rows, LOG_ID, erased_rows=between, keys=[each.verifier_key for each in keys])
        assert found.entries == len(self.rows)
        return found


@pytest.fixture
def sealed() -> Sealed:
    """Give a log in which nothing was erased yet."""
    made = Sealed()
    made.append(change="created", kind="log", log_id=LOG_ID)
    for _ in range(ENTRIES - 1):
        made.append(kind="credential_use")
    return made


def test_what_is_told_under_a_signed_note(sealed: Sealed) -> None:
    """It is consistent, says how many are gone, and no number is missing."""
    sealed.tell()
    sealed.append(kind="credential_use")
    found = sealed.verify()
    assert found.consistent
    assert found.consistent.words == "chain and sequence hold; 2 bodies were erased, under signed notes"
    assert "numbers" not in found.complete.words
    sealed.append(kind="log", change="erased", log_id=LOG_ID, erased=sealed.named(4), note=sealed.note(4))
    sealed.take(4)
    assert sealed.verify().consistent


def _altered(sealed: Sealed) -> list[dict[str, Any]]:
    first, second = sealed.named(*GONE)
    return [first, {**second, "leaf_hash": "0" * 64}]


def _spoilt(sealed: Sealed) -> str:
    note = sealed.note(*GONE)
    at = len(note) - 20
    return f"{note[:at]}{'AB'[note[at] == 'A']}{note[at + 1 :]}"


FALSE: dict[str, tuple[Callable[[Sealed], dict[str, Any]], str]] = {
    "no note": (lambda _: {"note": ...}, "its note is none"),
    "no text": (lambda _: {"note": 7}, "its note is none"),
    "no form of a note": (lambda _: {"note": "a note"}, "its note is none"),
    "unsigned": (lambda it: {"note": f"{it.note(*GONE).partition('— ')[0]}"}, "not signed with a key that counts"),
    "another key": (lambda it: {"note": it.note(*GONE, key=OTHER_KEY)}, "not signed with a key that counts"),
    "forged": (lambda it: {"note": _spoilt(it)}, "not signed with a key that counts"),
    "of pruning": (lambda it: {"note": it.note(*GONE, origin=pruned_origin_of(LOG_ID))}, "about something else"),
    "of another log": (lambda it: {"note": it.note(*GONE, origin=erased_origin_of(OTHER_LOG))}, "about something else"),
    "of other entries": (lambda it: {"note": it.note(4, 6)}, "about other entries"),
    "of fewer": (lambda it: {"note": it.note(3)}, "about other entries"),
    "of the right ones in another order": (lambda it: {"note": it.note(5, 3)}, "about other entries"),
    "one entry more": (lambda it: {"erased": it.named(3, 5, 6), "note": it.note(3, 5, 6)}, "entry 6 is not"),
    "another leaf": (lambda it: {"erased": _altered(it)}, "of entry 5 it says something else"),
    "nothing named": (lambda _: {"erased": []}, "does not say which"),
    "what is no entry": (lambda it: {"erased": [*it.named(3, 5), 7]}, "does not say which"),
    "what is no number": (lambda it: {"erased": [*it.named(3), {"seq": "5"}]}, "does not say which"),
    "one entry twice": (lambda it: {"erased": it.named(3, 3, 5)}, "does not say which"),
    "falling numbers": (lambda it: {"erased": it.named(5, 3)}, "does not say which"),
    "itself": (lambda it: {"erased": [*it.named(3, 5), {"seq": 9}]}, "does not say which"),
    "the first": (lambda it: {"erased": it.named(1, 3, 5)}, "does not say which"),
}


@pytest.mark.parametrize("what", FALSE)
def test_what_is_told_and_not_true(what: str, sealed: Sealed) -> None:
    """The first entry concerned is named, in words that say what is wrong."""
    change, words = FALSE[what]
    sealed.tell(**change(sealed))
    found = sealed.verify()
    assert "consistent" in found.failed
    assert words in found.consistent.words
    assert found.consistent.first_bad in {3, 9}


def test_nobody_tells(sealed: Sealed) -> None:
    """A body that is gone, without an entry, under one of another kind, or one about another log."""
    sealed.take(*GONE)
    assert sealed.verify().consistent.words == "the body is gone, and no entry says that it was erased"
    for said in ({"change": "pruned"}, {"log_id": OTHER_LOG}, {"log_id": ...}, {"erased": ...}, {"erased": "3"}):
        other = Sealed(sealed.rows[:0])
        other.append(change="created", kind="log", log_id=LOG_ID)
        for _ in range(ENTRIES - 1):
            other.append(kind="credential_use")
        other.tell(**said) if "change" not in said else other.append(
            kind="log", erased=other.named(*GONE), note=other.note(*GONE), log_id=LOG_ID, **said
        )
        other.take(*GONE)
        assert other.verify().consistent.first_bad == 3, said


def test_told_again(sealed: Sealed) -> None:
    """The very entry once more is an erasure that is not true."""
    sealed.tell()
    again = {"erased": sealed.named(*GONE), "note": sealed.note(*GONE), "log_id": LOG_ID}
    sealed.append(kind="log", change="erased", **again)
    assert "entry 10 says that bodies were erased, but entry 3 was erased before" in sealed.verify().consistent.words


def test_another_entry_is_said_to_tell_of_it(sealed: Sealed) -> None:
    """What the row points to must be the entry that names it."""
    sealed.tell()
    sealed.take(3, told_in=2)
    assert "of entry 3 it says something else" in sealed.verify().consistent.words


def test_a_copy_out_of_another_log_is_left_alone(sealed: Sealed) -> None:
    """It speaks of that one, and covers nothing here."""
    sealed.append(kind="log", change="erased", log_id=OTHER_LOG, erased=sealed.named(4), note="whatever")
    assert sealed.verify().consistent


def test_without_the_rows_nothing_is_believed(sealed: Sealed) -> None:
    """Whoever verifies rows without those of the table has no erased ones, and hears of one that is not there."""
    sealed.tell()
    erasures = Erasures(LOG_ID)
    erasures.hear(9, json.loads(sealed.rows[8][1] or b""))
    assert erasures.problem(None, [KEY.verifier_key]) == (9, "entry 9 says that bodies were erased, but entry 3 is not")


def test_a_loss_beside_it_is_seen(sealed: Sealed) -> None:
    """A number that is neither there nor told of is missing still, once its producer has closed."""
    sealed.tell(erased=[{**each, "numbers": []} for each in sealed.named(*GONE)])
    sealed.append(kind="log", change="closed")
    found = sealed.verify()
    assert found.consistent
    assert found.complete.first_bad == 4
    assert "3, 5" in found.complete.words

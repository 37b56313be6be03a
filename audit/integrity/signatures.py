"""The checkpoints that are kept in the log's own file: whether they are of these entries, and who signed them.

Whoever can write the file can take a signature away or put checkpoints of their own in its place, but cannot sign. So
what a signature proves rests on a key that was given from outside. Without one, the key that the log itself names
serves to check, and the verdict says that only the log vouches for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from counterfoil.schemas import InvalidNote

from .note import VerifierKey, origin_of, parse_checkpoint
from .verdict import State, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .note import Checkpoint

Stored: TypeAlias = tuple[int, str | bytes]
"""``(size, note)`` as stored."""

_MOST_NAMED: Final = 100


class Signatures:
    """What the checkpoints of one log prove, fed with them in order of size, and with what the log tells of itself."""

    def __init__(self, log_id: str, keys: Sequence[VerifierKey]) -> None:
        """``keys`` are those that were given from outside."""
        self._origin = origin_of(log_id)
        self._given = bool(keys)
        self.keys = list(keys)
        """The keys under which signatures count."""
        self._named: tuple[int, VerifierKey] | None = None
        self._reach = 0
        self._agreed = 0
        self._signed_by_others = 0
        self._stored = 0
        self.disagreement: tuple[int, str] | None = None
        """The first checkpoint that is not of these entries: the file does not agree with itself."""
        self._bad: tuple[int, str] | None = None

    def hear(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an entry about the log itself: it may name the key, or its successor."""
        key = _key_in(event)
        if key is None or key in self.keys:
            return
        if not self._given and len(self.keys) < _MOST_NAMED:
            self.keys.append(key)
        elif self._given and event.get("change") == "signing_key_rotated":
            self._named = seq, key

    def check(self, size: int, note: object, root: bytes) -> None:
        """Compare a stored checkpoint with the root over as many entries."""
        self._stored += 1
        checkpoint, problem = self._read(size, note)
        if checkpoint is None:
            self._disagree(size, problem)
            return
        holds = self._holds(checkpoint)
        if checkpoint.root != root:
            self._disagree(size, f"the checkpoint at {size:,} is of other entries; {_agreed(self._agreed)}")
            if holds:
                self._fail(size, f"what was signed at {size:,} were other entries; {_agreed(self._agreed)}")
            return
        self._agreed = size
        if holds:
            self._reach = size

    def check_beyond(self, size: int, note: object, entries: int) -> None:
        """Take a stored checkpoint of more entries than hold."""
        self._stored += 1
        checkpoint, problem = self._read(size, note)
        self._disagree(entries + 1, problem or f"a checkpoint says that there were {size:,} entries; {entries:,} hold")
        if self._bad is None and checkpoint and self._holds(checkpoint):
            self._fail(entries + 1, f"{size:,} entries were signed; {entries:,} hold")

    def verdict(self, entries: int) -> Verdict:
        """Say up to where signatures vouch for ``entries`` entries."""
        if self._bad:
            seq, words = self._bad
            return Verdict(State.FAILED, self._reach, words, seq)
        beyond = f"; {entries - self._reach:,} entries beyond it are not" if entries > self._reach else ""
        if self._given:
            # Named and not believed: whoever can write the file can append such an entry, and the log then signs it.
            named = "; entry {:,} names another key, {}".format(*self._named) if self._named else ""
            if self._reach:
                return Verdict(State.PROVEN, self._reach, f"by a key that was given{beyond}{named}")
            others = f"; {self._signed_by_others:,} are signed with another" if self._signed_by_others else ""
            words = f"none of {self._stored:,} checkpoints in the file is signed with a key that was given{others}"
            return Verdict(State.FAILED, 0, f"{words}{named}", 1)
        if self._reach:
            named = (
                f"the signatures up to entry {self._reach:,} hold, but only the log itself names their key: give --key"
            )
            return Verdict(State.UNANCHORED, self._reach, f"{named}{beyond}")
        return Verdict(
            State.UNANCHORED, 0, "no key was given, and no checkpoint in the file is signed with one it names"
        )

    def _read(self, size: int, note: object) -> tuple[Checkpoint | None, str]:
        try:
            checkpoint = parse_checkpoint(note) if isinstance(note, str | bytes) else None
        except InvalidNote:
            checkpoint = None
        if checkpoint is None or checkpoint.size != size:
            return None, f"what stands as the checkpoint at {size:,} is none"
        if checkpoint.origin != self._origin:
            return None, f"the checkpoint at {size:,} is of another log"
        return checkpoint, ""

    def _holds(self, checkpoint: Checkpoint) -> bool:
        """Whether a key that counts signed it. A signature under its name that does not hold is a failure."""
        found = checkpoint.checked(self.keys)
        if False in found.values():
            self._fail(checkpoint.size, f"a signature of the checkpoint at {checkpoint.size:,} does not hold")
            return False
        if not found and checkpoint.signatures:
            self._signed_by_others += 1
        return bool(found)

    def _disagree(self, seq: int, words: str) -> None:
        self.disagreement = self.disagreement or (seq, words)

    def _fail(self, seq: int, words: str) -> None:
        self._bad = self._bad or (seq, words)


def _key_in(event: Mapping[str, Any]) -> VerifierKey | None:
    named = event.get("verification_key")
    try:
        return VerifierKey.parse(named) if isinstance(named, str) else None
    except InvalidNote:
        return None


def _agreed(size: int) -> str:
    return f"up to {size:,} they agree" if size else "no earlier one agrees"

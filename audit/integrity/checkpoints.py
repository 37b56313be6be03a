"""Checkpoints of a log that is being written: a note about all its entries so far, signed if there is a key.

One is made every 1,000 entries, after 60 s of activity, when the log is opened with a key, and when it is closed. There
is no clock of its own: a log in which nothing happens has its last entries under a checkpoint when it goes on, or is
closed. A checkpoint is made behind an entry that is committed, and whatever goes wrong with it, that entry stands.

1. The root comes from the leaves that are committed, so that two processes cannot come to different roots of one size.
2. It grows from a stored frontier only if that has the root which its note states, and the note has this key's own
   valid signature if there is a key: from the last checkpoint or the last signed one. Else all leaves are taken in.
3. Where that leads past the last note, its root has to be met. If it is not, entries were altered: nothing is signed
   from then on, and ``verify`` has the last word.
4. A call takes in a few thousand leaves at most. What is left is for later calls, one part in ten of the time.
"""

from __future__ import annotations

import threading
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from counterfoil.exporters.diagnostics import diagnostics
from counterfoil.schemas import CounterfoilError, InvalidNote, StoreCorrupt

from .merkle import CompactRange
from .note import Checkpoint, parse_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from counterfoil.exporters.sql.store import SavedCheckpoint

    from .signing_key import SigningKey

EVERY_ENTRIES: Final = 1000
"""After so many entries there is a checkpoint."""

EVERY_SECONDS: Final = 60.0
"""After so much time there is one, if there are entries that have none."""

_PART: Final = 2000
_STORE_WAIT: Final = 0.25
_OPENING_WAIT: Final = 0.5
_RETRY: Final = 5.0
_REST: Final = 9.0
_NEVER: Final = 2**63


class CheckpointStore(Protocol):
    """What checkpoints need of the writing end of a log."""

    def leaves_after(self, seq: int, *, deadline: float | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield ``(seq, leaf_hash)`` of all entries that follow ``seq``, in order."""
        ...

    def last_checkpoint(self, *, signed: bool = False, deadline: float | None = None) -> SavedCheckpoint | None:
        """Return the checkpoint of the largest size, of all or of those with a signature."""
        ...

    def save_checkpoint(self, checkpoint: SavedCheckpoint, *, deadline: float | None = None) -> None:
        """Store a checkpoint, with the signatures of one of the same size."""
        ...


class Checkpointer:
    """Makes the checkpoints of one log, for one process. Safe to share between threads."""

    def __init__(
        self,
        store: CheckpointStore,
        origin: str,
        key: SigningKey | None,
        *,
        deadline: float,
    ) -> None:
        """Make checkpoints with this origin line, signed with ``key`` if there is one.

        ``deadline`` in seconds bounds how long closing waits for the last.
        """
        self._deadline = deadline
        self._store = store
        self._origin = origin
        self._key = key
        self.begin()

    def begin(self) -> None:
        """Begin anew: when the log is opened, and in a forked child."""
        self._turn = threading.Lock()
        self._maker: int | None = None
        self._tree = CompactRange()
        self._due_seq = 0
        self._due_time = time.monotonic() + EVERY_SECONDS

    @property
    def verification_key(self) -> str | None:
        """The public half of the key, as a vkey, if there is a key."""
        return str(self._key.verifier_key) if self._key else None

    def is_signed_by_another(self) -> bool:
        """Whether the last signature in the log is not of this key. Raises ``StoreError``."""
        last = self._store.last_checkpoint(signed=True)
        known = self._read(last) if last else None
        if known is None:
            return False
        if self._key is None:
            diagnostics().warning("the log was signed before, and has no signing key now")
            return False
        return self._key.verifier_key not in known.checked([self._key.verifier_key])

    def opened(self) -> None:
        """Make a checkpoint of the log as it is found, if there is a key: so the last key named is the last to sign."""
        if self._key is not None:
            self._now(_OPENING_WAIT)

    def after(self, seq: int) -> None:
        """Make a checkpoint if one is due, now that entry ``seq`` is committed. Raises nothing."""
        if (seq >= self._due_seq or time.monotonic() >= self._due_time) and self._turn.acquire(blocking=False):
            self._in_turn(lambda: self._look(seq))

    def closing(self, seconds: float | None = None) -> None:
        """Make the last checkpoint, within so many seconds, or the deadline. Raises nothing."""
        self._now(self._deadline if seconds is None else seconds)

    def _now(self, seconds: float) -> None:
        if self._maker == threading.get_ident():  # in a signal handler, in the middle of one: not to wait for oneself
            return
        seconds = max(seconds, 0.0)
        if not self._turn.acquire(timeout=seconds):
            diagnostics().warning("no last checkpoint was made", reason="one was still being made at the deadline")
            return
        thread = self._in_turn(lambda: self._make(seconds))
        if thread is not None:
            thread.join(seconds)

    def _in_turn(self, make: Callable[[], None]) -> threading.Thread | None:
        """Make a checkpoint and give the turn back; in a thread if the key is a service, which nobody may wait for."""
        if self._key is None or not self._key.may_block:
            self._guarded(make, self._turn)
            return None
        thread = threading.Thread(
            target=self._guarded, args=(make, self._turn), name="counterfoil-checkpoint", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            self._turn.release()
            return None
        return thread

    def _guarded(self, make: Callable[[], None], turn: threading.Lock) -> None:
        self._maker = threading.get_ident()
        try:
            make()
        except Exception as error:  # noqa: BLE001 -- the entry behind it is committed: its caller hears of nothing else
            again = float("inf") if isinstance(error, StoreCorrupt) else time.monotonic() + _RETRY
            self._due_seq, self._due_time = _NEVER, again
            code = error.code if isinstance(error, CounterfoilError) else type(error).__name__
            diagnostics().error("a checkpoint was not made", code=code)
        finally:
            self._maker = None
            turn.release()

    def _look(self, seq: int) -> None:
        """Make a checkpoint if it is due, also by what other processes have made."""
        if time.monotonic() < self._due_time:
            last = self._store.last_checkpoint(deadline=_STORE_WAIT)
            self._due_seq = (last.size if last else 0) + EVERY_ENTRIES
            if seq < self._due_seq:
                return
        self._make(0.0)

    def _make(self, patience: float) -> None:
        """Make a checkpoint of all entries, or of as many as can be taken in within ``patience`` seconds."""
        started, wait = time.monotonic(), max(patience, _STORE_WAIT)
        last = self._store.last_checkpoint(deadline=wait)
        known = self._read(last) if last else None
        if last and known:
            self._take_over(last, known)
        if last and self._key and not self._tree.size:  # others may have gone on without a key from what it signed
            signed = self._store.last_checkpoint(signed=True, deadline=wait)
            ours = self._read(signed) if signed else None
            if signed and ours:
                self._take_over(signed, ours)
        complete = self._grow(known, started + patience, wait)
        size = self._tree.size
        if size > (last.size if last else 0) or (known and size == known.size and not self._has_signed(known)):
            self._save(wait)
        now = time.monotonic()
        if complete:
            self._due_seq, self._due_time = size + EVERY_ENTRIES, now + EVERY_SECONDS
        else:
            self._due_seq, self._due_time = _NEVER, now + _REST * (now - started)

    def _read(self, last: SavedCheckpoint) -> Checkpoint | None:
        """Return what the last note says. One that says nothing of this log is left for ``verify`` to tell of."""
        try:
            known = parse_checkpoint(last.note)
        except InvalidNote:
            return None
        return known if (known.origin, known.size) == (self._origin, last.size) else None

    def _has_signed(self, known: Checkpoint) -> bool:
        return self._key is None or known.checked([self._key.verifier_key]).get(self._key.verifier_key, False)

    def _take_over(self, last: SavedCheckpoint, known: Checkpoint) -> None:
        """Go on from the stored frontier, if it is further than our own tree and the note vouches for it."""
        if known.size <= self._tree.size or not self._has_signed(known):
            return
        try:
            tree = CompactRange.from_bytes(last.frontier or b"")
        except ValueError:
            return
        if (tree.size, tree.root()) == (known.size, known.root):
            self._tree = tree

    def _grow(self, known: Checkpoint | None, until: float, wait: float) -> bool:
        """Take in the leaves that follow, until ``until``. Return whether those were all."""
        leaves = self._store.leaves_after(self._tree.size, deadline=wait)
        while True:
            self._require_root_of(known)
            size = self._tree.size
            room = min(_PART, known.size - size) if known and known.size > size else _PART
            part = list(islice(leaves, room))
            if [seq for seq, _ in part] != list(range(size + 1, size + 1 + len(part))):
                raise StoreCorrupt(f"entries are missing after entry {size}: no checkpoint is made of the others")
            self._tree.extend([leaf for _, leaf in part])
            if len(part) < room:
                return True
            if time.monotonic() >= until:
                self._require_root_of(known)
                return False

    def _require_root_of(self, known: Checkpoint | None) -> None:
        if known and known.size == self._tree.size and known.root != self._tree.root():
            raise StoreCorrupt(f"entries up to {known.size} are not those of the checkpoint of that size")

    def _save(self, wait: float) -> None:
        from counterfoil.exporters.sql.store import SavedCheckpoint

        checkpoint = Checkpoint(self._origin, self._tree.size, self._tree.root())
        if self._key is not None:
            checkpoint = checkpoint.signed(self._key)
        saved = SavedCheckpoint(self._tree.size, str(checkpoint), self._tree.to_bytes())
        self._store.save_checkpoint(saved, deadline=wait)

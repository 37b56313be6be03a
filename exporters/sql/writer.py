"""Appending to a log, durably, from many threads at once.

A caller queues its entry and then asks for the lead. Whoever gets it commits everything that waits, in one
transaction, and wakes the others, each at its own lock, then one more to lead. No writer thread: nothing is lost at
fork or exit, and one thread alone pays for nothing but its own commit. Which database it is, and how processes take
turns, is the store's matter.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import AuditTimeout, AuditUnavailable, LogClosed, StoreError

from ..pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from .store import Place, SavedCheckpoint, Store

MAX_BATCH: Final = 64
"""How many entries one commit takes at most."""

_LEAVES: Final = 1000
_GLANCE: Final = 0.1  # seconds after which who waits looks for himself, should whoever led have been interrupted


class Writer:
    """The writing end of one log. Thread-safe; several processes may each have one."""

    def __init__(self, store: Store, *, deadline: float) -> None:
        """Write to ``store``. ``deadline`` in seconds bounds every wait."""
        self._store = store
        self._deadline = deadline
        self._closed = False
        self._begin_life()
        _writers.add(self)

    def _begin_life(self) -> None:
        self._waiting: deque[Pending] = deque()
        self._lead = threading.RLock()  # reentrant, so that a thread can learn that it has the lead itself
        self._leading = False
        self._forking = False

    @property
    def log_id(self) -> bytes:
        """Which log, 16 bytes."""
        return self._store.log_id

    @property
    def fingerprint_key_id(self) -> str:
        """Under which key the log's fingerprints are made."""
        return self._store.fingerprint_key_id

    def append(self, pending: Pending, until: float | None = None) -> None:
        """Commit ``pending``, together with whatever else waits. On return it has its ``seq`` and ``chain_hash``.

        ``until`` (``time.monotonic``), or that of ``pending``, in place of the deadline. Raises ``AuditUnavailable``
        (nothing was written), ``AuditTimeout`` (unknown), ``EventConflict``, ``LogClosed``.
        """
        pending.until = until or pending.until or self._until()
        self._waiting.append(pending)
        try:
            while not pending.done:
                if self._take_lead():
                    self._lead_until_done(pending)
                elif not self._wait(pending):
                    break
        except BaseException:
            self._withdraw(pending)
            raise
        if not pending.done:
            if self._withdraw(pending):
                raise self._busy()
            raise AuditTimeout("the deadline passed while another thread was committing this entry")
        if pending.error is not None:
            raise pending.error

    def _lead_until_done(self, pending: Pending) -> None:
        try:
            while not pending.done:
                self._commit_waiting(pending)
        finally:
            self._give_lead()

    def _wait(self, pending: Pending) -> bool:
        """Wait until the entry is done, or it may be for its caller to lead. False at the deadline."""
        if pending.turn is None:
            pending.turn = threading.Lock()
            pending.turn.acquire()
            return True  # look again: who leads may not have seen it
        left = pending.until - time.monotonic()
        return left > 0 and (pending.turn.acquire(timeout=min(left, _GLANCE)) or left > _GLANCE)

    def append_all(self, batch: list[Pending], until: float | None = None) -> None:
        """Commit ``batch`` in this order, up to 64 in one commit. On return each has its place, or its ``error``.

        What was not written may be given again as it is: an entry that did arrive is not written twice. ``until``
        (``time.monotonic``) in place of the deadline.
        """
        until = until or self._until()
        if not self._take_lead(until):
            return _fail(batch, self._busy())
        try:
            for start in range(0, len(batch), MAX_BATCH):
                self._commit_batch(batch[start : start + MAX_BATCH], until)
        finally:
            self._give_lead()

    def _take_lead(self, until: float | None = None) -> bool:
        """Have the store to oneself. False at ``until``; without, at once if somebody else has it.

        Raises ``AuditUnavailable`` where a thread would wait for itself: in a signal handler, or in ``__del__``, that
        interrupted its commit.
        """
        wait = -1 if until is None else max(until - time.monotonic(), 0)
        if not self._lead.acquire(blocking=False) and (wait < 0 or not self._lead.acquire(timeout=wait)):
            return False
        if self._leading:
            self._lead.release()
            raise AuditUnavailable("this interrupted a commit of its own thread, for which it cannot wait")
        self._leading = True
        return True

    def _give_lead(self) -> None:
        try:
            if self._closed:
                self._store.close()
        finally:
            self._leading = False
            self._lead.release()
            self._call_next()

    def _call_next(self) -> None:
        """Wake the first of those who wait, to lead. One is enough: it commits for the others, or calls the next."""
        try:
            first = self._waiting[0]
        except IndexError:
            return
        _wake(first)

    def _withdraw(self, pending: Pending) -> bool:
        """Take an entry back. False if another thread has begun to commit it."""
        try:
            self._waiting.remove(pending)
        except ValueError:
            return False
        self._call_next()  # it may have been the one that was called
        return True

    def _busy(self) -> AuditUnavailable:
        return AuditUnavailable(f"{self._store.name} was busy until the deadline; nothing was written")

    def _commit_waiting(self, own: Pending) -> None:
        batch: list[Pending] = []
        self._gather(batch)
        # Its first leader may have been interrupted right here.
        self._commit_batch(batch or [own], own.until, self._gather)

    def _gather(self, batch: list[Pending]) -> None:
        while self._waiting and len(batch) < MAX_BATCH:
            batch.append(self._waiting.popleft())

    def _commit_batch(
        self, batch: list[Pending], until: float, gather: Callable[[list[Pending]], None] = lambda _: None
    ) -> None:
        for pending in batch:
            pending.error = None
        try:
            self._require_open()
            self._store.commit(batch, until, gather)
        except AuditUnavailable as error:
            batch = self._in_time(batch, until)
            _fail(batch, error)
        except StoreError as error:
            _fail(batch, error)
        except BaseException:
            _fail(batch, AuditTimeout("the commit was interrupted"))
            raise
        finally:
            for pending in batch:
                pending.done = True
                _wake(pending)

    def _in_time(self, batch: list[Pending], until: float) -> list[Pending]:
        """Return whose time is up. Where it was the leader's that ran out, the others get a leader with more."""
        now = time.monotonic()
        patient = [pending for pending in batch if now >= until and pending.until > now]
        self._waiting.extendleft(reversed(patient))
        return [pending for pending in batch if pending not in patient] if patient else batch

    def _require_open(self) -> None:
        if self._closed:
            raise LogClosed

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def flush(self, seconds: float | None = None) -> None:
        """Return when everything appended before is committed. Raises ``AuditTimeout`` after so many ``seconds``."""
        if not self._take_lead(self._until(seconds)):
            raise AuditTimeout("the deadline passed while another thread was committing")
        self._give_lead()

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        with self._led():
            return self._store.head()

    def leaves_after(self, seq: int, *, deadline: float | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield ``(seq, leaf_hash)`` of all entries that follow ``seq``, in order; commits may come in between.

        ``deadline`` in seconds bounds each wait, unless given that of the log.
        """
        while True:
            with self._led(self._until(deadline)):
                page = self._store.leaves_after(seq, _LEAVES)
            yield from page
            if len(page) < _LEAVES:
                return
            seq = page[-1][0]

    def last_checkpoint(self, *, signed: bool = False, deadline: float | None = None) -> SavedCheckpoint | None:
        """Return the checkpoint of the largest size, of all or of those with a signature."""
        with self._led(self._until(deadline)):
            return self._store.last_checkpoint(signed=signed)

    def save_checkpoint(self, checkpoint: SavedCheckpoint, *, deadline: float | None = None) -> None:
        """Store a checkpoint, with the signatures of one of the same size.

        ``deadline`` in seconds, unless given that of the log. Raises ``StoreCorrupt`` if one of the same size has
        another root, and other ``StoreError``; then it may be given again.
        """
        until = self._until(deadline)
        with self._led(until):
            self._store.save_checkpoint(checkpoint, until)

    def _until(self, deadline: float | None = None) -> float:
        return time.monotonic() + (self._deadline if deadline is None else deadline)

    def prune(self, pending: Pending, first: int, last: int, count: int) -> None:
        """Remove ``count`` bodies from ``first`` to ``last``, and commit ``pending``, which tells of it, with that."""
        until = self._until()
        with self._led(until):
            self._store.prune(pending, first, last, count, until)

    def erase(self, pending: Pending, places: Sequence[Place]) -> None:
        """Remove the bodies of these entries, and commit ``pending``, which tells of it, with that."""
        until = self._until()
        with self._led(until):
            self._store.erase(pending, places, until)

    def rewrite(self) -> list[str]:
        """Write the database anew without what was removed. Return in words where some of it may still stand.

        It takes as long as it takes, and other writers wait meanwhile.
        """
        until = self._until()
        with self._led(until):
            return self._store.rewrite(until)

    def purge(self) -> bool:
        """Remove what still stands of pruned bodies beside the table. False if somebody reads it: try again."""
        until = self._until()
        with self._led(until):
            return self._store.purge(until)

    def adopt_key(self, fingerprint_key_id: str) -> None:
        """Make the log's fingerprints with another key from the next entry on, which tells of it."""
        with self._led():
            self._store.adopt_key(fingerprint_key_id)

    @contextmanager
    def _led(self, until: float | None = None) -> Generator[None]:
        """Have the store to oneself. Raises ``AuditUnavailable`` at the deadline, and ``LogClosed``."""
        if not self._take_lead(self._until() if until is None else until):
            raise self._busy()
        try:
            self._require_open()
            yield
        finally:
            self._give_lead()

    def close(self, seconds: float | None = None) -> None:
        """Close. Later appends raise ``LogClosed``. A commit that takes longer than the deadline ends by itself."""
        self._closed = True
        try:
            if self._take_lead(self._until(seconds)):
                self._give_lead()
        except AuditUnavailable:  # in the middle of a commit of this very thread, which closes when it is through
            return

    def before_fork(self, began: float) -> None:
        """Let a commit end: a child would have half of it, and SQLite's locks, which nobody could give up."""
        left = began + self._deadline - time.monotonic()
        if self._lead.acquire(blocking=False) or self._lead.acquire(timeout=max(left, 0)):
            self._forking = True

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._forking:
            self._forking = False
            self._lead.release()

    def after_fork_in_child(self) -> None:
        """Begin anew: new locks, an empty queue, a connection of its own."""
        self._store.after_fork_in_child()
        self._begin_life()


def _wake(pending: Pending) -> None:
    if pending.turn is not None:
        with suppress(RuntimeError):  # it was woken already
            pending.turn.release()


def _fail(batch: list[Pending], error: Exception) -> None:
    for pending in batch:
        pending.error = error


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _before_fork() -> None:
    began = time.monotonic()
    for writer in list(_writers):
        writer.before_fork(began)


def _each(step: Callable[[Writer], None]) -> Callable[[], None]:
    def tell_all() -> None:
        for writer in list(_writers):
            step(writer)

    return tell_all


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_each(Writer.after_fork_in_parent),
    after_in_child=_each(Writer.after_fork_in_child),
)

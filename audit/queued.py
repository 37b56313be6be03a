"""Queued delivery: ``record`` returns once the entry is accepted, and a thread behind it redacts, seals and commits.

The rules, each with what it stops:

1. An entry is accepted or the call raises. A full queue blocks until the deadline and then raises: nothing is dropped
   in silence.
2. The queue is bounded by count and by bytes, and an entry counts until it is in the log: a store that stands still
   cannot fill the memory.
3. A call's number is given together with its place in the queue, so that the log has the order of the numbers, and
   whatever a crash takes is missing from them.
4. What is refused later (an ``event_id`` that is taken, a body that is too large after all) is told by a gap entry with
   the numbers of the calls. What the store cannot take now stays in the queue until it can.
5. A forked child begins with an empty queue: what its parent accepted is the parent's to write.
6. ``close`` and the exit of the interpreter wait until the queue is empty, for a bounded time, and raise if it is not.
7. A thread that is interrupted while it writes does not wait for itself: what the signal handler records is accepted,
   and written by what it interrupted.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from counterfoil.exporters.diagnostics import diagnostics
from counterfoil.schemas import (
    AuditTimeout,
    AuditUnavailable,
    ConfigurationError,
    CounterfoilError,
    InputError,
)

from .backlog import Backlog
from .log_life import Loss

if TYPE_CHECKING:
    from counterfoil.exporters.pending import Pending

    from .lifetime import Ending
    from .sealing import Taken

Delivery: TypeAlias = Literal["durable", "queued"]
"""When ``record`` returns: once the entry is on disk, or once it is accepted."""

QUEUE_ENTRIES: Final = 10_000
"""How many entries a queue holds at most, unless told."""

QUEUE_BYTES: Final = 64 * 1024 * 1024
"""How many bytes a queue holds at most, unless told."""

_BREATH: Final = 0.00005  # seconds between two entries: else callers could wait for the interpreter for 5 ms
_CALM: Final = 512  # waiting entries, above which there is no time for that
_PAUSE: Final = 0.1  # seconds before the store is asked again


class Backing(Protocol):
    """What the queue needs of the log behind it."""

    def next_number(self) -> int:
        """Count a call."""
        ...

    def seal_taken(self, taken: Taken) -> Pending:
        """Redact and seal. Raises ``InputError``."""
        ...

    def commit_group(self, group: list[Pending], until: float) -> None:
        """Commit in this order, ``until`` then. On return each has its place, or its ``error``."""
        ...

    def tell_loss(self, loss: Loss, until: float | None) -> None:
        """Write a gap entry, ``until`` then or as long as ever. Raises ``StoreError``."""
        ...

    def leave(self) -> None:
        """End in an orderly way: ``QueuedDelivery.leave``, and what the log itself has to do."""
        ...


class QueuedDelivery:
    """The queue of one log and its thread. Safe from threads, asyncio tasks and signal handlers, and after a fork."""

    def __init__(self, backing: Backing, backlog: Backlog, deadline: float) -> None:
        """Write what gathers in ``backlog`` through ``backing``. ``deadline`` in seconds bounds every wait."""
        self._backing = backing
        self._backlog = backlog
        self._deadline = deadline
        self._leaving = self._abandoned = False
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with an empty queue and no thread: when opened, and in a forked child."""
        self._backlog.begin_life()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._finalizer: Any = None
        self._writing = threading.RLock()  # reentrant, so that a thread can learn that it writes already
        self._is_writing = False
        self._group: list[Taken] = []
        self._sealed: list[tuple[Pending, Taken]] | None = None
        self._losses: list[Loss] = []
        self._telling: Loss | None = None
        self._fault: BaseException | None = None

    @property
    def waiting(self) -> int:
        """How many entries were accepted and are not written yet."""
        return len(self._backlog)

    def put(self, taken: Taken, until: float) -> None:
        """Accept an entry. Raises ``AuditUnavailable`` if the queue is full ``until`` then, and ``LogClosed``."""
        if not self._backlog.put(taken, self._backing.next_number, _left(until)):
            raise AuditUnavailable(f"the queue was full until the deadline{self._state()}; the entry was not accepted")
        if self._leaving:
            self._write_here(until)
        elif self._thread is None:
            self._start()

    def try_put(self, taken: Taken) -> bool:
        """Accept an entry if that needs no waiting. Raises ``LogClosed``."""
        if self._thread is None or self._leaving:  # the first, or one of the last
            self.put(taken, time.monotonic() + self._deadline)
            return True
        return self._backlog.put(taken, self._backing.next_number, 0)

    def flush(self, until: float) -> None:
        """Return when everything accepted before is in the log. Raises ``AuditTimeout``; then it stays in the queue."""
        if self._leaving:
            self._write_here(until)
        elif not self._backlog.wait_until_settled(_left(until)):
            raise self._unfinished()

    def _unfinished(self) -> AuditTimeout:
        return AuditTimeout(
            f"the queue was not written by the deadline{self._state()}",
            advice="What is queued is kept, and written as soon as the store takes it: call flush() again.",
        )

    def _state(self) -> str:
        fault = f" ({self._fault})" if isinstance(self._fault, CounterfoilError) else ""
        return f", with {len(self._backlog):,} entries waiting{fault}"

    def close(self, ends: Ending) -> None:
        """Accept nothing more, write what was accepted, end the thread. Raises ``AuditUnavailable`` for a loss."""
        self._backlog.close()
        try:
            self.flush(ends.until_written())
        except AuditTimeout as error:
            self._abandon(ends.until_told())
            raise AuditUnavailable(f"accepted entries are lost: {error}") from None
        finally:
            if self._finalizer:
                self._finalizer.cancel()
            if self._thread:
                self._thread.join(ends.left())

    def _abandon(self, until: float) -> None:
        """Give up what is left, and tell the log if that can be."""
        self._abandoned = True
        if not self._take_turn(until):
            return
        try:
            self._sealed = []
            while group := self._backlog.group():
                for taken in group:
                    self._lose(taken, "not written before the log was closed")
                self._backlog.settle(group)
            self._tell_losses(until)
        finally:
            self._give_turn()

    def leave(self, ends: Ending) -> None:
        """Write everything, since the interpreter is about to exit; from now on callers write for themselves."""
        self._leaving = True
        self._write_here(ends.until_written())

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):  # never given back: a thread is started once
            return
        thread = threading.Thread(target=self._run, name="counterfoil-queue", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is exiting
            self._leaving = True
            self._write_here(time.monotonic() + self._deadline)
            return
        self._thread = thread
        if util := sys.modules.get("multiprocessing.util"):  # its children skip atexit, and do run this
            self._finalizer = util.Finalize(None, self._backing.leave, exitpriority=100)

    def _run(self) -> None:
        while self._backlog.wait_for_entries() and not self._abandoned:
            try:
                written = self._write_group(time.monotonic() + self._deadline)
            except BaseException as error:  # noqa: BLE001 -- the thread must not end: what it could not write is kept
                self._note(error)
                written = False
            if not written:
                time.sleep(_PAUSE)

    def _write_here(self, until: float) -> None:
        """Write what is queued in the caller's own thread."""
        while self._backlog and not self._is_interrupted():
            if not _left(until):
                raise self._unfinished()
            if not self._write_group(until):
                time.sleep(min(_PAUSE, _left(until)))

    def _is_interrupted(self) -> bool:
        """Whether this is a signal handler, or ``__del__``, in a thread that is writing: that goes on afterwards."""
        if not self._writing.acquire(blocking=False):
            return False
        try:
            return self._is_writing
        finally:
            self._writing.release()

    def _take_turn(self, until: float) -> bool:
        if not self._writing.acquire(timeout=_left(until)):
            return False
        if self._is_writing:  # by this very thread
            self._writing.release()
            return False
        self._is_writing = True
        return True

    def _give_turn(self) -> None:
        self._is_writing = False
        self._writing.release()

    def _write_group(self, until: float) -> bool:
        """Seal and commit the entries that are next. False if the store did not take them: then they are next again."""
        if not self._take_turn(until):
            return False
        try:
            if self._sealed is None:
                self._group = self._backlog.group()
                self._sealed = self._seal(self._group)
            self._sealed = self._commit(self._sealed, until)
            if self._sealed or not self._tell_losses(until):
                return False
            self._backlog.settle(self._group)
            self._sealed = None
            return True
        finally:
            self._give_turn()

    def _seal(self, group: list[Taken]) -> list[tuple[Pending, Taken]]:
        sealed: list[tuple[Pending, Taken]] = []
        for taken in group:
            try:
                sealed.append((self._backing.seal_taken(taken), taken))
            except Exception as error:  # noqa: BLE001 -- a redactor may raise anything; one entry must not stop the rest
                self._lose(taken, error.code if isinstance(error, CounterfoilError) else "sealing_failed")
            if not (self._leaving or self._backlog.pressed or len(self._backlog) > _CALM):
                time.sleep(_BREATH)
        return sealed

    def _commit(self, sealed: list[tuple[Pending, Taken]], until: float) -> list[tuple[Pending, Taken]]:
        """Return what the store did not take."""
        if not sealed:
            return []
        self._backing.commit_group([pending for pending, _ in sealed], until)
        left: list[tuple[Pending, Taken]] = []
        for pending, taken in sealed:
            if isinstance(pending.error, InputError):
                self._lose(taken, pending.error.code)
            elif pending.error is not None:
                left.append((pending, taken))
        self._note(left[0][0].error if left else None)
        return left

    def _lose(self, taken: Taken, reason: str) -> None:
        loss = Loss(taken.number, taken.number, reason)
        if self._losses and (self._losses[-1].last + 1, self._losses[-1].reason) == (taken.number, reason):
            loss = self._losses.pop().with_another(loss)
        self._losses.append(loss)

    def _tell_losses(self, until: float) -> bool:
        """Write a gap entry for each run of numbers that was lost. False if the store did not take one.

        That one is kept as it is, since it may have been written after all.
        """
        while self._telling or self._losses:
            self._telling = loss = self._telling or self._losses.pop(0)
            try:
                self._backing.tell_loss(loss, until)
            except CounterfoilError as error:  # also a rule of the database that refuses every entry: then all stays
                self._note(error)
                return False
            self._telling = None
            told = {"first": loss.first, "last": loss.last, "count": loss.count, "reason": loss.reason}
            diagnostics().error("accepted entries were refused", **told)
        return True

    def _note(self, fault: BaseException | None) -> None:
        """Say once when the store stops taking entries, and once when it takes them again."""
        before, self._fault = self._fault, fault
        if fault and not before:
            diagnostics().error("the store does not take what is queued", error=type(fault).__name__)
        elif before and not fault:
            diagnostics().info("the store takes what is queued again")


def backlog_for(delivery: Delivery, entries: int, size: int) -> Backlog | None:
    """Return the queue that this kind of delivery needs, if any. Raises ``ConfigurationError``."""
    if delivery not in ("durable", "queued"):
        raise ConfigurationError("delivery is durable or queued")
    return Backlog(entries, size) if delivery == "queued" else None


def _left(until: float) -> float:
    return max(until - time.monotonic(), 0)

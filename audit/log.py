"""The log: one way in. Event, surroundings, redaction, canonical bytes, seal and commit, receipt."""

from __future__ import annotations

import contextvars
import os
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Self

from counterfoil.exporters.pending import Pending
from counterfoil.schemas import (
    AuditTimeout,
    AuditUnavailable,
    Event,
    FingerprintKey,
    InputError,
    Receipt,
    StoreError,
)
from counterfoil.schemas.entry import leaf_hash

from .address import address_of, file_of
from .fingerprint_key import load_fingerprint_key
from .lifetime import Ending, attend, out_of_a_call
from .log_life import LogLife
from .opening import Opening
from .own_threads import OwnThreads
from .producer import Producer
from .queued import QUEUE_BYTES, QUEUE_ENTRIES, QueuedDelivery, backlog_for
from .scope import scope
from .sealing import redacted, sealed, take, taken_redacted
from .unrecorded import Health, Unrecorded
from .uses import Uses

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable
    from types import TracebackType

    from counterfoil.exporters.sql import Writer
    from counterfoil.schemas import LogEvent

    from .approval import ApprovalPolicy
    from .integrity.checkpoints import Checkpointer
    from .integrity.signing_key import SigningKey
    from .log_life import Loss
    from .queued import Delivery
    from .redaction import Redactor
    from .sealing import Redacted, Taken
    from .unrecorded import WhenUnavailable


class AuditLog(Uses):
    """An open log. Safe to share between threads and asyncio tasks; after a fork each process goes on by itself."""

    scope = staticmethod(scope)

    def __init__(
        self,
        writer: Writer | Opening,
        key: FingerprintKey,
        redactor: Redactor,
        approval_policy: ApprovalPolicy | None,
        unrecorded: Unrecorded,
    ) -> None:
        """Use ``AuditLog.open``."""
        super().__init__(key, redactor, approval_policy)
        self._unrecorded = unrecorded
        self._threads = OwnThreads()
        self._checkpointer: Checkpointer | None = None
        self._queue: QueuedDelivery | None = None
        self._writer = writer
        self._learn_id(writer.log_id)
        self.begin_producing()
        attend(self)

    def _learn_id(self, log_id: bytes) -> None:
        self._log_id = log_id.hex()
        self._life = LogLife(self._log_id, self._record_durably)

    @classmethod
    def open(  # noqa: PLR0913 -- one keyword a choice
        cls,
        address: str | os.PathLike[str] | None = None,
        *,
        fingerprint_key: FingerprintKey | None = None,
        redactor: Redactor | None = None,
        approval_policy: ApprovalPolicy | None = None,
        deadline: float = 2.0,
        accept_new_key: bool = False,
        signing_key: SigningKey | None = None,
        delivery: Delivery = "durable",
        queue_entries: int = QUEUE_ENTRIES,
        queue_bytes: int = QUEUE_BYTES,
        when_unavailable: WhenUnavailable = "raise",
    ) -> Self:
        """Open the log at ``address``, else at ``COUNTERFOIL_DB``, making a new one.

        It is a file (``audit.db``, ``sqlite:///audit.db``) or a database (``postgresql+psycopg://user@host/name``).

        ``approval_policy`` says which calls need an approval; each use is recorded with what it said, also one for
        which nobody asked. ``deadline`` in seconds bounds every wait. ``accept_new_key`` goes on under another
        fingerprint key, and records it. ``signing_key``, or that of the environment, signs the checkpoints; without one
        they are unsigned. With ``delivery="queued"`` an entry is accepted into a queue of at most ``queue_entries`` and
        ``queue_bytes``, and written behind the caller: a crash loses what is in the queue. With
        ``when_unavailable="continue"`` a call that the store cannot record returns all the same: it is counted, told on
        stderr and in a gap entry, and its receipt is ``lost``; the log itself opens when it can.

        Raises ``KeyMismatch``, ``InvalidKey``, ``SigningKeyError``, ``ConfigurationError`` and ``StoreError``.
        """
        from counterfoil.exporters.sql import open_writer

        from .integrity.checkpoints import Checkpointer
        from .integrity.note import origin_of
        from .integrity.signing_key import signing_key_for
        from .redaction import Redactor

        backlog = backlog_for(delivery, queue_entries, queue_bytes)
        unrecorded = Unrecorded(deadline, when_unavailable)
        key = fingerprint_key or load_fingerprint_key()
        found = address_of(address)
        signer = signing_key_for(file_of(found), signing_key, deadline)

        def open_now() -> Writer:
            return open_writer(found, deadline=deadline, fingerprint_key_id=key.key_id)

        def begin(writer: Writer) -> None:
            checkpointer = Checkpointer(writer, origin_of(writer.log_id.hex()), signer, deadline=deadline)
            log._learn_id(writer.log_id)
            log._life.opening(writer, key.key_id, checkpointer, accept_new_key=accept_new_key)
            log._writer, log._checkpointer = writer, checkpointer
            checkpointer.opened()

        opening = Opening(open_now, begin)
        log = cls(opening, key, (redactor or Redactor()).keyed(key), approval_policy, unrecorded)
        try:
            opening.open()
        except AuditUnavailable as error:
            if not unrecorded.goes_on:
                raise
            unrecorded.note(error)
        if backlog is not None:
            log._queue = QueuedDelivery(log, backlog, deadline)
        return log

    def record(self, event: Event) -> Receipt:
        """Record one event. The receipt is returned once the entry is durable; queued, once it is accepted.

        The same ``event_id`` with the same content returns the first receipt. Raises ``InputError`` and ``StoreError``;
        a log that goes on without its store returns a receipt that is ``lost`` in place of most of the latter.
        """
        event, until = self._judged(event), self._unrecorded.until()
        if self._queue is None:
            return self._commit(self._seal(event, until), event.context.event_id, called=True)
        return self._accept(self._queue, self._taken(event), until)

    async def arecord(self, event: Event) -> Receipt:
        """Record one event without blocking the event loop. A cancelled caller's entry is still written."""
        event, until = self._judged(event), self._unrecorded.until()
        event_id = event.context.event_id
        if self._queue is None:
            work = partial(self._commit, self._seal(event, until), event_id, called=True)
        else:
            taken = self._taken(event)
            try:
                if self._queue.try_put(taken):
                    return self._accepted(taken)
            except BaseException as error:  # noqa: BLE001 -- it is raised, unless the log goes on
                return self._not_accepted(taken, error)
            work = partial(self._accept, self._queue, taken, until)  # only now is there something to wait for
        try:
            return await self._threads.run(work, until)
        except AuditTimeout as error:
            if not self._unrecorded.takes(error):
                raise
            return Receipt(self._log_id, 0, event_id, "", error.code)  # the thread counts it, should it be lost

    @property
    def health(self) -> Health:
        """How the log does in this process: for whoever watches it."""
        return self._unrecorded.health(self._queue.waiting if self._queue else 0)

    def flush(self, *, deadline: float | None = None) -> None:
        """Return when everything recorded before is durable, which only queued delivery has to wait for.

        ``deadline`` in seconds, unless given that of the log. Then it raises ``AuditTimeout``; what is queued is kept.
        """
        until = time.monotonic() + (self._unrecorded.deadline if deadline is None else deadline)
        self._threads.wait(until)
        if self._queue is not None:
            self._queue.flush(until)
        self._writer.flush(max(until - time.monotonic(), 0))

    def close(self) -> None:
        """Write what is queued, record the closing, and close. Recording afterwards raises ``LogClosed``.

        All of it takes 3 s at most, or the deadline if that is longer. Raises ``AuditUnavailable`` if accepted entries
        could not be written by then; a log that goes on without its store says it on stderr. It is closed all the same.
        """
        if self._writer.closed:
            return
        ends = Ending(self._unrecorded.deadline)
        self._threads.wait(ends.until_written())
        try:
            self._end_queue(ends)
        finally:
            self._producer.end()
            self._tell_end(ends)
            self._writer.close(ends.left())
            self._threads.close()
            self._unrecorded.leave()

    def leave(self, share: int = 1, *, last: bool = False) -> None:
        """Write what is queued and record the closing. Late callers may still record, unless it is the ``last`` thing.

        ``share``: how many logs have the time of one together. Raises ``AuditTimeout`` for what could not be written.
        """
        if self._writer.closed or not self._producer.has_counted:
            return
        ends = Ending(self._unrecorded.deadline, share)
        self._threads.wait(ends.until_written())
        try:
            if self._queue is not None:
                self._queue.leave(ends)
        finally:
            if last:
                self._producer.end()
            self._tell_end(ends)
            self._unrecorded.leave()

    def _end_queue(self, ends: Ending) -> None:
        if self._queue is None:
            return
        try:
            self._queue.close(ends)
        except AuditUnavailable as error:
            if not self._unrecorded.goes_on:
                raise
            self._unrecorded.note(error)

    def _tell_end(self, ends: Ending) -> None:
        self._settle(ends.until_told())
        self._life.closing(ends.until_told())
        if self._checkpointer:
            self._checkpointer.closing(ends.left())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def begin_producing(self) -> None:
        """Count from 1, as a producer of its own: when the log is opened, and in a forked child."""
        self._life.begin()
        self._unrecorded.begin()
        self._threads.begin()
        if isinstance(self._writer, Opening):
            self._writer.begin()
        if self._checkpointer:
            self._checkpointer.begin()
        self._producer = Producer()
        if self._queue is not None:
            self._queue.begin_life()

    def note_lost_outcome(self, error: Exception) -> None:
        """Remember that an outcome could not be written; the next entry that can be is followed by a gap entry."""
        self._life.note_lost_outcome(error)

    def next_number(self) -> int:
        """Count a call, for the queue."""
        return self._producer.next_number()

    def seal_taken(self, taken: Taken) -> Pending:
        """Do for a queued event what ``record`` does before the commit. Raises ``InputError``."""
        return self._sealed(taken_redacted(taken, self._redactor), taken.recorded_at, taken.number)

    def commit_group(self, group: list[Pending], until: float) -> None:
        """Commit queued entries in this order, ``until`` then. On return each has its place, or its ``error``."""
        self._writer.append_all(group, until)
        for pending in group:
            if pending.repeated:
                self._producer.declare_later(pending.numbers)
            elif isinstance(pending.error, InputError):  # a gap entry will tell of its own number
                self._producer.declare_later(pending.numbers[:-1])
            elif pending.error:
                self._life.note_refusal(pending.error, calls=0)  # nobody's call raised: it is tried again
        if written := [pending.seq for pending in group if pending.error is None]:
            self._life.catch_up()
            self._settle(until)
            self._checkpoint_after(max(written))

    def tell_loss(self, loss: Loss, until: float | None) -> None:
        """Write a gap entry for queued calls whose entries were refused. Raises ``StoreError``."""
        self._life.loss(loss, until)

    def remove(self, told: LogEvent, bodies: Callable[[Writer | Opening, Pending], None]) -> Receipt:
        """Remove ``bodies`` with the writer, and record what is told of it, in one transaction.

        For ``keeping``, which makes it an entry that verifies. Raises ``StoreError``: nothing was removed.
        """
        pending = contextvars.Context().run(self._seal, told)
        return self._commit(pending, told.context.event_id, lambda it: bodies(self._writer, it))

    def _record_durably(self, event: Event, until: float | None = None) -> Receipt:
        return self._commit(self._seal(event, until), event.context.event_id)

    def _taken(self, event: Event) -> Taken:
        try:
            return take(event)
        except BaseException:
            self._declare_raised()
            raise

    def _accept(self, queue: QueuedDelivery, taken: Taken, until: float) -> Receipt:
        try:
            queue.put(taken, until)
        except BaseException as error:  # noqa: BLE001 -- it is raised, unless the log goes on
            return self._not_accepted(taken, error)
        return self._accepted(taken)

    def _accepted(self, taken: Taken) -> Receipt:
        self._unrecorded.over()
        return Receipt(self._log_id, 0, taken.event_id, "")

    def _not_accepted(self, taken: Taken, error: BaseException) -> Receipt:
        if self._unrecorded.takes(error):
            return self._gone_on(taken.event_id, self._producer.next_number(), error)
        self._declare_raised()
        raise error

    def _gone_on(self, event_id: uuid.UUID, number: int, error: StoreError, pending: Pending | None = None) -> Receipt:
        self._unrecorded.count(number, error, pending)
        return Receipt(self._log_id, 0, event_id, "", error.code)

    def _settle(self, until: float | None) -> None:
        if self._unrecorded.untold:
            self._unrecorded.settle(self._writer.append_all, self._life.loss, until)

    def _declare_raised(self) -> None:
        self._producer.declare_later([self._producer.next_number()])

    def _seal(self, event: Event, until: float | None = None) -> Pending:
        """Turn an event into what is to be stored: surroundings added, secrets removed, canonical, hashed."""
        number = self._producer.begin_call()
        try:
            pending = self._sealed(redacted(event, self._redactor), datetime.now(UTC), number)
        except BaseException:
            self._producer.declare_later([number])
            self._producer.end_call([number])
            raise
        pending.until = until or 0.0
        return pending

    def _sealed(self, found: Redacted, recorded_at: datetime, number: int) -> Pending:
        raised = self._producer.take_raised(number)
        try:
            body = sealed(found, self._producer.part(number, raised), recorded_at)
        except BaseException:
            self._producer.declare_later(raised)
            raise
        return Pending(found.body["context"]["event_id"], body, leaf_hash(body), [*raised, number])

    def _commit(
        self,
        pending: Pending,
        event_id: uuid.UUID,
        write: Callable[[Pending], None] | None = None,
        *,
        called: bool = False,
    ) -> Receipt:
        """Commit. ``called``: for a caller, who goes on without the entry if the log was told so."""
        try:
            (write or self._writer.append)(pending)
        except BaseException as error:
            self._life.note_refusal(error, calls=1)
            if called and self._unrecorded.takes(error):
                self._producer.declare_later(pending.numbers[:-1])
                return self._gone_on(event_id, pending.numbers[-1], error, pending)
            self._producer.declare_later(pending.numbers)
            raise
        finally:
            self._producer.end_call(pending.numbers)
        if pending.repeated:
            self._producer.declare_later(pending.numbers)
        self._life.catch_up()
        if called:
            self._unrecorded.over()
            self._settle(pending.until)
        self._checkpoint_after(pending.seq)
        out_of_a_call()
        return Receipt(self._log_id, pending.seq, event_id, pending.chain_hash.hex())

    def _checkpoint_after(self, seq: int) -> None:
        if self._checkpointer:
            self._checkpointer.after(seq)

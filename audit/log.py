"""The log: one way in. Event, surroundings, redaction, canonical bytes, seal and commit, receipt."""

from __future__ import annotations

import contextvars
import os
import weakref
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, Unpack

from counterfoil.exporters.pending import Pending
from counterfoil.schemas import (
    CredentialUse,
    Event,
    Fingerprint,
    FingerprintKey,
    InputError,
    Receipt,
)
from counterfoil.schemas.entry import leaf_hash
from counterfoil.schemas.part import complete_parts

from .address import address_of, file_of
from .approval import ApprovalRequest, call_digest, judged, judged_use, question_of, required
from .fingerprint_key import load_fingerprint_key
from .integrity.checkpoints import Checkpointer
from .integrity.note import origin_of
from .log_life import LogLife
from .producer import Producer
from .queued import QUEUE_BYTES, QUEUE_ENTRIES, QueuedDelivery, backlog_for
from .scope import current_scope, scope
from .sealing import redacted, sealed, take, taken_redacted
from .use import Use, use_fields

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from counterfoil.exporters.sql import Writer
    from counterfoil.schemas import (
        Action,
        Approval,
        Binding,
        Context,
        KeyedDigest,
        LogEvent,
        Proof,
        Resource,
        SignerProcess,
        Token,
    )

    from .approval import ApprovalPolicy, Asked
    from .integrity.signing_key import SigningKey
    from .queued import Delivery, Loss
    from .redaction import Redactor
    from .sealing import Redacted, Taken


class AuditLog:
    """An open log. Safe to share between threads and asyncio tasks; after a fork each process goes on by itself."""

    scope = staticmethod(scope)

    def __init__(
        self,
        writer: Writer,
        key: FingerprintKey,
        redactor: Redactor,
        approval_policy: ApprovalPolicy | None,
        checkpointer: Checkpointer,
    ) -> None:
        """Use ``AuditLog.open``."""
        self._writer = writer
        self._redactor = redactor
        self._approval_policy = approval_policy
        self._log_id = writer.log_id.hex()
        self._life = LogLife(self._log_id, self._record_durably)
        self._checkpointer = checkpointer
        self._queue: QueuedDelivery | None = None
        self.fingerprint_key = key
        self.begin_producing()
        _logs.add(self)

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
    ) -> Self:
        """Open the log at ``address``, else at ``COUNTERFOIL_DB``, making a new one.

        It is a file (``audit.db``, ``sqlite:///audit.db``) or a database (``postgresql+psycopg://user@host/name``).

        ``approval_policy`` says which calls need an approval; each use is recorded with what it said, also one for
        which nobody asked. ``deadline`` in seconds bounds every wait. ``accept_new_key`` goes on under another
        fingerprint key, and records it. ``signing_key``, or that of the environment, signs the checkpoints; without one
        they are unsigned. With ``delivery="queued"`` an entry is accepted into a queue of at most ``queue_entries`` and
        ``queue_bytes``, and written behind the caller: a crash loses what is in the queue.

        Raises ``KeyMismatch``, ``InvalidKey``, ``SigningKeyError``, ``ConfigurationError`` and ``StoreError``.
        """
        from counterfoil.exporters.sql import open_writer

        from .integrity.signing_key import signing_key_for
        from .redaction import Redactor

        backlog = backlog_for(delivery, queue_entries, queue_bytes)
        key = fingerprint_key or load_fingerprint_key()
        found = address_of(address)
        signer = signing_key_for(file_of(found), signing_key, deadline)
        writer = open_writer(found, deadline=deadline, fingerprint_key_id=key.key_id)
        try:
            checkpointer = Checkpointer(writer, origin_of(writer.log_id.hex()), signer, deadline=deadline)
            log = cls(writer, key, redactor or Redactor(), approval_policy, checkpointer)
            log._life.opening(writer, key.key_id, checkpointer, accept_new_key=accept_new_key)
            checkpointer.opened()
        except BaseException:
            writer.close()
            raise
        if backlog is not None:
            log._queue = QueuedDelivery(log, backlog, deadline)
        return log

    def record(self, event: Event) -> Receipt:
        """Record one event. The receipt is returned once the entry is durable; queued, once it is accepted.

        The same ``event_id`` with the same content returns the first receipt. Raises ``InputError`` and ``StoreError``.
        """
        event = self._judged(event)
        if self._queue is None:
            return self._record_durably(event)
        try:
            self._queue.put(take(event))
        except BaseException:
            self._declare_raised()
            raise
        return self._acceptance(event)

    async def arecord(self, event: Event) -> Receipt:
        """Record one event without blocking the event loop. A cancelled caller's entry is still written."""
        import asyncio

        event = self._judged(event)
        if self._queue is None:
            pending, event_id = self._seal(event), event.context.event_id
            return await asyncio.shield(
                asyncio.get_running_loop().run_in_executor(None, self._commit, pending, event_id)
            )
        try:
            taken = take(event)
            if not self._queue.try_put(taken):  # only then is there something to wait for
                await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._queue.put, taken))
        except BaseException:
            self._declare_raised()
            raise
        return self._acceptance(event)

    def use(  # noqa: PLR0913 -- one keyword a part of the record
        self,
        *,
        token: Token,
        resource: Resource,
        action: Action,
        binding: Binding | None = None,
        proof: Proof | None = None,
        signer: SignerProcess | None = None,
        approval: ApprovalRequest | Approval | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Context | None = None,
    ) -> Use:
        """Surround a use of a credential: ``with`` or ``async with`` writes the intent before, the outcome after.

        ``arguments`` are those that run, of the tool around it or else of the action; only their keyed digest is kept.
        Where none are given, those of the scope count, if the action has the name of its tool.
        Raises ``OutOfDomain`` if they have no portable JSON form.
        """
        from .capture.process import this_process

        around = current_scope()
        tool = (context.tool.name if context and context.tool else around.tool) or action.name
        if arguments is None and action.name == tool == around.tool:
            arguments = around.arguments
        behind = approval.part if isinstance(approval, ApprovalRequest) else approval or around.approval
        if arguments is not None:
            running = self.arguments_digest(tool, arguments)
            action = action.model_copy(update={"arguments_digest": running})
            behind = behind and behind.model_copy(update={"executed_digest": running})
        fields = use_fields(
            token=token,
            resource=resource,
            action=action,
            binding=binding,
            proof=proof,
            signer=signer or this_process(),
            approval=judged(behind, self._approval_policy, tool, arguments),
            context=context,
        )
        return Use(self, fields)

    def approval(self, *, tool: str, arguments: Mapping[str, Any], **asked: Unpack[Asked]) -> ApprovalRequest:
        """Record that somebody is asked to approve a call, and return the question, to be decided.

        Of the arguments only a keyed digest is kept. Raises ``InputError`` and ``StoreError``.
        """
        request = self._asking(tool, arguments, asked)
        self.record(request.question)
        return request

    async def aapproval(self, *, tool: str, arguments: Mapping[str, Any], **asked: Unpack[Asked]) -> ApprovalRequest:
        """Record the question without blocking the event loop."""
        request = self._asking(tool, arguments, asked)
        await self.arecord(request.question)
        return request

    def fingerprint(self, secret: str | bytes) -> Fingerprint:
        """Return the fingerprint of a credential under this log's key."""
        return Fingerprint.of(secret, self.fingerprint_key)

    def arguments_digest(self, tool: str, arguments: Mapping[str, Any]) -> KeyedDigest:
        """Return the keyed digest of what is to run: equal for equal tool and arguments. Raises ``OutOfDomain``."""
        return call_digest(tool, arguments, self.fingerprint_key)

    def redacted_uri(self, uri: str) -> str:
        """Return the URI as this log records it: for whoever has to keep one without the secrets that it may hold."""
        return self._redactor.uri(uri)[0]

    def flush(self, *, deadline: float | None = None) -> None:
        """Return when everything recorded before is durable, which only queued delivery has to wait for.

        ``deadline`` in seconds, unless given that of the log. Then it raises ``AuditTimeout``; what is queued is kept.
        """
        if self._queue is not None:
            self._queue.flush(deadline)
        self._writer.flush()

    def close(self) -> None:
        """Write what is queued, record the closing, and close. Recording afterwards raises ``LogClosed``.

        Raises ``AuditUnavailable`` if accepted entries could not be written within 5 s, or within the deadline if that
        is longer; the log is closed all the same.
        """
        if self._writer.closed:
            return
        try:
            if self._queue is not None:
                self._queue.close()
        finally:
            self._life.closing()
            self._checkpointer.closing()
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def begin_producing(self) -> None:
        """Count from 1, as a producer of its own: when the log is opened, and in a forked child."""
        self._life.begin()
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

    def commit_group(self, group: list[Pending]) -> None:
        """Commit queued entries in this order. On return each has its place, or its ``error``."""
        self._writer.append_all(group)
        for pending in group:
            if pending.repeated:
                self._producer.declare_later(pending.numbers)
            elif isinstance(pending.error, InputError):  # a gap entry will tell of its own number
                self._producer.declare_later(pending.numbers[:-1])
            elif pending.error:
                self._life.note_refusal(pending.error, calls=0)  # nobody's call raised: it is tried again
        self._life.catch_up()
        self._checkpointer.after(max(pending.seq for pending in group))

    def tell_loss(self, loss: Loss) -> None:
        """Write a gap entry for queued calls whose entries were refused. Raises ``StoreError``."""
        self._life.loss(loss)

    def prune(self, told: LogEvent, first: int, last: int, count: int) -> Receipt:
        """Remove ``count`` bodies from entry ``first`` to ``last``, and record what is told of it, in one transaction.

        For ``keeping.retention``, which makes it an entry that verifies. Raises ``StoreError``: nothing was removed.
        """
        pending = contextvars.Context().run(self._seal, told)
        return self._commit(pending, told.context.event_id, lambda it: self._writer.prune(it, first, last, count))

    def _asking(self, tool: str, arguments: Mapping[str, Any], asked: Asked) -> ApprovalRequest:
        requirement = asked.get("requirement") or required(self._approval_policy, tool, arguments)
        return ApprovalRequest(self, question_of(tool, arguments, self.fingerprint_key, requirement, asked))

    def _judged(self, event: Event) -> Event:
        policy = self._approval_policy
        return judged_use(event, policy) if policy and isinstance(event, CredentialUse) else event

    def _record_durably(self, event: Event) -> Receipt:
        return self._commit(self._seal(event), event.context.event_id)

    def _acceptance(self, event: Event) -> Receipt:
        return Receipt(self._log_id, 0, event.context.event_id, "")

    def _declare_raised(self) -> None:
        self._producer.declare_later([self._producer.next_number()])

    def _seal(self, event: Event) -> Pending:
        """Turn an event into what is to be stored: surroundings added, secrets removed, canonical, hashed."""
        number = self._producer.next_number()
        try:
            return self._sealed(redacted(event, self._redactor), datetime.now(UTC), number)
        except BaseException:
            self._producer.declare_later([number])
            raise

    def _sealed(self, found: Redacted, recorded_at: datetime, number: int) -> Pending:
        raised = self._producer.take_raised()
        try:
            body = sealed(found, self._producer.part(number, raised), recorded_at)
        except BaseException:
            self._producer.declare_later(raised)
            raise
        return Pending(found.body["context"]["event_id"], body, leaf_hash(body), [*raised, number])

    def _commit(self, pending: Pending, event_id: uuid.UUID, write: Callable[[Pending], None] | None = None) -> Receipt:
        try:
            (write or self._writer.append)(pending)
        except BaseException as error:
            self._producer.declare_later(pending.numbers)
            self._life.note_refusal(error, calls=1)
            raise
        if pending.repeated:
            self._producer.declare_later(pending.numbers)
        self._life.catch_up()
        self._checkpointer.after(pending.seq)
        return Receipt(self._log_id, pending.seq, event_id, pending.chain_hash.hex())


def _after_fork() -> None:
    for log in list(_logs):
        log.begin_producing()


_logs: weakref.WeakSet[AuditLog] = weakref.WeakSet()
os.register_at_fork(before=complete_parts, after_in_child=_after_fork)

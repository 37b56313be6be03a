"""One use of a credential, around the code that performs it: intent before, outcome after."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from counterfoil.schemas import (
    Action,
    Approval,
    Binding,
    Context,
    CredentialUse,
    Outcome,
    Phase,
    Proof,
    Resource,
    SignerProcess,
    Token,
)
from counterfoil.schemas.values import new_event_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from uuid import UUID

    from counterfoil.schemas import Event, KeyedDigest, Receipt

_REFUSALS = frozenset({401, 403, 407})
_LEARNED = ("token", "binding", "proof", "resource")


class Recorder(Protocol):
    """What a use needs of the log."""

    def record(self, event: Event) -> Receipt:
        """Record one event durably."""
        ...

    async def arecord(self, event: Event) -> Receipt:
        """Record one event without blocking the event loop."""
        ...

    def note_lost_outcome(self, error: Exception) -> None:
        """Remember that an outcome could not be written."""
        ...


class Use:
    """A use in progress, made by ``AuditLog.use``. Set what becomes known before the block ends.

    ``status_code``
        HTTP status of the answer; 401, 403 and 407 mean refused, other codes from 400 on mean failed.
    ``outcome``
        Overrules what would follow from the status or from an exception.
    ``token``, ``binding``, ``proof``, ``resource``
        Replace what the intent said, where the answer taught more.
    ``name``, ``arguments_digest``, ``context``
        Name and digest of the action, and those members of the context that are given, likewise.
    ``started_at``
        When the action began: when the intent is written, unless it was before.
    ``attempt``
        Which attempt of the use this is, where the answer asks for another (RFC 9449 §8). The next one is made with
        ``Context(use_id=...)`` of this one, and ``Action(attempt=...)``.
    """

    def __init__(self, log: Recorder, fields: Mapping[str, Any]) -> None:
        self._log = log
        self._fields = dict(fields)
        context: Context | None = fields["context"]
        action: Action = fields["action"]
        self.use_id: UUID = (context.use_id if context else None) or new_event_id()
        self.attempt = action.attempt
        self.started_at: datetime | None = None
        self.receipt: Receipt | None = None
        self.status_code: int | None = None
        self.outcome: Outcome | None = None
        self.error_type: str | None = None
        self.name: str | None = None
        self.arguments_digest: KeyedDigest | None = None
        self.token: Token | None = None
        self.proof: Proof | None = None
        self.binding: Binding | None = None
        self.resource: Resource | None = None
        self.context: Context | None = None

    def __enter__(self) -> Self:
        """Write the intent. Raises ``StoreError`` when it cannot be written: then the action must not happen."""
        self.receipt = self._log.record(self._intent())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write the outcome. A failure to do so never replaces the action's own result; it becomes a gap entry."""
        try:
            self._log.record(self._outcome(kind))
        except Exception as failure:  # noqa: BLE001 -- the action is done, and a caller would repeat it
            self._log.note_lost_outcome(failure)

    async def __aenter__(self) -> Self:
        """Write the intent without blocking the loop."""
        self.receipt = await self._log.arecord(self._intent())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write the outcome without blocking the loop."""
        try:
            await self._log.arecord(self._outcome(kind))
        except Exception as failure:  # noqa: BLE001 -- as above
            self._log.note_lost_outcome(failure)

    async def arecord_whole(self, kind: type[BaseException] | None = None) -> Receipt:
        """Record the use as one entry that has no intent. ``kind`` is what the action raised. Raises ``StoreError``."""
        self.started_at = self.started_at or datetime.now(UTC)
        return await self._log.arecord(self._outcome(kind, phase=Phase.COMPLETE))

    def _intent(self) -> CredentialUse:
        now = datetime.now(UTC)
        self.started_at = self.started_at or now
        return self._event(now, phase=Phase.INTENT, outcome=Outcome.PENDING, started_at=self.started_at)

    def _outcome(self, kind: type[BaseException] | None, *, phase: Phase = Phase.OUTCOME) -> CredentialUse:
        now = datetime.now(UTC)
        learned = {name: getattr(self, name) for name in _LEARNED}
        self._fields.update({name: part for name, part in learned.items() if part is not None})
        named = {"name": self.name, "arguments_digest": self.arguments_digest}
        return self._event(
            now,
            **{member: value for member, value in named.items() if value is not None},
            phase=phase,
            outcome=self.outcome or _outcome_of(kind, self.status_code),
            started_at=self.started_at,
            ended_at=now,
            status_code=self.status_code,
            error_type=self.error_type or (kind.__qualname__ if kind else None),
            attempt=self.attempt,
        )

    def _event(self, moment: datetime, **progress: Any) -> CredentialUse:
        fields = dict(self._fields)
        action: Action = fields.pop("action")
        known: dict[str, Any] = {}
        for context in (fields.pop("context"), self.context):
            known |= {name: getattr(context, name) for name in context.model_fields_set} if context else {}
        known |= {"event_id": new_event_id(), "occurred_at": moment, "use_id": self.use_id}
        return CredentialUse(context=Context(**known), action=action.model_copy(update=progress), **fields)


def _outcome_of(kind: type[BaseException] | None, status_code: int | None) -> Outcome:
    if kind is not None:
        # Cancelled or interrupted: the request may well have arrived.
        return Outcome.FAILED if issubclass(kind, Exception) else Outcome.UNKNOWN
    if status_code is None or status_code < 400:
        return Outcome.EXECUTED
    return Outcome.REFUSED if status_code in _REFUSALS else Outcome.FAILED


def use_fields(  # noqa: PLR0913 -- one keyword a part of the record
    *,
    token: Token,
    resource: Resource,
    action: Action,
    binding: Binding | None,
    proof: Proof | None,
    signer: SignerProcess,
    approval: Approval | None,
    context: Context | None,
) -> dict[str, Any]:
    """Return the parts of a use by name, leaving out those that nobody gave."""
    given = {"binding": binding, "proof": proof, "approval": approval}
    return {
        "token": token,
        "resource": resource,
        "action": action,
        "signer": signer,
        "context": context,
        **{name: part for name, part in given.items() if part is not None},
    }

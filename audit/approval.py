"""Approvals: the question, the decision, and what ran, so that the three can be compared afterwards.

Three digests, keyed and taken before redaction (DESIGN: the approval part of a use):

1. ``shown_digest`` of the tool and the arguments that the approver was asked about, when the question is recorded.
2. ``executed_digest`` of the tool and the arguments that run, when they run; it is never copied from the first.
   Equal digests therefore mean that what was shown is what ran.
3. ``rendering_digest`` of the text or picture in which it was shown.

This records; it does not permit. A use for which nobody asked, or to which somebody said no, is recorded as that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict, cast

from counterfoil.schemas import (
    Action,
    AlreadyDecided,
    Approval,
    ApprovalEvent,
    ApprovalState,
    Context,
    CredentialUse,
    Decision,
    InvalidEvent,
    KeyedDigest,
    Requirement,
    Tool,
)
from counterfoil.schemas.domain import MAX_DEPTH
from counterfoil.schemas.entry import canonical_bytes
from counterfoil.schemas.values import new_event_id

from .scope import current_scope

if TYPE_CHECKING:
    from uuid import UUID

    from counterfoil.schemas import Event, FingerprintKey, Receipt

ApprovalPolicy: TypeAlias = Callable[[str, Mapping[str, Any] | None], Requirement]
"""Says whether a call needs an approval: of the tool's name, or the action's where no tool is known, and the arguments,
which are None where only the HTTP layer saw the call."""


class Asked(TypedDict, total=False):
    """What else a question may say."""

    requirement: Requirement
    """Whether the call needs an approval. Unless given, what the log's policy says."""
    rendering: str | bytes
    """The text or picture in which the call is shown. Only its keyed digest is kept."""
    expires_at: datetime
    """Until when the decision holds."""
    expires_in: timedelta
    """The same, from now on."""
    approval_id: str
    """Joins question, decision and use; a UUID unless given."""


class Recorder(Protocol):
    """What an approval needs of the log."""

    @property
    def fingerprint_key(self) -> FingerprintKey:
        """The key that digests are made with."""
        ...

    def record(self, event: Event) -> Receipt:
        """Record one event durably."""
        ...

    async def arecord(self, event: Event) -> Receipt:
        """Record one event without blocking the event loop."""
        ...


class ApprovalRequest:
    """A question that was recorded, made by ``AuditLog.approval``. It is decided once.

    Each decision is recorded before its method returns, and each has an asynchronous twin. A second one raises
    ``AlreadyDecided``; one that could not be recorded raises ``StoreError`` and may be given again.
    """

    def __init__(self, log: Recorder, question: ApprovalEvent) -> None:
        self._log = log
        self._deciding = threading.Lock()
        self._decided = False
        self._decision_id = new_event_id()  # one for all tries, so that the log itself takes one decision only
        self.question = question
        self.part = Approval(
            requirement=question.requirement,
            approval_id=question.approval_id,
            expires_at=question.expires_at,
            shown_digest=question.shown_digest,
            rendering_digest=question.rendering_digest,
        )

    @property
    def approval_id(self) -> str:
        """Joins question, decision and use."""
        return self.question.approval_id

    def executing(self, arguments: Mapping[str, Any], *, tool: str | None = None) -> Approval:
        """Return the part for the use that runs now, with these arguments. Raises ``OutOfDomain``.

        ``tool`` is the one that runs, where it may be another than the one that was asked about.
        """
        digest = call_digest(tool or self.question.action.name, arguments, self._log.fingerprint_key)
        return self.part.model_copy(update={"executed_digest": digest})

    def granted(self, *, approver: str, decided_at: datetime | None = None, reason: str | None = None) -> Approval:
        """Record that ``approver`` said yes. After ``expires_at`` it is still recorded as that, with its time."""
        return self._record(self._decision(ApprovalState.GRANTED, approver, decided_at, reason))

    def denied(self, *, approver: str, decided_at: datetime | None = None, reason: str | None = None) -> Approval:
        """Record that ``approver`` said no."""
        return self._record(self._decision(ApprovalState.DENIED, approver, decided_at, reason))

    def expired(self, *, reason: str | None = None) -> Approval:
        """Record that nobody decided in time."""
        return self._record(self._decision(ApprovalState.EXPIRED, None, None, reason))

    def automatic(self, rule: str, *, reason: str | None = None) -> Approval:
        """Record that ``rule`` said yes, and no person."""
        return self._record(self._decision(ApprovalState.AUTOMATIC, rule, None, reason))

    async def agranted(
        self, *, approver: str, decided_at: datetime | None = None, reason: str | None = None
    ) -> Approval:
        """Record that ``approver`` said yes, without blocking the event loop."""
        return await self._arecord(self._decision(ApprovalState.GRANTED, approver, decided_at, reason))

    async def adenied(
        self, *, approver: str, decided_at: datetime | None = None, reason: str | None = None
    ) -> Approval:
        """Record that ``approver`` said no, without blocking the event loop."""
        return await self._arecord(self._decision(ApprovalState.DENIED, approver, decided_at, reason))

    async def aexpired(self, *, reason: str | None = None) -> Approval:
        """Record that nobody decided in time, without blocking the event loop."""
        return await self._arecord(self._decision(ApprovalState.EXPIRED, None, None, reason))

    async def aautomatic(self, rule: str, *, reason: str | None = None) -> Approval:
        """Record that ``rule`` said yes, and no person, without blocking the event loop."""
        return await self._arecord(self._decision(ApprovalState.AUTOMATIC, rule, None, reason))

    def _decision(
        self, state: ApprovalState, approver: str | None, decided_at: datetime | None, reason: str | None
    ) -> ApprovalEvent:
        asked = self.question
        return ApprovalEvent(
            context=_context(asked.action.name, self._decision_id),
            approval_id=asked.approval_id,
            state=state,
            requirement=asked.requirement,
            action=asked.action,
            approver=approver,
            decided_at=decided_at or datetime.now(UTC),
            expires_at=asked.expires_at,
            shown_digest=asked.shown_digest,
            rendering_digest=asked.rendering_digest,
            reason=reason,
        )

    def _record(self, decision: ApprovalEvent) -> Approval:
        self._claim()
        try:
            self._log.record(decision)
        except BaseException:
            self._decided = False
            raise
        return self._keep(decision)

    async def _arecord(self, decision: ApprovalEvent) -> Approval:
        self._claim()
        try:
            await self._log.arecord(decision)
        except BaseException:
            self._decided = False
            raise
        return self._keep(decision)

    def _claim(self) -> None:
        with self._deciding:
            if self._decided:
                raise AlreadyDecided
            self._decided = True

    def _keep(self, decision: ApprovalEvent) -> Approval:
        decided = {
            "decision": Decision(decision.state.value),
            "approver": decision.approver,
            "decided_at": decision.decided_at,
        }
        self.part = self.part.model_copy(update={name: value for name, value in decided.items() if value is not None})
        return self.part


def question_of(
    tool: str, arguments: Mapping[str, Any], key: FingerprintKey, requirement: Requirement, asked: Asked
) -> ApprovalEvent:
    """Return the event that asks. Raises ``InvalidEvent`` and ``OutOfDomain``."""
    shown, rendering = call_digest(tool, arguments, key), asked.get("rendering")
    octets = rendering.encode("utf-8", "surrogatepass") if isinstance(rendering, str) else rendering
    return ApprovalEvent(
        context=_context(tool, new_event_id()),
        approval_id=asked.get("approval_id") or str(new_event_id()),
        state=ApprovalState.REQUESTED,
        requirement=requirement,
        action=Action(name=tool, arguments_digest=shown),
        expires_at=_expiry(asked.get("expires_at"), asked.get("expires_in")),
        shown_digest=shown,
        rendering_digest=None if octets is None else KeyedDigest.of(octets, key),
    )


def call_digest(tool: str, arguments: Mapping[str, Any], key: FingerprintKey) -> KeyedDigest:
    """Return the keyed digest of the canonical (tool, arguments). Raises ``OutOfDomain`` and ``EventTooLarge``."""
    return KeyedDigest.of(canonical_bytes({"arguments": _as_json(arguments, 0), "tool": tool}), key)


def required(policy: ApprovalPolicy | None, tool: str, arguments: Mapping[str, Any] | None) -> Requirement:
    """Return what the policy says of a call; unknown without one. Raises ``InvalidEvent`` where it says nothing."""
    if policy is None:
        return Requirement.UNKNOWN
    said = policy(tool, arguments)
    try:
        return Requirement(said)
    except ValueError:
        raise InvalidEvent((("approval.requirement", "the approval policy returned no Requirement"),)) from None


def judged(
    approval: Approval | None, policy: ApprovalPolicy | None, tool: str, arguments: Mapping[str, Any] | None
) -> Approval | None:
    """Return the approval of a use with what the policy says of it, where nobody else said whether it is required."""
    if policy is None or (approval and "requirement" in approval.model_fields_set):
        return approval
    return (approval or Approval()).model_copy(update={"requirement": required(policy, tool, arguments)})


def judged_use(use: CredentialUse, policy: ApprovalPolicy) -> CredentialUse:
    """Return a use that is recorded in one piece, with what the policy says of it, its arguments being unknown."""
    around, own = current_scope(), use.context.tool
    stated = use.approval if "approval" in use.model_fields_set else around.approval
    tool = own.name if own else around.tool
    approval = judged(stated, policy, tool or use.action.name, None)
    return use if approval is stated else use.model_copy(update={"approval": approval})


def _context(tool: str, event_id: UUID) -> Context:
    """Name the tool, where the scope, which may know more of it, is not inside it yet."""
    if current_scope().tool == tool:
        return Context(event_id=event_id)
    return Context(event_id=event_id, tool=Tool(name=tool))


def _expiry(expires_at: datetime | None, expires_in: timedelta | None) -> datetime | None:
    if expires_in is None:
        return expires_at
    if expires_at is not None:
        raise InvalidEvent((("expires_at", "give expires_at or expires_in, not both"),))
    try:
        return datetime.now(UTC) + expires_in
    except OverflowError:
        raise InvalidEvent((("expires_in", "the time is outside the years 1 to 9999"),)) from None


def _as_json(value: Any, depth: int) -> Any:
    """Return a value as JSON has it, with one kind of number: 1200.0 that was shown and 1200 that ran are equal."""
    if depth > MAX_DEPTH:
        return value  # refused further on
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return _members_as_json(value, depth + 1)  # pyright: ignore[reportUnknownArgumentType] -- of Any
    if isinstance(value, list | tuple):
        return [_as_json(member, depth + 1) for member in cast("list[Any]", value)]
    return value


def _members_as_json(members: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    return {name: _as_json(member, depth) for name, member in members.items()}

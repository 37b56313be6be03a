"""What a log offers around an action: uses with their intent and outcome, approvals, and digests under its key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Unpack

from counterfoil.schemas import CredentialUse, Fingerprint, InvalidEvent, LogEvent

from .approval import ApprovalRequest, call_digest, judged, judged_use, question_of, required
from .redaction.known import KNOWN
from .scope import current_scope
from .use import Use, use_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterfoil.schemas import (
        Action,
        Approval,
        Binding,
        Context,
        Event,
        FingerprintKey,
        KeyedDigest,
        Proof,
        Receipt,
        Resource,
        SignerProcess,
        Token,
    )

    from .approval import ApprovalPolicy, Asked
    from .redaction import Redactor


class Uses(ABC):
    """Makes uses and approvals of a log that records them. ``AuditLog`` is one."""

    def __init__(self, key: FingerprintKey, redactor: Redactor, approval_policy: ApprovalPolicy | None) -> None:
        self.fingerprint_key = key
        self._redactor = redactor
        self._approval_policy = approval_policy
        self._log_id = ""

    @abstractmethod
    def record(self, event: Event) -> Receipt:
        """Record one event."""

    @abstractmethod
    async def arecord(self, event: Event) -> Receipt:
        """Record one event without blocking the event loop."""

    @abstractmethod
    def note_lost_outcome(self, error: Exception) -> None:
        """Remember that an outcome could not be written."""

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
        """Return the fingerprint of a credential under this log's key. Redaction knows it from then on."""
        KNOWN.remember(secret)
        return Fingerprint.of(secret, self.fingerprint_key)

    def arguments_digest(self, tool: str, arguments: Mapping[str, Any]) -> KeyedDigest:
        """Return the keyed digest of what is to run: equal for equal tool and arguments. Raises ``OutOfDomain``."""
        return call_digest(tool, arguments, self.fingerprint_key)

    def redacted_uri(self, uri: str) -> str:
        """Return the URI as this log records it: for whoever has to keep one without the secrets that it may hold."""
        return self._redactor.uri(uri)[0]

    def _asking(self, tool: str, arguments: Mapping[str, Any], asked: Asked) -> ApprovalRequest:
        requirement = asked.get("requirement") or required(self._approval_policy, tool, arguments)
        return ApprovalRequest(self, question_of(tool, arguments, self.fingerprint_key, requirement, asked))

    def _judged(self, event: Event) -> Event:
        if isinstance(event, LogEvent) and event.erased and event.log_id == self._log_id:
            raise InvalidEvent((("erased", "only `counterfoil db scrub` says this of the log itself"),))
        policy = self._approval_policy
        return judged_use(event, policy) if policy and isinstance(event, CredentialUse) else event

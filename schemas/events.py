"""The five kinds of event, and how to read one back.

``Event`` is the union of them all, told apart by ``kind``. ``parse_event`` takes a caller's JSON strictly;
``read_event`` takes what a log holds and keeps what a newer release added.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, cast
from uuid import UUID

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from .action import Action, Resource
from .approval import Approval
from .context import Context
from .document import strictly
from .erasure import ErasedEntry
from .errors import InvalidEvent, OutOfDomain
from .part import Part
from .proof import Binding, Proof
from .refusal import problems_in
from .signer import KeyCustody, SignerProcess
from .terms import keep_unlisted_terms
from .token import Token
from .values import (
    Count,
    Fingerprint,
    KeyedDigest,
    Name,
    SignedNote,
    Text,
    Thumbprint,
    Time,
    VerificationKey,
    is_unicode,
)
from .vocabulary import ApprovalState, Change, Kind, Leaked, LeakPlace, LogChange, Requirement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class CredentialUse(Part):
    """A credential was presented to a resource, as one observer saw it."""

    kind: Literal[Kind.CREDENTIAL_USE] = Kind.CREDENTIAL_USE
    """Always ``credential_use``."""
    context: Context = Field(default_factory=Context)
    """Who, when, where."""
    token: Token
    """The credential."""
    binding: Binding = Binding()
    """What ties it to its sender."""
    key_custody: KeyCustody = KeyCustody()
    """Where its key is kept."""
    signer: SignerProcess = SignerProcess()
    """Which process used it."""
    proof: Proof = Proof()
    """How possession was proven."""
    resource: Resource
    """Where it went."""
    approval: Approval = Approval()
    """Who approved."""
    action: Action
    """What was done."""


class CredentialChange(Part):
    """A credential was issued, refreshed, exchanged, rotated, revoked, or expired."""

    kind: Literal[Kind.CREDENTIAL_CHANGE] = Kind.CREDENTIAL_CHANGE
    """Always ``credential_change``."""
    context: Context = Field(default_factory=Context)
    """Who, when, where."""
    change: Change
    """What happened."""
    token: Token
    """The credential that changed or came to be."""
    parent: Fingerprint | None = None
    """The credential it came from: the refresh token, the subject token of an exchange, the code."""
    binding: Binding = Binding()
    """What ties the new credential to its sender."""
    key_custody: KeyCustody = KeyCustody()
    """Where its key is kept."""
    signer: SignerProcess = SignerProcess()
    """Which process asked for it."""
    reason: Text | None = None
    """Why, in words."""


class ApprovalEvent(Part):
    """An approval was requested or decided."""

    kind: Literal[Kind.APPROVAL] = Kind.APPROVAL
    """Always ``approval``."""
    context: Context = Field(default_factory=Context)
    """Who, when, where."""
    approval_id: Name
    """Joins request, decision and use."""
    state: ApprovalState
    """What this event reports."""
    requirement: Requirement = Requirement.UNKNOWN
    """Whether the caller's policy asked for it."""
    action: Action
    """What is to be done."""
    approver: Name | None = None
    """Who decided."""
    decided_at: Time | None = None
    """When."""
    expires_at: Time | None = None
    """Until when the decision holds."""
    shown_digest: KeyedDigest | None = None
    """Of the canonical (tool, arguments) that the approver was shown."""
    rendering_digest: KeyedDigest | None = None
    """Of the text or picture in which it was shown."""
    reason: Text | None = None
    """Why, in words."""


class Compromise(Part):
    """Somebody reports that a token, a key or both leaked."""

    kind: Literal[Kind.COMPROMISE] = Kind.COMPROMISE
    """Always ``compromise``."""
    context: Context = Field(default_factory=Context)
    """Who, when, where."""
    leaked: Leaked
    """What leaked: the token alone, the proof key alone, both."""
    fingerprint: Fingerprint | None = None
    """Which token."""
    key_thumbprint: Thumbprint | None = None
    """Which key."""
    place: LeakPlace = LeakPlace.UNKNOWN
    """Where it was found."""
    found_at: Time | None = None
    """When it was found."""
    leaked_at: Time | None = None
    """Since when it may have been known to others."""
    how_known: Text | None = None
    """How this is known, in words."""
    reported_by: Name | None = None
    """Who says so."""


class LogEvent(Part):
    """The log's own life: what happened to the record itself."""

    kind: Literal[Kind.LOG] = Kind.LOG
    """Always ``log``."""
    context: Context = Field(default_factory=Context)
    """Who, when, where."""
    change: LogChange
    """What happened."""
    log_id: Name | None = None
    """Which log, 32 hex digits."""
    fingerprint_key_id: Name | None = None
    """Under which key its fingerprints are made."""
    verification_key: VerificationKey | None = None
    """With which key its checkpoints are verified (C2SP signed-note vkey)."""
    note: SignedNote | None = None
    """What the log's key says about this change, such as which entries were pruned (C2SP tlog-checkpoint)."""
    erased: tuple[ErasedEntry, ...] = Field(default=(), max_length=1000)
    """Which entries' bodies were erased."""
    count: Count | None = None
    """How many entries are concerned, such as those lost in a gap."""
    first: Count | None = None
    """First number concerned."""
    last: Count | None = None
    """Last number concerned."""
    reason: Text | None = None
    """Why, in words."""


class UnlistedEvent(Part):
    """An event of a kind that a newer release added. Only a reader meets it; its members are kept as they stand."""

    kind: str
    """The kind as it was written."""
    context: Context = Field(default_factory=Context)
    """Who, when, where."""


Event: TypeAlias = CredentialUse | CredentialChange | ApprovalEvent | Compromise | LogEvent
"""Any event that can be recorded."""

EVENT_TYPES: dict[str, type[Event]] = {
    Kind.CREDENTIAL_USE: CredentialUse,
    Kind.CREDENTIAL_CHANGE: CredentialChange,
    Kind.APPROVAL: ApprovalEvent,
    Kind.COMPROMISE: Compromise,
    Kind.LOG: LogEvent,
}
"""The event classes by kind."""

EVENT: TypeAdapter[Event] = TypeAdapter(
    Annotated[Event, Field(discriminator="kind")], config=ConfigDict(defer_build=True)
)
"""Validates the union. For callers and readers there are ``parse_event`` and ``read_event``."""


def stated(event: Event) -> dict[str, Any]:
    """Return what an event states, in JSON form: what is to be sealed, but for what the log adds.

    What nobody stated is left out, and reads back as the default that it has: unknown. Kind, ``event_id`` and observer
    always stand there. Raises ``OutOfDomain``.
    """
    own = event.context
    dump = partial(event.model_dump, mode="json", exclude_none=True, exclude_unset=True, warnings="error")
    body: dict[str, Any] = _dumped(event, dump)
    return identified(body, event.kind.value, own.event_id, own.observer.value)


def stated_json(event: Event) -> bytes:
    """Return as JSON what ``stated`` returns, but for what ``identified`` adds.

    It is half the work. A number that is not finite, which only attributes changed afterwards can hold, becomes null.
    Raises ``OutOfDomain``.
    """
    dump = event.__pydantic_serializer__.to_json
    return _dumped(event, partial(dump, event, exclude_none=True, exclude_unset=True, warnings="error"))


def _dumped(event: Event, dump: Callable[[], T]) -> T:
    """Return what ``dump`` returns. Raises ``OutOfDomain`` for what was changed, after it was validated, to no JSON.

    Pydantic would write something of its own in its place, and quote it in a warning.
    """
    try:
        _check_names(event.context.attributes)
        return dump()
    except (ValueError, RecursionError):
        pass
    raise OutOfDomain("", "a value was changed to one that has no JSON form")  # outside the handler: nothing is chained


def _check_names(value: object) -> None:
    if isinstance(value, dict):
        for name, member in cast("dict[object, object]", value).items():
            if not isinstance(name, str) or not is_unicode(name):
                raise OutOfDomain("context.attributes", "a member's name was changed to one that has no JSON form")
            if type(member) is not str:
                _check_names(member)
    elif isinstance(value, list | tuple):
        for item in cast("Sequence[object]", value):
            _check_names(item)


def identified(body: dict[str, Any], kind: str, event_id: UUID, observer: str) -> dict[str, Any]:
    """Add to what an event states what always stands there, in place."""
    body["kind"] = kind
    body["context"] = {"event_id": str(event_id), "observer": observer} | body.get("context", {})
    return body


def parse_event(body: str | bytes) -> Event:
    """Parse a caller's JSON, up to 1 MiB of it. Raises ``InvalidEvent`` and ``EventTooLarge``, which show no value.

    Unknown members, kinds and terms are refused, and so is a member given twice.
    """
    return strictly(body, lambda text: EVENT.validate_json(text, extra="forbid"), tagged=True)


def read_event(body: str | bytes) -> Event | UnlistedEvent:
    """Parse what a log holds. Members, terms and kinds of a newer release are kept. Raises ``InvalidEvent``."""
    with keep_unlisted_terms():
        try:
            return EVENT.validate_json(body, extra="allow")
        except ValidationError as error:
            unlisted = error.errors(include_input=False)[0]["type"] == "union_tag_invalid"
            problems = problems_in(error, tagged=True)
    if unlisted:
        return UnlistedEvent.read_json(body)
    raise InvalidEvent(problems)

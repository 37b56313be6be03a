"""From an event to the body of an entry: what surrounds it is added, and, for the queue, a copy is taken at the call.

A frozen event can hold a dictionary that its caller changes later, and its scope ends with the call. So what waits in
the queue is JSON: it cannot change, it is a twentieth of the size of the models, and its length is known.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar

from pydantic_core import from_json

from counterfoil.schemas import (
    CounterfoilError,
    Event,
    EventTooLarge,
    InvalidEvent,
    SealingFailed,
    canonical_bytes,
)
from counterfoil.schemas.entry import LOG_MEMBERS, MAX_BODY, check_size, sealed_bytes
from counterfoil.schemas.events import EVENT_TYPES, identified, stated, stated_json
from counterfoil.schemas.values import rfc3339

from .scope import current_inbound, current_scope, current_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from pydantic import JsonValue

    from .redaction import Redactor
    from .redaction.receipt import Receipt

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")

_RECORDABLE = frozenset(EVENT_TYPES.values())

OVERHEAD: Final = 1024
"""What an entry in the queue takes besides its JSON, in bytes."""


@dataclass(slots=True, eq=False)
class Taken:
    """An event as it was when it was recorded, on its way to be redacted and sealed."""

    kind: str
    event_id: UUID
    observer: str
    json: bytes = field(repr=False)
    """What the event itself states."""
    context: dict[str, Any] = field(repr=False)
    """What surrounded it, of ``context``."""
    parts: dict[str, Any] = field(repr=False)
    """What surrounded it, in whole parts."""
    recorded_at: datetime
    size: int
    """What it takes in memory, in bytes, roughly."""
    number: int = 0
    """The producer's number of the call."""


class Redacted(NamedTuple):
    """The body of an event without secrets, and the receipts of what was removed."""

    body: dict[str, Any]
    receipts: list[Receipt]
    ordered: bool
    """Whether the members stand in canonical order already."""

    def __repr__(self) -> str:
        return f"<Redacted, {len(self.receipts)} receipts>"


def _fenced(make: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """Let nothing out but errors of ours: until a body is sealed, any other may quote what is not redacted yet."""

    @wraps(make)
    def fenced(*given: _Given.args, **named: _Given.kwargs) -> _Made:
        try:
            return make(*given, **named)
        except CounterfoilError as error:
            failed = error.with_traceback(None)  # the frames behind it hold bodies, which some renderers would show
        except Exception as error:  # noqa: BLE001 -- a redactor of the caller's own may raise anything
            failed = SealingFailed(type(error).__name__)
        del given, named
        raise failed  # outside the handler: a chained error would carry the value along

    return fenced


def body_of(event: Event) -> dict[str, Any]:
    """Return the event in JSON form, with what surrounds it where the caller did not say so itself.

    Raises ``InvalidEvent`` and ``EventTooLarge``.
    """
    _check_type(event)
    body = stated(event)
    if attributes := body["context"].get("attributes"):
        check_size(attributes)
    return _surrounded(body, *_surroundings(event))


@_fenced
def redacted(event: Event, redactor: Redactor) -> Redacted:
    """Return the body of the event without secrets. Raises ``InvalidEvent``, ``EventTooLarge``, ``SealingFailed``."""
    _check_type(event)
    context, parts = _surroundings(event)
    read = redactor.read(event, _copied(context), _copied(parts))
    if read is not None:
        return Redacted(*read, ordered=True)
    body = body_of(event)
    return Redacted(body, redactor.event(body), ordered=False)


@_fenced
def taken_redacted(taken: Taken, redactor: Redactor) -> Redacted:
    """Return what ``redacted`` would have returned when the event was taken."""
    body = body_of_taken(taken)
    return Redacted(body, redactor.event(body), ordered=False)


@_fenced
def sealed(found: Redacted, producer: dict[str, Any], recorded_at: datetime) -> bytes:
    """Add what the log says itself, and return the canonical form. Raises ``OutOfDomain`` and ``EventTooLarge``."""
    context = found.body["context"] | {
        "recorded_at": rfc3339(recorded_at),
        "producer": producer,
        "salt": secrets.token_hex(16),
        "redactions": [dict(sorted(receipt.items())) for receipt in found.receipts],
    }
    found.body["context"] = dict(sorted(context.items()))
    return sealed_bytes(found.body, ordered=found.ordered)


@_fenced
def take(event: Event) -> Taken:
    """Copy the event and what surrounds it, to be sealed later. Raises ``InputError`` for what would be refused then.

    The size is checked before redaction, which can shorten what it is given: a little more strictly than ``body_of``.
    """
    _check_type(event)
    json = _snapshot(event)
    context, parts = _surroundings(event)
    size = len(json) + current_scope().size
    if size > MAX_BODY:
        raise EventTooLarge(size, MAX_BODY)
    own = event.context
    return Taken(
        event.kind.value,
        own.event_id,
        own.observer.value,
        json,
        context,
        parts,
        datetime.now(UTC),
        size + OVERHEAD,
    )


def body_of_taken(taken: Taken) -> dict[str, Any]:
    """Return what ``body_of`` would have returned when the event was taken."""
    body = identified(from_json(taken.json), taken.kind, taken.event_id, taken.observer)
    return _surrounded(body, taken.context, taken.parts)


def _check_type(event: Event) -> None:
    if type(event) not in _RECORDABLE:
        raise InvalidEvent((("", "only the five kinds of event can be recorded"),))


def _snapshot(event: Event) -> bytes:
    """Return what the event states as JSON. Where a value may be outside the domain, every one is looked at."""
    if not event.context.attributes:
        json = stated_json(event)
        # NUL is refused, and where a number is not finite Pydantic writes null.
        if b"\\u0000" not in json and b"null" not in json:
            return json
    body = stated(event)
    check_size(body["context"].get("attributes", {}))
    return canonical_bytes(body)


def _surroundings(event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the members of ``context`` and the parts that the caller did not state itself."""
    around, said = current_scope(), event.context.model_fields_set
    surrounding = current_inbound() | around.context | current_trace()
    context = {name: value for name, value in surrounding.items() if name not in said}
    if not around.parts:
        return context, {}
    names = around.parts.keys() & type(event).model_fields.keys() - event.model_fields_set
    return context, {name: around.parts[name] for name in names}


def _surrounded(body: dict[str, Any], context: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    own = body["context"]
    for name in LOG_MEMBERS:
        own.pop(name, None)
    for name, value in context.items():
        own[name] = _copied(value)
    for name, value in parts.items():
        body[name] = _copied(value)
    return body


def _copied(value: JsonValue) -> Any:
    """Copy what surrounds many events, since each is redacted in place."""
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copied(member) for member in value]
    return value

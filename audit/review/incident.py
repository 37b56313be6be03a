"""An incident, first version: everything recorded about one credential, in order, from both sides.

Each use has two stubs, the agent's and the resource server's. They are paired by method, resource and time; a trace id
is not used, since the sender supplies it. A resource server's stub without an agent's may be a use by somebody else, or
by an agent that does not record here: the log alone cannot tell which, and says ``undetermined``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from counterfoil.exporters.filter import Filter
from counterfoil.schemas import (
    ApprovalEvent,
    Binding,
    Compromise,
    CredentialChange,
    CredentialUse,
    InvalidDigest,
    InvalidEvent,
    Observer,
    Phase,
    Token,
)
from counterfoil.schemas.values import Fingerprint, Thumbprint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from counterfoil.schemas import Entry

_SLACK: Final = timedelta(seconds=1)


class Finder(Protocol):
    """What an incident is gathered from."""

    def find(self, wanted: Filter, *, limit: int | None = None) -> Iterator[Entry]:
        """Yield the entries that match."""
        ...

    def by_event_id(self, event_id: str) -> Entry | None:
        """Return the entry of an event, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Sighting:
    """One entry of the timeline. ``counterpart`` is the entry that tells the same use from the other side."""

    entry: Entry
    counterpart: int | None = None
    """Sequence number of the other side's stub."""
    alone: bool = False
    """Seen by a resource server, and no agent recorded it."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What is known about one credential."""

    subject: str
    """The fingerprint or thumbprint that it is about."""
    timeline: tuple[Sighting, ...]
    """Every entry about it, in the order recorded; intents only where no outcome followed."""
    approvals: tuple[Entry, ...]
    """The approval events behind its uses."""


def gather_incident(store: Finder, subject: str) -> Incident:
    """Gather an incident from a token fingerprint, a key thumbprint or an event id. Raises ``InvalidEvent``."""
    wanted = _wanted(store, subject)
    entries = list(store.find(wanted))
    return Incident(
        subject=wanted.token_fingerprint or wanted.key_thumbprint or subject,
        timeline=tuple(_paired(_without_followed_intents(entries))),
        approvals=tuple(_approvals(store, entries)),
    )


def _wanted(store: Finder, subject: str) -> Filter:
    try:
        return Filter(token_fingerprint=Fingerprint(subject))
    except InvalidDigest:
        pass
    try:
        return Filter(key_thumbprint=Thumbprint(subject))
    except InvalidDigest:
        pass
    entry = store.by_event_id(subject.lower())
    match entry.event if entry else None:
        case CredentialUse(token=Token(fingerprint=token), binding=Binding(key_thumbprint=key)):
            pass
        case CredentialChange(token=Token(fingerprint=token), binding=Binding(key_thumbprint=key)):
            pass
        case Compromise(fingerprint=token, key_thumbprint=key):
            pass
        case _:
            token = key = None
    if token or key:
        return Filter(token_fingerprint=token) if token else Filter(key_thumbprint=key)
    raise InvalidEvent((("subject", "no fingerprint, no key thumbprint, and no event that names a credential"),))


def _without_followed_intents(entries: list[Entry]) -> list[Entry]:
    ended = {use for entry in entries if (use := _use_id(entry)) and _phase(entry) is Phase.OUTCOME}
    return [entry for entry in entries if not (_phase(entry) is Phase.INTENT and _use_id(entry) in ended)]


def _paired(entries: list[Entry]) -> Iterator[Sighting]:
    ours = [entry for entry in entries if _observer(entry) is Observer.AGENT]
    theirs = [entry for entry in entries if _observer(entry) is Observer.RESOURCE_SERVER]
    pairs: dict[int, int] = {}
    for their in theirs:
        match = next((our for our in ours if our.seq not in pairs and _same_use(our, their)), None)
        if match:
            pairs[match.seq], pairs[their.seq] = their.seq, match.seq
    for entry in entries:
        alone = _observer(entry) is Observer.RESOURCE_SERVER and entry.seq not in pairs
        yield Sighting(entry, pairs.get(entry.seq), alone)


def _same_use(ours: Entry, theirs: Entry) -> bool:
    left, right = ours.event, theirs.event
    if not isinstance(left, CredentialUse) or not isinstance(right, CredentialUse):
        return False
    begin, end = _window(left)
    moment = right.context.occurred_at or right.context.recorded_at
    return (
        (left.action.method, left.resource.uri) == (right.action.method, right.resource.uri)
        and begin is not None
        and end is not None
        and moment is not None
        and begin - _SLACK <= moment <= end + _SLACK
    )


def _window(use: CredentialUse) -> tuple[datetime | None, datetime | None]:
    moment = use.context.occurred_at or use.context.recorded_at
    return use.action.started_at or moment, use.action.ended_at or moment


def _approvals(store: Finder, entries: list[Entry]) -> Iterator[Entry]:
    ids = {
        event.approval.approval_id
        for entry in entries
        if isinstance(event := entry.event, CredentialUse) and event.approval.approval_id
    }
    for approval_id in sorted(ids):
        found = store.find(Filter(approval_id=approval_id))
        yield from (entry for entry in found if isinstance(entry.event, ApprovalEvent))


def _observer(entry: Entry) -> Observer:
    return entry.event.context.observer


def _phase(entry: Entry) -> Phase | None:
    return entry.event.action.phase if isinstance(entry.event, CredentialUse) else None


def _use_id(entry: Entry) -> UUID | None:
    return entry.event.context.use_id

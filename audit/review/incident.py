"""An incident: everything recorded about one subject, in order, from both sides, with what stands out and who sent it.

The subject is a credential, a key, an approval, a trace or a task. A credential that is in use all day is told within
bounds of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from counterfoil.exporters.filter import Filter
from counterfoil.schemas import (
    ApprovalEvent,
    Compromise,
    CredentialChange,
    CredentialUse,
    InvalidDigest,
    InvalidEvent,
    Kind,
    Observer,
)
from counterfoil.schemas.values import Fingerprint, Thumbprint, rfc3339

from .completeness import recorded_whole
from .counterparts import with_counterparts
from .evidence import Evidence, Held
from .pairing import Sighting, paired
from .remarks import remarks_on
from .verdict import verdicts_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from counterfoil.exporters.reach import Holder, Numbered
    from counterfoil.schemas import Entry

    from .remark import Remark
    from .verdict import Verdict


class Finder(Protocol):
    """What an incident is gathered from."""

    def find(self, wanted: Filter, *, limit: int | None = None) -> Iterator[Entry]:
        """Yield the entries that match."""
        ...

    def by_event_id(self, event_id: str) -> Entry | None:
        """Return the entry of an event, or None."""
        ...

    def holders(self, *, token: str | None = None, key: str | None = None) -> Sequence[Holder]:
        """Return who used a credential or a key, as agents recorded it."""
        ...

    def numbered(self, producer: str, first: int, last: int) -> Sequence[Numbered]:
        """Return how a producer counted its entries."""
        ...


class About(StrEnum):
    """What an incident is about."""

    CREDENTIAL = "credential"
    KEY = "key"
    APPROVAL = "approval"
    TRACE = "trace"
    TASK = "task"


@dataclass(frozen=True, slots=True)
class Incident:
    """What is known about one subject."""

    about: About
    subject: str
    """The fingerprint, thumbprint, id or name that it is about."""
    timeline: tuple[Sighting, ...]
    """Every entry about it, in the order recorded; intents only where no outcome followed."""
    approvals: tuple[Entry, ...]
    """The approval events behind its uses."""
    remarks: tuple[Remark, ...] = ()
    """What stands out, worst first."""
    verdicts: tuple[Verdict, ...] = ()
    """Who sent what stands out, by the stubs."""


def gather_incident(
    store: Finder, subject: str, *, since: datetime | None = None, until: datetime | None = None
) -> Incident:
    """Gather an incident from a token fingerprint, a key thumbprint, an approval id, a trace id, a task or an event id.

    The id of an event stands for the credential, the key or the approval that it names. ``since`` and ``until`` (not
    included) bound the time in which something happened. Raises ``InvalidEvent`` for what is nothing of the kind.
    """
    about, value = _meant(store, subject)
    entries = list(store.find(_filter(about, value, since, until)))
    sightings = paired(entries) if about in {About.CREDENTIAL, About.KEY} else with_counterparts(store, entries)
    within = [each for each in sightings if _is_within(each.entry, since, until)]
    timeline = tuple(each for each in within if not isinstance(each.entry.event, ApprovalEvent))
    evidence = Evidence(
        sightings=timeline,
        approvals=tuple(_approvals(store, (each.entry for each in within))),
        held=tuple(_held(store, timeline)),
        whole=recorded_whole(store, _producers(timeline), [each.entry.seq for each in timeline if each.alone]),
    )
    return Incident(about, value, timeline, evidence.approvals, remarks_on(evidence), verdicts_on(evidence))


_MEMBERS: Final = {
    About.CREDENTIAL: "token_fingerprint",
    About.KEY: "key_thumbprint",
    About.APPROVAL: "approval_id",
    About.TRACE: "trace_id",
    About.TASK: "task",
}
"""The member of ``Filter`` that finds each."""


_MARGIN: Final = timedelta(minutes=5)
"""Around a bounded time, so that a stub at its edge finds its counterpart on the other side of it."""


def _filter(about: About, value: str, since: datetime | None = None, until: datetime | None = None) -> Filter:
    members: dict[str, Any] = {_MEMBERS[about]: value}
    if since:
        members["since"] = rfc3339(since - _MARGIN)
    if until:
        members["until"] = rfc3339(until + _MARGIN)
    return Filter(**members)


def _is_within(entry: Entry, since: datetime | None, until: datetime | None) -> bool:
    moment = entry.event.context.occurred_at or entry.event.context.recorded_at
    return moment is None or ((since is None or moment >= since) and (until is None or moment < until))


def _meant(store: Finder, subject: str) -> tuple[About, str]:
    """Say what a subject is: by its form where that tells, else by what the log has under that name."""
    for about, form in ((About.CREDENTIAL, Fingerprint), (About.KEY, Thumbprint)):
        try:
            return about, form(subject)
        except InvalidDigest:
            continue
    if named := _named_by_event(store.by_event_id(subject.lower())):
        return named
    for about in (About.TRACE, About.APPROVAL, About.TASK):
        value = subject.lower() if about is About.TRACE else subject
        if next(store.find(_filter(about, value), limit=1), None):
            return about, value
    raise InvalidEvent(
        (("subject", "no fingerprint, no key thumbprint, and no event, approval, trace or task that the log knows"),)
    )


def _named_by_event(entry: Entry | None) -> tuple[About, str] | None:
    match entry.event if entry else None:
        case CredentialUse() | CredentialChange() as event:
            token, key = event.token.fingerprint, event.binding.key_thumbprint
        case Compromise(fingerprint=token, key_thumbprint=key):
            pass
        case ApprovalEvent(approval_id=approval_id):
            return About.APPROVAL, approval_id
        case _:
            return None
    if token:
        return About.CREDENTIAL, token
    return (About.KEY, key) if key else None


def _approvals(store: Finder, entries: Iterable[Entry]) -> Iterator[Entry]:
    ids = {approval_id for entry in entries if (approval_id := _approval_id(entry))}
    for approval_id in sorted(ids):
        yield from store.find(Filter(approval_id=approval_id, kind=Kind.APPROVAL))


def _approval_id(entry: Entry) -> str | None:
    event = entry.event
    if isinstance(event, ApprovalEvent):
        return event.approval_id
    return event.approval.approval_id if isinstance(event, CredentialUse) else None


def _held(store: Finder, timeline: Iterable[Sighting]) -> Iterator[Held]:
    """Yield the credentials and keys of the timeline, with who used them in the whole log."""
    uses = [use for each in timeline if (use := each.use)]
    for token in sorted({use.token.fingerprint for use in uses if use.token.fingerprint}):
        yield Held(token, tuple(store.holders(token=token)))
    for key in sorted({use.binding.key_thumbprint for use in uses if use.binding.key_thumbprint}):
        yield Held(key, tuple(store.holders(key=key)))


def _producers(timeline: Iterable[Sighting]) -> list[str]:
    """Return the processes that recorded agents' uses."""
    return sorted(
        {
            use.context.producer.id
            for each in timeline
            if (use := each.use) and use.context.observer is Observer.AGENT and use.context.producer
        }
    )

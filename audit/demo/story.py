"""What happened, from the records alone: nothing here knows what was played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.exporters.filter import Filter
from counterfoil.schemas import ApprovalEvent, CheckOutcome, CredentialUse, Kind, Observer, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from counterfoil.schemas import Entry, Fingerprint

    from ..integrity import Verification
    from ..reader import AuditReader


@dataclass(frozen=True, slots=True)
class Use:
    """One use that ended, with the entry that says so."""

    seq: int
    event: CredentialUse


@dataclass(frozen=True, slots=True)
class Reach:
    """One credential, and how far it reached."""

    fingerprint: Fingerprint
    token_class: str
    binding: str
    """What ties it to its sender: ``none`` for a bearer credential."""
    tasks: tuple[str, ...]
    tenants: tuple[str, ...]
    by_agent: int
    """How many uses an agent recorded."""
    by_resource_server: int
    """How many a resource server saw."""


@dataclass(frozen=True, slots=True)
class Approved:
    """One use that was approved, with the entries of question and answer."""

    use: Use
    steps: tuple[tuple[int, ApprovalEvent], ...]
    as_shown: bool
    """Whether what ran is what the approver was shown: both digests are there, and equal."""


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """A use that a resource server saw and no agent recorded."""

    use: Use
    failed: tuple[str, ...]
    """The checks that failed; empty where the credential was good."""


@dataclass(frozen=True, slots=True)
class Story:
    """The answers that the demo ends with."""

    work: tuple[Use, ...]
    reaches: tuple[Reach, ...]
    approved: tuple[Approved, ...]
    unaccounted: tuple[Unaccounted, ...]
    verification: Verification


def gather_story(reader: AuditReader) -> Story:
    """Read everything that the log has to say about the demo."""
    work = tuple(_ended(reader.find(Filter(kind=Kind.CREDENTIAL_USE, observer=Observer.AGENT))))
    seen = tuple(_ended(reader.find(Filter(kind=Kind.CREDENTIAL_USE, observer=Observer.RESOURCE_SERVER))))
    fingerprints = dict.fromkeys(use.event.token.fingerprint for use in (*work, *seen))
    known = [each for each in fingerprints if each]
    return Story(
        work=work,
        reaches=tuple(_reach(each, work, seen) for each in known),
        approved=tuple(_approved(reader, work)),
        unaccounted=tuple(use for each in known for use in _unaccounted(reader, each)),
        verification=reader.verify(),
    )


def _ended(entries: Iterable[Entry]) -> Iterator[Use]:
    for entry in entries:
        event = entry.event
        if isinstance(event, CredentialUse) and event.action.phase is not Phase.INTENT:
            yield Use(entry.seq, event)


def _reach(fingerprint: Fingerprint, work: tuple[Use, ...], seen: tuple[Use, ...]) -> Reach:
    ours = [use.event for use in work if use.event.token.fingerprint == fingerprint]
    theirs = [use.event for use in seen if use.event.token.fingerprint == fingerprint]
    return Reach(
        fingerprint,
        (theirs or ours)[0].token.token_class,
        (theirs or ours)[0].binding.method,
        tuple(dict.fromkeys(event.context.task for event in ours if event.context.task)),
        tuple(dict.fromkeys(event.context.tenant for event in ours if event.context.tenant)),
        len(ours),
        len(theirs),
    )


def _approved(reader: AuditReader, work: tuple[Use, ...]) -> Iterator[Approved]:
    for use in work:
        approval = use.event.approval
        if approval.approval_id:
            found = reader.find(Filter(kind=Kind.APPROVAL, approval_id=approval.approval_id))
            steps = tuple((entry.seq, entry.event) for entry in found if isinstance(entry.event, ApprovalEvent))
            shown, executed = approval.shown_digest, approval.executed_digest
            yield Approved(use, steps, as_shown=shown is not None and shown == executed)


def _unaccounted(reader: AuditReader, fingerprint: Fingerprint) -> Iterator[Unaccounted]:
    alone = (sighting.entry for sighting in reader.incident(fingerprint).timeline if sighting.alone)
    for use in _ended(alone):
        checks = use.event.proof.checks
        yield Unaccounted(use, tuple(check.id for check in checks if check.outcome is CheckOutcome.FAIL))

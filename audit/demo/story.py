"""What happened, from the records alone: nothing here knows what was played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from counterfoil.exporters.filter import Filter
from counterfoil.schemas import (
    ApprovalEvent,
    CheckId,
    CheckOutcome,
    CredentialUse,
    Kind,
    Observer,
    Outcome,
    Phase,
    Severity,
    TokenClass,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from counterfoil.schemas import Fingerprint

    from ..integrity import Verification
    from ..reader import AuditReader
    from ..review import Incident, Remark, Verdict

_NONCE: Final = frozenset({CheckId.DPOP_NONCE, CheckId.DPOP_NONCE_DOWNGRADE})
_BAD: Final = frozenset({Severity.HIGH, Severity.CRITICAL})
_CERTIFICATES: Final = frozenset({TokenClass.CLIENT_CERT, TokenClass.X509_SVID})
_TOLD_ELSEWHERE: Final = frozenset({"check.failed", "use.unaccounted"})


@dataclass(frozen=True, slots=True)
class Use:
    """One use that ended, with the entry that says so; of several attempts the last."""

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
    """How many requests with it an agent recorded."""
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
class Refused:
    """One use that a resource server refused, for more than a nonce."""

    use: Use
    failed: tuple[str, ...]
    """The checks that failed."""
    alone: bool
    """No agent recorded it."""


@dataclass(frozen=True, slots=True)
class Story:
    """The answers that the demo ends with."""

    work: tuple[Use, ...]
    reaches: tuple[Reach, ...]
    approved: tuple[Approved, ...]
    refused: tuple[Refused, ...]
    remarks: tuple[Remark, ...]
    """What stands out, worst first, beside refusals and missing stubs."""
    verdicts: tuple[Verdict, ...]
    """Who sent what stands out and was executed all the same."""
    incidents: tuple[Incident, ...]
    """All of them, the one of each credential."""
    verification: Verification


def gather_story(reader: AuditReader) -> Story:
    """Read everything that the log has to say about the demo."""
    work = tuple(_work(reader))
    uses = _ended(reader, Filter(kind=Kind.CREDENTIAL_USE))
    known = dict.fromkeys(use.event.token.fingerprint for use in uses if use.event.token.fingerprint)
    incidents = tuple(reader.incident(fingerprint) for fingerprint in known)
    return Story(
        work=work,
        reaches=tuple(_reach(fingerprint, found) for fingerprint, found in zip(known, incidents, strict=True)),
        approved=tuple(_approved(reader, work)),
        refused=tuple(sorted(_refused(incidents), key=lambda each: each.use.seq)),
        remarks=tuple(_remarks(incidents)),
        verdicts=tuple(dict.fromkeys(verdict for found in incidents for verdict in _executed(found))),
        incidents=incidents,
        verification=reader.verify(),
    )


def _ended(reader: AuditReader, wanted: Filter) -> Iterator[Use]:
    for entry in reader.find(wanted):
        event = entry.event
        if isinstance(event, CredentialUse) and event.action.phase is not Phase.INTENT:
            yield Use(entry.seq, event)


def _work(reader: AuditReader) -> Iterable[Use]:
    """Return the uses that an agent recorded for a tool: of each its last attempt.

    No work of its own is a certificate beside the token that is bound to it, or what a protocol asks around a call.
    """
    uses = _ended(reader, Filter(kind=Kind.CREDENTIAL_USE, observer=Observer.AGENT))
    return {
        use.event.context.use_id: use
        for use in uses
        if use.event.token.token_class not in _CERTIFICATES and _is_of_its_tool(use.event)
    }.values()


def _is_of_its_tool(use: CredentialUse) -> bool:
    return use.context.tool is not None and use.context.tool.name == use.action.name


def _reach(fingerprint: Fingerprint, found: Incident) -> Reach:
    seen = [use for each in found.timeline if (use := each.use)]
    ours = [use for use in seen if use.context.observer is Observer.AGENT]
    theirs = [use for use in seen if use.context.observer is Observer.RESOURCE_SERVER]
    return Reach(
        fingerprint,
        (theirs or ours)[0].token.token_class,
        (theirs or ours)[-1].binding.declared,
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


def _refused(incidents: Iterable[Incident]) -> Iterator[Refused]:
    for found in incidents:
        for each in found.timeline:
            use = each.use
            if use is None or use.context.observer is not Observer.RESOURCE_SERVER:
                continue
            failed = [check.id for check in use.proof.checks if check.outcome is CheckOutcome.FAIL]
            if set(failed) - _NONCE:
                yield Refused(Use(each.entry.seq, use), tuple(failed), each.alone)


def _executed(found: Incident) -> Iterator[Verdict]:
    done = {each.entry.seq for each in found.timeline if each.use and each.use.action.outcome is Outcome.EXECUTED}
    return (verdict for verdict in found.verdicts if done.issuperset(verdict.seqs))


def _remarks(incidents: Iterable[Incident]) -> list[Remark]:
    """Return what stands out, each once: what concerns two credentials stands in the incident of both."""
    found = {(each.rule.id, each.seqs): each for incident in incidents for each in incident.remarks}
    chosen = [each for each in found.values() if each.severity in _BAD and each.rule.id not in _TOLD_ELSEWHERE]
    return sorted(chosen, key=lambda each: (each.severity is not Severity.CRITICAL, each.seqs))

"""``counterfoil incident``: everything about one subject, as a timeline, with what stands out and who sent it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, Db, Immutable, moment_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from counterfoil.audit.review import Incident, Remark, Sighting, Verdict
    from counterfoil.schemas import CredentialUse, Entry


def incident(  # noqa: PLR0913, PLR0917 -- one option a choice
    subject: Annotated[
        str,
        typer.Argument(
            help="A token fingerprint, a key thumbprint, the id of an event or approval, a trace id, or a task."
        ),
    ],
    db: Db = None,
    since: Annotated[str | None, typer.Option(help="What happened at this time or later (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option(help="What happened before this time (RFC 3339).")] = None,
    immutable: Immutable = False,
    as_json: AsJson = False,
) -> None:
    """Tell the story of one credential, key, approval, trace or task.

    Prints who used it, for what, where, with which approval, as each side saw it; which checks failed, which were never
    performed, and by whom; what stands out; and who sent that, as far as the two stubs of each use tell.
    """
    from counterfoil.audit.reader import AuditReader

    from .query import tell_erased
    from .render import plain_json

    times = [moment_in(each) if each else None for each in (since, until)]
    with AuditReader.open(db, immutable=immutable) as reader:
        found = reader.incident(subject, since=times[0], until=times[1])
        if as_json:
            typer.echo(plain_json(_as_json(found)))
        else:
            _print_incident(found)
        if pruned := reader.pruned_to():
            typer.echo(
                f"The bodies of entries up to {pruned} were removed: what they told is not known here.", err=True
            )
        tell_erased(reader)


def _as_json(found: Incident) -> str:
    import json

    def line(sighting: Sighting) -> dict[str, Any]:
        return {
            "seq": sighting.entry.seq,
            "counterpart": sighting.counterpart,
            "matched_by": sighting.matched_by,
            "alone": sighting.alone,
            "repeats": sighting.repeats,
            "event": json.loads(sighting.entry.body),
        }

    def remark(each: Remark) -> dict[str, Any]:
        told = {"rule": each.rule.id, "severity": each.severity, "source": each.source}
        return {**told, "sentence": each.sentence, "seqs": each.seqs}

    def verdict(each: Verdict) -> dict[str, Any]:
        return {"sender": each.sender, "sentence": each.sentence, "reasons": each.reasons, "seqs": each.seqs}

    told: dict[str, Any] = {
        "about": found.about,
        "subject": found.subject,
        "timeline": [line(each) for each in found.timeline],
        "approvals": [{"seq": entry.seq, "event": json.loads(entry.body)} for entry in found.approvals],
        "remarks": [remark(each) for each in found.remarks],
        "verdicts": [verdict(each) for each in found.verdicts],
    }
    return json.dumps(told, ensure_ascii=False)


def _print_incident(found: Incident) -> None:
    from .render import plain

    if not found.timeline and not found.approvals:
        typer.echo("nothing is recorded about it")
        return
    typer.echo(plain(f"{found.about} {found.subject}"))
    for sighting in found.timeline:
        _say(_lines(sighting), red=sighting.alone)
    for entry in found.approvals:
        typer.echo(plain(_decision(entry)))
    if found.remarks:
        typer.echo("\nWhat stands out:")
    for remark in found.remarks:
        _say(_remark(remark), red=remark.severity in _RED)
    typer.echo("\nWho sent it:")
    for verdict in found.verdicts:
        _say([verdict.sentence, *verdict.reasons])
    if not found.verdicts:
        typer.echo(_nothing_open(found))


_RED = {"critical", "high"}


def _say(lines: Iterable[str], *, red: bool = False) -> None:
    """Print the first line, and the others below it."""
    from .render import plain

    style = typer.colors.RED if red else None
    for number, line in enumerate(lines):
        typer.secho(plain(line) if number == 0 else "    " + plain(line), fg=style)


def _lines(sighting: Sighting) -> Iterator[str]:
    """Yield what one entry says: when, seen by whom; what, where, how it ended; checks; approval; the other side."""
    from .render import checks_told, clock, headline, moment_of

    entry, use = sighting.entry, sighting.use
    who = f", {_who(use)}" if use else ""
    yield f"{clock(moment_of(entry))}  entry {entry.seq}, seen by {entry.event.context.observer}{who}"
    what, where, outcome = headline(entry)
    attempt = f", attempt {use.action.attempt}" if use and use.action.attempt else ""
    yield f"{what}  {where}  {outcome}{attempt}"
    if use and (checks := checks_told(use.proof)):
        yield checks
    if use and (approval := _approval(use)):
        yield f"approval: {approval}"
    if sighting.repeats:
        yield f"the same proof as entry {sighting.repeats}"
    if sighting.alone:
        yield "NOT RECORDED BY AN AGENT"
    elif sighting.counterpart:
        yield f"the other side: entry {sighting.counterpart}, by the {sighting.matched_by}"


def _who(event: CredentialUse) -> str:
    context, signer = event.context, event.signer
    who = context.agent.id if context.agent else context.peer or "unknown"
    return f"{who} (pid {signer.pid})" if signer.pid else who


def _approval(event: CredentialUse) -> str:
    from counterfoil.schemas import Requirement

    approval = event.approval
    required = "" if approval.requirement is Requirement.UNKNOWN else f", {approval.requirement}"
    if approval.approval_id:
        return f"{approval.approval_id} {approval.decision}{required}"
    return f"none{required}" if required else ""


def _decision(entry: Entry) -> str:
    from .render import headline

    name, approval_id, state = headline(entry)
    approver = getattr(entry.event, "approver", None)
    by = f" by {approver}" if approver else ""
    return f"approval {approval_id} of {name}: {state}{by} (entry {entry.seq})"


def _remark(remark: Remark) -> Iterator[str]:
    from counterfoil.audit.review.remark import listed

    yield f"{remark.severity}  {remark.rule.id}: {remark.sentence}"
    yield f"{listed(remark.seqs)}; {remark.source}"


def _nothing_open(found: Incident) -> str:
    from counterfoil.schemas import Observer

    if any(each.use and each.use.context.observer is Observer.RESOURCE_SERVER for each in found.timeline):
        return "Every use that a resource server saw was recorded by an agent too."
    return "No resource server recorded a use of it, so there is nothing to compare."

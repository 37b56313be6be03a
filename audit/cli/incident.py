"""``counterfoil incident``: everything about one credential, as a timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, Db

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counterfoil.audit.review import Incident, Sighting
    from counterfoil.schemas import CredentialUse


def incident(
    subject: Annotated[str, typer.Argument(help="A token fingerprint, a key thumbprint, or an event id.")],
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Tell the story of one credential.

    Prints who used it, for what, where, with which approval, as each side saw it. A use that a resource server saw and
    no agent recorded is marked: it may be somebody else's.
    """
    from counterfoil.audit.reader import AuditReader

    from .render import plain_json

    with AuditReader.open(db) as reader:
        found = reader.incident(subject)
        if as_json:
            typer.echo(plain_json(_as_json(found)))
        else:
            _print_incident(found)


def _as_json(found: Incident) -> str:
    import json

    def line(sighting: Sighting) -> dict[str, Any]:
        return {
            "seq": sighting.entry.seq,
            "counterpart": sighting.counterpart,
            "alone": sighting.alone,
            "event": json.loads(sighting.entry.body),
        }

    approvals = [{"seq": entry.seq, "event": json.loads(entry.body)} for entry in found.approvals]
    timeline = [line(sighting) for sighting in found.timeline]
    return json.dumps({"subject": found.subject, "timeline": timeline, "approvals": approvals}, ensure_ascii=False)


def _print_incident(found: Incident) -> None:
    from .render import headline, plain

    if not found.timeline:
        typer.echo("nothing is recorded about it")
        return
    typer.echo(plain(f"credential {found.subject}"))
    for sighting in found.timeline:
        for number, line in enumerate(_lines(sighting)):
            style = typer.colors.RED if sighting.alone else None
            typer.secho(plain(line) if number == 0 else "    " + plain(line), fg=style)
    for entry in found.approvals:
        name, approval_id, state = headline(entry)
        approver = getattr(entry.event, "approver", None)
        by = f" by {approver}" if approver else ""
        typer.echo(plain(f"approval {approval_id} of {name}: {state}{by} (entry {entry.seq})"))
    _print_summary(found)


def _lines(sighting: Sighting) -> Iterator[str]:
    """Yield what one entry says: when, seen by whom; what, where, how it ended; approval; the other side."""
    from counterfoil.schemas import CredentialUse

    from .render import clock, headline, moment_of

    entry, event = sighting.entry, sighting.entry.event
    use = event if isinstance(event, CredentialUse) else None
    who = f", {_who(use)}" if use else ""
    yield f"{clock(moment_of(entry))}  entry {entry.seq}, seen by {event.context.observer}{who}"
    what, where, outcome = headline(entry)
    yield f"{what}  {where}  {outcome}"
    if use and (approval := _approval(use)):
        yield f"approval: {approval}"
    if sighting.alone:
        yield "NOT RECORDED BY AN AGENT"
    elif sighting.counterpart:
        yield f"the other side: entry {sighting.counterpart}"


def _who(event: CredentialUse) -> str:
    context, signer = event.context, event.signer
    who = context.agent.id if context.agent else context.peer or "unknown"
    return f"{who} (pid {signer.pid})" if signer.pid else who


def _approval(event: CredentialUse) -> str:
    from counterfoil.schemas import Requirement

    approval = event.approval
    if approval.approval_id:
        return f"{approval.approval_id} {approval.decision}"
    return "" if approval.requirement is Requirement.UNKNOWN else f"{approval.requirement}, none"


def _print_summary(found: Incident) -> None:
    alone = [sighting.entry.seq for sighting in found.timeline if sighting.alone]
    if alone:
        listed = " and ".join(map(str, alone))
        typer.echo(f"No agent recorded the use in entry {listed}: somebody else's, or one that does not record here.")
    else:
        typer.echo("Every use that a resource server saw was recorded by an agent too.")

"""``counterfoil incident``: everything about one credential, as a timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, Db

if TYPE_CHECKING:
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
    from rich.console import Console

    from counterfoil.schemas import CredentialUse

    from .render import add_row, clock, headline, moment_of, plain, table

    if not found.timeline:
        typer.echo("nothing is recorded about it")
        return
    shown = table("seq", "time (UTC)", "seen by", "who", "what", "where", "approval", "outcome", "other side")
    for sighting in found.timeline:
        event = sighting.entry.event
        what, where, outcome = headline(sighting.entry)
        add_row(
            shown,
            sighting.entry.seq,
            clock(moment_of(sighting.entry)),
            event.context.observer,
            _who(event) if isinstance(event, CredentialUse) else "",
            what,
            where,
            _approval(event) if isinstance(event, CredentialUse) else "",
            outcome,
            "NOT RECORDED BY AN AGENT"
            if sighting.alone
            else f"seq {sighting.counterpart}" * bool(sighting.counterpart),
            style="bold red" if sighting.alone else None,
        )
    console = Console()
    console.print(f"credential {plain(found.subject)}", markup=False, highlight=False)
    console.print(shown)
    for entry in found.approvals:
        name, approval_id, state = headline(entry)
        approver = getattr(entry.event, "approver", None) or "nobody named"
        typer.echo(plain(f"approval {approval_id} of {name}: {state} by {approver} (entry {entry.seq})"))
    _print_summary(found)


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
        listed = ", ".join(map(str, alone))
        typer.echo(
            f"No agent recorded the use in entry {listed}: somebody else's, or an agent that does not record here."
        )
    else:
        typer.echo("Every use that a resource server saw was recorded by an agent too.")

"""``counterfoil query``: find entries by what a reviewer asks for."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Db, Immutable, a_digest, outcomes_by_check, parse_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from counterfoil.audit.reader import AuditReader
    from counterfoil.schemas import Entry

_TABLE_LIMIT = 100


def query(  # noqa: PLR0913 -- one option a filter
    *,
    db: Db = None,
    token: Annotated[
        str | None, typer.Option(help="Fingerprint of the credential.", callback=a_digest("Fingerprint"))
    ] = None,
    token_stdin: Annotated[bool, typer.Option("--token-stdin", help="Read a raw credential from stdin.")] = False,
    inbound: Annotated[
        str | None,
        typer.Option(
            help="Fingerprint of the credential that was being served meanwhile.", callback=a_digest("Fingerprint")
        ),
    ] = None,
    passed_through: Annotated[
        bool, typer.Option("--passed-through", help="Sent with the very credential that was being served.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(help="Thumbprint of the proof key or certificate.", callback=a_digest("Thumbprint")),
    ] = None,
    token_class: Annotated[str | None, typer.Option("--class", help="Token class, such as bearer_opaque.")] = None,
    binding: Annotated[str | None, typer.Option(help="Binding method, such as dpop.")] = None,
    audience: Annotated[str | None, typer.Option(help="One of the token's audiences.")] = None,
    resource: Annotated[str | None, typer.Option(help="Resource URI; what lies below it matches too.")] = None,
    agent: Annotated[str | None, typer.Option(help="Agent id.")] = None,
    task: Annotated[str | None, typer.Option(help="Task.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant.")] = None,
    tool: Annotated[str | None, typer.Option(help="Tool name.")] = None,
    trace: Annotated[str | None, typer.Option(help="Trace id.")] = None,
    use: Annotated[str | None, typer.Option(help="Use id, joining intent and outcome.")] = None,
    approval: Annotated[str | None, typer.Option(help="Approval id.")] = None,
    requirement: Annotated[
        str | None, typer.Option(help="Whether an approval was required: required, not_required, unknown.")
    ] = None,
    decision: Annotated[str | None, typer.Option(help="How its approval ended, such as granted or none.")] = None,
    proof: Annotated[str | None, typer.Option(help="Result of the proof, such as fail.")] = None,
    proof_id: Annotated[str | None, typer.Option(help="Proof id.", callback=a_digest("Sha256"))] = None,
    failed_check: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Check that failed, such as dpop.12b_jkt.")
    ] = None,
    check: Annotated[
        list[str] | None, typer.Option(metavar="ID=OUTCOME", help="Check and how it ended, such as ID=not_performed.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="Outcome, such as executed or refused.")] = None,
    phase: Annotated[str | None, typer.Option(help="Phase: intent, outcome or complete.")] = None,
    observer: Annotated[str | None, typer.Option(help="Seen from: agent, resource_server …")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of event.")] = None,
    since: Annotated[str | None, typer.Option(help="At this time or later (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time (RFC 3339).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; a table shows 100 unless told.")] = None,
    immutable: Immutable = False,
    as_json: AsJson = False,
) -> None:
    """Find entries.

    Prints those that match every filter, in the order in which they were recorded. With --json, one line each: {"seq",
    "chain_hash", "event"}.
    """
    from counterfoil.audit.reader import AuditReader
    from counterfoil.exporters.filter import Filter

    checks = outcomes_by_check(failed_check, check)
    wanted = Filter(
        token_fingerprint=token,
        inbound=inbound,
        passed_through=passed_through,
        key_thumbprint=key,
        token_class=token_class,
        binding_method=binding,
        audience=audience,
        resource=resource,
        agent=agent,
        task=task,
        tenant=tenant,
        tool=tool,
        trace_id=trace,
        use_id=use,
        approval_id=approval,
        requirement=requirement,
        decision=decision,
        proof_result=proof,
        proof_id=proof_id,
        checks=checks or None,
        outcome=outcome,
        phase=phase,
        observer=observer,
        kind=kind,
        since=parse_time(since) if since else None,
        until=parse_time(until) if until else None,
    )
    with AuditReader.open(db, immutable=immutable) as reader:
        if token_stdin:
            wanted = replace(wanted, token_fingerprint=_fingerprint_from_stdin(reader.fingerprint_key_id))
        if as_json:
            print_lines(reader.find(wanted, limit=limit))
        else:
            _print_table(list(reader.find(wanted, limit=(limit or _TABLE_LIMIT) + 1)), limit or _TABLE_LIMIT, checks)
        tell_erased(reader)


def tell_erased(reader: AuditReader) -> None:
    """Say on stderr that there were entries of which nobody can tell any more whether they would be an answer."""
    if count := reader.erased_count():
        some = "1 entry was" if count == 1 else f"{count:,} entries were"
        typer.echo(f"{some} erased: what they told is not known here. Entries of kind log say which.", err=True)


def print_lines(entries: Iterable[Entry]) -> None:
    """Print entries as JSON lines. The body is given as it was sealed; only what is not printable is escaped."""
    from .render import plain_json

    for entry in entries:
        line = f'{{"seq":{entry.seq},"chain_hash":"{entry.chain_hash.hex()}","event":{entry.body}}}'
        typer.echo(plain_json(line))


def _fingerprint_from_stdin(key_id: str) -> str:
    """Return the fingerprint of a raw credential. With another key than the log's it would find nothing, in silence."""
    from counterfoil.audit.fingerprint_key import load_fingerprint_key
    from counterfoil.schemas import Fingerprint, KeyMismatch

    key = load_fingerprint_key()
    if key.key_id != key_id:
        raise KeyMismatch(key_id, key.key_id)
    credential = sys.stdin.buffer.read().strip()
    if not credential:
        raise typer.BadParameter("there is no credential on stdin", param_hint="--token-stdin")
    return Fingerprint.of(credential, key)


def _print_table(entries: list[Entry], limit: int, checks: Collection[str]) -> None:
    """Print a row an entry. Where ``checks`` were asked for, a column says how they ended, and what else failed."""
    from rich.console import Console

    from .render import add_row, clock, headline, moment_of, short, table

    columns = ["seq", "time (UTC)", "seen by", "task", "token", "action", "resource", "outcome"]
    shown = table(*columns, *(["checks"] if checks else []))
    for entry in entries[:limit]:
        context = entry.event.context
        action, resource, outcome = headline(entry)
        token = getattr(getattr(entry.event, "token", None), "fingerprint", None)
        add_row(
            shown,
            entry.seq,
            clock(moment_of(entry)),
            context.observer,
            context.task,
            short(token),
            action,
            resource,
            outcome,
            *([_ended(entry, checks)] if checks else []),
        )
    Console().print(shown)
    if len(entries) > limit:
        typer.echo(f"more than {limit} entries match; --limit shows more, --json all", err=True)


def _ended(entry: Entry, asked: Collection[str]) -> str:
    from counterfoil.schemas import CheckOutcome, CredentialUse

    event, bad = entry.event, {CheckOutcome.FAIL, CheckOutcome.ERROR}
    checks = event.proof.checks if isinstance(event, CredentialUse) else ()
    return ", ".join(f"{each.id} {each.outcome}" for each in checks if each.id in asked or each.outcome in bad)

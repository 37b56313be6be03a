"""``counterfoil verify``: whether the log still says what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .options import AsJson, Db

if TYPE_CHECKING:
    from counterfoil.audit.integrity import Verification


def verify(db: Db = None, as_json: AsJson = False) -> None:
    """Check that nothing was altered.

    Follows every hash and sequence number. Exits 1 and names the first entry that does not hold.
    """
    from counterfoil.audit.reader import AuditReader

    from .progress import progress

    with AuditReader.open(db) as reader, progress("verifying", reader.head()) as on_progress:
        found = reader.verify(on_progress=on_progress)
    if as_json:
        typer.echo(_as_json(found))
    else:
        _print_verdict(found)
    if not found.consistent:
        raise typer.Exit(1)


def _as_json(found: Verification) -> str:
    import dataclasses
    import json

    return json.dumps(dataclasses.asdict(found) | {"anchored": False})


def _print_verdict(found: Verification) -> None:
    if not found.consistent:
        typer.echo(f"consistent: no. Entry {found.first_bad_seq}: {found.problem}.")
        typer.echo(f"Entries 1 to {found.entries} hold." if found.entries else "No entry before it holds.")
        return
    typer.echo(f"consistent: yes, entries 1 to {found.entries}")
    typer.echo(f"log {found.log_id}, head {found.chain_hash}")
    typer.echo(
        "unanchored: nothing outside the file vouches for it. Rows cut from the end, or a rewrite by somebody who"
    )
    typer.echo("can write the file, show only when this head is compared with a receipt or an exported span.")

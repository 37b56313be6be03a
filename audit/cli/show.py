"""``counterfoil show``: one entry, whole."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import AsJson, Db


def show(
    seq: Annotated[int, typer.Argument(min=1, help="Sequence number.")],
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Print one entry, member by member."""
    from counterfoil.audit.reader import AuditReader

    from .query import print_lines

    with AuditReader.open(db) as reader:
        entry = reader.entry(seq)
    if entry is None:
        typer.echo(f"there is no entry {seq}", err=True)
        raise typer.Exit(1)
    if as_json:
        print_lines([entry])
        return
    _print_members({"seq": seq, "chain_hash": entry.chain_hash.hex(), **_json(entry.body)})


def _json(body: str) -> dict[str, Any]:
    import json

    parsed: dict[str, Any] = json.loads(body)
    return parsed


def _print_members(members: dict[str, Any]) -> None:
    from rich.console import Console

    from .render import add_row, members_of, table

    shown = table("member", "value")
    for path, value in members_of(members):
        add_row(shown, path, value)
    Console().print(shown)

"""``counterfoil show``: one entry, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, Db, Immutable

if TYPE_CHECKING:
    from counterfoil.audit.reader import AuditReader
    from counterfoil.schemas import Entry


def show(
    seq: Annotated[int, typer.Argument(min=1, help="Sequence number.")],
    db: Db = None,
    immutable: Immutable = False,
    as_json: AsJson = False,
) -> None:
    """Print one entry."""
    from counterfoil.audit.reader import AuditReader

    from .query import print_lines

    with AuditReader.open(db, immutable=immutable) as reader:
        entry = reader.entry(seq)
        gone = "" if entry else _gone(reader, seq)
    if entry is None:
        typer.echo(gone, err=True)
        raise typer.Exit(1)
    if as_json:
        print_lines([entry])
        return
    _print_members({"seq": seq, "chain_hash": entry.chain_hash.hex(), **_members(entry)})


def _gone(reader: AuditReader, seq: int) -> str:
    """Say why an entry has no body."""
    from .render import plain

    if reader.is_pruned(seq):
        return f"entry {seq} was pruned: its body was removed, its hashes stay"
    if (told_in := reader.erased_by(seq)) is None:
        return f"there is no entry {seq}"
    telling = reader.entry(told_in)
    why = getattr(telling.event, "reason", None) if telling else None
    return plain(f"entry {seq} was erased, as entry {told_in} tells{f': {why}' if why else ''}; its hashes stay")


def _members(entry: Entry) -> dict[str, Any]:
    """Return the body's members, whatever they are. Raises ``StoreCorrupt`` for a body that nobody sealed so."""
    import json

    from counterfoil.schemas import StoreCorrupt

    try:
        return {**json.loads(entry.body)}
    except (ValueError, TypeError, RecursionError):
        raise StoreCorrupt(f"entry {entry.seq} was damaged: its body is no JSON object") from None


def _print_members(members: dict[str, Any]) -> None:
    from rich.console import Console

    from .render import add_row, members_of, table

    shown = table("member", "value")
    for path, value in members_of(members):
        add_row(shown, path, value)
    Console().print(shown)

"""``counterfoil show``: one entry, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, Db

if TYPE_CHECKING:
    from collections.abc import Iterator


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

    from .render import add_row, table

    shown = table("member", "value")
    for path, value in _leaves("", members):
        add_row(shown, path, value)
    Console().print(shown)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every member that says something: an empty list or object says nothing."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, member)
    elif isinstance(value, list):
        if all(isinstance(member, str | int) for member in value):
            yield from [(path, ", ".join(map(str, value)))] if value else []
        else:
            for position, member in enumerate(value):
                yield from _leaves(f"{path}.{position}", member)
    else:
        yield path, value

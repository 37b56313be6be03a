"""``counterfoil db backup``, ``check`` and ``retain``: keeping a log in order over the years."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Db

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterfoil.audit.keeping.retention import Retention
    from counterfoil.exporters.sql.check import Check


def backup(
    to: Annotated[str, typer.Argument(help="The new file.", show_default=False)],
    db: Db = None,
    compact: Annotated[bool, typer.Option("--compact", help="Leave out pages that are free.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the log to a new file while it is in use, and verify the copy.

    The copy is the same log: whoever goes on with both has two logs that contradict each other. The keys are in no
    log: they need a copy of their own.
    """
    import dataclasses
    import json

    from counterfoil.audit.keeping.backup import back_up

    from .progress import progress
    from .render import plain

    with progress("copying", 100) as told:
        made = back_up(db, to, compact=compact, on_progress=_percent(told))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(made)))
        return
    typer.echo(plain(f"{made.path}: entries 1 to {made.entries}, consistent, {made.bytes:,} bytes"))
    typer.echo(f"log {made.log_id}, head {made.chain_hash}")


def check(db: Db = None, as_json: AsJson = False) -> None:
    """Check what the log rests on: its file, tables, settings, modes, space.

    Exits 1 if something is wrong. Whether the entries are those that were sealed is for `verify` to say.
    """
    import dataclasses
    import json

    from counterfoil.audit.keeping.checkup import check_up

    found = list(check_up(db))
    well = all(each.ok for each in found)
    if as_json:
        typer.echo(json.dumps({"ok": well, "checks": [dataclasses.asdict(each) for each in found]}))
    else:
        _print_checks(found)
    if not well:
        raise typer.Exit(1)


def _print_checks(found: list[Check]) -> None:
    from rich.console import Console

    from .render import add_row, table

    shown = table("", "what", "found")
    for each in found:
        add_row(shown, "ok" if each.ok else "WRONG", each.name, each.words, style=None if each.ok else "bold")
    Console().print(shown)


def retain(
    before: Annotated[str, typer.Option("--before", help="An RFC 3339 time.", show_default=False)],
    db: Db = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Remove what some destination has not received.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the bodies of entries that were recorded before a time.

    Their hashes stay, so that the log still verifies, and so does what the log tells of itself. What is removed is
    signed for with the key of COUNTERFOIL_SIGNING_KEY or COUNTERFOIL_SIGNING_KEY_FILE. Exits 1 if a reader keeps some
    of it in the database's -wal.
    """
    import dataclasses
    import json

    from counterfoil.audit.keeping import retention

    from .options import moment_in
    from .progress import progress

    with progress("removing", 100) as told:
        moment = moment_in(before)
        found = retention.retain(db, before=moment, dry_run=dry_run, force=force, on_progress=_percent(told))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found)))
    else:
        _print_retention(found)
    if not dry_run and not found.purged:
        typer.echo(
            "Somebody reads the log, so its -wal may still hold some of what was removed. Run this again afterwards.",
            err=True,
        )
        raise typer.Exit(1)


def _print_retention(found: Retention) -> None:
    from .render import plain

    if not found.count:
        typer.echo("nothing is that old")
        return
    done = "removed" if found.removed else "would be removed"
    typer.echo(f"{found.count:,} bodies of entries {found.first} to {found.last} {done}; their hashes stay")
    for name, seq in found.lagging.items():
        typer.echo(plain(f"{name} has entries up to {seq} only"))


def _percent(told: Callable[[int], None]) -> Callable[[int, int], None]:
    return lambda done, total: told(100 * done // max(total, 1))

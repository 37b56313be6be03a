"""``counterfoil db backup``, ``check`` and ``retain``: keeping a log in order over the years."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Db

if TYPE_CHECKING:
    from collections.abc import Callable


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


def _percent(told: Callable[[int], None]) -> Callable[[int, int], None]:
    return lambda done, total: told(100 * done // max(total, 1))

"""``counterfoil db``: about the file or database itself."""

from __future__ import annotations

import typer

from .keeping import backup, check, retain
from .options import AsJson, Db, Immutable
from .scrub import scrub

db_app = typer.Typer(help="About the log's own file or database.", no_args_is_help=True, rich_markup_mode=None)
for command in (backup, check, retain, scrub):
    db_app.command()(command)


@db_app.command()
def path(db: Db = None) -> None:
    """Print which file or database the address means; no password."""
    from counterfoil.audit.address import address_of
    from counterfoil.exporters.sql.info import place_of

    from .render import plain

    typer.echo(plain(place_of(address_of(db))))


@db_app.command()
def info(db: Db = None, immutable: Immutable = False, as_json: AsJson = False) -> None:
    """Print what the file or database is, how far it goes, and how durably it is written."""
    import json

    from counterfoil.audit.address import address_of
    from counterfoil.exporters.sql.info import describe

    found = describe(address_of(db), immutable=immutable)
    if as_json:
        typer.echo(json.dumps(found))
        return
    from rich.console import Console

    from .render import add_row, table

    shown = table("what", "value")
    for name, value in found.items():
        add_row(shown, name, value)
    Console().print(shown)

"""The command line. Exit codes: 0 fine, 1 the answer is no, 2 wrong use, 3 the store is unavailable.

Nothing but data goes to stdout. A raw credential is only ever read from stdin, never from an argument. Each command
stands in a module of its own and imports what it needs when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from .checkpoint import checkpoint
from .database import db_app
from .demo import demo
from .export import export_app
from .incident import incident
from .inspect import inspect
from .key import key_app
from .query import query
from .record import record
from .redact import redact
from .schema import schema
from .show import show
from .verify import verify

if TYPE_CHECKING:
    from counterfoil.schemas.errors import CounterfoilError

app = typer.Typer(
    name="counterfoil",
    help="Keeps the stub each time an AI agent spends a credential, and never the credential.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (demo, record, query, show, inspect, redact, incident, verify, checkpoint, schema):
    app.command()(command)
app.add_typer(export_app, name="export")
app.add_typer(key_app, name="key")
app.add_typer(db_app, name="db")


def main() -> None:
    """Run the command line: our errors become a sentence and advice on stderr, and an exit code."""
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors="backslashreplace")  # not every terminal can show every stored character
    try:
        app()
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is told without its text
        from counterfoil.schemas.errors import CounterfoilError

        if not isinstance(error, CounterfoilError):
            _confess(error)
            sys.exit(1)
        _explain(error)
        sys.exit(exit_code(error))


def _explain(error: CounterfoilError) -> None:
    from .render import plain

    typer.echo(plain(f"counterfoil: {error}"), err=True)
    for line in error.advice.splitlines():
        typer.echo(plain(f"  {line}"), err=True)


def _confess(error: Exception) -> None:
    """Say where an error came from that nobody expected: its text may quote a value, so only its type is shown."""
    from traceback import format_tb

    typer.echo("".join(format_tb(error.__traceback__)), err=True, nl=False)
    typer.echo(f"counterfoil: {type(error).__name__}, which is a defect of ours; its text is not shown", err=True)


def exit_code(error: Exception) -> int:
    """Return the exit code of an error: 3 for the store, 2 for wrong use, else 1."""
    from counterfoil.schemas.errors import (
        ConfigurationError,
        FingerprintKeyError,
        InvalidNote,
        MissingExtra,
        SigningKeyError,
        StoreError,
    )

    if isinstance(error, ConfigurationError | FingerprintKeyError | InvalidNote | MissingExtra | SigningKeyError):
        return 2
    return 3 if isinstance(error, StoreError) else 1

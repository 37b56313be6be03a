"""``counterfoil record``: events as JSON lines on stdin."""

from __future__ import annotations

import sys

import typer

from .options import Db


def record(db: Db = None) -> None:
    """Record events from JSON lines on stdin.

    Prints a receipt for each. A line that cannot be recorded is named by number and path, never by value; the others
    are recorded, and the exit code is 1.
    """
    import json

    from counterfoil.audit.log import AuditLog
    from counterfoil.audit.signals import install_signal_handlers
    from counterfoil.schemas import InputError, parse_event

    install_signal_handlers()
    refused = 0
    with AuditLog.open(db) as log:
        for number, line in enumerate(sys.stdin.buffer, start=1):
            if not line.strip():
                continue
            try:
                receipt = log.record(parse_event(line))
            except InputError as error:
                refused += 1
                typer.echo(f"line {number}: {error}", err=True)
                continue
            shown = {"seq": receipt.seq, "event_id": str(receipt.event_id), "chain_hash": receipt.chain_hash}
            typer.echo(json.dumps(shown))
    if refused:
        raise typer.Exit(1)

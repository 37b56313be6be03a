"""The options that several commands share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

Db = Annotated[
    str | None,
    typer.Option("--db", help="The log: a file or sqlite:///FILE. Default: $COUNTERFOIL_DB.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def parse_time(text: str) -> str:
    """Return an RFC 3339 time as the log writes it. A time without a zone is wrong use."""
    from counterfoil.schemas.values import rfc3339

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected an RFC 3339 time such as 2026-01-31T08:00:00Z") from None
    if moment.tzinfo is None:
        raise typer.BadParameter("the time has no zone; add Z or an offset")
    return rfc3339(moment.astimezone(UTC))

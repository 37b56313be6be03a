"""The options that several commands share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

Db = Annotated[
    str | None,
    typer.Option("--db", help="The log: a file or sqlite:///FILE. Default: $COUNTERFOIL_DB.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def a_digest(type_name: str) -> Callable[[str | None], str | None]:
    """Return a check that an option's value is of one of our digest types. A raw credential would find nothing."""

    def check(value: str | None) -> str | None:
        from counterfoil.schemas import InvalidDigest, values

        try:
            return None if value is None else getattr(values, type_name)(value)
        except InvalidDigest as error:
            raise typer.BadParameter(f"{error}. A raw credential is read with --token-stdin.") from None

    return check


def parse_time(text: str) -> str:
    """Return an RFC 3339 time as the log writes it. A time without a zone is wrong use."""
    from counterfoil.schemas.values import rfc3339

    try:
        moment = datetime.fromisoformat(text)
        in_utc = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("expected an RFC 3339 time such as 2026-01-31T08:00:00Z") from None
    if moment.tzinfo is None:
        raise typer.BadParameter("the time has no zone; add Z or an offset")
    return rfc3339(in_utc)

"""The options that several commands share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

Db = Annotated[
    str | None,
    typer.Option(
        "--db", help="The log: a file, or postgresql+psycopg://… Default: $COUNTERFOIL_DB.", show_default=False
    ),
]
Immutable = Annotated[
    bool,
    typer.Option("--immutable", help="Read a copy that nobody changes, in a folder that nobody can write."),
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


def outcomes_by_check(failed: list[str] | None, ended: list[str] | None) -> dict[str, str]:
    """Return the outcomes that --failed-check and --check ask for, by check id. What is neither is wrong use."""
    from counterfoil.schemas import CheckOutcome

    given = [(check, CheckOutcome.FAIL.value, "--failed-check") for check in failed or ()]
    for each in ended or ():
        check, _, outcome = each.partition("=")
        if outcome not in set(CheckOutcome):
            listed = ", ".join(CheckOutcome)
            raise typer.BadParameter(f"expected ID=OUTCOME, the outcome one of {listed}", param_hint="--check")
        given.append((check, outcome, "--check"))
    wanted: dict[str, str] = {}
    for check, outcome, option in given:
        _require_check(check, option)
        if wanted.setdefault(check, outcome) != outcome:
            raise typer.BadParameter(f"one check cannot end in two ways: {check}", param_hint=option)
    return wanted


def _require_check(check: str, option: str) -> None:
    """Refuse what is no check id: it would find nothing, in silence. What is like it is named, and it is not."""
    from difflib import get_close_matches

    from counterfoil.schemas import CheckId

    known = [each.value for each in CheckId]
    if check in known:
        return
    like = [each for each in known if check and each.startswith(check)] or get_close_matches(check[:80], known, 3, 0.5)
    hint = f"did you mean {' or '.join(like[:3])}?" if like else "docs/checks.md lists them, such as dpop.12b_jkt"
    raise typer.BadParameter(f"this is no check id; {hint}", param_hint=option)


def moment_in(text: str) -> datetime:
    """Return the moment of an RFC 3339 time, in UTC. A time without a zone is wrong use."""
    try:
        moment = datetime.fromisoformat(text)
        in_utc = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("expected an RFC 3339 time such as 2026-01-31T08:00:00Z") from None
    if moment.tzinfo is None:
        raise typer.BadParameter("the time has no zone; add Z or an offset")
    return in_utc


def parse_time(text: str) -> str:
    """Return an RFC 3339 time as the log writes it. A time without a zone is wrong use."""
    from counterfoil.schemas.values import rfc3339

    return rfc3339(moment_in(text))

"""``counterfoil verify``: whether the log still says what was recorded, and how much of that is proven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Db, Immutable

if TYPE_CHECKING:
    from counterfoil.audit.integrity import Verdict, Verification

_REQUIRABLE = ("consistent", "signed", "witnessed", "complete")

Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="A verifier key that must have signed, or a file of them. Repeatable."),
]
WitnessFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--witness", help="A file kept elsewhere: checkpoints, receipts, exported lines or OTLP JSON. Repeatable."
    ),
]
Required = Annotated[
    list[str] | None,
    typer.Option("--require", help="What must be proven: signed, witnessed, complete. Repeatable, or with commas."),
]
LogId = Annotated[str | None, typer.Option("--log-id", help="Which log this must be, 32 hex digits.")]
Deep = Annotated[bool, typer.Option("--deep", help="Examine the database, too: damage, schema, columns, indexes.")]


def verify(  # noqa: PLR0913, PLR0917 -- one parameter an option
    db: Db = None,
    keys: Keys = None,
    witnesses: WitnessFiles = None,
    require: Required = None,
    log_id: LogId = None,
    deep: Deep = False,
    immutable: Immutable = False,
    as_json: AsJson = False,
) -> None:
    """Check that nothing was altered, and say how much of that is proven.

    Four verdicts: consistent, signed, witnessed, complete. Exits 1 if one failed, or is required and not proven.
    """
    from counterfoil.audit.reader import AuditReader

    from .progress import progress

    required = _required(require or [])
    with AuditReader.open(db, immutable=immutable) as reader, progress("verifying", reader.head()) as on_progress:
        found = reader.verify(
            keys=keys or (), witnesses=witnesses or (), log_id=log_id, deep=deep, on_progress=on_progress
        )
    missing = [name for name in required if not found.verdicts[name]]
    if as_json:
        typer.echo(_as_json(found, missing))
    else:
        _print_verdicts(found, missing)
    if found.failed or missing:
        raise typer.Exit(1)


def _required(given: list[str]) -> list[str]:
    names = [name.strip() for each in given for name in each.split(",")]
    if any(name not in _REQUIRABLE for name in names):
        raise typer.BadParameter(f"expected one or more of {', '.join(_REQUIRABLE)}", param_hint="--require")
    return list(dict.fromkeys(names))


def _as_json(found: Verification, missing: list[str]) -> str:
    import dataclasses
    import json

    return json.dumps(dataclasses.asdict(found) | {"failed": found.failed, "required_and_missing": missing})


def _print_verdicts(found: Verification, missing: list[str]) -> None:
    from .render import plain

    for name, verdict in found.verdicts.items():
        if verdict.state != "not asked":
            typer.echo(plain(f"{name}: {_sentence(name, verdict)}"))
    typer.echo(f"log {found.log_id}, head {found.chain_hash} at entry {found.entries}")
    for name in missing:
        typer.echo(f"required and not proven: {name}")


def _sentence(name: str, verdict: Verdict) -> str:
    answer = _ANSWERS[verdict.state]
    if verdict.first_bad is not None:
        answer += f", entry {verdict.first_bad}"
    elif verdict.reach and verdict.state == "proven":
        answer += f", entries 1 to {verdict.reach}" if name == "consistent" else f", up to entry {verdict.reach}"
    return f"{answer}: {verdict.words}."


_ANSWERS = {"proven": "yes", "failed": "NO", "unanchored": "unanchored", "unknown": "unknown"}

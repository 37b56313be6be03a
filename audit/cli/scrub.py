"""``counterfoil db scrub``: erase single entries, for a secret that slipped in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Db

if TYPE_CHECKING:
    from counterfoil.audit.keeping.erasure import Erasure

_SHOWN = 20


def scrub(  # noqa: PLR0913 -- one option a choice
    *,
    db: Db = None,
    seqs: Annotated[list[int] | None, typer.Option("--seq", min=1, help="Which entry. Repeatable.")] = None,
    find: Annotated[
        bool,
        typer.Option("--find", help="Which hold the secret that is read from stdin, or asked for, in whatever form."),
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, in words that stay in the log.")] = "",
    key: Annotated[
        Path | None, typer.Option(help="File of the signing key. Default: $COUNTERFOIL_SIGNING_KEY or …_FILE.")
    ] = None,
    yes: Annotated[bool, typer.Option("--erase", help="Do it. Without this, only say what would be erased.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase the bodies of single entries, for a secret that slipped in.

    Their hashes stay, so that the log still verifies, and a signed entry says which they were and why. Then the
    database is written anew: other writers wait meanwhile. Without --erase nothing is changed. A destination that
    has such entries already is named; other copies are out of reach.

    Exits 1 if an entry that holds the secret cannot be erased, or if something may still stand in the database's files.
    """
    import dataclasses
    import json

    from counterfoil.audit.integrity.signing_key import SigningKey
    from counterfoil.audit.keeping.erasure import erase

    from .progress import progress

    if not seqs and not find:
        raise typer.BadParameter("name entries with --seq, or look for a secret with --find")
    signing_key = SigningKey.from_file(key) if key else None
    secret = _secret() if find else None
    with progress("searching", 100) as told:
        found = erase(
            db,
            seqs=seqs or (),
            secret=secret,
            reason=reason,
            signing_key=signing_key,
            dry_run=not yes,
            on_progress=lambda done, total: told(100 * done // max(total, 1)),
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found)))
    else:
        _print_erasure(found, find=find)
    if found.kept or found.left:
        raise typer.Exit(1)


def _secret() -> bytes:
    """Read the secret: from a person without showing it, else all of stdin but for a last line break."""
    from counterfoil.audit.keeping.sought import LONGEST

    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("The secret to look for: ", stream=sys.stderr).encode("utf-8", "surrogateescape")
    return sys.stdin.buffer.read(LONGEST + 3).removesuffix(b"\n").removesuffix(b"\r")


def _print_erasure(found: Erasure, *, find: bool) -> None:
    from .render import plain

    if found.seqs:
        typer.echo(f"{_entries(found.seqs)} {'erased' if found.erased else 'would be erased'}; the hashes stay")
    elif find:
        typer.echo("no other entry holds it" if found.kept else "no entry holds it")
    if found.already:
        typer.echo(f"{_entries(found.already)} had been erased before")
    if found.told_in:
        typer.echo(f"{_entries(found.told_in)} {'tells' if len(found.told_in) == 1 else 'tell'} of it")
    for name, seq in found.exported.items():
        typer.echo(plain(f"{name} has entries up to {seq}: erase them there, too"))
    for seq in found.kept:
        typer.echo(f"entry {seq} holds it and cannot be erased: verification rests on it", err=True)
    for where in found.left:
        typer.echo(plain(f"something may still stand in {where}; run this again later"), err=True)
    if found.seqs:
        typer.echo("Copies, backups and files that were exported are out of reach.", err=True)
        if not found.erased:
            typer.echo("Nothing was changed: --erase does it.", err=True)


def _entries(seqs: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, seqs[:_SHOWN]))
    more = f" and {len(seqs) - _SHOWN:,} more" if len(seqs) > _SHOWN else ""
    return f"{'entry' if len(seqs) == 1 else 'entries'} {shown}{more}"

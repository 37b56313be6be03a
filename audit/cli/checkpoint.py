"""``counterfoil checkpoint``: what the log is now, to be kept where whoever writes it cannot write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Db, Immutable

if TYPE_CHECKING:
    from counterfoil.audit.integrity.note import Checkpoint


def checkpoint(
    to: Annotated[
        str, typer.Option("--to", help="A witness store: a file that it is added to. Default: print it.")
    ] = "-",
    db: Db = None,
    immutable: Immutable = False,
    as_json: AsJson = False,
) -> None:
    """Make a checkpoint of the log as it stands, and add it to a witness store.

    It is a C2SP note: origin, size and root; signed if COUNTERFOIL_SIGNING_KEY or COUNTERFOIL_SIGNING_KEY_FILE names a
    key. Exits 1, and writes nothing, if the log is not the one that the store saw, with more entries or as many.
    """
    from counterfoil.audit.integrity.witness_store import open_witness_store

    from .render import plain

    if to == "-":
        made = _made(db, [], "", immutable=immutable)
        typer.echo(_as_json(made, None) if as_json else str(made), nl=as_json)
        return
    with open_witness_store(Path(to)) as store:
        made = _made(db, store.seen, store.name, immutable=immutable)
        added = store.append(made)
    if as_json:
        typer.echo(_as_json(made, added))
    else:
        signed = "signed" if made.signatures else "unsigned"
        said = f"{signed}, added to {to}" if added else f"{to} has it already"
        typer.echo(plain(f"checkpoint of {made.size:,} entries, {said}"))


def _made(db: str | None, seen: list[Checkpoint], store: str, *, immutable: bool) -> Checkpoint:
    from counterfoil.audit.address import address_of, file_of
    from counterfoil.audit.integrity.signing_key import signing_key_for
    from counterfoil.audit.reader import AuditReader

    from .progress import progress

    address = address_of(db)
    key = signing_key_for(file_of(address), None, 60.0)
    reader = AuditReader.open(address, immutable=immutable)
    with reader, progress("reading", reader.head()) as on_progress:
        found = reader.commitment(earlier=[each.size for each in seen], on_progress=on_progress)
    for each in seen:
        found.require(each, store)
    return found.checkpoint if key is None else found.checkpoint.signed(key)


def _as_json(made: Checkpoint, added: bool | None) -> str:
    import json

    return json.dumps(
        {
            "origin": made.origin,
            "size": made.size,
            "root": made.root.hex(),
            "signed_by": [f"{each.name}+{each.key_id.hex()}" for each in made.signatures],
            "note": str(made),
            "added": added,
        }
    )

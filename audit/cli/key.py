"""``counterfoil key``: the key that signs checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

key_app = typer.Typer(help="The key that signs checkpoints.", no_args_is_help=True, rich_markup_mode=None)


@key_app.command()
def new(
    file: Annotated[str, typer.Argument(help="The new file. It must not lie beside the log.", show_default=False)],
    name: Annotated[
        str, typer.Option("--name", help="Who signs: a URL without its scheme, such as example.com/agents.")
    ] = "counterfoil",
) -> None:
    """Make a key: the private half into a new file, which only you can read; the public half is printed.

    Keep what is printed where you verify: `counterfoil verify --key` takes it.
    """
    from counterfoil.audit.integrity.signing_key import make_key_file

    typer.echo(str(make_key_file(Path(file), name).verifier_key))


@key_app.command()
def show(
    file: Annotated[
        str | None,
        typer.Argument(help="The private file. Default: the key that the environment names.", show_default=False),
    ] = None,
) -> None:
    """Print the public half of a key."""
    from counterfoil.audit.integrity.signing_key import SigningKey, load_signing_key
    from counterfoil.schemas import SigningKeyError

    found = SigningKey.from_file(file) if file is not None else load_signing_key()
    if found is None:
        raise SigningKeyError("no signing key is named")
    typer.echo(str(found.verifier_key))

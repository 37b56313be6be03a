"""``counterfoil demo``: a real agent, real servers and a thief on this machine, and what the log says afterwards."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Generator


def demo(
    db: Annotated[str | None, typer.Option("--db", help="Keep the log in this new file.", show_default=False)] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the log also without --db, in a temporary folder.")
    ] = False,
    receipts: Annotated[
        str | None,
        typer.Option(
            "--receipts",
            metavar="FILE|-",
            help="Write each receipt down as it is given, as a line of JSON: into this new file, or to stdout.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Play an agent's work, and a theft of its token.

    Then tells what the log shows. Separate processes on the loopback, no mock: an authorization server, an API, an
    agent, and a thief who replays a token that the agent's tool trace leaked. $COUNTERFOIL_DB is not used: what is
    played stays out of real logs.
    """
    import tempfile

    from counterfoil.audit.demo.processes import unwinding
    from counterfoil.exporters.sql import path_of

    _require_extra()
    with unwinding(), tempfile.TemporaryDirectory(prefix="counterfoil-") as folder:
        unnamed = tempfile.mkdtemp(prefix="counterfoil-demo-") if keep and not db else folder
        log = path_of(db) if db else Path(unnamed) / "demo.db"
        _play_and_tell(log, Path(folder) / "tool-trace.json", kept=bool(db) or keep, receipts=receipts)


def _play_and_tell(log: Path, tool_trace: Path, *, kept: bool, receipts: str | None) -> None:
    from counterfoil.audit.demo.play import play
    from counterfoil.audit.demo.story import gather_story
    from counterfoil.audit.reader import AuditReader

    from .story import print_story

    typer.echo("Playing; this takes some seconds.", err=True)
    with _opened(receipts) as descriptor:
        play(log, tool_trace, receipts=descriptor)
    with AuditReader.open(log) as reader:
        story = gather_story(reader)
    print_story(story, log if kept else None)


@contextmanager
def _opened(receipts: str | None) -> Generator[int | None]:
    """Open what the receipts go to: a new file, or stdout, which roles would not have."""
    if receipts is None:
        yield None
        return
    try:
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.dup(sys.stdout.fileno()) if receipts == "-" else os.open(receipts, new, 0o600)
    except (OSError, ValueError) as error:
        from counterfoil.schemas import ConfigurationError

        raise ConfigurationError(f"the receipts cannot be written there ({type(error).__name__})") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _require_extra() -> None:
    from importlib.util import find_spec

    from counterfoil.schemas import MissingExtra

    if not all(map(find_spec, ("cryptography", "httpx2", "joserfc", "mcp", "starlette", "uvicorn"))):
        raise MissingExtra("demo")

"""``counterfoil demo``: a real agent, real servers and a thief on this machine, and what the log says afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    db: Annotated[str | None, typer.Option("--db", help="Keep the log in this new file.", show_default=False)] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the log also without --db, in a temporary folder.")
    ] = False,
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
        _play_and_tell(log, Path(folder) / "tool-trace.json", kept=bool(db) or keep)


def _play_and_tell(log: Path, tool_trace: Path, *, kept: bool) -> None:
    from counterfoil.audit.demo.play import play
    from counterfoil.audit.demo.story import gather_story
    from counterfoil.audit.reader import AuditReader

    from .story import print_story

    typer.echo("Playing; this takes some seconds.", err=True)
    play(log, tool_trace)
    with AuditReader.open(log) as reader:
        story = gather_story(reader)
    print_story(story, log if kept else None)


def _require_extra() -> None:
    from importlib.util import find_spec

    from counterfoil.schemas import MissingExtra

    if not all(map(find_spec, ("cryptography", "httpx2", "joserfc", "mcp", "starlette", "uvicorn"))):
        raise MissingExtra("demo")

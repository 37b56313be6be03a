"""``counterfoil redact``: text or JSON on stdin, the same without its secrets on stdout."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from io import BufferedReader


def redact(
    text: Annotated[bool, typer.Option("--text", help="Treat the input as text, even where it is JSON.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on stderr what was removed, as JSON lines: line, path, rule, length.")
    ] = False,
) -> None:
    """Remove credentials from text or JSON.

    Reads stdin and writes stdout, piece by piece, whatever the length. A line that is JSON is redacted as JSON, any
    other as text, and so is a JSON document over several lines. Bytes that are not UTF-8 are kept.
    """
    from counterfoil.audit.redaction import Redactor
    from counterfoil.audit.redaction.stream import redact_stream

    done, stdin = 0, cast("BufferedReader", sys.stdin.buffer)
    with _progress(explain=explain) as on_progress:
        for piece in redact_stream(stdin, Redactor(), text_only=text):
            _write(piece.content)
            done += piece.read
            on_progress(done)
            for line, receipt in piece.receipts if explain else ():
                print(json.dumps({"line": line, **receipt}), file=sys.stderr)  # noqa: T201 -- the answer of a command


def _progress(*, explain: bool) -> AbstractContextManager[Callable[[int], None]]:
    """Return the bar, unless a terminal shows the answer itself."""
    from .progress import progress

    if explain or sys.stdout.isatty():
        return nullcontext(lambda _done: None)
    return progress("redacting", _total(), in_bytes=True)


def _total() -> int:
    """Return how many bytes there are to read, if that can be known: stdin is a file. Else 0."""
    try:
        number = sys.stdin.fileno()
        found = os.fstat(number)
        return max(found.st_size - os.lseek(number, 0, os.SEEK_CUR), 0) if stat.S_ISREG(found.st_mode) else 0
    except (OSError, ValueError):  # no file at all
        return 0


def _write(content: bytes) -> None:
    """Write at once, so that the reader of a pipe need not wait."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be written goes nowhere
        if error.errno == errno.EPIPE:
            raise
        typer.echo(f"counterfoil: stdout did not take all of it: {error.strerror}; the end is missing", err=True)
        raise typer.Exit(1) from None

"""``counterfoil redact``: text or JSON on stdin, the same without its secrets on stdout."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer


def redact(
    text: Annotated[bool, typer.Option("--text", help="Treat the input as text, even where it is JSON.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on stderr what was removed, as JSON lines: line, path, rule, length.")
    ] = False,
) -> None:
    """Remove credentials from text or JSON.

    Reads stdin and writes stdout, line by line. A line that is JSON is redacted as JSON, any other as text, and so is a
    JSON document over several lines. Bytes that are not UTF-8 are kept.
    """
    from counterfoil.audit.redaction import Redactor
    from counterfoil.audit.redaction.stream import redact_lines

    for number, (line, receipts) in enumerate(redact_lines(sys.stdin.buffer, Redactor(), text_only=text), start=1):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        for receipt in receipts if explain else ():
            print(json.dumps({"line": number, **receipt}), file=sys.stderr)  # noqa: T201 -- the answer of a command

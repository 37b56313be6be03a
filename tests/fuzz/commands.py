"""Runs several commands of ``counterfoil`` in one process, each from its arguments to its exit code.

Reads ``[[arguments, stdin], …]`` as JSON on stdin. Behind what each command says it writes, on both streams, a mark
with the exit code: starting a process for each would take most of the time of a test.
"""

from __future__ import annotations

import json
import sys
from io import BytesIO, TextIOWrapper
from typing import Final

from counterfoil.audit.cli.main import main

MARK: Final = b"\0\0the command ended with %d\0\0"


def run(arguments: list[str], stdin: str) -> int:
    """Run one command."""
    sys.argv = ["counterfoil", *arguments]
    sys.stdin = TextIOWrapper(BytesIO(stdin.encode()), encoding="utf-8")
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


if __name__ == "__main__":
    for arguments, stdin in json.load(sys.stdin):
        code = run(arguments, stdin)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            stream.buffer.write(MARK % code)
            stream.buffer.flush()

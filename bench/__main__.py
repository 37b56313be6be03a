"""Measure, and print ratios to a baseline of the same run: ``uv run python -m bench [--write docs/performance.md]``.

Names such as ``record`` or ``queued`` choose some of the benches; ``uv run --group peers`` adds the peers. Absolute
times belong to one machine on one day; the ratios are what we promise. Each pair is measured alternately, so that a
busy moment hits both.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from . import (
    asgi,
    client,
    command_line,
    export,
    known,
    many,
    peers,
    postgres,
    proof,
    query,
    queued,
    record,
    redaction,
    verify,
)
from .figure import Figure

BENCHES = (
    record,
    many,
    postgres,
    peers,
    queued,
    client,
    asgi,
    redaction,
    known,
    proof,
    verify,
    query,
    export,
    command_line,
)


def main() -> None:
    """Run the benches and print or write the table."""
    by_name = {bench.__name__.rpartition(".")[2]: bench for bench in BENCHES}
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("only", nargs="*", choices=[[], *by_name], help="which benches; all unless told")
    parser.add_argument("--write", type=Path, help="write the page instead of printing it")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    for bench in [by_name[name] for name in chosen.only] or BENCHES:
        with tempfile.TemporaryDirectory() as folder:
            figures += bench.measure(Path(folder))
    page = _page(figures)
    if chosen.write:
        chosen.write.write_text(page, encoding="utf-8")
    else:
        print(page)


def _page(figures: list[Figure]) -> str:
    rows = "\n".join(
        f"| {each.what} | {each.measured} | {each.baseline} | {each.ratio} | {each.goal} |" for each in figures
    )
    return f"""# Performance

Made by `uv run --group peers python -m bench --write docs/performance.md`. Ratios to a baseline of the same run are
what we promise; the absolute figures belong to this machine and day.

- date: {datetime.now(UTC):%Y-%m-%d}
- machine: {os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.release()}, virtual disk
- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}

| what | measured | baseline | ratio | goal |
|---|---|---|---|---|
{rows}

`record()` is the whole path from an event that was built just before: surroundings, redaction, canonical form, hashes,
lock, commit with WAL and `synchronous=FULL`, receipt. Its baseline inserts the very same bytes with the bare `sqlite3`
module into a table with the same columns and indexes, and commits with the same settings, in a file that only it has
open.

From many at once, each caller makes its events before it records them, and is answered for each by itself. The
baseline has its rows given and commits 64 at a time. Processes take turns: one that has a single thread commits a
single entry a turn, so that four of these come to what one comes to, less the time in which a turn is passed on.

Three goals of `record()` are not reached: one thread, many threads, many processes. In a tight loop an event takes
some 30 µs to make and 50 to 60 to seal, which is all the time that 64 threads would have for an entry at their goal.
Between many threads, and after each fsync of a single one, the same code takes twice as long. From 64 threads the
time is the processor's: 240 µs an entry, 60 of these in the kernel, to wake and to switch; on one core alone 170, and
a quarter more entries are written. What was tried, and changed too little to be kept: the commit as one statement
with half as many looks at the files (one thread nothing clear, 16 threads a tenth or two more, 4 processes a tenth
less), one INSERT of many rows, a wait for those who shared the last commit, no garbage collection (nothing), a
shorter switch interval (worse).

The peers are told the same event in the nearest form that their API has. What they promise for it stands beside them:
only the first leaves an event on disk when it returns, as `record()` does.

`inspect_dpop` is every check, with a nonce and a replay store, of proofs that were not seen before. Its baseline is
joserfc alone on the same proofs: parse, import the key, verify.

What `record()` does before the commit takes about twice as long between two commits as in a tight loop, since each
commit leaves the processor's caches cold. So an event is read out of its models, redacted and put in canonical order
in one walk.

A server that is watched writes an intent before it answers and an outcome after. Durable, these are two commits, so
that 300 µs cannot be met where one commit alone takes about as long; queued, they are two events that are made with
cold caches. `intent_after` ([resource servers](resource-server.md)) lets a request that is soon over be one entry,
written after the answer: this is what comes to the goals. It is off by default, since a crash could then take the
record of a request that was served.
"""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()

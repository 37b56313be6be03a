"""Measure, and print ratios to a baseline of the same run: ``uv run python -m bench [--write docs/performance.md]``.

Absolute times belong to one machine on one day; the ratios are what we promise. Each pair is measured alternately, so
that a busy moment hits both.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from . import asgi, client, command_line, export, proof, query, queued, record, redaction, verify
from .figure import Figure

BENCHES = (record, queued, client, asgi, redaction, proof, verify, query, export, command_line)


def main() -> None:
    """Run every bench and print or write the table."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--write", type=Path, help="write the page instead of printing it")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    for bench in BENCHES:
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

Made by `uv run python -m bench --write docs/performance.md`. Ratios to a baseline of the same run are what we promise;
the absolute figures belong to this machine and day.

- date: {datetime.now(UTC):%Y-%m-%d}
- machine: {os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.release()}, virtual disk
- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}

| what | measured | baseline | ratio | goal |
|---|---|---|---|---|
{rows}

`record()` is the whole path from a built event on: surroundings, redaction, canonical form, hashes, lock, commit with
WAL and `synchronous=FULL`, receipt. Its baseline inserts the very same bytes with the bare `sqlite3` module into a
table with the same columns and indexes, and commits with the same settings.

`inspect_dpop` is every check, with a nonce and a replay store, of proofs that were not seen before. Its baseline is
joserfc alone on the same proofs: parse, import the key, verify.

Run in a tight loop, everything in `record()` before the commit takes about 95 µs; between two commits, each of which
leaves the processor's caches cold, the same code takes about twice that. Most of it is reading the event out of its
model, walking through it for redaction, and writing its canonical form. The ratio stands at its goal and moves around
it with the phases of the disk.

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

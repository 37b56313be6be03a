"""Durable ``record()`` against a bare insert and commit of the same bytes, and four processes at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from typing import TYPE_CHECKING

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.scope import scope

from .figure import Figure, alternately, micro
from .sample import KEY, SURROUNDINGS, event

if TYPE_CHECKING:
    from pathlib import Path

_TIMES = 2000
_EACH = 500


def measure(folder: Path) -> list[Figure]:
    """Measure both."""
    return [_one_thread(folder), _four_processes(folder / "many.db")]


def _one_thread(folder: Path) -> Figure:
    with AuditLog.open(folder / "ours.db", fingerprint_key=KEY) as log, scope(**SURROUNDINGS):
        body = _recorded(log, folder / "ours.db")
        bare = _bare(folder / "ours.db", folder / "bare.db")
        numbers = iter(range(1, 10**9))
        # Each row needs an event_id of its own, as the unique index wants; the length stays the same.
        before, _, after = body.partition('"event_id":"')

        def insert() -> None:
            number = next(numbers)
            row = (number, f'{before}"event_id":"{number:036d}{after[36:]}', bytes(32), bytes(32))
            bare.execute("BEGIN IMMEDIATE")
            bare.execute("INSERT INTO entry (seq, body, leaf_hash, chain_hash) VALUES (?, ?, ?, ?)", row)
            bare.execute("COMMIT")

        events = iter([event() for _ in range(_TIMES + 200)])

        def ours() -> None:
            log.record(next(events))

        alternately(ours, insert, 200)
        measured, baseline = alternately(ours, insert, _TIMES)
    bare.close()
    what = f"durable `record()`, one thread, {len(body):,} bytes"
    return Figure(what, micro(measured), f"bare sqlite3: {micro(baseline)}", f"{measured / baseline:.2f}", "≤ 2.0")


def _recorded(log: AuditLog, path: Path) -> str:
    """Record one event, and return the bytes that were sealed."""
    seq = log.record(event()).seq
    with AuditReader.open(path) as reader:
        entry = reader.entry(seq)
    assert entry is not None
    return entry.body


def _bare(ours: Path, path: Path) -> sqlite3.Connection:
    """Open a database with the very same table and indexes as ours, and the same settings."""
    made = sqlite3.connect(ours)
    statements = made.execute("SELECT sql FROM sqlite_schema WHERE tbl_name = 'entry' AND sql IS NOT NULL").fetchall()
    made.close()
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    for (statement,) in statements:
        bare.execute(statement)
    return bare


def _four_processes(path: Path) -> Figure:
    AuditLog.open(path, fingerprint_key=KEY).close()
    spawn = multiprocessing.get_context("fork")
    workers = [spawn.Process(target=_work, args=(path,)) for _ in range(4)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - started
    with AuditReader.open(path) as reader:
        found = reader.verify()
    verdict = "all there, one chain" if found.consistent and found.entries >= 4 * _EACH else "LOST OR BROKEN"
    return Figure(f"four processes, {_EACH} durable entries each", f"{4 * _EACH / took:,.0f} entries/s; {verdict}")


def _work(path: Path) -> None:
    with AuditLog.open(path, fingerprint_key=KEY) as log:
        for _ in range(_EACH):
            log.record(event())

"""Many who record durably at once, in threads and in processes, against a bare ``executemany`` in batches.

The baseline has its rows given: the same bytes, into the same table and indexes, 64 a commit. On our side each caller
makes its events, and each of these is redacted, sealed and acknowledged by itself.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.scope import scope

from .figure import Figure
from .sample import INSERT, KEY, SURROUNDINGS, bare_database, event, rows_like

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 1.0
_ROUNDS = 3
_BATCH = 64
_BATCHES = 100


@dataclass(frozen=True, slots=True)
class _Run:
    """How one process fared."""

    recorded: int
    worst: float
    """The longest call, in seconds."""
    seconds: float


def measure(folder: Path) -> list[Figure]:
    """Measure one process with 64 threads, and four processes with 16 threads and with one each."""
    ours = folder / "ours.db"
    with AuditLog.open(ours, fingerprint_key=KEY) as log, scope(**SURROUNDINGS):
        log.record(event())
    return [
        _against_bare(folder, 1, 64, "≥ 0.25"),
        _against_bare(folder, 4, 16, "≥ 0.4"),
        _against_bare(folder, 4, 1, ""),
    ]


def _against_bare(folder: Path, processes: int, threads: int, goal: str) -> Figure:
    rates: list[float] = []
    baselines: list[float] = []
    runs: list[_Run] = []
    shares: list[float] = []
    for number in range(_ROUNDS):
        path = folder / f"{processes}-{threads}-{number}.db"
        baselines.append(_bare(path.with_suffix(".bare"), folder / "ours.db"))
        these = _together(path, processes, threads)
        rates.append(sum(each.recorded / each.seconds for each in these))
        shares.append(max(each.recorded for each in these) / min(each.recorded for each in these))
        runs += these
    measured, baseline = statistics.median(rates), statistics.median(baselines)
    who = f"{processes} processes of {threads} threads" if processes > 1 else f"{threads} threads"
    worst = f"longest wait {max(each.worst for each in runs) * 1e3:,.0f} ms"
    fair = f"{worst}, shares within {max(shares):.2f}" if processes > 1 else worst
    return Figure(
        f"durable `record()` from {who} at once",
        f"{measured:,.0f} entries/s; {fair}",
        f"`executemany`, {_BATCH} a commit: {baseline:,.0f} rows/s",
        f"{measured / baseline:.2f}",
        goal,
    )


def _bare(path: Path, like: Path) -> float:
    """Return how many rows a second the bare module inserts."""
    bare, rows = bare_database(path, like), rows_like(like)
    began = time.perf_counter()
    for _ in range(_BATCHES):
        batch = list(islice(rows, _BATCH))
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany(INSERT, batch)
        bare.execute("COMMIT")
    took = time.perf_counter() - began
    bare.close()
    return _BATCH * _BATCHES / took


def _together(path: Path, processes: int, threads: int) -> list[_Run]:
    """Let all begin at once, and check what they left."""
    AuditLog.open(path, fingerprint_key=KEY).close()
    fork = multiprocessing.get_context("fork")
    start, ends = fork.Barrier(processes), fork.SimpleQueue()
    workers = [fork.Process(target=_work, args=(path, threads, start, ends)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    runs: list[_Run] = [ends.get() for _ in workers]
    for worker in workers:
        worker.join()
    with AuditReader.open(path) as reader:
        found = reader.verify()
    assert found.consistent
    assert found.entries >= sum(each.recorded for each in runs)
    return runs


def _work(path: Path, threads: int, start: Any, ends: Any) -> None:
    with AuditLog.open(path, fingerprint_key=KEY) as log:
        waits: list[list[float]] = [[] for _ in range(threads)]
        callers = [threading.Thread(target=_record, args=(log, each)) for each in waits]
        start.wait()
        began = time.perf_counter()
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        took = time.perf_counter() - began
        ends.put(_Run(sum(map(len, waits)), max(map(max, waits)), took))


def _record(log: AuditLog, waits: list[float]) -> None:
    until = time.perf_counter() + _SECONDS
    with scope(**SURROUNDINGS):
        while time.perf_counter() < until:
            made = event()
            began = time.perf_counter()
            log.record(made)
            waits.append(time.perf_counter() - began)

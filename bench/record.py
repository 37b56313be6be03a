"""Durable ``record()`` from one thread: against a bare insert and commit of the same bytes, and in a long log."""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING

from counterfoil.audit import AuditLog
from counterfoil.audit.scope import scope

from .figure import Figure, by_turns, micro
from .sample import INSERT, KEY, SURROUNDINGS, bare_database, event, full_log, rows_like

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIMES = 2000
_WARM = 200
_FULL = 1_000_000


def measure(folder: Path) -> list[Figure]:
    """Measure both."""
    return [_one_thread(folder), *_full_log(folder)]


def _one_thread(folder: Path) -> Figure:
    ours = folder / "ours.db"
    with AuditLog.open(ours, fingerprint_key=KEY) as log, scope(**SURROUNDINGS):
        log.record(event())
        bare, rows = bare_database(folder / "bare.db", ours), rows_like(ours)

        def insert(row: tuple[int, str, bytes, bytes]) -> None:
            bare.execute("BEGIN IMMEDIATE")
            bare.execute(INSERT, row)
            bare.execute("COMMIT")

        left, right = _warmly(recording(log), lambda: partial(insert, next(rows)))
        size = len(next(rows)[1])
    bare.close()
    measured, baseline = statistics.median(left), statistics.median(right)
    what = f"durable `record()`, one thread, {size:,} bytes"
    return Figure(what, micro(measured), f"bare sqlite3: {micro(baseline)}", f"{measured / baseline:.2f}", "≤ 1.5")


def recording(log: AuditLog) -> Callable[[], Callable[[], object]]:
    """Return what makes an event, as its caller does just before, and returns what records it."""
    return lambda: partial(log.record, event())


def _warmly(
    first: Callable[[], Callable[[], object]], second: Callable[[], Callable[[], object]]
) -> tuple[list[float], list[float]]:
    by_turns(first, second, _WARM)
    return by_turns(first, second, _TIMES)


def _full_log(folder: Path) -> list[Figure]:
    """Measure a log with a million entries against an empty one."""
    full_log(folder / "full.db", _FULL)
    with (
        AuditLog.open(folder / "full.db", fingerprint_key=KEY) as full,
        AuditLog.open(folder / "empty.db", fingerprint_key=KEY) as empty,
        scope(**SURROUNDINGS),
    ):
        left, right = _warmly(recording(full), recording(empty))
    figures: list[Figure] = []
    for name, middle, goal in (("median", statistics.median, "≤ 1.2"), ("mean", statistics.mean, "≤ 2")):
        measured, baseline = middle(left), middle(right)
        what = f"durable `record()` with {_FULL:,} entries in the file, {name}"
        figures.append(Figure(what, micro(measured), f"empty: {micro(baseline)}", f"{measured / baseline:.2f}", goal))
    return figures

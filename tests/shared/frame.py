"""The frame of tests that count: how much a run does, and the table of what it came to.

A run is bounded; ``--full`` does as much as the page of the table promises, and ``--table FILE`` writes the table
between the two marks of that page. A test adds its row by calling the table; calls with the same test and what add up
to one row. The test of a seeded defect says ``table.defect(...)`` once the defect was caught.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Scale(Protocol):
    """Pick a number for the run at hand."""

    def __call__(self, bounded: int, full: int) -> int:
        """Return ``full`` in a full run, else ``bounded``."""
        ...


@dataclass
class Row:
    """What one kind of thing came to. What was not counted stays empty."""

    counted: dict[str, int] = field(default_factory=dict[str, int])
    notes: list[str] = field(default_factory=list[str])


@dataclass
class Table:
    """Collects the rows of one table. A subclass says which columns it has, and between which marks it goes."""

    columns: ClassVar[Mapping[str, str]] = {}
    """What is counted, and the heading of its column."""
    begin: ClassVar[str] = ""
    end: ClassVar[str] = ""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict[tuple[str, str], Row])
    defects: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    failed: list[str] = field(default_factory=list[str])

    def __call__(self, test: str, what: str, *, note: str = "", **counted: int | None) -> None:
        """Add a row, as ``table(test="T1", what="kill -9", injected=500, lost=0)``; the same row again adds up.

        ``note`` holds whatever else was measured.
        """
        row = self.rows.setdefault((test, what), Row())
        for name, number in counted.items():
            assert name in self.columns, name
            if number is not None:
                row.counted[name] = row.counted.get(name, 0) + number
        if note and note not in row.notes:
            row.notes.append(note)

    def defect(self, test: str, what: str) -> None:
        """Say that a seeded defect turned a test red, as it must."""
        caught = self.defects.setdefault(test, [])
        if what not in caught:
            caught.append(what)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the table."""
        yield f"| test | what | {' | '.join(self.columns.values())} | measured |"
        yield "|---" * (len(self.columns) + 3) + "|"
        for (test, what), row in sorted(self.rows.items(), key=lambda each: _order(each[0][0])):
            cells = [f"{row.counted[name]:,}" if name in row.counted else "" for name in self.columns]
            yield f"| {test} | {what} | {' | '.join(cells)} | {'; '.join(row.notes)} |"
        yield "\nSeeded defects, each of which turned its test red:\n"
        for test, caught in sorted(self.defects.items(), key=lambda each: _order(each[0])):
            yield f"- {test}: {'; '.join(caught)}"

    def circumstances(self) -> str:
        """Return with which versions the run was."""
        return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"

    def write(self, page: Path, *, full: bool) -> None:
        """Put the table between the marks of ``page``, and what failed below it; all else of the page stays."""
        before, begin, rest = page.read_text("utf-8").partition(self.begin)
        _old, end, after = rest.partition(self.end)
        if not (begin and end):
            raise pytest.UsageError(f"{page} lacks the marks between which the table goes")
        failed = [f"- failed: `{test}`" for test in dict.fromkeys(self.failed)]
        made = [
            f"- date: {dt.datetime.now(dt.UTC):%Y-%m-%d}; {'the full run' if full else 'a bounded run'}",
            f"- machine: {os.cpu_count()} cores, {platform.system()} {platform.release()}, {_file_system()}",
            f"- {self.circumstances()}",
            "",
            *self.lines(),
            *(["", *failed] if failed else []),
        ]
        page.write_text(f"{before}{begin}\n\n{chr(10).join(made)}\n\n{end}{after}", "utf-8")

    def report(self, config: pytest.Config, reporter: pytest.TerminalReporter, title: str) -> None:
        """Show the table at the end of a run, and write it to the page that ``--table`` names."""
        if not self.rows:
            return
        reporter.section(title)
        for line in self.lines():
            reporter.write_line(line)
        if page := config.getoption("--table"):
            self.write(Path(page), full=bool(config.getoption("--full")))


def choose(config: pytest.Config) -> Scale:
    """Return the choice between the number of a bounded run and that of the full one."""
    return _full if config.getoption("--full") else _bounded


def _full(bounded: int, full: int) -> int:
    del bounded
    return full


def _bounded(bounded: int, full: int) -> int:
    del full
    return bounded


def _file_system() -> str:
    place = Path(tempfile.gettempdir())
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    return max((point, kind) for point, kind in mounts if place.is_relative_to(point))[1]


def _order(test: str) -> tuple[int, str]:
    number = re.search(r"\d+", test)
    return int(number[0]) if number else 1000, test

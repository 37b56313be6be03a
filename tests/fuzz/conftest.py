"""What the fuzz tests share: the table of what they came to, and a world of sinks.

``uv run pytest -m fuzz`` is bounded; ``--full`` does what docs/redaction.md says, and ``--table=docs/redaction.md``
writes the table there: see shared/frame.py.
"""

from __future__ import annotations

import random
import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import pytest
from frame import Table

if TYPE_CHECKING:
    from pathlib import Path


class Tally(Table):
    """Collects the rows of the table.

    ``events`` that were recorded, or inputs that were tried; ``planted`` canaries, along ``routes``, of ``kinds``;
    ``sinks`` that were searched, so many ``bytes`` of them; ``hits``: canaries that came out although they must not;
    ``seen``: those that came out as docs/redaction.md says they do.
    """

    columns = MappingProxyType(
        {
            "events": "events",
            "planted": "canaries",
            "routes": "routes",
            "kinds": "kinds",
            "sinks": "sinks",
            "bytes": "bytes searched",
            "hits": "hits",
            "seen": "seen, as admitted",
        }
    )
    begin = "<!-- From here to the next mark the full run of the fuzz tests writes. -->"
    end = "<!-- Here ends what the full run writes. -->"


_COLLECTED: Final = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Give the table, to add a row to."""
    return _tally(pytestconfig)


@pytest.fixture
def rng() -> random.Random:
    """Give a generator. Its seed is shown where a test fails, so that the run can be repeated."""
    seed = secrets.randbits(32)
    print(f"the seed is {seed}")
    return random.Random(seed)


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let temporary and spilled files go where they are looked for, and the library say all that it can."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("COUNTERFOIL_LOG", "debug")


def _tally(config: pytest.Config) -> Tally:
    return config.stash.setdefault(_COLLECTED, Tally())


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> None:
    """Remember what failed: a table says so."""
    if report.failed:
        _tally(config).failed.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table, and write it to the page that ``--table`` names."""
    _tally(config).report(config, terminalreporter, "fuzz")

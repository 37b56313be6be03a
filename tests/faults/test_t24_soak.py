"""T24: a soak at half of what the machine can do, with a fault now and then: all that was acknowledged is in the log.

The receipts are held against the log while it grows, and its chain at the end: a chain that is whole still has what was
there before.
"""

from __future__ import annotations

import fcntl
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Crowd, Tally, Writers, Written

pytestmark = pytest.mark.faults

WRITERS = 3


@dataclass
class Soak:
    """What goes on: writers, of whom the first is never killed, and what they said so far."""

    writers: Writers
    db: Path
    rate: float
    chance: random.Random
    steady: Crowd
    others: list[Crowd] = field(default_factory=list["Crowd"])
    faults: Counter[str] = field(default_factory=Counter[str])
    acknowledged: int = 0
    lost: int = 0
    waits: list[float] = field(default_factory=list[float])
    exporter: subprocess.Popen[bytes] | None = None

    def start_writer(self) -> None:
        """Add a writer that may be killed."""
        self.others.append(self.writers.start(self.db, 1, rate=self.rate, tolerant=True))

    def listen(self, seconds: float) -> None:
        """Listen to everybody for so long, and hold what they said against the log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for crowd in (self.steady, *self.others):
                crowd.listen(0.02)
        for crowd in (self.steady, *self.others):
            self.check(crowd)

    def check(self, crowd: Crowd) -> None:
        """Compare the receipts that a writer gave, and forget them."""
        end = crowd.said.rfind(b"\n") + 1
        whole, crowd.said = crowd.said[:end], crowd.said[end:]
        given = crowd.receipts_in(whole)
        self.acknowledged += len(given)
        self.lost += len(_lost(self.db, given))
        self.waits += [each.waited for each in given]

    # The faults. Each is one of those that the other tests inject, short enough for every deadline.

    def kill(self) -> None:
        """Kill -9 one writer, and start another (T1)."""
        crowd = self.others.pop(0)
        crowd.kill()
        crowd.listen_to_the_end()
        self.check(crowd)
        self.start_writer()

    def stop(self) -> None:
        """Stop a writer for a moment, maybe while it has the turn (T12)."""
        for number in (signal.SIGSTOP, signal.SIGCONT):
            os.kill(self.others[0].pids[0], number)
            time.sleep(self.chance.uniform(0, 0.3))

    def hold(self) -> None:
        """Hold the lock of the writers, as a stuck process does (T12)."""
        with Path(f"{self.db}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            time.sleep(self.chance.uniform(0, 0.3))

    def break_disk(self) -> None:
        """Let every write of a writer fail that makes a file longer (T3, T4)."""
        pid = self.others[0].pids[0]
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
        time.sleep(self.chance.uniform(0, 0.3))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    def read_long(self) -> None:
        """Hold a snapshot, so that no checkpoint of SQLite gets to the end (T22)."""
        with closing(sqlite3.connect(self.db, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT max(seq) FROM entry").fetchone()
            time.sleep(self.chance.uniform(0, 0.5))

    def export(self) -> None:
        """Kill the exporter, and start one to where nobody listens (T10)."""
        if self.exporter:
            self.exporter.kill()
            self.exporter.communicate()
        command = [sys.executable, Path(__file__).with_name("exporting.py"), self.db, "http://127.0.0.1:9"]
        self.exporter = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def end(self) -> None:
        """End everybody, and take what they had to say."""
        if self.exporter:
            self.exporter.kill()
            self.exporter.communicate()
        for crowd in (self.steady, *self.others):
            crowd.kill()
            crowd.listen_to_the_end()
            self.check(crowd)


def _lost(db: Path, given: list[Written]) -> list[Written]:
    """Return the receipts that the log does not bear out."""
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        wanted = "SELECT event_id, lower(hex(chain_hash)) FROM entry WHERE seq = ?"
        stored = ((each, connection.execute(wanted, (each.seq,)).fetchone()) for each in given)
        return [each for each, row in stored if row != (each.event_id, each.chain_hash)]


def _p99(waits: list[float]) -> float:
    return sorted(waits)[len(waits) * 99 // 100]


def _resident(pid: int) -> int:
    """Return how much memory a process has, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def _capacity(writers: Writers, db: Path, seconds: float) -> float:
    """Return how many entries a second the writers can record together."""
    crowd = writers.start(db, WRITERS, waiting=True)
    crowd.listen_for(b"ready\n", WRITERS)
    crowd.let_go()
    crowd.listen(seconds)
    for _ in range(WRITERS):
        crowd.kill()
    crowd.listen_to_the_end()
    return len(crowd.receipts_given()) / seconds


def test_a_soak_with_faults_loses_nothing(
    writers: Writers,
    tmp_path: Path,
    soak_seconds: float,
    full: bool,  # noqa: FBT001 -- pytest gives it by name
    tally: Tally,
) -> None:
    """Whatever happens meanwhile: acknowledged is stored, ``verify`` agrees, and neither waits nor memory grow."""
    capacity = _capacity(writers, tmp_path / "capacity.db", 1.5)
    rate = capacity / 2 / WRITERS
    db, chance = tmp_path / "audit.db", random.Random(24)
    soak = Soak(writers, db, rate, chance, writers.start(db, 1, rate=rate, tolerant=True))
    soak.steady.listen_for(b"\n")
    for _ in range(WRITERS - 1):
        soak.start_writer()
        soak.others[-1].listen_for(b"\n")
    begun = time.monotonic()
    thirds: list[float] = []
    memory: list[int] = []
    faults: list[Callable[[], None]] = [soak.kill, soak.stop, soak.hold, soak.break_disk, soak.read_long, soak.export]
    for third in (1, 2, 3):
        while time.monotonic() < begun + soak_seconds * third / 3:
            fault = chance.choice(faults)
            fault()
            soak.faults[fault.__name__] += 1
            soak.listen(chance.uniform(0.1, 0.4) if soak_seconds < 60 else chance.uniform(1, 10))
        thirds.append(_p99(soak.waits))
        memory.append(_resident(soak.steady.pids[0]))
        soak.waits.clear()
    soak.end()
    with AuditReader.open(db) as reader:
        found = reader.verify()
    grown = (memory[2] - memory[0]) / 1024
    tally(
        test="T24",
        what=f"soak of {soak_seconds / 60:.1f} min at {capacity / 2:,.0f} entries/s, half of capacity",
        injected=soak.faults.total(),
        acknowledged=soak.acknowledged,
        stored=found.entries,
        lost=soak.lost,
        false_alarms=len(found.failed),
        note=f"p99 by thirds {', '.join(f'{each * 1000:.1f}' for each in thirds)} ms; a writer grew by {grown:.1f} MiB",
    )
    assert found.failed == (), found
    assert soak.lost == 0
    assert soak.acknowledged > capacity / 8 * soak_seconds
    assert soak.faults.total() >= 3
    assert grown < 16
    assert thirds[2] < (1.5 if full else 5) * thirds[0] + 0.05


def test_a_receipt_for_nothing_is_noticed(writers: Writers, tmp_path: Path, tally: Tally) -> None:
    """The comparison finds a receipt whose entry is another one."""
    db = tmp_path / "audit.db"
    soak = Soak(writers, db, 0.0, random.Random(1), writers.start(db, 1, count=5))
    soak.steady.listen_for(b"\n", 5)
    first, second, *_ = soak.steady.said.splitlines()
    soak.steady.said += b"\n".join([first.replace(first.split()[1], second.split()[1]), b""])
    soak.check(soak.steady)
    assert (soak.acknowledged, soak.lost) == (6, 1)
    soak.steady.listen_to_the_end()
    tally.defect("T24", "a receipt that names another entry")

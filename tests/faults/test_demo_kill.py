"""The demo is killed at random instants: ``verify`` finds the log consistent, and every receipt printed is in it."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Tally
    from frame import Scale

pytestmark = pytest.mark.faults

COUNTERFOIL = (sys.executable, "-c", "from counterfoil.audit.cli.main import main; main()")
RECEIPTS = 100
"""About how many receipts a whole demo prints."""


@dataclass(frozen=True)
class Play:
    """One run of the demo, in a folder of its own."""

    folder: Path
    mark: str

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command; it and its children can be found by the mark."""
        told = {"COUNTERFOIL_FINGERPRINT_KEY": "5f" * 32, "RUN": self.mark, "TMPDIR": str(self.folder)}
        own = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
        quiet = subprocess.DEVNULL
        return subprocess.Popen((*COUNTERFOIL, *command), cwd=self.folder, env=own | told, stdout=quiet, stderr=quiet)

    def processes(self) -> list[int]:
        """Return every process of this run that lives."""
        alive: list[int] = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdecimal() and f"RUN={self.mark}".encode() in (entry / "environ").read_bytes():
                    alive.append(int(entry.name))
        return alive

    def receipts(self) -> list[dict[str, Any]]:
        """Return the receipts that were printed."""
        file = self.folder / "receipts.jsonl"
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        return [json.loads(line) for line in lines]

    def kill(self, chance: random.Random, *, least: int = 0) -> int:
        """Play until some instant, and kill the parent, a role, or everybody in some order. Return how many.

        ``least``: how many receipts there must be before.
        """
        with self.start("demo", "--db", "demo.db", "--receipts", "receipts.jsonl") as demo:
            wanted = least or chance.randint(0, RECEIPTS)
            while len(self.receipts()) < wanted and demo.poll() is None:
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 1.5 if wanted == 0 else 0.2))
            alive = self.processes()
            chance.shuffle(alive)
            killed = [demo.pid] if chance.random() < 0.4 else alive[: chance.choice((1, len(alive)))]
            for process in killed:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        until = time.monotonic() + 40
        while self.processes() and time.monotonic() < until:
            time.sleep(0.05)
        assert self.processes() == []
        return len(killed)

    def verified(self) -> int:
        """Run ``counterfoil verify`` with the receipts as a witness; return its exit code."""
        with self.start("verify", "--db", "demo.db", "--witness", "receipts.jsonl") as verify:
            pass
        return verify.returncode

    def stored(self) -> set[tuple[int, str, str]]:
        """Return what the log holds. Empty if nothing was acknowledged: then there may be no log yet."""
        if not self.receipts():
            return set()
        with closing(sqlite3.connect(self.folder / "demo.db")) as connection:
            return set(connection.execute("SELECT seq, event_id, lower(hex(chain_hash)) FROM entry"))

    def lost(self) -> list[dict[str, Any]]:
        """Return the receipts that the log does not bear out."""
        stored = self.stored()
        return [each for each in self.receipts() if (each["seq"], each["event_id"], each["chain_hash"]) not in stored]


@pytest.fixture
def plays() -> Iterator[list[Play]]:
    """Collect the runs, and end what a failed test left."""
    started: list[Play] = []
    yield started
    for play in started:
        for process in play.processes():
            os.kill(process, signal.SIGKILL)


def _play(plays: list[Play], tmp_path: Path) -> Play:
    play = Play(tmp_path / f"play-{len(plays)}", secrets.token_hex(8))
    play.folder.mkdir()
    plays.append(play)
    return play


def test_a_killed_demo_leaves_a_consistent_log(plays: list[Play], tmp_path: Path, scale: Scale, tally: Tally) -> None:
    """Whoever is killed, and when: no process stays, ``verify`` exits 0, and every printed receipt is in the log."""
    chance = random.Random(4)
    for _ in range(scale(2, 40)):
        play = _play(plays, tmp_path)
        killed = play.kill(chance)
        lost = play.lost()
        tally(
            test="demo",
            what="kill -9 of the demo, its parent, one role or all six",
            injected=killed,
            acknowledged=len(play.receipts()),
            stored=len(play.stored()),
            lost=len(lost),
            false_alarms=0,
        )
        assert lost == []
        assert not play.receipts() or play.verified() == 0


def test_a_receipt_without_its_entry_is_noticed(plays: list[Play], tmp_path: Path, tally: Tally) -> None:
    """With the last acknowledged entries cut from the log, the receipts do not bear it out, and ``verify`` says so."""
    play = _play(plays, tmp_path)
    play.kill(random.Random(5), least=5)
    assert play.lost() == []
    last = max(each["seq"] for each in play.receipts())
    with closing(sqlite3.connect(play.folder / "demo.db")) as connection, connection:
        connection.execute("DELETE FROM entry WHERE seq >= ?", (last,))
    assert [each["seq"] for each in play.lost()] == [last]
    assert play.verified() == 1
    tally.defect("demo", "the last acknowledged entry is cut off")

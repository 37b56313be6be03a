"""T3: strace fails, or kills, the writer in each of its system calls in turn: what was acknowledged is in the log."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import (
    Action,
    AuditUnavailable,
    CredentialUse,
    FingerprintKey,
    Resource,
    StoreForeign,
    StoreMissing,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Tally
    from frame import Scale

pytestmark = pytest.mark.faults

WHAT = "EIO, ENOSPC or SIGKILL in each call of fdatasync, fsync, pwrite64, openat, ftruncate, unlink"
KEY = "5f" * 32
CALLS = ("fdatasync", "fsync", "pwrite64", "openat", "ftruncate", "unlink")
FAULTS = ("error=EIO", "error=ENOSPC", "signal=KILL")


@dataclass(frozen=True)
class Struck:
    """What came of one life of the writer."""

    acknowledged: list[tuple[int, str, str]]
    raised: list[str]
    """The errors that calls raised, and what the diagnostics said of entries that no call waits for."""
    trace: list[str]
    """The system calls on files of the log, with their paths."""
    ended: bool
    """Whether it came to its end."""


class Striker:
    """Runs writers under strace, see struck.py."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("struck.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def strike(self, db: Path, injection: str = "", *, blind: bool = False) -> Struck:
        """Let a writer live under ``injection``."""
        assert self._process.stdin
        assert self._process.stdout
        receipts, trace = self._folder / f"{db.name}.receipts", self._folder / f"{db.name}.trace"
        order = {"db": str(db), "key": KEY, "receipts": str(receipts), "count": 5, "deadline": 5.0, "blind": blind}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        pid = int(self._process.stdout.readline())
        paths = [f"-P{path}" for path in (db.parent, *(f"{db}{suffix}" for suffix in ("", "-wal", "-shm", ".lock")))]
        options = [f"-p{pid}", "-y", "-o", trace, f"-etrace={','.join(CALLS)}", *paths]
        command = ["strace", *options, *([f"-einject={injection}"] if injection else [])]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr
            assert "attached" in strace.stderr.readline()
            os.kill(pid, signal.SIGUSR1)
            status = int(self._process.stdout.readline())
            strace.wait(10)
        assert status in {0, signal.SIGKILL}
        lines = receipts.read_text("utf-8").splitlines()
        told = [line.split() for line in lines if line[0].isdecimal() and " [" not in line]
        raised = [line for line in lines if line[0] == "!" or " level=" in line]
        calls = trace.read_text("utf-8").splitlines()
        return Struck([(int(a), b, c) for a, b, c in told], raised, calls, "done" in lines)

    def end(self) -> None:
        """Send the process home."""
        self._process.communicate(timeout=10)


@pytest.fixture
def striker(tmp_path: Path) -> Iterator[Striker]:
    """Give the runner of writers."""
    made = Striker(tmp_path)
    yield made
    made.end()


def _there_is_strace(tally: Tally) -> bool:
    found = shutil.which("strace") is not None
    if not found:
        tally("T3", WHAT, injected=0, note="not tried: strace is not installed")
    return found


def _stored(db: Path) -> set[tuple[int, str, str]]:
    """Return what the log holds, which is whole."""
    try:
        reader = AuditReader.open(db)
    except (AuditUnavailable, StoreMissing, StoreForeign):  # it was struck before there was a log
        assert not db.exists() or db.stat().st_size <= 4096
        return set()
    with reader:
        if not reader.head():  # it was struck between the tables and the first entry
            return set()
        found = reader.verify()
        assert found.consistent, found
        entries = list(reader.find(Filter()))
    return {(each.seq, str(each.event.context.event_id), each.chain_hash.hex()) for each in entries}


def _injections(calls: list[str]) -> list[str]:
    """Return every fault in every call that a writer made which nobody struck."""
    made = Counter(re.findall(r"^\d* *(\w+)\(", "\n".join(calls), re.MULTILINE))
    assert set(made) >= {"fdatasync", "pwrite64", "openat", "ftruncate", "unlink"}
    return [f"{name}:{fault}:when={index}" for name in made for index in range(1, made[name] + 1) for fault in FAULTS]


def _goes_on(db: Path) -> None:
    """Require that the log can be opened and written, whatever happened to it."""
    use = CredentialUse(token=Token(), resource=Resource(uri="https://api.example"), action=Action(name="read"))
    with AuditLog.open(db, fingerprint_key=FingerprintKey(bytes.fromhex(KEY))) as log:
        log.record(use)


def test_no_struck_call_costs_an_entry(striker: Striker, tmp_path: Path, scale: Scale, tally: Tally) -> None:
    """Whichever call fails or is the last one: every receipt is borne out, the log is whole, and it goes on.

    Each call either gave a receipt or raised an error of ours. Where a write into the -wal failed, a call raised, or
    the diagnostics told of an entry that nobody waits for.
    """
    if not _there_is_strace(tally):
        return
    injections = _injections(striker.strike(tmp_path / "untouched.db").trace)
    chosen = random.Random(3).sample(injections, min(scale(10, 100_000), len(injections)))
    injected = acknowledged = stored = raised = killed = 0
    for number, injection in enumerate(chosen):
        db = tmp_path / f"{number}.db"
        struck = striker.strike(db, injection)
        entries = _stored(db)
        lost = set(struck.acknowledged) - entries
        assert not lost, (injection, lost)
        hit = [call for call in struck.trace if "INJECTED" in call]
        assert struck.ended or "KILL" in injection, injection
        assert struck.raised or not [call for call in hit if re.search(r"pwrite64\(\d+<[^>]*-wal>", call)], injection
        _goes_on(db)
        _stored(db)
        injected += len(hit) or not struck.ended
        acknowledged, stored = acknowledged + len(struck.acknowledged), stored + len(entries)
        raised, killed = raised + len(struck.raised), killed + (not struck.ended)
        db.unlink()
    tally(
        "T3",
        WHAT,
        injected=injected,
        tried=len(chosen),
        acknowledged=acknowledged,
        stored=stored,
        lost=0,
        false_alarms=0,
        note=f"{killed} killed, {raised} errors raised or told; {len(injections)} faults in all are to be had",
    )


def test_an_error_that_is_swallowed_is_noticed(striker: Striker, tmp_path: Path, tally: Tally) -> None:
    """A store that acknowledges whatever the disk says loses receipts to the same faults."""
    if not _there_is_strace(tally):
        return
    for number in range(12, 40):  # behind the first entries, without which the log would not be whole
        db = tmp_path / f"{number}.db"
        struck = striker.strike(db, f"fdatasync:error=EIO:when={number}", blind=True)
        if set(struck.acknowledged) - _stored(db):
            tally.defect("T3", "acknowledges although the commit raised")
            return
    raise AssertionError("nothing was lost")

"""T22: somebody reads in one transaction for minutes: writers go on, the growing -wal is told of, and shrinks after.

The bounded run has a lower alarm and a lower limit, so that seconds are enough to reach them.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.diagnostics import diagnostics
from counterfoil.exporters.sql import sqlite, sqlite_file
from counterfoil.schemas import FingerprintKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Tally
    from disks import Call, Disks
    from frame import Scale

pytestmark = pytest.mark.faults

KEY = FingerprintKey(bytes.fromhex("5f" * 32))
MEGABYTE = 1 << 20
ALARM, KEPT = 64, 16
"""Megabytes: at which size of the -wal there is an alarm, and how much of it is kept, as the library has it."""

LOW_ALARM, LOW_KEPT = 8, 5


@dataclass(frozen=True)
class Long:
    """What came of it."""

    calls: list[Call]
    largest: int
    """Bytes of the -wal when the reader ended."""
    left: int
    """Bytes of the -wal some commits later."""
    seconds: float
    stall: float
    """For how long at most the machine let nobody run, in seconds: what a thread that only sleeps slept too long."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Let the library's diagnostics go where the test can read them."""
    monkeypatch.setenv("COUNTERFOIL_LOG", "warning")
    diagnostics.cache_clear()
    yield capsys
    diagnostics.cache_clear()


def _set(monkeypatch: pytest.MonkeyPatch, alarm: int, kept: int | None) -> None:
    """Let the library give its alarm at so many megabytes, and keep so many."""
    limits = [("journal_size_limit", str(kept * MEGABYTE), kept * MEGABYTE)] if kept else []
    others = [each for each in vars(sqlite)["_SETTINGS"] if each[0] != "journal_size_limit"]
    monkeypatch.setattr(sqlite, "_SETTINGS", [*others, *limits])
    monkeypatch.setattr(sqlite_file, "_WAL_ALARM", alarm * MEGABYTE)


def _read_for_long(disks: Disks, db: Path, seconds: float, alarm: int) -> Long:
    """Read in one transaction for so long, and until the -wal is over the alarm."""
    wal = db.with_name("audit.db-wal")
    with AuditLog.open(db, fingerprint_key=KEY, deadline=2.0) as log:
        recorders = disks.recorders(log, pause=0.0)
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM entry").fetchone()
            began, stall = time.monotonic(), 0.0
            with recorders.recording(threads=2):
                while time.monotonic() < began + seconds or wal.stat().st_size < (alarm + 1) * MEGABYTE:
                    assert time.monotonic() < began + seconds + 120, "the -wal does not grow"
                    asleep = time.monotonic()
                    time.sleep(0.01)
                    stall = max(stall, time.monotonic() - asleep - 0.01)
            took = time.monotonic() - began
            largest = wal.stat().st_size
        for _ in range(5):
            log.record(disks.a_use())
        return Long(list(recorders.calls), largest, wal.stat().st_size, took, stall)


def test_a_long_reader_costs_the_writers_nothing(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    disks: Disks,
    tmp_path: Path,
    scale: Scale,
    tally: Tally,
    told: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No call raises, or takes longer the longer it lasts; there is one alarm; soon after it the -wal is small."""
    assert (vars(sqlite_file)["_WAL_ALARM"], vars(sqlite)["_WAL_KEPT"]) == (ALARM * MEGABYTE, KEPT * MEGABYTE)
    alarm, kept = scale(LOW_ALARM, ALARM), scale(LOW_KEPT, KEPT)
    _set(monkeypatch, alarm, kept)
    found = _read_for_long(disks, tmp_path / "audit.db", scale(0, 600), alarm)
    assert not [call.error for call in found.calls if call.error]
    assert told.readouterr().err.count("the -wal of a log grows") == 1
    assert found.left <= kept * MEGABYTE
    with AuditReader.open(tmp_path / "audit.db") as reader:
        assert reader.verify().consistent
        stored = reader.head()
    tenth = len(found.calls) // 10
    first, last = (median(call.took for call in part) for part in (found.calls[:tenth], found.calls[-tenth:]))
    assert last < 4 * first  # half of the calls of a tenth: a disk that stalls once is no reader's doing
    tally(
        "T22",
        "one read transaction, open while 2 threads record",
        injected=1,
        tried=len(found.calls),
        acknowledged=len(found.calls),
        stored=stored,
        lost=0,
        false_alarms=0,
        note=f"{found.seconds:.0f} s; -wal {found.largest >> 20} MB, then {found.left >> 20} MB; median call "
        f"{first * 1000:.2f} ms in the first tenth, {last * 1000:.2f} ms in the last, "
        f"{max(call.took for call in found.calls) * 1000:.0f} ms at most, where a thread that only sleeps slept "
        f"{found.stall * 1000:.0f} ms too long",
    )


def test_a_wal_that_does_not_shrink_is_noticed(
    disks: Disks, tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a limit SQLite keeps the file as long as it once was."""
    _set(monkeypatch, LOW_ALARM, None)
    assert _read_for_long(disks, tmp_path / "audit.db", 0, LOW_ALARM).left > LOW_KEPT * MEGABYTE
    tally.defect("T22", "no limit to the -wal")

"""T4: the disk becomes full under a writer, again and again: it fails closed, loses nothing, and goes on by itself."""

from __future__ import annotations

import contextlib
import functools
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql.sqlite_store import SqliteStore
from counterfoil.schemas import CredentialUse, DiskFull, FingerprintKey, LogChange, LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Tally
    from disks import Disks, Recorders
    from frame import Scale

pytestmark = pytest.mark.faults

KEY = FingerprintKey(bytes.fromhex("5f" * 32))
TMPFS = "a small disk in memory, filled and cleared under 4 threads"
PAGES = "`PRAGMA max_page_count`, lowered and raised under 4 threads"
DEADLINE = 2.0


def _fill(folder: Path, spare: int) -> None:
    """Leave not more than so many bytes of the disk."""
    with (folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(bytes(4096)) == 4096:
            pass
    with (folder / "ballast").open("r+b") as ballast:
        ballast.truncate(max(ballast.seek(0, 2) - spare, 0))


def _alternate(recorders: Recorders, rounds: int, fill: Callable[[], None], clear: Callable[[], None]) -> None:
    """Fill the disk and clear it, so often; each time wait until calls are refused, and until they are taken again."""
    with recorders.recording(threads=4):
        for _ in range(rounds):
            fill()
            recorders.wait_for(lambda call: isinstance(call.error, DiskFull), 8)
            clear()
            recorders.wait_for(lambda call: call.error is None, 8)


def _lost(db: Path, recorders: Recorders) -> tuple[int, int]:
    """Hold the log against what the calls came to; return how many uses it holds and how many receipts it lacks."""
    with AuditReader.open(db) as reader:
        assert reader.verify().consistent
        entries = list(reader.find(Filter()))
    uses = {str(each.event.context.event_id): each.seq for each in entries if isinstance(each.event, CredentialUse)}
    told = [each.event for each in entries if isinstance(each.event, LogEvent)]
    outages = [event for event in told if event.change is LogChange.DISK_FULL]
    given = recorders.acknowledged()
    lost = sum(uses.get(event_id) != seq for event_id, seq in given.items())
    if not lost:
        refused = [call for call in recorders.calls if call.error]
        assert all(isinstance(call.error, DiskFull) for call in refused)
        assert max(call.took for call in refused) < DEADLINE
        assert len(uses) == len(given)
        assert sum(event.count or 0 for event in outages) == len(refused)
    return len(uses), lost


def _tell(tally: Tally, what: str, recorders: Recorders, rounds: int, stored: int) -> None:
    slowest = max(call.took for call in recorders.calls if call.error)
    refused = sum(call.error is not None for call in recorders.calls)
    tally(
        "T4",
        what,
        injected=rounds,
        tried=len(recorders.calls),
        acknowledged=len(recorders.acknowledged()),
        stored=stored,
        lost=0,
        false_alarms=0,
        note=f"{refused} calls refused, in {slowest * 1000:.0f} ms at most; each told in a `disk_full` entry",
    )


def test_a_full_disk_loses_nothing(disks: Disks, tmp_path: Path, scale: Scale, tally: Tally) -> None:
    """On a disk that is really full each call is refused at once, and the log goes on when there is room, and tells."""
    folder, chance, rounds = tmp_path / "small", random.Random(4), scale(4, 60)
    with disks.in_memory(folder, kilobytes=scale(3, 24) << 10) as mounted:
        if not mounted:
            tally("T4", TMPFS, injected=0, note="not tried: this machine does not let the test mount a disk")
            return
        with AuditLog.open(folder / "audit.db", fingerprint_key=KEY, deadline=DEADLINE) as log:
            recorders = disks.recorders(log, pause=0.004)
            _alternate(
                recorders,
                rounds,
                fill=lambda: _fill(folder, chance.randrange(0, 60_000, 4096)),
                clear=(folder / "ballast").unlink,
            )
            log.record(LogEvent(change=LogChange.GAP, count=0))
        stored, lost = _lost(folder / "audit.db", recorders)
        assert lost == 0
        _tell(tally, TMPFS, recorders, rounds, stored)


class Limited:
    """The connections of a log, whose database may not grow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limited = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                if sql == "BEGIN IMMEDIATE" and not self.in_transaction:
                    super().execute(f"PRAGMA max_page_count={limited.pages}")
                return super().execute(sql, parameters)

        self.pages = 1_000_000
        monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Connection))

    def lower(self) -> None:
        """Let it grow no more."""
        self.pages = 1

    def lift(self) -> None:
        """Let it grow."""
        self.pages = 1_000_000


def test_a_full_database_loses_nothing(
    disks: Disks, tmp_path: Path, scale: Scale, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where SQLite itself takes no more pages, which needs no disk of its own."""
    limited, rounds = Limited(monkeypatch), scale(6, 100)
    with AuditLog.open(tmp_path / "audit.db", fingerprint_key=KEY, deadline=DEADLINE) as log:
        recorders = disks.recorders(log, pause=0.002)
        _alternate(recorders, rounds, fill=limited.lower, clear=limited.lift)
        log.record(LogEvent(change=LogChange.GAP, count=0))
    stored, lost = _lost(tmp_path / "audit.db", recorders)
    assert lost == 0
    _tell(tally, PAGES, recorders, rounds, stored)


def test_a_full_disk_that_is_ignored_is_noticed(
    disks: Disks, tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that acknowledges although there was no space loses receipts."""
    commit = SqliteStore.commit

    def blind(*given: Any) -> None:
        with contextlib.suppress(DiskFull):
            commit(*given)

    limited = Limited(monkeypatch)
    with AuditLog.open(tmp_path / "audit.db", fingerprint_key=KEY, deadline=DEADLINE) as log:
        recorders = disks.recorders(log, pause=0.001)
        monkeypatch.setattr(SqliteStore, "commit", blind)
        with recorders.recording(threads=4):
            limited.lower()
            recorders.wait_for(lambda _: True, 60)
            limited.lift()
            recorders.wait_for(lambda _: True, 20)
    assert _lost(tmp_path / "audit.db", recorders)[1] > 0
    tally.defect("T4", "acknowledges although there is no space")

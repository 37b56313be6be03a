"""T14: a healthy log is never called altered: while it is written, after a kill, a copy, a clean-up, a wrong clock."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity.chain import Chain
from counterfoil.audit.integrity.facts import member, members
from counterfoil.audit.keeping.backup import back_up
from counterfoil.schemas import Action, CredentialUse, FingerprintKey, Resource, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from conftest import Tally, Writers
    from frame import Scale

    from counterfoil.audit.integrity import Verification
    from counterfoil.audit.integrity.chain import Row

pytestmark = pytest.mark.faults

KEY = FingerprintKey(bytes.fromhex("5f" * 32))


class Watcher:
    """Verifies one log again and again; what it saw before is its witness."""

    def __init__(self, folder: Path) -> None:
        self._seen = folder / "seen.jsonl"
        self.runs = 0
        self.alarms: list[str] = []

    def look(self, db: Path, *, deep: bool = False) -> Verification:
        """Verify once."""
        with AuditReader.open(db) as reader:
            found = reader.verify(witnesses=[self._seen] if self._seen.exists() else [], deep=deep)
        self.runs += 1
        self.alarms += [f"{name}: {found.verdicts[name].words}" for name in found.failed]
        seen = {"log_id": found.log_id, "entries": found.entries, "chain_hash": found.chain_hash}
        if found.entries:
            self._seen.write_text(json.dumps(seen), "utf-8")
        return found


def _use(number: int) -> CredentialUse:
    return CredentialUse(
        token=Token(), resource=Resource(uri=f"https://api.example/{number}"), action=Action(name="read_mail")
    )


def test_while_it_is_written(writers: Writers, tmp_path: Path, scale: Scale, tally: Tally) -> None:
    """Four processes of up to three threads write; every look finds a log that holds and has only grown."""
    db, watcher, wanted = tmp_path / "audit.db", Watcher(tmp_path), scale(40, 3000)
    crowd = writers.start(db, 4, threads=3, rate=scale(50, 2))
    crowd.listen_for(b"\n", times=8)
    grown = set[int]()
    while watcher.runs < wanted:
        found = watcher.look(db, deep=watcher.runs % 20 == 0)
        grown.add(found.entries)
        crowd.listen(0.01)  # else the pipe fills, and they wait
    while crowd.pids:
        crowd.kill()
    crowd.listen_to_the_end()
    assert watcher.alarms == []
    assert len(grown) > wanted / 10
    what = "verify while four processes write"
    tally(test="T14", what=what, tried=watcher.runs, false_alarms=0, note=f"{max(grown):,} entries at the end")


def test_after_kills_copies_and_clean_ups(writers: Writers, tmp_path: Path, scale: Scale, tally: Tally) -> None:
    """Killed, opened again, vacuumed, copied and put back, it holds each time; after a kill it says what is unknown."""
    chance, watcher, kills, unknown = random.Random(14), Watcher(tmp_path), 0, 0
    for number in range(scale(4, 250)):
        db = tmp_path / f"audit-{number // 10}.db"
        if number % 10 == 0:
            (tmp_path / "seen.jsonl").unlink(missing_ok=True)
        crowd = writers.start(db, 2, threads=2, rate=500.0)
        crowd.listen_for(b"\n", times=2)
        crowd.listen(chance.uniform(0, 0.05))
        while crowd.pids:
            crowd.kill()
            kills += 1
            watcher.look(db)
        crowd.listen_to_the_end()
        unknown += watcher.look(db, deep=True).complete.state == "unknown"
        with AuditLog.open(db, fingerprint_key=KEY) as log:
            log.record(_use(number))
            watcher.look(db)
        with closing(sqlite3.connect(db, isolation_level=None)) as connection:
            connection.execute("VACUUM")
        watcher.look(db, deep=True)
        back_up(db, tmp_path / "copy.db")
        for each in tmp_path.glob(f"{db.name}*"):
            each.unlink()
        shutil.move(tmp_path / "copy.db", db)
        watcher.look(db, deep=True)
    assert watcher.alarms == []
    assert unknown == scale(4, 250)
    what = "verify after kill -9, reopening, VACUUM, backup and restore"
    tally(test="T14", what=what, injected=kills, tried=watcher.runs, false_alarms=0)


def _lying_clock(chance: random.Random) -> type[datetime]:
    """Return a clock that jumps by up to two days each time, forth and back."""

    class Lying(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz or UTC) + timedelta(seconds=chance.uniform(-172_800, 172_800))

    return Lying


def _under_a_lying_clock(tmp_path: Path, runs: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Watcher, int]:
    watcher, db = Watcher(tmp_path), tmp_path / "clock.db"
    with monkeypatch.context() as patched:
        for module in ("log", "sealing"):
            patched.setattr(f"counterfoil.audit.{module}.datetime", _lying_clock(random.Random(41)), raising=False)
        while watcher.runs < runs:
            with AuditLog.open(db, fingerprint_key=KEY) as log:
                for number in range(10):
                    log.record(_use(number))
                    watcher.look(db)
            if watcher.runs % 500 == 0:
                db = tmp_path / f"clock-{watcher.runs}.db"
                (tmp_path / "seen.jsonl").unlink()
    with closing(sqlite3.connect(tmp_path / "clock.db")) as connection:
        times = [row[0] for row in connection.execute("SELECT occurred_at FROM entry ORDER BY seq")]
    return watcher, sum(later < earlier for earlier, later in pairwise(times))


def test_a_clock_that_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: Scale, tally: Tally) -> None:
    """The order of a log is that of its numbers: no time within it is an alarm."""
    watcher, jumps = _under_a_lying_clock(tmp_path, scale(100, 6000), monkeypatch)
    assert watcher.alarms == []
    assert jumps > 10
    what = "verify of a log whose clock jumps by up to two days, forth and back"
    tally(test="T14", what=what, injected=jumps, tried=watcher.runs, false_alarms=0)


def _by_time(take: Callable[..., Sequence[Row]]) -> Callable[..., Sequence[Row]]:
    """Demand that times grow, as verifiers do that order by time."""

    def strict(chain: Chain, rows: Sequence[Row]) -> Sequence[Row]:
        times = [str(member(members(row[1] or b""), "context", "recorded_at")) for row in rows]
        if sorted(times) != times:
            chain.broken = rows[0][0], "the times are not in order"
        return take(chain, rows)

    return strict


def test_a_verifier_that_trusts_clocks_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    """Ordering by time calls a healthy log altered."""
    monkeypatch.setattr(Chain, "take", _by_time(Chain.take))
    watcher, _jumps = _under_a_lying_clock(tmp_path, 10, monkeypatch)
    assert watcher.alarms
    tally.defect("T14", "times must grow: a clock that goes back is called an alteration")


def test_an_impatient_verifier_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally) -> None:
    """A call that is under way is not a loss; without patience it is called one."""
    watcher, db = Watcher(tmp_path), tmp_path / "audit.db"
    with AuditLog.open(db, fingerprint_key=KEY) as log:
        log.next_number()
        for number in range(3):
            log.record(_use(number))
        found = watcher.look(db)
        assert (found.complete.state, watcher.alarms) == ("unknown", [])
        monkeypatch.setattr("counterfoil.audit.integrity.producers._PATIENCE", 0)
        monkeypatch.setattr("counterfoil.audit.integrity.producers._DECLARED_AT_ONCE", 2)
        watcher.look(db)
    assert watcher.alarms
    tally.defect("T14", "no patience with calls under way: they are called lost")

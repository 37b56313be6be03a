"""T1: kill -9 of writers at random instants, one to four at a time: what was acknowledged is in the log."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog
from counterfoil.schemas import FingerprintKey

if TYPE_CHECKING:
    from conftest import Compare, Tally, Writers, Written
    from frame import Scale

pytestmark = pytest.mark.faults

WHAT = "kill -9 of 1 to 4 processes, of 1 to 3 threads each, at random instants"
KEY = FingerprintKey(bytes.fromhex("5f" * 32))


def _round(writers: Writers, db: Path, chance: random.Random, delivery: str = "durable") -> tuple[int, list[Written]]:
    """Start writers and kill them one by one, half of them maybe before they recorded anything."""
    processes = chance.randint(1, 4)
    crowd = writers.start(db, processes, threads=3, delivery=delivery)
    if chance.random() < 0.5:
        crowd.listen_for(b"\n")
    for _ in range(processes):
        crowd.listen(chance.uniform(0, 0.12))
        crowd.kill()
    crowd.listen_to_the_end()
    return processes, crowd.receipts_given()


def _reopened(db: Path) -> float:
    """Open the log as the next writer does, and return how long that took."""
    begun = time.monotonic()
    log = AuditLog.open(db, fingerprint_key=KEY)
    took = time.monotonic() - begun
    log.close()
    return took


def test_a_kill_loses_nothing_that_was_acknowledged(
    writers: Writers, compare: Compare, tmp_path: Path, scale: Scale, tally: Tally
) -> None:
    """Every receipt that was given is in the log, which is whole, has no event twice, and opens at once."""
    chance = random.Random(1)
    kills = acknowledged = number = 0
    slowest, stored = 0.0, dict[Path, int]()
    _reopened(tmp_path / "first.db")  # whose time would be that of importing
    while kills < scale(24, 500):
        db = tmp_path / f"audit-{number // 8}.db"  # eight rounds a log, so that new ones and long ones are hit
        killed, given = _round(writers, db, chance)
        slowest = max(slowest, _reopened(db))
        compared = compare(db, given)
        assert compared.lost == []
        kills, acknowledged, number = kills + killed, acknowledged + len(given), number + 1
        stored[db] = compared.stored
    assert acknowledged > kills
    assert slowest < 1
    tally(
        test="T1",
        what=WHAT,
        injected=kills,
        acknowledged=acknowledged,
        stored=sum(stored.values()),
        lost=0,
        false_alarms=0,
        note=f"reopened in {slowest * 1000:.0f} ms at most",
    )


def test_an_acknowledgement_before_the_commit_is_noticed(
    writers: Writers, compare: Compare, tmp_path: Path, tally: Tally
) -> None:
    """Queued delivery, passed off as durable, loses receipts to the same kills."""
    chance = random.Random(2)
    for number in range(20):
        db = tmp_path / f"audit-{number}.db"
        _, given = _round(writers, db, chance, delivery="queued")
        if given and compare(db, given).lost:
            tally.defect("T1", "acknowledges before the commit")
            return
    raise AssertionError("nothing was lost")

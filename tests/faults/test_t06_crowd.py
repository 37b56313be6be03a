"""T6: eight processes that write as fast as they can, and take turns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Compare, Tally, Writers, Written
    from frame import Scale

pytestmark = pytest.mark.faults

PROCESSES = 8


@dataclass(frozen=True)
class Crowding:
    """How it went."""

    given: list[Written]
    worst: float
    """The longest that a call took, in seconds."""
    share: float
    """The most that a process had written when the first was done, by the least."""


def _crowd(writers: Writers, db: Path, count: int, defect: str = "") -> Crowding:
    """Let all begin at once; whoever has an error says so, and fails the test."""
    crowd = writers.start(db, PROCESSES, waiting=True, count=count, defect=defect)
    crowd.listen_for(b"ready\n", PROCESSES)
    crowd.let_go()
    crowd.listen_to_the_end(patience=600)
    given = crowd.receipts_given()
    first = min(max(each.at for each in given if each.pid == pid) for pid in {each.pid for each in given})
    shares = Counter(each.pid for each in given if each.at <= first)
    return Crowding(given, max(each.waited for each in given), count / max(1, min(shares[pid] for pid in crowd.pids)))


def test_eight_processes_take_turns(  # noqa: PLR0913, PLR0917 -- fixtures
    writers: Writers,
    compare: Compare,
    tmp_path: Path,
    scale: Scale,
    full: bool,  # noqa: FBT001 -- pytest gives it by name
    tally: Tally,
) -> None:
    """Every entry is there, nobody was told that the log is busy, nobody waits for long, and all get the same share."""
    count = scale(150, 10_000)
    crowding = _crowd(writers, tmp_path / "audit.db", count)
    compared = compare(tmp_path / "audit.db", crowding.given)
    seconds = max(each.at for each in crowding.given) - min(each.at - each.waited for each in crowding.given)
    tally(
        test="T6",
        what=f"{PROCESSES} processes at once, {count:,} entries each",
        tried=PROCESSES * count,
        acknowledged=len(crowding.given),
        stored=compared.stored,
        lost=len(compared.lost),
        false_alarms=0,
        note=f"worst wait {crowding.worst * 1000:.0f} ms, shares within {crowding.share:.2f}, "
        f"{len(crowding.given) / seconds:,.0f} entries/s",
    )
    assert compared.lost == []
    assert compared.stored == len(crowding.given) == PROCESSES * count
    assert crowding.worst < scale(2, 1)  # so few entries beside whatever else the machine does say little
    assert crowding.share < (1.5 if full else 3)


def test_without_the_lock_somebody_starves(writers: Writers, tmp_path: Path, tally: Tally) -> None:
    """Left to SQLite's own waiting, the shares are uneven or a call takes too long."""
    for number in range(5):  # a crowd may be lucky
        crowding = _crowd(writers, tmp_path / f"audit-{number}.db", 300, defect="no lock")
        if crowding.share > 1.5 or crowding.worst > 1:
            tally.defect("T6", f"no `flock`: worst wait {crowding.worst:.1f} s, shares within {crowding.share:.1f}")
            return
    raise AssertionError("nobody starved")

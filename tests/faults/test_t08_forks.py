"""T8: forks at any moment, every way to start a process, and workers forked from a loaded application."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import CredentialUse

if TYPE_CHECKING:
    from conftest import Tally
    from frame import Scale

pytestmark = pytest.mark.faults


@dataclass
class Forked:
    """What came of it."""

    acknowledged: list[str]
    stored: list[str]
    ended: list[int]


def _run(address: Path, **order: Any) -> Forked:
    script = str(Path(__file__).with_name("forker.py"))
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", script, address, json.dumps({"defect": False, **order})],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"COUNTERFOIL_FINGERPRINT_KEY": "ab" * 32},
    )
    lines = ran.stdout.splitlines()
    assert lines, ran.stderr
    assert lines[-1].startswith("ended "), ran.stderr
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        events = [entry.event for entry in reader.find(Filter())]
    stored = [event.action.name for event in events if isinstance(event, CredentialUse)]
    return Forked(lines[:-1], stored, [int(code) for code in lines[-1].split()[1:-1]])


def _check(forked: Forked) -> None:
    assert not any(forked.ended), "a child failed, or waited for ever"
    assert max(Counter(forked.stored).values()) == 1, "an entry was written twice"
    assert set(forked.acknowledged) == set(forked.stored)


@pytest.mark.parametrize("delivery", ["durable", "queued"])
def test_forks_while_threads_record(delivery: str, address: Path, scale: Scale, tally: Tally) -> None:
    """Each child records, none hangs, and nothing that its parent had under way is written twice."""
    forked = _run(address, what="fork", delivery=delivery, count=scale(15, 200))
    _check(forked)
    _tally(tally, f"fork while threads record, {delivery}", forked)


def _tally(tally: Tally, what: str, forked: Forked) -> None:
    lost = len(set(forked.acknowledged) - set(forked.stored))
    acknowledged, stored = len(forked.acknowledged), len(forked.stored)
    tally("T8", what, injected=len(forked.ended), acknowledged=acknowledged, stored=stored, lost=lost)


def test_every_way_to_start_a_process(address: Path, tally: Tally, full: bool) -> None:  # noqa: FBT001 -- a fixture
    """Children made by fork, spawn and forkserver record into one log."""
    for number, delivery in enumerate(("durable", "queued") if full else ("queued",)):
        each = 2 if full else 1
        forked = _run(address.with_name(f"{number}.db"), what="multiprocessing", delivery=delivery, count=each)
        _check(forked)
        assert len(forked.stored) == each * 30
        _tally(tally, "multiprocessing: fork, spawn, forkserver", forked)


def test_workers_of_a_loaded_application(address: Path, scale: Scale, tally: Tally) -> None:
    """Four workers, forked after the log was opened, record each request that they answer, until SIGTERM."""
    for number, delivery in enumerate(("durable", "queued")):
        requests = scale(40, 1_000)
        forked = _run(address.with_name(f"{number}.db"), what="serve", delivery=delivery, count=requests)
        _check(forked)
        assert len(forked.stored) == requests + 1
        _tally(tally, "workers forked from a loaded application", forked)


def test_a_child_with_its_parents_locks_is_seen(address: Path, tally: Tally) -> None:
    """The seeded defect: forked in the middle of a commit, without locks of its own, a child cannot record."""
    forked = _run(address, what="fork", delivery="durable", count=40, defect=True)
    with pytest.raises(AssertionError):
        _check(forked)
    tally.defect("T8", "a child keeps its parent's locks")

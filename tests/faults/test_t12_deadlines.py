"""T12: the store is held by another process: every wait ends at its deadline, and a retry is not a duplicate."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql.sqlite import SharedLock
from counterfoil.schemas import Action, AuditTimeout, CredentialUse, Resource, StoreError, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from conftest import Tally

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("key")]

_DEADLINE = 1.0
_EARLY, _LATE = 0.8, 1.2


def _use(name: str = "read_mail") -> CredentialUse:
    return CredentialUse(token=Token(), resource=Resource(uri="https://a.example"), action=Action(name=name))


@contextmanager
def _held(address: Path, what: str) -> Generator[None]:
    """Let another process hold a lock of the log."""
    script = str(Path(__file__).with_name("holder.py"))
    holder = subprocess.Popen([sys.executable, script, address, what], stdout=subprocess.PIPE, text=True)
    try:
        assert cast("Any", holder.stdout).readline() == "holds\n"
        if what == "record":
            _stop_with_the_lock(holder.pid, address)
        yield
    finally:
        holder.kill()
        holder.communicate()


def _stop_with_the_lock(pid: int, address: Path) -> None:
    """Stop the process at random instants, until that is in the middle of a commit."""
    lock = os.open(f"{address}.lock", os.O_RDWR)
    try:
        for _ in range(500):
            time.sleep(random.random() * 0.01)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.01)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.kill(pid, signal.SIGCONT)
        pytest.fail("the process never held the lock when it was stopped")
    finally:
        os.close(lock)


def _timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(StoreError):
        call()
    return time.monotonic() - began


def _waits(log: AuditLog) -> dict[str, float]:
    """Return how long each kind of call waited, in parts of the deadline."""
    calls: dict[str, Callable[[], object]] = {
        "record": lambda: log.record(_use()),
        "arecord": lambda: asyncio.run(log.arecord(_use())),
    }
    return {name: _timed(call) / _DEADLINE for name, call in calls.items()}


def _in_time(waits: dict[str, float]) -> None:
    assert all(_EARLY <= wait <= _LATE for wait in waits.values()), waits


@pytest.mark.parametrize("what", ["flock", "sqlite", "record"])
def test_a_wait_ends_at_its_deadline(what: str, address: Path, tally: Tally) -> None:
    """Held by the lock of the writers, by SQLite's own, or by a writer that was stopped in the middle of a commit."""
    with AuditLog.open(address, deadline=_DEADLINE) as log:
        event = _use("again")
        with _held(address, what):
            waits = _waits(log) | {"retried": _timed(lambda: log.record(event)) / _DEADLINE}
            _in_time(waits)
        first = log.record(event)
        assert log.record(event) == first
    names = _names(address)
    assert names.count("again") == 1
    shown = ", ".join(f"{name} {wait:.2f}" for name, wait in waits.items())
    tally("T12", f"held: {what}", injected=1, tried=len(waits), stored=names.count("again"), note=f"{shown} deadlines")


def _names(address: Path) -> list[str]:
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        return [entry.event.action.name for entry in reader.find(Filter()) if isinstance(entry.event, CredentialUse)]


def test_many_callers_wait_no_longer_than_one(address: Path, tally: Tally) -> None:
    """Sixteen threads and sixteen tasks: each is told at its own deadline, whoever leads, and whichever came first."""
    waits: dict[str, float] = {}
    with AuditLog.open(address, deadline=_DEADLINE) as log:

        def work(number: int) -> None:
            time.sleep(number * 0.03)
            waits[f"thread {number}"] = _timed(lambda: log.record(_use())) / _DEADLINE

        async def task(number: int) -> None:
            await asyncio.sleep(number * 0.03)
            began = time.monotonic()
            with pytest.raises(StoreError):
                await log.arecord(_use())
            waits[f"task {number}"] = (time.monotonic() - began) / _DEADLINE

        async def tasks() -> None:
            await asyncio.gather(*(task(number) for number in range(16)))

        with _held(address, "flock"):
            threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
            for thread in threads:
                thread.start()
            asyncio.run(tasks())
            for thread in threads:
                thread.join()
        assert len(waits) == 32
        _in_time(waits)
    shown = f"{min(waits.values()):.2f} to {max(waits.values()):.2f} deadlines"
    tally("T12", "held: 32 callers", injected=1, tried=32, note=shown)


def test_a_queue_waits_no_longer(address: Path, tally: Tally) -> None:
    """A full queue, ``flush`` and a fork each end in time."""
    log = AuditLog.open(address, delivery="queued", queue_entries=1, deadline=_DEADLINE)
    with log, _held(address, "flock"):
        log.record(_use())
        waits = {**_waits(log), "flush": _timed(log.flush) / _DEADLINE}
        _in_time(waits)
        began = time.monotonic()
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        assert time.monotonic() - began <= _DEADLINE * _LATE
    tally("T12", "held: a full queue", injected=1, tried=len(waits))


def test_a_commit_that_comes_later_is_not_repeated(
    address: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline passes while another thread commits the entry: the outcome is unknown, and a retry finds it."""
    log = AuditLog.open(address, deadline=_DEADLINE)
    writer = cast("Any", log)._writer
    commit, answers = writer._store.commit, threading.Event()

    def slow(*given: Any) -> None:
        answers.wait(20)
        commit(*given)

    with ThreadPoolExecutor(2) as pool:
        with writer._led():
            calls = {pool.submit(log.record, event): event for event in (_use("one"), _use("two"))}
            time.sleep(0.2)
            monkeypatch.setattr(writer._store, "commit", slow)
        (follows,), _ = wait(calls, return_when=FIRST_COMPLETED)  # the other one leads, and commits for both
        assert isinstance(follows.exception(), AuditTimeout)
        answers.set()
    monkeypatch.undo()
    receipt = log.record(calls[follows])
    log.close()
    assert receipt.durable
    assert sorted(_names(address)) == ["one", "two"]
    tally("T12", "an outcome that is not known", injected=1, tried=2, acknowledged=1, stored=1, lost=0)


def test_waiting_too_long_is_seen(address: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeded defect: a lock that is waited for by a clock of its own."""
    acquire = SharedLock.acquire

    def patient(self: SharedLock, until: float) -> None:
        acquire(self, until + _DEADLINE / 2)

    with AuditLog.open(address, deadline=_DEADLINE) as log:
        with _held(address, "flock"), monkeypatch.context() as patched:
            patched.setattr(SharedLock, "acquire", patient)
            waits = _waits(log)
        with pytest.raises(AssertionError):
            _in_time(waits)
    tally.defect("T12", "a lock is waited for beyond the deadline")

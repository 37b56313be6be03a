"""Threads of a log's own: nobody else's work delays them, and what was begun ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog
from counterfoil.audit.own_threads import OwnThreads
from counterfoil.schemas import AuditTimeout, CredentialUse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]


def _fail() -> None:
    raise ZeroDivisionError


def test_what_comes_back() -> None:
    """The result, or the exception."""
    threads = OwnThreads()
    assert asyncio.run(threads.run(lambda: 7, time.monotonic() + 20)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(threads.run(_fail, time.monotonic() + 20))
    threads.close()


def test_waiting_ends_a_little_after_the_time_given() -> None:
    """A thread that does not come back is left alone, and ends unseen, also when the loop is gone."""
    threads, ends = OwnThreads(), threading.Event()
    began = time.monotonic()
    with pytest.raises(AuditTimeout):
        asyncio.run(threads.run(lambda: ends.wait(20), time.monotonic() + 0.2))
    assert time.monotonic() - began < 2
    ends.set()
    threads.wait(time.monotonic() + 20)
    threads.close()


def test_a_busy_program_does_not_delay_a_record(log: AuditLog, a_use: MakeUse) -> None:
    """However long the loop's own threads are taken by other work."""
    ends = threading.Event()

    async def scene() -> float:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, ends.wait, 20)
        began = time.monotonic()
        await log.arecord(a_use())
        waited = time.monotonic() - began
        ends.set()
        await busy
        return waited

    assert asyncio.run(scene()) < 5


def test_when_the_interpreter_exits_callers_write_for_themselves(
    address: Path, everything: Entries, key: object
) -> None:
    """A handler that Python runs at exit can still await its record."""
    assert key
    script = """
import atexit, asyncio, sys
def late(): asyncio.run(log.arecord(use))
atexit.register(late)
from counterfoil.audit import AuditLog
from counterfoil.schemas import CredentialUse, Resource, Token, Action
log = AuditLog.open(sys.argv[1])
use = CredentialUse(token=Token(), resource=Resource(uri="https://api.example"), action=Action(name="late"))
asyncio.run(log.arecord(use.model_copy(update={"context": use.context.model_copy(update={"task": "t"})})))
"""
    ran = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, check=False)
    uses = [entry for entry in everything() if isinstance(entry.event, CredentialUse)]
    assert (ran.returncode, len(uses)) in {(0, 1), (0, 2)}, ran.stderr

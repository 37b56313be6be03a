"""What a log does when its process ends: everything is told, once, within a bounded time."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit.lifetime import Ending, leave_all
from counterfoil.schemas import AuditTimeout, LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]


def test_an_ending_is_bounded() -> None:
    """Three seconds, or the deadline if that is longer, in equal shares; telling always has a moment."""
    began = time.monotonic()
    for deadline, share, seconds in ((0.1, 1, 3.0), (8.0, 1, 8.0), (0.1, 3, 1.0)):
        ends = Ending(deadline, share)
        assert seconds - 0.5 < ends.left() <= seconds
        assert ends.until_written() - began < ends.until_told() - began <= seconds + 0.5
    assert Ending(0.0, 1000).until_told() > time.monotonic()


class _Log:
    def __init__(self, error: AuditTimeout | None) -> None:
        self.error = error
        self.shares: list[int] = []

    def begin_producing(self) -> None:
        """Nothing to begin."""

    def flush(self) -> None:
        """Nothing waits."""

    def leave(self, share: int = 1, *, last: bool = False) -> None:
        """Note the share, and fail if told so."""
        del last
        self.shares.append(share)
        if self.error:
            raise self.error


def test_one_log_that_fails_does_not_keep_the_others() -> None:
    """All get their share, and what was lost is raised at the end."""
    logs = [_Log(None), _Log(AuditTimeout("seven entries waiting")), _Log(None)]
    with pytest.raises(AuditTimeout, match="seven"):
        leave_all(logs)
    assert [log.shares for log in logs] == [[3], [3], [3]]


@pytest.mark.usefixtures("key")
def test_only_who_recorded_tells_of_its_end(address: Path, everything: Entries) -> None:
    """At exit a log that nobody closed says ``closed``; a child that recorded nothing says nothing."""
    script = """
import os, sys
from counterfoil.audit import AuditLog
from counterfoil.schemas import LogChange, LogEvent
log = AuditLog.open(sys.argv[1])
for records in (False, True):
    child = os.fork()
    if not child:
        if records: log.record(LogEvent(change=LogChange.ERASED))
        sys.exit(0)
    os.waitpid(child, 0)
"""
    subprocess.run([sys.executable, "-c", script, address], check=True, timeout=60)
    changes = [entry.event.change.value for entry in everything() if isinstance(entry.event, LogEvent)]
    assert changes == ["created", "opened", "erased", "closed", "closed"]

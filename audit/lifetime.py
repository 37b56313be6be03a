"""What a log does when its process forks, and when it ends: what is queued is written, and the end is recorded.

When the interpreter exits in an orderly way this happens by itself, also for a log that nobody closed, and takes a
bounded time. A signal is another matter: see ``signals``.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final, Protocol

from counterfoil.schemas import StoreError
from counterfoil.schemas.part import complete_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LEAVING: Final = 3.0  # seconds that the end may take at least: with the interpreter's own, less than five
_WRITING: Final = 0.75  # of them, for what is queued
_TELLING: Final = 0.9  # of them, until what is left is told


class Ending:
    """How long the end of a log may take: three seconds, or its deadline if that is longer."""

    def __init__(self, deadline: float, share: int = 1) -> None:
        """Begin to count. ``share``: how many logs have that time together."""
        self._began = time.monotonic()
        self._seconds = max(deadline, _LEAVING) / share

    def until_written(self) -> float:
        """Return until when what is queued may be written, by ``time.monotonic``."""
        return self._began + self._seconds * _WRITING

    def until_told(self) -> float:
        """Return until when losses and the closing may be told: for that there is always a moment."""
        return max(self._began + self._seconds * _TELLING, time.monotonic() + self._seconds * (1 - _TELLING))

    def left(self) -> float:
        """Return how many seconds are left of all."""
        return max(self._began + self._seconds - time.monotonic(), 0)


class Attended(Protocol):
    """A log that is open when the process forks or ends."""

    def begin_producing(self) -> None:
        """Begin anew in a forked child."""
        ...

    def flush(self) -> None:
        """Return when everything recorded before is durable. Raises ``AuditTimeout``."""
        ...

    def leave(self, share: int = 1, *, last: bool = False) -> None:
        """Write what is queued, and record the end, after which nothing happens if it is the last.

        Raises ``StoreError`` for what is lost.
        """
        ...


def attend(log: Attended) -> None:
    """Let a log end in an orderly way when the interpreter does, and begin anew in a child. It is not kept alive."""
    _logs.add(log)


def open_logs() -> list[Attended]:
    """Return the logs of this process that are in use."""
    return list(_logs)


def after_this_call(step: Callable[[], None]) -> None:
    """Do ``step`` in the main thread when it comes out of the call of a log in which it is."""
    _steps.append(step)


def out_of_a_call() -> None:
    """Do what a signal left to be done."""
    if _steps and threading.current_thread() is threading.main_thread():
        _steps.pop()()


def leave_all(logs: Iterable[Attended] | None = None, *, last: bool = False) -> None:
    """End all logs, in equal shares of the time. Raises the last ``StoreError``, which Python prints at exit."""
    failed: StoreError | None = None
    leaving = open_logs() if logs is None else list(logs)
    for log in leaving:
        try:
            log.leave(len(leaving), last=last)
        except StoreError as error:
            failed = error
    if failed:
        raise failed


def _begin_all() -> None:
    for log in open_logs():
        log.begin_producing()


_steps: list[Callable[[], None]] = []
_logs: weakref.WeakSet[Attended] = weakref.WeakSet()
os.register_at_fork(before=complete_parts, after_in_child=_begin_all)
atexit.register(leave_all)

"""What was accepted and is not in the log yet: a queue that is bounded by count and by bytes.

An entry stays in it until it is settled, so that what is on its way to the disk counts too, and a writer that fails
finds its entries where they were. The locks are reentrant, since a signal handler may record while its thread does.
"""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import ConfigurationError, LogClosed
from counterfoil.schemas.entry import MAX_BODY

from .sealing import OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sealing import Taken

GROUP: Final = 64
"""How many entries are written together at most."""

_GATHERING: Final = 0.05  # seconds that entries may gather before they are written, unless somebody waits for them


class Backlog:
    """The entries that wait, in the order in which their calls were counted."""

    def __init__(self, entries: int, size: int) -> None:
        """Hold so many entries, and so many bytes, at most. Raises ``ConfigurationError``."""
        if entries < 1 or size < MAX_BODY + OVERHEAD:
            raise ConfigurationError(f"a queue holds at least one entry and {MAX_BODY + OVERHEAD:,} bytes")
        self._most = entries, size
        self._closed = False
        self.begin_life()

    def begin_life(self) -> None:
        """Begin empty, with new locks: when opened, and in a forked child."""
        lock = self._lock = threading.RLock()
        self._room = threading.Condition(lock)
        self._work = threading.Condition(lock)
        self._waiting: deque[Taken] = deque()
        self._bytes = self._settled = 0
        self._blocked = self._flushing = 0
        self._idle = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, taken: Taken, number: Callable[[], int], seconds: float) -> bool:
        """Take an entry in, and give it its number. False if there was no room for so long. Raises ``LogClosed``."""
        with self._lock:
            if (self._blocked or not self._fits(taken)) and not (seconds and self._wait_for_room(taken, seconds)):
                return False
            taken.number = number()
            self._waiting.append(taken)
            self._bytes += taken.size
            if self._idle:
                self._idle = False
                self._work.notify()
            return True

    def _fits(self, taken: Taken) -> bool:
        if self._closed:
            raise LogClosed
        entries, size = self._most
        return len(self._waiting) < entries and self._bytes + taken.size <= size

    def _wait_for_room(self, taken: Taken, seconds: float) -> bool:
        self._blocked += 1
        self._work.notify()
        try:
            return self._room.wait_for(lambda: self._fits(taken), seconds)
        finally:
            self._blocked -= 1

    def wait_for_entries(self) -> bool:
        """Wait until there are entries, and let them gather. False when it is closed and there are none."""
        with self._lock:
            while not self._waiting:
                if self._closed:
                    return False
                self._idle = True
                self._work.wait()
            self._idle = False
            if not self.pressed and len(self._waiting) < GROUP:
                self._work.wait(_GATHERING)
            return bool(self._waiting)

    @property
    def pressed(self) -> bool:
        """Whether somebody waits for the entries to be written."""
        return bool(self._blocked or self._flushing or self._closed)

    def group(self) -> list[Taken]:
        """Return the entries that are next, without taking them out."""
        with self._lock:
            return list(islice(self._waiting, GROUP))

    def settle(self, group: list[Taken]) -> None:
        """Take out the entries that were next, since they are in the log, or a gap entry that tells of them is."""
        with self._lock:
            for taken in group:
                self._waiting.popleft()
                self._bytes -= taken.size
            self._settled += len(group)
            if self._blocked or self._flushing:
                self._room.notify_all()

    def wait_until_settled(self, seconds: float) -> bool:
        """Wait until everything that was taken in before is settled."""
        with self._lock:
            mark = self._settled + len(self._waiting)
            self._flushing += 1
            self._work.notify()
            try:
                return self._room.wait_for(lambda: self._settled >= mark, seconds)
            finally:
                self._flushing -= 1

    def close(self) -> None:
        """Take nothing more in."""
        with self._lock:
            self._closed = True
            self._work.notify()
            self._room.notify_all()

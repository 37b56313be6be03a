"""Opening a log: at once, or, where it goes on without its store, by the first call that can.

Until then every call is told that the store is unavailable, and the numbers count on, so that the gap shows.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import AuditUnavailable, CounterfoilError, LogClosed, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from counterfoil.exporters.pending import Pending
    from counterfoil.exporters.sql import Writer
    from counterfoil.exporters.sql.store import Place

_REST: Final = 1.0  # seconds between two tries, and at least five times as long as the last one took
_SHARE: Final = 5


class Opening:
    """Stands where the writer will stand once the log is open."""

    log_id = b""

    def __init__(self, open_writer: Callable[[], Writer], begin: Callable[[Writer], None]) -> None:
        """Open with ``open_writer``; ``begin`` tells of it, before anything else is recorded."""
        self._open_writer = open_writer
        self._begin = begin
        self._closed = False
        self._next, self._fault = 0.0, ""
        self.begin()

    def begin(self) -> None:
        """Begin with a lock of its own, and nothing open: when the log is opened, and in a forked child."""
        self._opening = threading.RLock()  # reentrant, since the opening is told of by entries
        self._writer: Writer | None = None

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def append(self, pending: Pending, until: float | None = None) -> None:
        """Commit ``pending`` if the store can be opened by now. Raises what ``Writer.append`` raises."""
        self._opened(until).append(pending, until)

    def append_all(self, batch: list[Pending], until: float | None = None) -> None:
        """Commit ``batch``, or give each its ``error``."""
        try:
            self._opened(until).append_all(batch, until)
        except StoreError as error:
            for pending in batch:
                pending.error = error

    def open(self) -> None:
        """Open now. Raises what keeps it from opening; later calls try again."""
        with self._opening:
            began = time.monotonic()
            try:
                self._writer = self._open_writer()
                self._begin(self._writer)
            except BaseException as error:
                if self._writer is not None:
                    self._writer.close()
                    self._writer = None
                self._fault = f": {error}" if isinstance(error, CounterfoilError) else ""
                ended = time.monotonic()
                self._next = ended + max(_REST, _SHARE * (ended - began))
                raise

    def _opened(self, until: float | None = None) -> Writer:
        if not self._opening.acquire(timeout=-1 if until is None else max(until - time.monotonic(), 0)):
            raise AuditUnavailable("another thread was opening the log until the deadline; nothing was written")
        try:
            if self._closed:
                raise LogClosed
            if self._writer is None and time.monotonic() >= self._next:
                with suppress(CounterfoilError):
                    self.open()
            if self._writer is None:
                raise AuditUnavailable(f"the log could not be opened yet{self._fault}")
            return self._writer
        finally:
            self._opening.release()

    def prune(self, pending: Pending, first: int, last: int, count: int) -> None:
        """Prune as the writer does. Raises ``AuditUnavailable`` until the log is open."""
        self._opened().prune(pending, first, last, count)

    def erase(self, pending: Pending, places: Sequence[Place]) -> None:
        """Erase as the writer does. Raises ``AuditUnavailable`` until the log is open."""
        self._opened().erase(pending, places)

    def flush(self, seconds: float | None = None) -> None:
        """Nothing was written, so there is nothing to wait for."""
        if self._writer is not None:
            self._writer.flush(seconds)

    def close(self, seconds: float | None = None) -> None:
        """Close. Later calls raise ``LogClosed``."""
        self._closed = True
        if self._writer is not None:
            self._writer.close(seconds)

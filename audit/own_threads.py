"""Threads of a log's own, for what an event loop must not wait for: nobody else's work can delay it.

What was begun ends, though its caller was cancelled or the loop closed: the entry is written all the same.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, TypeVar

from counterfoil.schemas import AuditTimeout

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

Returned = TypeVar("Returned")

_MOST: Final = 32
_LATER: Final = 0.1  # of the time given: what waits in a thread ends by itself, and says more than a timeout here
_AT_LEAST: Final = 0.05


class OwnThreads:
    """At most 32, started as they are needed."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin without a thread: when the log is opened, and in a forked child."""
        self._pool: ThreadPoolExecutor | None = None
        self._begun: set[Future[None]] = set()

    async def run(self, work: Callable[[], Returned], until: float) -> Returned:
        """Return what ``work`` returns, or raise what it raises. It waits until ``until`` (``time.monotonic``) itself.

        Raises ``AuditTimeout`` if it has not returned a little after that: then it ends unseen.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[Returned] = loop.create_future()

        def settle(result: Returned | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def ended() -> None:
            result, error = _outcome(work)
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:  # the loop is closed, and nobody waits
                return

        try:
            begun = self._threads().submit(ended)
            self._begun.add(begun)
            begun.add_done_callback(self._begun.discard)
        except RuntimeError:  # the interpreter is exiting, and starts no more threads
            return work()
        try:
            left = max(until - time.monotonic(), 0)
            await asyncio.wait({future}, timeout=left * (1 + _LATER) + _AT_LEAST)
            if future.done():
                return future.result()
        finally:
            future.cancel()
        raise AuditTimeout("the deadline passed while a thread of the log was busy")

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_MOST, thread_name_prefix="counterfoil")
        return self._pool

    def wait(self, until: float) -> None:
        """Wait for what was begun, but not longer than ``until`` (``time.monotonic``)."""
        if begun := set(self._begun):
            wait(begun, timeout=max(until - time.monotonic(), 0))

    def close(self) -> None:
        """Let the threads end, each when it has nothing to do."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


def _outcome(work: Callable[[], Returned]) -> tuple[Returned | None, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001 -- it is raised where it is waited for
        return None, error

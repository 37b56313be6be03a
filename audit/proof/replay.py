"""Remembering proofs for as long as they can be used again, so that each is taken once (RFC 9449 §11.1).

What a store has to keep to:

1. ``add`` is atomic: of two that add the same key at once, one is told that it is new.
2. What was added is remembered until it expires. A store that cannot hold more, or cannot tell, raises; the check then
   ends as ``error``, which is no pass. It never forgets early to make room.
3. The key is a digest: no proof and no ``jti`` is kept.
"""

from __future__ import annotations

import heapq
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from counterfoil.schemas import ReplayUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_PURGED_AN_ADD: Final = 8


class ReplayStore(Protocol):
    """Where used proofs are remembered."""

    def add(self, key: str, expires: float) -> bool:
        """Remember ``key`` until ``expires`` (Unix time, seconds). Return False if it is remembered already.

        Whatever it raises makes the check end as ``error``.
        """
        ...


class MemoryReplayStore:
    """Remembers the proofs that one process has seen; several processes need a store that they share.

    At most ``bound`` are held, about 200 bytes each. With the default policy a proof is held for 76 seconds, so that
    100,000 serve 1,300 requests a second; beyond that ``add`` raises ``ReplayUnavailable`` and requests are refused.
    """

    def __init__(self, bound: int = 100_000, *, clock: Callable[[], float] = time.time) -> None:
        self._bound = bound
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._by_expiry: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """Return how many are held, some of which may have expired."""
        return len(self._keys)

    def add(self, key: str, expires: float) -> bool:
        """Remember ``key``. Raises ``ReplayUnavailable`` when full, or when ``expires`` is over by its own clock."""
        with self._lock:
            now = self._clock()
            self._purge(now)
            if key in self._keys:
                return False
            if expires <= now:
                raise ReplayUnavailable("the proof expires before now by the clock of the replay store")
            if len(self._keys) >= self._bound:
                raise ReplayUnavailable(f"the replay store is full: it holds {self._bound:,} proofs")
            self._keys.add(key)
            heapq.heappush(self._by_expiry, (expires, key))
            return True

    def _purge(self, now: float) -> None:
        """Forget a few that have expired: more than one, so that they never gather, and few, so that nobody waits."""
        for _ in range(_PURGED_AN_ADD):
            if not self._by_expiry or self._by_expiry[0][0] > now:
                return
            self._keys.discard(heapq.heappop(self._by_expiry)[1])

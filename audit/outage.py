"""A full disk: since when, and how many calls it cost. The log tells of it as soon as it can be written again."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Outage:
    """A time during which the disk was full."""

    since: datetime
    refused: int
    """How many calls raised because of it."""


class Outages:
    """Counts what a full disk refuses. Thread-safe."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._since: datetime | None = None
        self._refused = 0

    def __bool__(self) -> bool:
        return self._since is not None

    def add(self, refused: int) -> None:
        """Note that the disk is full, and that so many calls raise because of it: none where they wait in a queue."""
        with self._counting:
            self._since = self._since or datetime.now(UTC)
            self._refused += refused

    def take(self) -> Outage | None:
        """Return the outage, for one caller to tell of it; whoever fails gives it back."""
        with self._counting:
            outage = Outage(self._since, self._refused) if self._since else None
            self._since, self._refused = None, 0
            return outage

    def give_back(self, outage: Outage, *, beside: bool) -> None:
        """Go on with an outage that could not be told of; ``beside`` if that, too, was counted as a refused call."""
        with self._counting:
            self._since, self._refused = outage.since, self._refused + outage.refused - beside

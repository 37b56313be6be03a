"""One line of the table, and how to time two things fairly."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, against what, and what we want."""

    what: str
    measured: str
    baseline: str = ""
    ratio: str = ""
    goal: str = ""


def alternately(first: Callable[[], object], second: Callable[[], object], times: int) -> tuple[float, float]:
    """Run both by turns, and return the median seconds of each."""
    left, right = by_turns(lambda: first, lambda: second, times)
    return statistics.median(left), statistics.median(right)


def by_turns(
    first: Callable[[], Callable[[], object]], second: Callable[[], Callable[[], object]], times: int
) -> tuple[list[float], list[float]]:
    """Run by turns what both return, and return the seconds of each time, without those to prepare it."""
    left: list[float] = []
    right: list[float] = []
    for _ in range(times):
        left.append(seconds(first()))
        right.append(seconds(second()))
    return left, right


def median(action: Callable[[], object], times: int) -> float:
    """Return the median seconds of an action."""
    return statistics.median(seconds(action) for _ in range(times))


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def micro(value: float) -> str:
    """Return seconds as microseconds, in words."""
    return f"{value * 1e6:,.0f} µs"

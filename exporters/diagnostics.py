"""The library's own diagnostics, through structlog: silent unless ``COUNTERFOIL_LOG`` names a level.

They say what the library did and what failed, with places and counts, never a value of an event. They go to stderr
and leave the application's structlog configuration alone.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any, Protocol, cast

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Diagnostics(Protocol):
    """What the library uses of a structlog logger."""

    def info(self, event: str, /, **facts: Any) -> Any:
        """Say what was done."""

    def warning(self, event: str, /, **facts: Any) -> Any:
        """Say what somebody should look at."""

    def error(self, event: str, /, **facts: Any) -> Any:
        """Say what failed."""


@cache
def diagnostics() -> Diagnostics:
    """Return the logger. ``COUNTERFOIL_LOG`` is debug, info, warning or error; unset or anything else is silent."""
    level = _LEVELS.get(os.environ.get("COUNTERFOIL_LOG", "").lower())
    if level is None:
        return _Silent()  # without structlog: a program that ends would load it for nothing

    import structlog

    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    return cast("Diagnostics", logger)


class _Silent:
    def info(self, event: str, /, **facts: Any) -> None:
        """Say nothing."""

    warning = error = info


def say(sentence: str) -> None:
    """Say it on stderr, whatever ``COUNTERFOIL_LOG`` is: a loss for which no exception can be raised."""
    try:
        print(f"counterfoil: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 -- on purpose
    except (OSError, ValueError, RuntimeError, AttributeError):  # closed, none, or interrupted in the middle of a print
        return

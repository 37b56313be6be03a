"""The library's own diagnostics, through structlog: silent unless ``COUNTERFOIL_LOG`` names a level.

They say what the library did and what failed, with places and counts, never a value of an event. They go to stderr
and leave the application's structlog configuration alone.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SILENT = 50  # structlog's highest, above all that the library says


@cache
def diagnostics() -> FilteringBoundLogger:
    """Return the logger. ``COUNTERFOIL_LOG`` is debug, info, warning or error; unset or anything else is silent."""
    import structlog

    level = _LEVELS.get(os.environ.get("COUNTERFOIL_LOG", "").lower(), _SILENT)
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
    return cast("FilteringBoundLogger", logger)


def say(sentence: str) -> None:
    """Say it on stderr, whatever ``COUNTERFOIL_LOG`` is: a loss for which no exception can be raised."""
    try:
        print(f"counterfoil: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 -- on purpose
    except (OSError, ValueError, RuntimeError, AttributeError):  # closed, none, or interrupted in the middle of a print
        return

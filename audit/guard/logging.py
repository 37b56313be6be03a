"""The redactor for the standard library's logging: one line, and every record of every logger is redacted.

::

    from counterfoil.audit.guard.logging import install

    install()

It stands before the handlers of all loggers, those that are made later too. ``RedactingFilter`` does the same for
single handlers or loggers: ``handler.addFilter(RedactingFilter())``. What it does to a record stands in ``records``.
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING

from .access_log import LOGGERS, AccessLogFilter
from .records import RedactingFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..redaction.redactor import Redactor

__all__ = ["RedactingFilter", "install"]


def install(redactor: Redactor | None = None, *, dangerously_unguarded: Collection[str] = ()) -> Callable[[], None]:
    """Redact every record before any handler sees it. Returns what takes this away again.

    ``dangerously_unguarded`` names attributes of records that stay as they are.
    """
    guard = RedactingFilter(redactor, dangerously_unguarded=dangerously_unguarded)
    access = AccessLogFilter(redactor, dangerously_unguarded=dangerously_unguarded)
    before = logging.Logger.callHandlers
    installed = True

    @wraps(before)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if installed:
            (access if record.name in LOGGERS else guard).filter(record)
        before(self, record)

    def uninstall() -> None:
        nonlocal installed
        installed = False
        if logging.Logger.callHandlers is call_handlers:
            logging.Logger.callHandlers = before  # type: ignore[method-assign]

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]
    return uninstall

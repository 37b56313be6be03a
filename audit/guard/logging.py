"""The redactor for the standard library's logging: one line, and every record of every logger is redacted.

::

    from counterfoil.audit.guard.logging import install

    install()

It stands before the handlers of all loggers, those that are made later too, and before what logging reports on stderr
of a handler that fails. For single handlers or loggers there is a filter: ``handler.addFilter(RedactingFilter())``.
What it does to a record stands in ``records``.
"""

from __future__ import annotations

import logging
import sys
from functools import wraps
from typing import TYPE_CHECKING

from .access_log import LOGGERS, AccessLogFilter
from .reading import Reading
from .records import RedactingFilter
from .stand_in import formatted

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
    reading = Reading(redactor)
    before, report = logging.Logger.callHandlers, logging.Handler.handleError
    installed = True

    @wraps(before)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if installed:
            (access if record.name in LOGGERS else guard).filter(record)
        before(self, record)

    @wraps(report)
    def handle_error(self: logging.Handler, record: logging.LogRecord) -> None:
        if not installed:
            report(self, record)
        elif logging.raiseExceptions and sys.stderr:
            guard.filter(record)
            _report(record, reading)

    def uninstall() -> None:
        nonlocal installed
        installed = False
        if logging.Logger.callHandlers is call_handlers:
            logging.Logger.callHandlers = before  # type: ignore[method-assign]
        if logging.Handler.handleError is handle_error:
            logging.Handler.handleError = report  # type: ignore[method-assign]

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]
    logging.Handler.handleError = handle_error  # type: ignore[method-assign]
    return uninstall


def _report(record: logging.LogRecord, reading: Reading) -> None:
    """Say what ``Handler.handleError`` says: what failed, where it was logged, and what."""
    error = sys.exc_info()[1]
    failed = "" if error is None else f"{formatted(error, reading)}\n"
    logged = (
        f"Logged from file {record.filename}, line {record.lineno}\nMessage: {record.msg!r}\nArguments: {record.args}"
    )
    try:
        sys.stderr.write(f"--- Logging error ---\n{failed}{logged}\n")
    except (OSError, ValueError):  # stderr is closed
        return

"""The redactor for access logs: one line, and no server writes down with what it was asked.

::

    from counterfoil.audit.guard.access_log import install

    install()  # uvicorn, hypercorn and gunicorn; before or after the server configures its logging

In an access log the URI rule applies: the path says where a request went, and the values of its query go, whatever
their names and forms are. ``Redactor(keep_query=…)`` names those that may stay. All else is as in any record
(``records``).
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final, cast

from .reading import FAILED
from .records import RedactingFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..redaction.redactor import Redactor

LOGGERS: Final = ("uvicorn.access", "uvicorn.error", "hypercorn.access", "gunicorn.access")
"""Where requests are logged; of uvicorn's two, the second says which WebSockets were opened."""

_TARGET = re.compile(r"(?<![^\s\"'(\[])(?:[A-Za-z][A-Za-z0-9+.-]*:/)?/[^\s\"']*")
_TELLING = ("?", "@", "#")


class AccessLogFilter(RedactingFilter):
    """Redacts records of an access log in place and lets them pass. Never raises, never drops."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record. Its arguments stay as many as they were: uvicorn's formatter counts them."""
        template, arguments = record.msg, record.args
        try:
            record.args = self._targets(arguments)
            if isinstance(template, str) and not arguments:
                record.msg = self._without_values(template)
            elif not isinstance(arguments, tuple):  # gunicorn's, which come by name
                record.msg, record.args = self._without_values(record.getMessage()), None
        except Exception:  # noqa: BLE001 -- a log call must not fail, and what failed here may hold a secret
            self._emptied(record)
        super().filter(record)
        if isinstance(arguments, tuple) and arguments and record.args is None:
            record.msg = self._reading.shown(template)
            record.args = tuple([each if isinstance(each, int | float) else FAILED for each in arguments])
        return True

    def _targets(self, arguments: Any) -> Any:
        if isinstance(arguments, tuple):
            found = cast("tuple[object, ...]", arguments)
            return tuple([self._without_values(each) if isinstance(each, str) else each for each in found])
        return arguments

    def _without_values(self, text: str) -> str:
        """Return the text with each request target and URI in it by the URI rule."""
        if not any(each in text for each in _TELLING):
            return text
        return _TARGET.sub(lambda found: self._reading.uri(found[0]), text)


def install(*loggers: str, redactor: Redactor | None = None) -> Callable[[], None]:
    """Add the filter to these loggers, without any to ``LOGGERS``. Returns what takes it away again."""
    guard = AccessLogFilter(redactor)
    guarded = [logging.getLogger(name) for name in loggers or LOGGERS]
    for each in guarded:
        each.addFilter(guard)

    def uninstall() -> None:
        for each in guarded:
            each.removeFilter(guard)

    return uninstall

"""A filter for records of the standard library's logging, redacted in place before a handler sees them.

A copy would not do: Python before 3.12 ignores what a filter returns, and the next handler would get what this one had
not. What is redacted:

1. The message and its arguments, which stay apart, also where only the message tells that an argument is a secret
   (``password=%s``). Where a secret is made of both, the record has the redacted message, and no arguments.
2. The exception: ``exc_info`` becomes a stand-in (``stand_in``), and ``exc_text`` its traceback.
3. ``stack_info``, the names of threads and places, and every attribute that ``extra`` or a filter has added.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from ..redaction.receipt import marker
from .reading import FAILED, Reading, Shown, as_json, shown_name
from .stand_in import exc_info_of, formatted, stand_in
from .structlog import PLUMBING, redacted_event

if TYPE_CHECKING:
    from ..redaction.redactor import Redactor

_WHO: Final = ("threadName", "processName", "taskName")
_TEXTS: Final = ("name", "pathname", "filename", "module", "funcName", "message", *_WHO)
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PROBE: Final = "q7Zk4Tn9Rw2Lm5Bv8Xd3{:02}"
_NUMBERS = (int, float, complex, Decimal, type(None))


class RedactingFilter(logging.Filter):
    """Redacts each record in place and lets it pass; for loggers and for handlers. Never raises, never drops.

    An attribute that is an object becomes its ``repr``. ``dangerously_unguarded`` names attributes that stay as they
    are, for a handler that needs the object itself.
    """

    def __init__(self, redactor: Redactor | None = None, *, dangerously_unguarded: Collection[str] = ()) -> None:
        super().__init__()
        self._reading = Reading(redactor)
        self._left = _OWN | PLUMBING | frozenset(dangerously_unguarded)

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record. One on which redaction fails says only that, its level, its time and its logger."""
        try:
            self._message(record)
            self._exception(record)
            self._attributes(record)
        except Exception:  # noqa: BLE001 -- a log call must not fail, and what failed here may hold a secret
            self._emptied(record)
        return True

    def _message(self, record: logging.LogRecord) -> None:
        if not record.args:
            given = cast("object", record.msg)
            if isinstance(given, Mapping):  # structlog's event, on the way to its formatter
                record.msg = redacted_event(cast("Mapping[str, Any]", given), self._reading)
            else:
                record.msg = self._reading.shown(given)
            return
        before = _merged(record)
        record.msg, record.args = str(record.msg), self._arguments(record.args)
        after = _merged(record)
        if after is None and before is None:  # they never fitted: logging reports what it has got
            record.msg = self._reading.text(record.msg)
        elif not self._is_clean(after):
            record.args = self._told(record.msg, record.args)
            told = _merged(record)
            if not self._is_clean(told):
                record.msg, record.args = self._reading.text(told or before or ""), None

    def _is_clean(self, merged: str | None) -> bool:
        return merged is not None and self._reading.text(merged) == merged

    def _told(self, template: str, arguments: Any) -> Any:
        """Hide each argument of which the template tells that it is a secret, with all its words: ``password=%s``.

        It is one if anything else in its place would be.
        """
        if not isinstance(arguments, tuple):
            return arguments
        given = cast("tuple[object, ...]", arguments)
        probes = [_PROBE.format(place) if isinstance(each, str) else each for place, each in enumerate(given)]
        try:
            shown = self._reading.text(template % tuple(probes))
        except Exception:  # noqa: BLE001 -- an object fails to show itself
            return given
        pairs = zip(given, probes, strict=True)
        return tuple(
            [marker("argument") if isinstance(probe, str) and probe not in shown else each for each, probe in pairs]
        )

    def _arguments(self, arguments: Any) -> Any:
        if not isinstance(arguments, Mapping):
            return tuple([self._argument(each) for each in arguments])
        named = cast("Mapping[str, object]", arguments)
        redacted = self._reading.members(named)
        return {
            name: self._argument(value) if redacted.get(name, FAILED) == as_json(value) else redacted.get(name, FAILED)
            for name, value in named.items()
        }

    def _argument(self, value: object) -> object:
        """Return what to format: numbers as they are, a container redacted, of anything else what it shows."""
        if isinstance(value, _NUMBERS):
            return value
        if type(value) is str:
            return self._reading.text(value)
        if _is_container(value):
            plain = as_json(value)
            if (redacted := self._reading.value(plain)) != plain:
                return redacted
        return Shown.by(value, self._reading)

    def _exception(self, record: logging.LogRecord) -> None:
        given = cast("object", record.exc_info)
        _, error, trace = cast("tuple[Any, Any, Any]", given) if isinstance(given, tuple) else (None, given, None)
        if isinstance(error, BaseException):
            standing = stand_in(error, self._reading, trace)
            record.exc_info = exc_info_of(standing)
            record.exc_text = formatted(standing, self._reading)
        elif record.exc_text:
            record.exc_text = self._reading.text(record.exc_text)
        if record.stack_info:
            record.stack_info = self._reading.text(record.stack_info)

    def _attributes(self, record: logging.LogRecord) -> None:
        attributes = vars(record)
        texts = {name: text for name in _TEXTS if isinstance(text := attributes.get(name), str)}
        together = "\n".join(texts.values())
        if self._reading.text(together) != together:  # hardly ever, and asking once costs least
            attributes |= {name: self._reading.text(text) for name, text in texts.items()}
        added = {name: value for name, value in attributes.items() if name not in self._left}
        if added:
            redacted = self._reading.members(added)
            for name in added:
                del attributes[name]
            attributes |= redacted

    def _emptied(self, record: logging.LogRecord) -> None:
        attributes = vars(record)
        for name in attributes.keys() - _OWN - PLUMBING:  # some of which a formatter may demand
            del attributes[name]
            attributes[shown_name(name)] = FAILED
        attributes |= {name: FAILED for name in _WHO if attributes.get(name) is not None}
        record.msg, record.args, record.exc_info, record.exc_text, record.stack_info = FAILED, None, None, None, None


def _is_container(value: object) -> bool:
    return isinstance(value, Mapping | Sequence | AbstractSet) and not isinstance(value, str)


def _merged(record: logging.LogRecord) -> str | None:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 -- they do not fit, or an object fails to show itself
        return None

"""The redactor as a structlog processor: one line in ``structlog.configure``, just before the renderer.

::

    structlog.configure(processors=[..., RedactingProcessor(), structlog.processors.JSONRenderer()])

There it also sees what other processors add, such as a traceback that ``format_exc_info`` has formatted. ``exc_info``
that none has formatted becomes a stand-in (``stand_in``), so that a renderer which formats it shows no secret and no
locals. It stands the same way among the processors of a ``ProcessorFormatter``, for the records of other libraries.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from ..redaction.receipt import marker
from .reading import FAILED, Reading
from .stand_in import exc_info_of, stand_in

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from ..redaction.redactor import Redactor

PLUMBING: Final = frozenset({"_from_structlog", "_logger", "_name", "_record"})
"""What structlog itself keeps in an event or a record; it is not rendered."""

_CUT = re.compile(r"[^\s'\"]+(?=(['\"])\+[0-9]+)")
"""The last word of a string that a traceback has cut, as ``rich`` and structlog write it: ``'Bearer eyJh'+120``."""

_UNENDED = re.compile(r"-----BEGIN (?:(?!-----END ).)*(?=(['\"])\+[0-9]+)", re.DOTALL)


class RedactingProcessor:
    """Redacts each event: its values by position and pattern, its message by pattern. Never raises, never drops."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._reading = Reading(redactor)

    def __call__(self, _logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> dict[str, Any]:
        """Return the redacted event; an event on which redaction fails says only that, and its level."""
        try:
            return redacted_event(event_dict, self._reading)
        except Exception:  # noqa: BLE001 -- a log call must not fail, and what failed here may hold a secret
            return {"event": FAILED, "level": method_name}


def redacted_event(event: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """Return a redacted copy of structlog's event."""
    kept = {name: value for name, value in event.items() if name in PLUMBING}
    rest = {name: value for name, value in event.items() if name not in PLUMBING and name != "exc_info"}
    if isinstance(frames := rest.get("exception"), list):
        rest["exception"] = _without_cuts(cast("list[object]", frames))
    redacted = reading.members(rest)
    if isinstance(arguments := redacted.get("positional_args"), list):  # which are formatted into the message
        redacted["positional_args"] = tuple(cast("list[object]", arguments))
    if "exc_info" in event:
        redacted["exc_info"] = _exc_info(event["exc_info"], reading)
    return redacted | kept


def _exc_info(given: object, reading: Reading) -> object:
    """Return the same with a stand-in: an exception, what ``sys.exc_info()`` returns, or a demand for that."""
    trace = None
    if isinstance(given, BaseException):
        return stand_in(given, reading)
    if isinstance(given, tuple) and len(cast("tuple[object, ...]", given)) == 3:
        _, error, trace = cast("tuple[object, Any, Any]", given)
    else:
        error = sys.exc_info()[1] if given else None
    return exc_info_of(stand_in(error, reading, trace)) if isinstance(error, BaseException) else None


def _without_cuts(value: object) -> Any:
    """Return the structure of a traceback without what was cut off in the middle, which no pattern can recognise."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return {
            name: _uncut(cast("Mapping[str, object]", member))
            if name == "locals" and isinstance(member, Mapping)
            else _without_cuts(member)
            for name, member in members.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_without_cuts(item) for item in cast("Sequence[object]", value)]
    return value


def _uncut(variables: Mapping[str, object]) -> dict[str, object]:
    return {name: _ended(value) if isinstance(value, str) else value for name, value in variables.items()}


def _ended(text: str) -> str:
    return _CUT.sub(marker("cut"), _UNENDED.sub(marker("cut"), text)) if "+" in text else text

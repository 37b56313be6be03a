"""The redactor as a structlog processor: one line in ``structlog.configure``, just before the renderer.

::

    structlog.configure(processors=[..., RedactingProcessor(), structlog.processors.JSONRenderer()])

There it also sees what other processors add, such as a traceback that ``format_exc_info`` has formatted. ``exc_info``
itself is passed on untouched: what a renderer behind this processor makes of it is not redacted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from counterfoil.schemas.domain import MAX_DEPTH

from .receipt import marker
from .redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

_PLUMBING = frozenset({"exc_info", "_from_structlog", "_logger", "_name", "_record"})
"""What structlog itself keeps in an event; it is not rendered as it stands."""

_SCALARS = (str, int, float, type(None), date, time, timedelta, Decimal, UUID)


class RedactingProcessor:
    """Redacts each event: its values by position and pattern, its message by pattern. Never raises, never drops."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()

    def __call__(self, _logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> dict[str, Any]:
        """Return the redacted event; an event on which redaction fails says only that, and its level."""
        try:
            kept = {name: value for name, value in event_dict.items() if name in _PLUMBING}
            rest = {name: value for name, value in event_dict.items() if name not in _PLUMBING}
            redacted, _ = self._redactor.value(_as_json(rest, ()))
            arguments = cast("dict[str, Any]", redacted)
            if "positional_args" in arguments:  # which are formatted into the message as a tuple
                arguments["positional_args"] = tuple(arguments["positional_args"])
        except Exception:  # noqa: BLE001 -- a log call must not fail, and what failed here may hold a secret
            return {"event": marker("error"), "level": method_name}
        return arguments | kept


def _as_json(value: Any, above: tuple[int, ...]) -> Any:
    """Return what a renderer would make of ``value``, as far as it can hold text. ``above`` identifies its containers.

    An object becomes its ``repr``, so that what is searched is what is shown.
    """
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    if not isinstance(value, Mapping | Sequence | AbstractSet):
        return repr(value)
    if (identity := id(cast("object", value))) in above or len(above) > MAX_DEPTH:
        return marker("depth")
    inner = (*above, identity)
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return {str(_as_json(name, inner)): _as_json(member, inner) for name, member in members.items()}
    return [_as_json(item, inner) for item in cast("Iterable[Any]", value)]

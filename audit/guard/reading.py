"""How every guard reads what it is given: what is searched is what is shown.

Text is searched by pattern, named values by position and pattern. An object is taken for its ``repr``, since that is
what a renderer shows of it. What cannot be read, or fails to be redacted, is shown as ``[redacted:error]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from counterfoil.schemas.domain import MAX_DEPTH

from ..redaction.receipt import marker
from ..redaction.redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable

FAILED: Final = marker("error")
"""What stands in the place of what could not be read or redacted."""

_WORDS = re.compile(r"[A-Za-z_.-]{1,40}")
_SCALARS = (str, int, float, type(None), date, time, timedelta, Decimal, UUID)


class Reading:
    """Redacts text, values and members for a guard. No method raises."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()

    def text(self, text: str) -> str:
        """Return the text without what the patterns find."""
        try:
            return self._redactor.text(text)[0]
        except Exception:  # noqa: BLE001 -- whatever went wrong, it may hold a secret
            return FAILED

    def uri(self, uri: str) -> str:
        """Return the URI by the URI rule: without userinfo, query values and fragment."""
        try:
            return self._redactor.uri(uri)[0]
        except Exception:  # noqa: BLE001 -- whatever went wrong, it may hold a secret
            return FAILED

    def shown(self, value: object) -> str:
        """Return what ``str`` makes of an object, redacted."""
        try:
            text = str(value)
        except Exception:  # noqa: BLE001 -- the object's own failure, which may quote it
            return FAILED
        return self.text(text)

    def value(self, value: object) -> Any:
        """Return a redacted copy as JSON, in which objects are their ``repr``; times, numbers and ids stay."""
        try:
            return self._redactor.value(as_json(value))[0]
        except Exception:  # noqa: BLE001 -- whatever went wrong, it may hold a secret
            return FAILED

    def members(self, members: Mapping[str, object]) -> dict[str, Any]:
        """Return a redacted copy of named values. One that fails takes no other with it.

        Of a dotted name, as OpenTelemetry and ECS write it, the last part is the name and the rest the object it
        stands in: ``http.request.header.authorization`` is a header.
        """
        copy: dict[str, Any] = {}
        for within, group in _grouped(members).items():
            redacted = self.value({within: group} if within else group)
            if not isinstance(redacted, dict):
                copy |= dict.fromkeys((shown_name(f"{within}.{name}".lstrip(".")) for name in group), FAILED)
            elif not within:
                copy |= cast("dict[str, Any]", redacted)
            else:  # whose own name may have been replaced
                ((shown, inner),) = cast("dict[str, dict[str, Any]]", redacted).items()
                copy |= {f"{shown}.{name}": value for name, value in inner.items()}
        return copy


class Shown(str):
    """What an object shows with ``%s``, redacted, and what it shows with ``%r``."""

    __slots__ = ("_representation",)

    _representation: str

    @classmethod
    def by(cls, value: object, reading: Reading) -> Shown:
        """Ask the object once."""
        shown = cls(reading.shown(value))
        try:
            shown._representation = reading.text(repr(value))
        except Exception:  # noqa: BLE001 -- the object's own failure, which may quote it
            shown._representation = FAILED
        return shown

    def __repr__(self) -> str:
        return self._representation


def shown_name(name: str) -> str:
    """Return a name beside which redaction has failed, if it can be nothing but a name."""
    return name if _WORDS.fullmatch(name) else FAILED


def _grouped(members: Mapping[str, object]) -> dict[str, dict[str, object]]:
    groups: dict[str, dict[str, object]] = {}
    for name, value in members.items():
        within, _, last = str(name).rpartition(".")
        groups.setdefault(within, {})[last if within else str(name)] = value
    return groups


def as_json(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Return what a renderer would make of ``value``, as far as it can hold text. ``above`` are its containers' ids."""
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    if id(value) in above or len(above) > MAX_DEPTH:
        return marker("depth")
    try:
        return _inside(value, (*above, id(value)))
    except Exception:  # noqa: BLE001 -- an object's own failure, which may quote it
        return FAILED


def _inside(value: object, above: tuple[int, ...]) -> Any:
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return {str(as_json(name, above)): as_json(member, above) for name, member in members.items()}
    if isinstance(value, Sequence | AbstractSet):
        return [as_json(item, above) for item in cast("Iterable[object]", value)]
    return repr(value)

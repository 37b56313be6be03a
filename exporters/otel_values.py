"""Reading a span's attributes out of an event: flat, of the declared type, and no longer than backends take."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from uuid import UUID

from counterfoil.schemas import Vocabulary
from counterfoil.schemas.events import EVENT_TYPES
from counterfoil.schemas.values import rfc3339

from .otel_attributes import ATTRIBUTES, TRUNCATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from .otel_attributes import Attribute, Subject

    _Rows: TypeAlias = tuple[tuple[Attribute, Callable[[Subject], object]], ...]

Value: TypeAlias = str | int | bool | tuple[str, ...]
"""What an attribute can hold. Many backends drop or flatten anything else."""

MAX_VALUE: Final = 4096
"""The longest value, in bytes of UTF-8; in a list, of all items together."""


def attributes_of(subject: Subject) -> dict[str, Value]:
    """Return the attributes of the span."""
    found: dict[str, Value] = {}
    cut: list[str] = []
    for attribute, read in _ROWS.get(subject.event.kind, _ROWS_OF_NEWER_KINDS):
        value = read(subject)
        plain = None if value is None else _of_type(attribute, value)
        if plain is None:
            continue
        found[attribute.name] = _fitting(plain)
        if found[attribute.name] != plain:
            cut.append(attribute.name)
    if cut:
        found[TRUNCATED.name] = tuple(cut)
    return found


def _rows(kind: str) -> _Rows:
    """Return the rows that can apply to this kind of event. A kind of a newer release may have any member."""
    members = EVENT_TYPES[kind].model_fields if kind in EVENT_TYPES else None
    rows: list[tuple[Attribute, Callable[[Subject], object]]] = []
    for attribute in ATTRIBUTES:
        if attribute.compute:
            rows.append((attribute, attribute.compute))
            continue
        paths = [tuple(path.split(".")) for path in attribute.source.split(" or ")]
        usable = [path for path in paths if members is None or path[0] in members]
        if usable:
            rows.append((attribute, _first_of(usable)))
    return tuple(rows)


def _at(path: tuple[str, ...], value: object) -> object:
    for step in path:
        value = cast("dict[str, object]", value).get(step) if isinstance(value, dict) else getattr(value, step, None)
        if value is None:
            break
    return value


def _first_of(paths: list[tuple[str, ...]]) -> Callable[[Subject], object]:
    def read(subject: Subject) -> object:
        for path in paths:
            value = _at(path, subject.event)
            if value is not None:
                return value
        return None

    return read


_ROWS = {kind: _rows(kind) for kind in EVENT_TYPES}
_ROWS_OF_NEWER_KINDS = _rows("")


def _of_type(attribute: Attribute, value: object) -> Value | None:
    """Return the value if it has the declared type, which a member of a newer release may not have."""
    if attribute.type == "string":
        return _text(value, says_unknown=attribute.says_unknown)
    if attribute.type == "string[]":
        items = cast("tuple[object, ...]", value) if isinstance(value, tuple | list) else ()
        return tuple(str(item) for item in items if isinstance(item, str)) or None
    if attribute.type == "boolean":
        return value if isinstance(value, bool) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _text(value: object, *, says_unknown: bool) -> str | None:
    if isinstance(value, Vocabulary) and value == "unknown" and not says_unknown:
        return None
    if isinstance(value, str | UUID):
        return str(value)
    return rfc3339(value) if isinstance(value, datetime) else None


def _fitting(value: Value) -> Value:
    """Cut text, or the end of a list, to ``MAX_VALUE`` bytes."""
    if isinstance(value, str):
        return _cut(value, MAX_VALUE)
    if not isinstance(value, tuple):
        return value
    room, items = MAX_VALUE, list[str]()
    for item in value:
        room -= len(item.encode())
        if room < 0:
            break
        items.append(item)
    return tuple(items)


def _cut(text: str, size: int) -> str:
    if len(text) * 4 <= size:
        return text
    return text.encode()[:size].decode(errors="ignore")

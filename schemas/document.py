"""JSON as a caller wrote it: of bounded size, and no member given twice.

RFC 8259 §4 leaves open what two members of one name mean, and most readers keep the last in silence. Two readers of
one record could then see two different events.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from .errors import EventTooLarge, InvalidEvent
from .refusal import checked, shown_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

MAX_INPUT: Final = 1024 * 1024
"""The longest JSON text that is read, in bytes or characters: four times the largest body."""


class _Twice(Exception):
    """An object has two members of the same name."""


class _Members(list[tuple[str, Any]]):
    """An object, with every member that was written."""


def strictly(body: str | bytes, validate: Callable[[str | bytes], T], *, tagged: bool = False) -> T:
    """Return what ``validate`` makes of a caller's JSON. Raises ``InvalidEvent`` and ``EventTooLarge``."""
    if len(body) > MAX_INPUT:
        raise EventTooLarge(len(body), MAX_INPUT)
    value = checked(lambda: validate(body), tagged=tagged)
    problem = _ambiguity(body)
    if problem is not None:
        raise InvalidEvent((problem,))
    return value


def _ambiguity(body: str | bytes) -> tuple[str, str] | None:
    try:
        json.loads(body, object_pairs_hook=_refuse_twins)
    except _Twice:
        twin = _first_twin(json.loads(body, object_pairs_hook=_Members))
        return ".".join(twin or []), "given more than once"
    except RecursionError:
        return "", "nested too deep"
    except ValueError:  # Pydantic read it and this reader does not: then nobody knows what it says
        return "", "this is not JSON"
    return None


def _refuse_twins(members: list[tuple[str, Any]]) -> None:
    if len(dict(members)) < len(members):
        raise _Twice


def _first_twin(value: object) -> list[str] | None:
    """Return the steps to the first member that is given twice, if there is one."""
    seen: set[int | str] = set()
    for step, member in _steps(value):
        if step in seen:
            return [shown_step(step)]
        seen.add(step)
        if steps := _first_twin(member):
            return [shown_step(step), *steps]
    return None


def _steps(value: object) -> Iterable[tuple[int | str, object]]:
    if isinstance(value, _Members):
        return value
    return enumerate(cast("list[object]", value)) if isinstance(value, list) else ()

"""How a caller's mistake is told: Pydantic's errors as ours, with the same paths and without any value.

Pydantic shows the offending input in its errors, and a caller's mistake is often a raw token in the wrong place. A
member's name can be a secret too, so only names of our own fields are shown; of any other only its length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import ValidationError

from .errors import InvalidEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

T = TypeVar("T")

FIELD_NAMES: Final[set[str]] = set()
"""The names of all our fields: what an error may show. Each part adds its own when its class is made."""

_SENTENCES: Final = {
    "datetime_from_date_parsing": "this is not an RFC 3339 time",
    "datetime_parsing": "this is not an RFC 3339 time",
    "extra_forbidden": "unknown member",
    "invalid_key": "a member's name is not a string",
    "recursion_depth_exceeded": "nested too deep",
    "recursion_loop": "nested too deep, or containing itself",
    "string_pattern_mismatch": "this does not have the form of its type; a raw secret is never accepted here",
    "string_unicode": "this is not valid Unicode text",
    "union_tag_invalid": "no event kind of this name",
    "union_tag_not_found": "the member `kind` is missing",
    "uuid_parsing": "this is not a UUID (RFC 9562)",
}


def checked(validate: Callable[[], T], *, tagged: bool = False) -> T:
    """Return what ``validate`` returns. Raises ``InvalidEvent`` where it raises Pydantic's error, with nothing chained.

    ``tagged``: the model was chosen by its ``kind``, which Pydantic then puts in front of every path.
    """
    try:
        return validate()
    except ValidationError as error:
        problems = problems_in(error, tagged=tagged)
    raise InvalidEvent(problems)  # outside the handler: a chained error would carry the value along


def problems_in(error: ValidationError, *, tagged: bool = False) -> tuple[tuple[str, str], ...]:
    """Return each place with what is wrong there, and no value."""
    return tuple(
        (_path(each["loc"][tagged:], each["type"]), _sentence(each))
        for each in error.errors(include_url=False, include_input=False)
    )


def _path(steps: tuple[int | str, ...], error_type: str) -> str:
    if steps[-1:] == ("[key]",):
        steps, error_type = steps[:-1], "invalid_key"
    shown = [shown_step(step) for step in steps]
    if error_type == "extra_forbidden":
        shown[-1] = f"<unknown, {len(str(steps[-1]))} characters>"
    elif error_type == "invalid_key":  # here a number is a name, not a position
        shown[-1] = f"<member, {len(str(steps[-1]))} characters>"
    return ".".join(shown)


def shown_step(step: int | str) -> str:
    """Show a position as it is, and a name as ``shown_name`` does."""
    return str(step) if isinstance(step, int) else shown_name(step)


def shown_name(name: str) -> str:
    """Show one of our own names; describe any other, since a member's name can be a secret."""
    return name if name in FIELD_NAMES else f"<member, {len(name)} characters>"


def _sentence(error: ErrorDetails) -> str:
    """Say what is wrong. Pydantic's sentence may quote another error, and that one the input: then say less."""
    if error["type"] in _SENTENCES:
        return _SENTENCES[error["type"]]
    quoted = error.get("ctx", {}).get("error")
    if error["type"] == "json_invalid":
        return _json_sentence(str(quoted))
    if quoted is not None:
        return "this value is not allowed here"
    return error["msg"][:1].lower() + error["msg"][1:]


def _json_sentence(problem: str) -> str:
    if problem.startswith("recursion limit"):
        return "nested too deep"
    place = re.search(r"line (\d+) column (\d+)$", problem)
    return f"this is not JSON, at line {place[1]}, column {place[2]}" if place else "this is not JSON"

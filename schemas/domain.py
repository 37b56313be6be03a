"""What a body may hold: that which every JSON reader keeps exactly (RFC 7493, RFC 8785 §3.1).

Finite numbers; integers up to 2^53 - 1; floats from 1e-4 up to 2^53, between which Python and ECMAScript write the same
digits; no lone surrogate, no NUL; member names within the Basic Multilingual Plane, where Python and JCS sort alike;
depth up to 64. Anything else is refused, never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .errors import OutOfDomain
from .refusal import shown_name
from .values import MAX_SAFE_INTEGER, is_unicode

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH: Final = 64
"""The deepest nesting of a body."""


class _Outside(Exception):
    """A value outside the domain; the steps to it gather as the walk unwinds, in a form that can be shown."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.steps: list[str] = []


def check_domain(body: Mapping[str, Any]) -> None:
    """Raise ``OutOfDomain``, with nothing chained to it, for the first value outside the domain. Names no value."""
    refusal = _refusal(body)
    if refusal:
        raise refusal


def _refusal(body: Mapping[str, Any]) -> OutOfDomain | None:
    try:
        _check(body, 0)
    except _Outside as outside:
        return OutOfDomain(".".join(reversed(outside.steps[-8:])), outside.problem)
    return None


def _check(value: Any, depth: int) -> None:
    kind: object = type(value)  # pyright: ignore[reportUnknownVariableType] -- of Any, nothing more is known
    if kind is str:
        _check_text(value)
    elif kind is dict:
        _check_members(value, depth)
    elif kind is list or kind is tuple:
        _check_depth(depth)
        for position, member in enumerate(value):
            try:
                _check(member, depth + 1)
            except _Outside as outside:
                outside.steps.append(str(position))
                raise
    elif kind is int or kind is float:
        _check_number(value)
    elif value is not None and kind is not bool:
        raise _Outside(f"{type(value).__name__} has no JSON form")


def _check_members(members: dict[Any, Any], depth: int) -> None:
    _check_depth(depth)
    for name, member in members.items():
        # Nearly every member is ASCII text under an ASCII name; a call for each would double the cost of sealing.
        if type(name) is type(member) is str and (name + member).isascii() and "\x00" not in name + member:
            continue
        try:
            _check_name(name)
            _check(member, depth + 1)
        except _Outside as outside:
            outside.steps.append(shown_name(name) if type(name) is str else "<member>")
            raise


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _Outside("the text contains NUL")
    if not is_unicode(text):
        raise _Outside("the text contains a lone surrogate")


def _check_name(name: object) -> None:
    if type(name) is not str:
        raise _Outside("a member's name is not a string")
    _check_text(name)
    # JCS sorts by UTF-16 units, Python by code points: the two differ only beyond the Basic Multilingual Plane.
    if not name.isascii() and max(name) > "\uffff":
        raise _Outside("a member's name has a character beyond U+FFFF")


def _check_number(number: float) -> None:
    if not -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER:
        raise _Outside("the number is not finite, or beyond 2^53 - 1")
    if type(number) is float and (number.is_integer() or abs(number) < 1e-4):
        raise _Outside("write a whole number without a fraction, and one below 0.0001 as a string")


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _Outside(f"nested deeper than {MAX_DEPTH}")

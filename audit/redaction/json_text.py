"""JSON text: read so that nothing of it is lost unseen, redacted, and written anew where something was removed."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from .receipt import Receipt
    from .redactor import Redactor

SPACE = re.compile(r"[ \t\r\n]*")
_BEGINS = re.compile(r"[ \t\r\n]*[\[{]")


class Read(NamedTuple):
    """A value that was read."""

    value: Any
    end: int
    repeats: bool
    """Whether a member is repeated in it."""


class Reader:
    """Reads values. Not for several threads."""

    def __init__(self) -> None:
        self._repeats = False
        self._decoder = json.JSONDecoder(object_pairs_hook=self._members, parse_constant=_refuse, parse_float=_finite)

    def read(self, text: str, start: int) -> Read | None:
        """Read the value that begins at ``start``; ``None`` if there is none, or it would not be written as it is."""
        self._repeats = False
        try:
            value, end = self._decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return None
        return Read(value, end, self._repeats)

    def _members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self._repeats = True
        return found


def begins_json(text: str) -> bool:
    """Whether an object or array may begin here."""
    return _BEGINS.match(text) is not None


def redacted_json(text: str, redactor: Redactor) -> tuple[str, list[Receipt]] | None:
    """Redact one object or array; ``None`` if it is none.

    Where there is nothing to redact, the very same text is returned. A repeated member is left out, as most readers
    would.
    """
    begins = _BEGINS.match(text)
    if begins is None or not is_unicode(text):
        return None
    start = begins.end() - 1
    found = Reader().read(text, start)
    if found is None or SPACE.fullmatch(text, found.end) is None:
        return None
    value, receipts = redactor.value(found.value)
    if not receipts and not found.repeats:
        return text, []
    return f"{text[:start]}{written(value, text[start : found.end])}{text[found.end :]}", receipts


def written(value: Any, before: str, margin: str = "") -> str:
    """Return a value as JSON, spaced and indented as ``before`` was. ``margin`` is before each line but the first."""
    indent = 2 if "\n" in before else None
    separators = (", " if indent is None else ",", ": ") if '": ' in before or indent else (",", ":")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    if not is_unicode(text):  # a lone surrogate, which only an escape can express
        text = json.dumps(value, indent=indent, separators=separators)
    return text.replace("\n", f"\n{margin}") if margin else text


def is_unicode(text: str) -> bool:
    """Whether the text has no lone surrogates, which stand for bytes that are not UTF-8."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("beyond the range of a float")
    return number

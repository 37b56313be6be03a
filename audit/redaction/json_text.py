"""JSON text: redacted, and written anew where something was removed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .json_reader import Reader

if TYPE_CHECKING:
    from .receipt import Receipt
    from .redactor import Redactor

SPACE = re.compile(r"[ \t\r\n]*")
_BEGINS = re.compile(r"[ \t\r\n]*[\[{]")


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

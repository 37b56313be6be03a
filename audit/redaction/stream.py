"""Redact a stream of bytes, line by line: text, JSON lines, or one JSON document over several lines.

A line that is a JSON object or array is redacted as JSON, position first; any other line as text. JSON in which nothing
was found is passed on as it came; otherwise it is written anew, with the same values. Bytes that are not UTF-8 are
kept. A private key in PEM spans lines: its first line leaves the marker, and the others become nothing.
"""

from __future__ import annotations

import io
import json
import re
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .receipt import Receipt
    from .redactor import Redactor

Redacted: TypeAlias = "tuple[bytes, list[Receipt]]"
"""A line with its ending, and the receipts of what was removed from it."""

_JSON_BEGINS = re.compile(rb"\s*[\[{]")
_DOCUMENT_BEGINS = re.compile(rb'\s*(?:[\[{]\s*$|\{\s*"|\[\s*[\[{"])')
_PEM_BEGINS = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----(?!.*-----END )")
_PEM_ENDS = re.compile(rb"-----END [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_LONGEST_PEM = 256
"""Lines. An RSA key of 16,384 bits has under 200."""


def redact_lines(lines: Iterable[bytes], redactor: Redactor, *, text_only: bool = False) -> Iterator[Redacted]:
    """Yield each line redacted. A JSON document over several lines is read to its end first, and yielded as one."""
    lines = iter(lines)
    head: list[bytes] = []
    for line in lines:
        head.append(line)
        if line.strip():
            break
    if head and not text_only and _DOCUMENT_BEGINS.match(head[-1]) and _parsed(head[-1]) is None:
        whole = b"".join(chain(head, lines))
        redacted = _redacted_json(whole, redactor, indent=2)
        if redacted:
            yield redacted
            return
        head, lines = [], io.BytesIO(whole)
    yield from _one_by_one(chain(head, lines), redactor, text_only=text_only)


def _one_by_one(lines: Iterable[bytes], redactor: Redactor, *, text_only: bool) -> Iterator[Redacted]:
    within_pem = 0
    for line in lines:
        end = _PEM_ENDS.search(line) if within_pem else None
        within_pem = 0 if end else max(within_pem - 1, 0)
        rest = line[end.end() :] if end else line
        if within_pem or (end and not rest.strip()):
            yield b"", []
            continue
        redacted = None if text_only else _redacted_json(rest, redactor)
        if redacted is None:
            redacted = _redacted_text(rest, redactor)
            within_pem = _LONGEST_PEM if _PEM_BEGINS.search(rest) else 0
        yield redacted


def _redacted_text(line: bytes, redactor: Redactor) -> Redacted:
    content = line.rstrip(b"\r\n")
    text, receipts = redactor.text(content.decode("utf-8", "surrogateescape"))
    return text.encode("utf-8", "surrogateescape") + line[len(content) :], receipts


def _redacted_json(raw: bytes, redactor: Redactor, indent: int | None = None) -> Redacted | None:
    """Redact one JSON text; ``None`` if it is none. A repeated member is left out, as most readers would."""
    parsed = _parsed(raw)
    if parsed is None:
        return None
    value, repeats = parsed
    redacted, receipts = redactor.value(value)
    if not receipts and not repeats:
        return raw, []
    content = raw.rstrip()
    return _written(redacted, indent, spaced=b'": ' in content) + raw[len(content) :], receipts


def _parsed(raw: bytes) -> tuple[Any, bool] | None:
    """Return an object or array, and whether a member is repeated in it; ``None`` for anything else."""
    if not _JSON_BEGINS.match(raw):
        return None
    repeats: list[bool] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        repeats.append(len(found) < len(pairs))
        return found

    try:
        value = json.loads(raw.decode(), object_pairs_hook=members, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value, any(repeats)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("beyond the range of a float")
    return number


def _written(value: Any, indent: int | None, *, spaced: bool) -> bytes:
    separators = (", " if indent is None else ",", ": ") if spaced or indent else (",", ":")
    try:
        return json.dumps(value, indent=indent, separators=separators, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can express
        return json.dumps(value, indent=indent, separators=separators).encode()

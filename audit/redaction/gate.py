"""Which patterns a text could match: cheap questions, put to many texts at once.

1. The characters that occur rule out most keywords: without ``_`` there is no ``ghp_``, and without ``=`` or ``:`` no
   value beside a name.
2. Without 16 printable characters in a row there is no match of a long pattern. Where there are, only such words are
   asked for long keywords, and for marks only by how their words begin.
3. A text that holds none of a pattern's keywords, or none of the signs beside them, is not searched for it.

Texts in which something may be written (``nested``, ``encoded``) are told as well, without a pattern.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from .encoded import with_runs
from .patterns import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .pattern import Pattern

_SEPARATOR: Final = "\x1f"
"""What stands between texts that are asked at once: no keyword has it."""
_SHORT: Final = 256

_LONG: Final = 16
_IN_A_ROW: Final = b"x" * _LONG
_PRINTABLE: Final = bytes(120 if 0x20 < each < 0x7F else 32 for each in range(256))

_HEAD = re.compile(r"\b\w{1,3}", re.ASCII)
"""How each word begins. Marks are looked up by it, since there are too many to search for each."""

_READABLE: Final = (("=", ""), ("{", ""), ("[", ""), ("\n", ":"), ("\0", ":"))
"""Where something may be written, and a sign that must be there as well."""


class _Keyword(NamedTuple):
    """What is looked for, and the places in the table of the patterns that have it."""

    text: str
    rows: tuple[int, ...]


class _Questions(NamedTuple):
    """What is left to ask a text with certain signs in it."""

    short: list[_Keyword]
    long: list[_Keyword]


def _by_head(marks: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for mark in sorted(marks):
        found.setdefault(_HEAD.findall(mark)[0], []).append(mark)
    return found


_MARKS = _by_head({keyword for pattern in PATTERNS if pattern.marked for keyword in pattern.keywords})
_HEADS = frozenset(_MARKS)
_ROWS: Final = {
    keyword: tuple(row for row, pattern in enumerate(PATTERNS) if keyword in pattern.keywords)
    for keyword in sorted({keyword for pattern in PATTERNS for keyword in pattern.keywords})
}
_SIGNS: Final = frozenset(
    ord(each)
    for text in (*_ROWS, *(pattern.signs for pattern in PATTERNS), *(text + signs for text, signs in _READABLE))
    for each in text
    if not each.isalnum() and each != " "
)
_NO_SIGN: Final = bytes(set(range(256)) - _SIGNS)

_questions: dict[frozenset[int], _Questions] = {}
"""By the signs that a text has."""
_MOST_QUESTIONS: Final = 4096


def rows_for(texts: Sequence[str]) -> dict[int, set[int]]:
    """Return the places of the texts that may hide something, and the rows of the table that each could match.

    The texts are in lower case. Short ones are asked together, since their signs differ little.
    """
    found: dict[int, set[int]] = {}
    short = [place for place, text in enumerate(texts) if len(text) <= _SHORT]
    for group in (short, *([place] for place, text in enumerate(texts) if len(text) > _SHORT)):
        if group:
            _ask(texts, group, found)
    return found


def _ask(texts: Sequence[str], group: list[int], found: dict[int, set[int]]) -> None:
    joined = texts[group[0]] if len(group) == 1 else _SEPARATOR.join([texts[place] for place in group])
    raw = joined.encode("ascii", "replace")
    printable = raw.translate(_PRINTABLE)
    runs = _IN_A_ROW in printable
    if runs:
        found.update({place: set() for place in with_runs(texts, group)})
    for keyword, rows in _occurring(joined, raw, printable if runs else None):
        for place in group:
            text = texts[place]
            if keyword in text:
                fitting = [row for row in rows if _has_sign(text, PATTERNS[row].signs)]
                if fitting or not rows:
                    found.setdefault(place, set()).update(fitting)


def _has_sign(text: str, signs: str) -> bool:
    return not signs or any(sign in text for sign in signs)


def _occurring(joined: str, raw: bytes, printable: bytes | None) -> list[_Keyword]:
    signs = frozenset(raw.translate(None, _NO_SIGN))
    questions = _questions.get(signs) or _questions_for(signs)
    found = [keyword for keyword in questions.short if keyword.text in joined]
    if printable:
        words = _long_words(joined, printable)
        found += [keyword for keyword in questions.long if keyword.text in words]
        for head in _HEADS.intersection(_HEAD.findall(words)):
            found += [_Keyword(mark, _ROWS[mark]) for mark in _MARKS[head] if mark in words]
    return found


def _long_words(text: str, printable: bytes) -> str:
    """Return the words that are long enough."""
    words: list[str] = []
    start = printable.find(_IN_A_ROW)
    while start >= 0:
        end = printable.find(b" ", start)
        end = end if end >= 0 else len(text)
        words.append(text[start:end])
        start = printable.find(_IN_A_ROW, end)
    return " ".join(words)


def _questions_for(signs: frozenset[int]) -> _Questions:
    questions = _Questions([], [])
    for text, rows in _ROWS.items():
        if _can_occur(text, signs):
            for long, keywords in ((False, questions.short), (True, questions.long)):
                fitting = tuple(row for row in rows if _is_asked(PATTERNS[row], signs, long=long))
                if fitting:
                    keywords.append(_Keyword(text, fitting))
    questions.short.extend(
        [
            _Keyword(text, ())
            for text, beside in _READABLE
            if _can_occur(text, signs) and (not beside or not signs.isdisjoint(map(ord, beside)))
        ]
    )
    if len(_questions) >= _MOST_QUESTIONS:
        _questions.clear()
    _questions[signs] = questions
    return questions


def _can_occur(keyword: str, signs: frozenset[int]) -> bool:
    return signs.issuperset(_SIGNS.intersection(map(ord, keyword)))


def _is_asked(pattern: Pattern, signs: frozenset[int], *, long: bool) -> bool:
    asked = pattern.long == long and not pattern.marked
    return asked and (not pattern.signs or not signs.isdisjoint(map(ord, pattern.signs)))

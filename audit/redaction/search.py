"""Find what the patterns recognise in a text, and replace just that.

1. A text that holds none of a pattern's keywords is not searched for it; many texts are asked at once.
2. A text with percent-encoding or backslash escapes is searched a second time as it reads once decoded; what is found
   there is removed from the text as it stands. Everything else stays, byte for byte.
3. Where findings overlap, all that they cover is one secret.
4. The result is searched again, since removing one secret can uncover the next. So redacting twice changes nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, TypeAlias

from .pattern import Pattern
from .patterns import PATTERNS
from .receipt import BARE, is_spent, marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_Span: TypeAlias = tuple[int, int, str]
"""Start, end and rule of what is to be removed."""

_ROUNDS = 4
_LONG = 16

_ESCAPE = re.compile(r"""%([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\(["'\\/bfnrt])""")
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

_SHORT = 128
_MOST_INNOCENT = 2048
INNOCENT: set[str] = set()
"""Short texts met before that hold no keyword: names of agents, servers and scopes come again and again."""

_SEPARATOR = "\x1f"
_DROPPED = f"={BARE}".lower()
"""How the value of a query parameter ends up in a URI."""

_HEAD = re.compile(r"\b\w{1,3}", re.ASCII)
"""How each word begins. Marks are looked up by it, since there are too many to search for each."""


def _by_head(marks: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for mark in sorted(marks):
        found.setdefault(_HEAD.findall(mark)[0], []).append(mark)
    return found


_MARKS = _by_head({keyword for pattern in PATTERNS if pattern.marked for keyword in pattern.keywords})
_HEADS = frozenset(_MARKS)
_LONG_KEYWORDS = tuple(
    {keyword for pattern in PATTERNS if pattern.long and not pattern.marked for keyword in pattern.keywords}
)
_KEYWORDS = tuple({keyword for pattern in PATTERNS if not pattern.long for keyword in pattern.keywords})
_ROWS = {
    keyword: [row for row, pattern in enumerate(PATTERNS) if keyword in pattern.keywords]
    for keyword in {keyword for pattern in PATTERNS for keyword in pattern.keywords}
}


def suspects(texts: Sequence[str]) -> dict[int, list[Pattern]]:
    """Return the places of the texts that hold a keyword, and the patterns that each is to be searched for."""
    if INNOCENT.issuperset(texts):
        return {}
    found = _suspects(texts)
    if len(INNOCENT) > _MOST_INNOCENT:
        INNOCENT.clear()
    INNOCENT.update([text for place, text in enumerate(texts) if place not in found and len(text) <= _SHORT])
    return found


def _suspects(texts: Sequence[str]) -> dict[int, list[Pattern]]:
    lowered = [text.lower() for text in texts]
    joined = _SEPARATOR.join(lowered)
    if _has_escapes(joined) or _DROPPED in joined:
        lowered = [_to_look_through(text) for text in texts]
        joined = _SEPARATOR.join(lowered)
    words = " ".join([word for word in joined.split() if len(word) >= _LONG])
    keywords = [keyword for keyword in _LONG_KEYWORDS if keyword in words]
    for head in _HEADS.intersection(_HEAD.findall(words)):
        keywords += [mark for mark in _MARKS[head] if mark in words]
    keywords += [keyword for keyword in _KEYWORDS if keyword in joined]
    rows: dict[int, set[int]] = {}
    for keyword in keywords:
        for place in [place for place, text in enumerate(lowered) if keyword in text]:
            rows.setdefault(place, set()).update(_ROWS[keyword])
    return {place: [PATTERNS[row] for row in sorted(rows[place])] for place in sorted(rows)}


def _to_look_through(text: str) -> str:
    """Return where to look for keywords: also in how a text reads once decoded, not in what was dropped before."""
    if _has_escapes(text):
        text = f"{text}\n{_Decoded(text).text}"
    return text.lower().replace(f"{_DROPPED}&", "&").removesuffix(_DROPPED)


def without_secrets(
    text: str, patterns: Sequence[Pattern], hide: Callable[[str], str] = marker
) -> tuple[str, list[tuple[str, int]]]:
    """Return the text without what the patterns find, and the rule and length of each finding.

    ``hide`` gives what stands in its place, from the rule. A text in which each removal uncovers the next, beyond a few
    times, was made to do so, and is replaced as a whole.
    """
    removed: list[tuple[str, int]] = []
    for _ in range(_ROUNDS):
        spans = _spans(text, patterns)
        if not spans:
            return text, removed
        text = _replaced(text, spans, hide)
        removed += [(rule, end - start) for start, end, rule in spans]
    if _spans(text, patterns):
        removed.append(("entangled", len(text)))
        text = hide("entangled")
    return text, removed


def _replaced(text: str, spans: list[_Span], hide: Callable[[str], str]) -> str:
    pieces: list[str] = []
    kept_to = 0
    for start, end, rule in spans:
        pieces += text[kept_to:start], hide(rule)
        kept_to = end
    return "".join(pieces) + text[kept_to:]


def _spans(text: str, patterns: Iterable[Pattern]) -> list[_Span]:
    """Return what is to be removed, in order and without overlap."""
    found = list(_matches(text, patterns))
    if _has_escapes(text):
        decoded = _Decoded(text)
        found += [(*decoded.original(start, end), rule) for start, end, rule in _matches(decoded.text, patterns)]
    return _merged(found) if found else found


def _matches(text: str, patterns: Iterable[Pattern]) -> Iterable[_Span]:
    for pattern in patterns:
        for match in pattern.regex.finditer(text):
            start, end = match.span(match.lastindex or 0)
            if start < end and not is_spent(text, start, end):
                yield start, end, pattern.rule


def _merged(found: list[_Span]) -> list[_Span]:
    """Join what overlaps. What starts first names the whole, then what is longest, then what is first in the table."""
    merged: list[_Span] = []
    for start, end, rule in sorted(found, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            first, last, name = merged[-1]
            merged[-1] = first, max(last, end), name
        else:
            merged.append((start, end, rule))
    return merged


def _has_escapes(text: str) -> bool:
    return "%" in text or "\\" in text


class _Decoded:
    """A text with its escapes decoded once, and the way back to where each character came from."""

    def __init__(self, text: str) -> None:
        self._places: list[int] = []  # of each escape, in the decoded text
        self._lost = [0]  # how many characters decoding has taken away, before each escape and after the last
        pieces: list[str] = []
        end = length = 0
        for escape in _ESCAPE.finditer(text):
            pieces += text[end : escape.start()], _unescaped(escape)
            length += escape.start() - end
            end = escape.end()
            self._places.append(length)
            self._lost.append(self._lost[-1] + end - escape.start() - 1)
            length += 1
        self.text = "".join(pieces) + text[end:]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return where a span of the decoded text stands in the text as it is."""
        return start + self._lost[bisect_left(self._places, start)], end + self._lost[bisect_left(self._places, end)]


def _unescaped(escape: re.Match[str]) -> str:
    octet, unit, letter = escape.groups()
    return _CONTROLS.get(letter, letter) if letter else chr(int(octet or unit, 16))

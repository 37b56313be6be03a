"""Find what the patterns recognise in a text, and replace just that.

1. A text that holds none of a pattern's keywords is not searched for it; many texts are asked at once.
2. A text with percent-encoding or backslash escapes is searched a second time as it reads once decoded; what is found
   there is removed from the text as it stands. Everything else stays, byte for byte.
3. Where findings overlap, all that they cover is one secret.
4. The result is searched again, since removing one secret can uncover the next. So redacting twice changes nothing.
5. Known secrets are looked for in the same two readings of a text, whether it holds a keyword or not (``known``).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, TypeAlias

from .gate import rows_for
from .known import LONG, LONGEST_INNOCENT, MOST_INNOCENT
from .pattern import Pattern
from .patterns import PATTERNS
from .receipt import BARE, is_spent, marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .known import KnownSecrets

_Span: TypeAlias = tuple[int, int, str]
"""Start, end and rule of what is to be removed."""

_ROUNDS = 4

_ESCAPE = re.compile(r"""%([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\(["'\\/bfnrt])""")
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

INNOCENT: set[str] = set()
"""Short texts met before that hold no keyword: names of agents, servers and scopes come again and again. Where known
secrets are looked for as well, those have their own."""

SEEN = Pattern("known", re.compile(r"(?!)"), (), "", long=False)
"""Stands among the patterns of a text that is to be searched for known secrets."""

_SEPARATOR = "\x1f"
_DROPPED = f"={BARE}".lower()
"""How the value of a query parameter ends up in a URI."""


def suspects(texts: Sequence[str], known: KnownSecrets | None = None) -> dict[int, list[Pattern]]:
    """Return the places of the texts that are to be looked at, and the patterns to search each one for.

    They hold a keyword, a known secret, or a run in which something may be encoded.
    """
    innocent, news = (known.innocent, known.news) if known is not None else (INNOCENT, 0)
    fresh = [place for place, text in enumerate(texts) if text not in innocent]
    if not fresh:
        return {}
    found = {fresh[at]: patterns for at, patterns in _suspects([texts[place] for place in fresh], known).items()}
    acquit([texts[place] for place in fresh if place not in found], known, news)
    return found


def acquit(texts: Iterable[str], known: KnownSecrets | None, news: int) -> None:
    """Take texts for innocent. ``news`` is how much was known when they were searched."""
    if known is not None:
        known.hold_innocent(texts, news)
        return
    if len(INNOCENT) > MOST_INNOCENT:
        INNOCENT.clear()
    INNOCENT.update([text for text in texts if len(text) <= LONGEST_INNOCENT])


def _suspects(texts: Sequence[str], known: KnownSecrets | None) -> dict[int, list[Pattern]]:
    places, views, joined = _views(texts)
    seen = {places[view] for view in known.within(views, joined, _long(joined))} if known else set[int]()
    rows: dict[int, set[int]] = {place: set() for place in seen}
    for view, could in rows_for([_without_dropped(view.lower()) for view in views]).items():
        rows.setdefault(places[view], set()).update(could)
    return {
        place: [*[PATTERNS[row] for row in sorted(rows[place])], *([SEEN] if place in seen else [])]
        for place in sorted(rows)
    }


def known_names(names: Iterable[str], known: KnownSecrets) -> list[str]:
    """Return those of the names of members that hold a known secret."""
    if not known or known.innocent_names.issuperset(names):
        return []
    news, named = known.news, list(names)
    places, views, joined = _views(named)
    found = {places[view] for view in known.within(views, joined, joined)}
    known.hold_innocent([name for place, name in enumerate(named) if place not in found], news, names=True)
    return [named[place] for place in found]


def _long(text: str) -> str:
    """Return what stands between blanks and is long enough for those keywords that are short, and for most secrets."""
    return " ".join([word for word in text.split() if len(word) >= LONG])


def _views(texts: Sequence[str]) -> tuple[list[int], list[str], str]:
    """Return the texts, and those with escapes also as they read once decoded; the place of each; and all in one."""
    places, views = list(range(len(texts))), list(texts)
    joined = _SEPARATOR.join(views)
    if _has_escapes(joined):
        escaped = [place for place, text in enumerate(texts) if _has_escapes(text)]
        places += escaped
        views += [_Decoded(texts[place]).text for place in escaped]
        joined = _SEPARATOR.join(views)
    return places, views, joined


def _without_dropped(text: str) -> str:
    return text.replace(f"{_DROPPED}&", "&").removesuffix(_DROPPED) if _DROPPED in text else text


def without_secrets(
    text: str,
    patterns: Sequence[Pattern],
    hide: Callable[[str], str] = marker,
    known: KnownSecrets | None = None,
    secrets: list[str] | None = None,
) -> tuple[str, list[tuple[str, int]]]:
    """Return the text without what the patterns find and what is known, and the rule and length of each finding.

    ``hide`` gives what stands in its place, from the rule. ``secrets`` takes what each finding was, as it reads once
    decoded. A text in which each removal uncovers the next, beyond a few times, was made to do so, and is replaced as a
    whole.
    """
    removed: list[tuple[str, int]] = []
    for _ in range(_ROUNDS):
        spans = _spans(text, patterns, known)
        if not spans:
            return text, removed
        if secrets is not None:
            secrets += [_plain(text[start:end]) for start, end, _ in spans]
        text = _replaced(text, spans, hide)
        removed += [(rule, end - start) for start, end, rule in spans]
    if _spans(text, patterns, known):
        removed.append(("entangled", len(text)))
        text = hide("entangled")
    return text, removed


def _plain(text: str) -> str:
    return _Decoded(text).text if _has_escapes(text) else text


def _replaced(text: str, spans: list[_Span], hide: Callable[[str], str]) -> str:
    pieces: list[str] = []
    kept_to = 0
    for start, end, rule in spans:
        pieces += text[kept_to:start], hide(rule)
        kept_to = end
    return "".join(pieces) + text[kept_to:]


def _spans(text: str, patterns: Sequence[Pattern], known: KnownSecrets | None) -> list[_Span]:
    """Return what is to be removed, in order and without overlap."""
    found = list(_matches(text, patterns, known))
    if _has_escapes(text):
        decoded = _Decoded(text)
        found += [(*decoded.original(start, end), rule) for start, end, rule in _matches(decoded.text, patterns, known)]
    return _merged(found) if found else found


def _matches(text: str, patterns: Iterable[Pattern], known: KnownSecrets | None) -> Iterable[_Span]:
    for pattern in patterns:
        for match in pattern.regex.finditer(text):
            start, end = match.span(match.lastindex or 0)
            if start < end and not is_spent(text, start, end):
                yield start, end, pattern.rule
        if known and pattern is SEEN:
            yield from [(start, end, SEEN.rule) for start, end in known.spans(text)]


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

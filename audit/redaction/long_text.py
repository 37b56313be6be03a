"""Text that is too long to be searched as a whole: cut where no secret is cut in two, and redacted part by part."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .incoming import Redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .incoming import Incoming
    from .receipt import Receipt

_GAP = re.compile(r".*\s", re.DOTALL)
_WITHIN_ESCAPE = re.compile(r"\\[^ ]{0,11}\Z")
_TAIL = 8
_STEPS = (0, 32, 128, 512, 2048, 8192, 32768, 131072, 524288)


class Cut(NamedTuple):
    """The first part of a text, redacted by itself."""

    place: int
    text: str
    receipts: list[Receipt]


def first_part(text: str, most: int, edge: int, redact: Callable[[str], tuple[str, list[Receipt]]]) -> Cut | None:
    """Cut ``text`` at or before ``most``, and redact what is before the cut. It should go on for ``edge`` after it.

    Around the cut, the two sides come to what they come to together; and what is before it does not end in a secret.
    ``None`` where no such place was found: then one secret covers a long way.
    """
    for place in _places(text, most):
        start = max(place - edge, 0)
        before, after = text[start:place], text[place : place + edge]
        if redact(before + after)[0] != redact(before)[0] + redact(after)[0]:
            continue
        found, receipts = redact(text[:place])
        if found.endswith(text[max(place - _TAIL, 0) : place]):
            return Cut(place, found, receipts)
    return None


def _places(text: str, most: int) -> Iterator[int]:
    """Yield places from ``most`` downwards, after white space where there is some. None is within an escape."""
    last = most + 1
    for step in _STEPS:
        place = most - step
        gap = _GAP.match(text, max(place - max(step, 32), 0), max(place, 0))
        place = gap.end() if gap else place
        escape = _WITHIN_ESCAPE.search(text, max(place - 12, 0), max(place, 0))
        place = escape.start() if escape else place
        if 0 < place < last:
            yield place
            last = place


def redact_long(
    incoming: Incoming, end_of: Callable[[str], int], redact: Callable[[str], tuple[str, list[Receipt]]]
) -> Iterator[Redacted]:
    """Redact the text up to its end, which is not taken. ``end_of`` returns where that is, or -1 while it is far.

    Where no place to cut it is found, what is left of it goes as well.
    """
    longest, edge, _ = incoming.bounds
    while True:
        text = _text(incoming.fill(longest + edge))
        end = end_of(text)
        if end < 0 and incoming.ended and len(incoming.ahead) <= longest + edge:
            end = len(text)
        if end >= 0:
            yield _taken(incoming, text, Cut(end, *redact(text[:end])))
            return
        most = max(len(text) - edge, 1)
        found = first_part(text, most, edge, redact)
        if found is None:
            yield _taken(incoming, text, Cut(most, *redact(text[:most])))
            yield from _dropped(incoming, end_of)
            return
        yield _taken(incoming, text, found)


def _dropped(incoming: Incoming, end_of: Callable[[str], int]) -> Iterator[Redacted]:
    end = -1
    while end < 0 and incoming.fill(2):
        text = _text(incoming.ahead)
        end = end_of(text)
        within_escape = (len(text) - len(text.rstrip("\\"))) % 2 and not incoming.ended
        yield _taken(incoming, text, Cut(end if end >= 0 else len(text) - within_escape, "", []))


def _taken(incoming: Incoming, text: str, cut: Cut) -> Redacted:
    line, size = incoming.line, len(_bytes(text[: cut.place]))
    incoming.take(size)
    return Redacted(_bytes(cut.text), size, [(line, receipt) for receipt in cut.receipts])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

"""Redact a stream of bytes of any length: text, JSON lines, JSON documents over several lines, in bounded memory.

A line that is a JSON object or array is redacted as JSON, position first; any other line as text. JSON in which nothing
was found is passed on as it came; otherwise it is written anew, with the same values. Bytes that are not UTF-8 are
kept. A private key in PEM spans lines: its first line leaves the marker, and the others become nothing.

As many lines as are there are searched at once, since that costs less; none waits for the next. A line that is longer
than ``Bounds.longest`` is JSON that is read piece by piece (``document``), or text that is cut where no secret is
(``long_text``). Where such a text has no place to cut, one secret goes on and on, and the rest of the line goes too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .document import redact_document
from .incoming import BOUNDS, Bounds, Incoming, Readable, Redacted
from .json_reader import Reader
from .json_text import begins_json, redacted_json
from .long_text import redact_long

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .receipt import Receipt
    from .redactor import Redactor

_DOCUMENT_BEGINS = re.compile(r'[\[{]\s*$|\{\s*"|\[\s*[\[{"]')
_PEM_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----(?!.*-----END )")
_PEM_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_LONGEST_PEM = 256
"""Lines. An RSA key of 16,384 bits has under 200."""


def redact_stream(
    stream: Readable, redactor: Redactor, *, text_only: bool = False, bounds: Bounds = BOUNDS
) -> Iterator[Redacted]:
    """Yield what becomes of a stream, piece by piece. ``text_only`` takes JSON for text."""
    incoming = Incoming(stream, bounds)
    if not text_only:
        yield from _documents(incoming, redactor)
    lines = _Lines(redactor, text_only=text_only)
    while incoming.ahead or incoming.more():
        complete = incoming.ahead.rfind(b"\n") + 1
        if complete:
            yield lines.redacted(incoming, complete)
        elif len(incoming.ahead) > bounds.longest:
            yield from lines.long_line(incoming)
        elif not incoming.more():
            yield lines.redacted(incoming, len(incoming.ahead))


def _documents(incoming: Incoming, redactor: Redactor) -> Iterator[Redacted]:
    """Redact the JSON documents over several lines with which the stream begins."""
    while _document_begins(incoming) and (yield from redact_document(incoming, redactor)):
        pass


def _document_begins(incoming: Incoming) -> bool:
    """Whether the first line that is not blank begins a document, and is none by itself."""
    while True:
        start = len(incoming.ahead) - len(incoming.ahead.lstrip())
        end = incoming.ahead.find(b"\n", start)
        if end >= 0 or len(incoming.ahead) > incoming.bounds.longest or not incoming.more():
            break
    line = incoming.ahead[start : end if end >= 0 else None].decode("utf-8", "replace")
    return _DOCUMENT_BEGINS.match(line) is not None and Reader().read(line, 0) is None


class _Lines:
    """Redacts lines, and remembers from one to the next whether they are those of a private key."""

    def __init__(self, redactor: Redactor, *, text_only: bool) -> None:
        self._redactor = redactor
        self._text_only = text_only
        self._within_pem = 0  # how many more lines may belong to it

    def redacted(self, incoming: Incoming, size: int) -> Redacted:
        """Redact the next ``size`` bytes, which are lines."""
        number, raw = incoming.line, incoming.take(size)
        lines = raw.removesuffix(b"\n").decode("utf-8", "surrogateescape").split("\n")
        found = self._found(lines)
        if not found:
            return Redacted(raw, size, [])
        content = [f"{line}\n" for line in lines]
        content[-1] = lines[-1] + "\n" * raw.endswith(b"\n")
        receipts: list[tuple[int, Receipt]] = []
        for place, (text, of_line) in sorted(found.items()):
            content[place] = text + content[place][len(lines[place]) :] if text is not None else ""
            receipts += [(number + place, each) for each in of_line]
        return Redacted("".join(content).encode("utf-8", "surrogateescape"), size, receipts)

    def _found(self, lines: list[str]) -> dict[int, tuple[str | None, list[Receipt]]]:
        """Return what becomes of the lines that do not stay as they are. ``None`` has no line ending either."""
        found: dict[int, tuple[str | None, list[Receipt]]] = {}
        texts: dict[int, str] = {}
        for place, line in enumerate(lines):
            rest = self._after_pem(line) if self._within_pem else line
            if rest is None:
                found[place] = None, []
                continue
            redacted = None if self._text_only or not begins_json(rest) else redacted_json(rest, self._redactor)
            if redacted is None:
                texts[place] = rest.rstrip("\r")
                if "-----BEGIN" in rest and _PEM_BEGINS.search(rest):
                    self._within_pem = _LONGEST_PEM
            if rest is not line or (redacted and redacted[0] is not rest):
                found[place] = redacted or (rest, [])
        for place, (without, receipts) in zip(texts, self._redactor.texts([*texts.values()]), strict=True):
            if receipts:
                end = lines[place][len(lines[place].rstrip("\r")) :]
                found[place] = without + end, receipts
        return found

    def _after_pem(self, line: str) -> str | None:
        """Return what follows the end of the key on this line. ``None`` where all of it belongs to the key."""
        end = _PEM_ENDS.search(line)
        self._within_pem = 0 if end else self._within_pem - 1
        if not end:
            return None if self._within_pem else line
        return line[end.end() :] if line[end.end() :].strip() else None

    def long_line(self, incoming: Incoming) -> Iterator[Redacted]:
        """Redact the line that begins here, of any length. None is that of a private key."""
        self._within_pem = 0
        may_be_json = not self._text_only and begins_json(incoming.ahead[:64].decode("utf-8", "replace"))
        if may_be_json and (yield from redact_document(incoming, self._redactor)):
            return  # what follows it is taken for a line
        yield from redact_long(incoming, lambda text: text.find("\n"), self._redactor.text)
        if _PEM_BEGINS.search(incoming.taken.decode("utf-8", "replace")):
            self._within_pem = _LONGEST_PEM
        if incoming.fill(1):
            yield Redacted(incoming.take(1), 1, [])

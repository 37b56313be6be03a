"""A JSON document in a stream: read as a whole, or if it is too long for that, entered and read piece by piece.

The members or items of what was entered are read as many at a time as make a piece, and redacted where they stand:
below the names that lead to them, beside the members that came before them. What changes is written anew, and the rest
is passed on as it came. Only what comes later in the same object, behind a piece, is not seen when a member is: a
``kty`` far behind its ``k``. Where the JSON breaks off, what is left of it is no document.
"""

from __future__ import annotations

import json
import re
from codecs import utf_8_decode
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from counterfoil.schemas.domain import MAX_DEPTH

from .incoming import Redacted
from .json_reader import Read, Reader
from .json_text import SPACE, written
from .long_text import redact_long
from .receipt import Path, marker, shown_path

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from .incoming import Incoming
    from .receipt import Receipt
    from .redactor import Redactor

_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_MARGIN = re.compile(r"[ \t]*")
_FIRST_LOOK = 1 << 16
_PROBE = 5000
_MOST_SEEN = 64
_PAIR = 2
_UNREAD = Read(None, 0, repeats=False)


class _Unit(NamedTuple):
    """A member or item: its name and where that stands (an item has none), and where the value does."""

    name: str
    name_start: int
    name_end: int
    start: int
    read: Read = _UNREAD


class _Entered:
    """An object or array that was entered."""

    def __init__(self, key: str | int, *, is_list: bool) -> None:
        self.key = key
        """Where it stands in the one around it."""
        self.is_list = is_list
        self.count = 0
        """How many members or items were passed."""
        self.hidden = 0
        """How many of their names were secrets."""
        self.seen: dict[str, Any] = {}
        """Members that were passed: what stands beside a name can tell what it means."""
        self.last: str | None = None
        """The item before: an option can stand before its value."""
        self.pairs = True
        """Whether all items were names with a value."""

    def passed(self, unit: _Unit, value: Any) -> None:
        """Remember what the members and items to come have beside them."""
        self.count += 1
        if self.is_list:
            self.last = value if isinstance(value, str) else None
            self.pairs = self.pairs and isinstance(value, list) and len(cast("Sequence[Any]", value)) == _PAIR
        elif len(self.seen) < _MOST_SEEN:
            label = unit.name in {"name", "key"} and isinstance(value, str)
            self.seen[unit.name] = value if label else None


def redact_document(incoming: Incoming, redactor: Redactor) -> Generator[Redacted, None, bool]:
    """Redact the object or array that begins here. Return whether it came to its end."""
    return (yield from _Document(incoming, redactor).pieces())


class _Document:
    def __init__(self, incoming: Incoming, redactor: Redactor) -> None:
        self._incoming = incoming
        self._redactor = redactor
        self._reader = Reader()
        self._within: list[_Entered] = []

    def pieces(self) -> Generator[Redacted, None, bool]:
        """Yield the pieces of the document."""
        longest = self._incoming.bounds.longest
        for size in (min(_FIRST_LOOK, longest), longest):  # most are short
            text, complete = self._ahead(size)
            start = _after_space(text, 0)
            found = self._reader.read(text, start)
            if found:
                value, receipts = self._redactor.value(found.value)
                again = receipts or found.repeats
                content = written(value, text[start : found.end]) if again else text[start : found.end]
                yield self._taken(text[: found.end], text[:start] + content, receipts)
                return True
        if complete or text[start : start + 1] not in {"{", "["}:
            return False
        yield self._entered(text, _Unit("", start, start, start))
        return (yield from self._inside())

    def _inside(self) -> Generator[Redacted, None, bool]:
        """Yield the pieces of all that is inside what was entered, and of what is entered there, to the end."""
        while self._within:
            text, complete = self._ahead(self._incoming.bounds.longest)
            units, at = self._units(text, complete=complete)
            if units:
                yield self._redacted(text[:at], units)
                continue
            around = self._within[-1]
            end = _after_space(text, at) + 1
            if text[end - 1 : end] == ("]" if around.is_list else "}"):
                self._within.pop()
                yield self._taken(text[:end], text[:end], [])
                continue
            unit = self._next(text, at, first=not around.count)
            begins = text[unit.start : unit.start + 1] if unit and not complete else ""
            if unit and begins in {"{", "["} and len(self._within) < MAX_DEPTH:
                yield self._entered(text, unit)
            elif unit and begins == '"':
                yield from self._long_string(text, unit)
            else:
                return False
        return True

    def _ahead(self, size: int) -> tuple[str, bool]:
        """Return what comes next, as far as it is UTF-8, and whether that is all there is."""
        raw = self._incoming.fill(size)
        complete = self._incoming.ended and len(self._incoming.ahead) <= size
        try:
            return utf_8_decode(raw, "strict", complete)[0], complete
        except UnicodeDecodeError as error:
            return raw[: error.start].decode(), False

    def _taken(self, text: str, content: str, receipts: list[Receipt]) -> Redacted:
        line, size = self._incoming.line, len(text.encode())
        self._incoming.take(size)
        return Redacted(content.encode(), size, [(line, receipt) for receipt in receipts])

    def _units(self, text: str, *, complete: bool) -> tuple[list[_Unit], int]:
        """Read as many members or items as make a piece. Return them, and where the last one ends."""
        around, units, names, at = self._within[-1], list[_Unit](), set[str](), 0
        while at < self._incoming.bounds.batch:
            unit = self._next(text, at, first=not (around.count or units))
            if unit is None or unit.name in names:
                break
            read = self._reader.read(text, unit.start)
            if read is None or (read.end == len(text) and not complete):
                break
            units.append(unit._replace(read=read))
            at = read.end
            if not around.is_list:
                names.add(unit.name)
        return units, at

    def _next(self, text: str, at: int, *, first: bool) -> _Unit | None:
        """Return the member or item that comes next, without its value."""
        at = _after_space(text, at)
        if not first:
            if text[at : at + 1] != ",":
                return None
            at = _after_space(text, at + 1)
        if self._within[-1].is_list:
            return _Unit("", at, at, at)
        name = self._reader.read(text, at)
        if name is None or not isinstance(name.value, str):
            return None
        colon = _after_space(text, name.end)
        if text[colon : colon + 1] != ":":
            return None
        return _Unit(name.value, at, name.end, _after_space(text, colon + 1))

    def _entered(self, text: str, unit: _Unit) -> Redacted:
        """Go into the container that begins here."""
        key: str | int = 0
        content = text[: unit.start + 1]
        receipts: list[Receipt] = []
        if self._within:
            around = self._within[-1]
            content, (shown, _), receipts = self._opened(text, unit)
            content += text[unit.start]
            key = around.count if around.is_list else shown
            around.passed(unit._replace(name=shown), None)
        self._within.append(_Entered(key, is_list=text[unit.start] == "["))
        return self._taken(text[: unit.start + 1], content, receipts)

    def _opened(self, text: str, unit: _Unit) -> tuple[str, tuple[str, Any], list[Receipt]]:
        """Return the text before the value, with the name as it is shown; the name and value; the receipts."""
        [(name, value)], receipts = self._without([unit])
        shown = json.dumps(name) if name != unit.name else text[unit.name_start : unit.name_end]
        return text[: unit.name_start] + shown + text[unit.name_end : unit.start], (name, value), receipts

    def _redacted(self, text: str, units: list[_Unit]) -> Redacted:
        """Redact members or items where they stand. ``text`` has them and nothing behind."""
        around, (members, receipts) = self._within[-1], self._without(units)
        content: list[str] = []
        kept_to = 0
        for unit, (name, value) in zip(units, members, strict=True):
            if name != unit.name:
                content += text[kept_to : unit.name_start], json.dumps(name)
                kept_to = unit.name_end
            if unit.read.repeats or (receipts and value != unit.read.value):
                again = written(value, text[unit.start : unit.read.end], _margin(text, unit.start))
                content += text[kept_to : unit.start], again
                kept_to = unit.read.end
            around.passed(unit._replace(name=name), value)
        return self._taken(text, "".join(content) + text[kept_to:], receipts)

    def _without(self, units: list[_Unit]) -> tuple[list[tuple[str, Any]], list[Receipt]]:
        """Return the names and values without secrets, and the receipts, each with its path from the root."""
        around = self._within[-1]
        value: Any
        if around.is_list:
            beside = 0 if around.pairs else 1
            value = [*[around.last][:beside], *(unit.read.value for unit in units)]
        else:
            named = {unit.name: unit.read.value for unit in units}
            value = {name: label for name, label in around.seen.items() if name not in named}
            beside = len(value)
            value |= named
        redacted, receipts = self._redactor.value(self._in_place(value))
        found = _innermost(redacted, len(self._within) - 1)
        if around.is_list and isinstance(found, list):
            members = [("", item) for item in cast("Sequence[Any]", found)[beside:]]
        elif not around.is_list and isinstance(found, dict):
            members = [*cast("dict[str, Any]", found).items()][beside:]
        else:  # all that is around them went
            members = [(unit.name, found) for unit in units]
        return self._renamed(units, members), [self._from_root(receipt, beside) for receipt in receipts]

    def _in_place(self, value: Any) -> Any:
        """Return the value below the names that lead to it, each beside what came before."""
        for place in range(len(self._within) - 1, 0, -1):
            entered, around = self._within[place], self._within[place - 1]
            if around.is_list:
                value = [None, value]  # not alone, which two strings in a list would be taken for name and value
            else:
                seen = {name: label for name, label in around.seen.items() if name != entered.key}
                value = {**seen, str(entered.key): value}
        return value

    def _from_root(self, receipt: Receipt, beside: int) -> Receipt:
        """Return the receipt of what was redacted by ``_in_place``, with the places in lists as they are."""
        here: Path = None
        there: Path = None
        for around, entered in zip(self._within, self._within[1:], strict=False):
            here = here, 1 if around.is_list else entered.key
            there = there, entered.key
        rest = receipt["path"].removeprefix(shown_path(here)).removeprefix("." if here else "")
        first, *deeper = rest.split(".")
        if self._within[-1].is_list and first.isdecimal():
            first = str(int(first) - beside + self._within[-1].count)
        steps = ([shown_path(there)] if there else []) + [first, *deeper]
        return {**receipt, "path": ".".join(steps)}

    def _renamed(self, units: list[_Unit], members: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Count the names that stand for secrets through the whole object."""
        around, renamed = self._within[-1], list[tuple[str, Any]]()
        for unit, (name, value) in zip(units, members, strict=True):
            shown = name
            if name != unit.name:
                around.hidden += 1
                shown = marker("name" if around.hidden == 1 else f"name:{around.hidden}")
            renamed.append((shown, value))
        return renamed

    def _long_string(self, text: str, unit: _Unit) -> Iterator[Redacted]:
        """Redact a string that is too long to be read. Where its position removes it, nothing of it is shown."""
        around = self._within[-1]
        probe = _unescaped(text[unit.start + 1 :][:_PROBE])
        opened, (name, value), receipts = self._opened(text, unit._replace(read=Read(probe, 0, repeats=False)))
        hidden = value != self._redactor.text(probe)[0]
        content = f'{opened}"{json.dumps(value)[1:-1] if hidden else ""}'
        yield self._taken(text[: unit.start + 1], content, receipts if hidden else [])
        around.passed(unit._replace(name=name), None)
        for piece in redact_long(self._incoming, _end_of_string, self._escaped):
            yield Redacted(b"", piece.read, []) if hidden else piece
        if self._incoming.fill(1):
            yield self._taken('"', '"', [])

    def _escaped(self, text: str) -> tuple[str, list[Receipt]]:
        """Redact a part of what stands in a string."""
        redacted, receipts = self._redactor.text(_unescaped(text))
        return (json.dumps(redacted)[1:-1], receipts) if receipts else (text, [])


def _innermost(value: Any, levels: int) -> Any:
    for _ in range(levels):
        if isinstance(value, dict):
            value = [*cast("dict[str, Any]", value).values()][-1]
        elif isinstance(value, list):
            value = cast("Sequence[Any]", value)[-1]
    return value


def _after_space(text: str, at: int) -> int:
    space = SPACE.match(text, at)
    return space.end() if space else at


def _margin(text: str, at: int) -> str:
    """Return the white space with which the line of this place begins."""
    margin = _MARGIN.match(text, text.rfind("\n", 0, at) + 1, at)
    return margin[0] if margin else ""


def _end_of_string(text: str) -> int:
    return next((found.start() for found in _QUOTE.finditer(text) if found[0] == '"'), -1)


def _unescaped(text: str) -> str:
    """Return what a part of a string says. A part that begins or ends within an escape is left as it is."""
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text

"""What was kept outside the file and can vouch for it: heads of the chain, and roots over the first entries.

A witness file is text, checkpoints as C2SP notes one after the other; or it is JSON, one object a line or one for all.
What an object is, is found out by itself:

- a receipt: ``{"log_id": …, "seq": …, "chain_hash": …}``, also as ``counterfoil record`` prints it;
- what ``counterfoil verify --json`` printed: ``{"log_id": …, "entries": …, "chain_hash": …}``;
- a line of ``counterfoil export jsonl``;
- spans as OTLP JSON, by ``counterfoil.log.id``, ``counterfoil.entry.seq`` and ``counterfoil.entry.chain_hash``.

The rules, each with what it stops:

1. What a witness saw must be what the log has at that place: a rewrite, by whoever, of anything before it.
2. What a witness saw must be there: rows cut from the end, an older copy put back, a log that was wiped.
3. Witnesses must agree with each other: a log that shows one history to one and another to the other.
4. A file that speaks only of other logs fails: a log put in the place of another.
5. A line that cannot be used is an error, and so is a file without anything usable: never is a witness left out in
   silence.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas import ConfigurationError, InvalidNote

from .merkle import HASH_SIZE
from .note import origin_of, parse_checkpoints
from .verdict import State, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .chain import Row

MAX_LINE: Final = 32 * 1024 * 1024
"""The longest line of a witness file, and the longest file that is one text, in bytes."""

_HASH: Final = re.compile("[0-9a-f]{64}")
_ID: Final = re.compile("[0-9a-f]{32}")
_SEQ: Final = re.compile("0|[1-9][0-9]{0,18}")
_SEQ_SPAN, _HASH_SPAN, _ID_SPAN = "counterfoil.entry.seq", "counterfoil.entry.chain_hash", "counterfoil.log.id"

_ADVICE: Final = (
    "A witness file holds checkpoints (C2SP notes), receipts as JSON lines, exported lines, or exported spans as OTLP "
    "JSON."
)


class _Unusable(Exception):
    """A line says something that cannot be; the words say what."""

    def __init__(self, words: str, line: int = 0) -> None:
        super().__init__(words)
        self.line = line
        """Which, unless it is the one that was read last."""


class Witnesses:
    """Everything that witnesses say about one log, compared with its rows as they come."""

    def __init__(self, log_id: str) -> None:
        self._log_id = log_id
        self._heads: dict[int, bytes] = {}  # the hash, then where it was said: 80 bytes a head
        self._roots: dict[int, bytes] = {}
        self._files: list[str] = []
        self._here = self._elsewhere = 0
        self._left: list[int] | None = None
        self._at = 0
        self._bad: tuple[int, str] | None = None

    @property
    def roots(self) -> list[int]:
        """The sizes at which a witness has a root, in order."""
        return sorted(self._roots)

    def read(self, name: str, lines: Iterable[bytes]) -> None:
        """Take what a file says. Raises ``ConfigurationError``, with file and line, for what cannot be used."""
        self._files.append(name)
        self._here = self._elsewhere = 0
        line = 1
        try:
            for line, found in _documents(lines):
                if isinstance(found, bytes):
                    self._take_notes(found)
                else:
                    self._take_object(found, line)
        except _Unusable as problem:
            raise ConfigurationError(f"{name}, line {problem.line or line}: {problem}", advice=_ADVICE) from None
        except InvalidNote as problem:
            raise ConfigurationError(f"{name}: {problem}", advice=_ADVICE) from None
        if not self._here and not self._elsewhere:
            raise ConfigurationError(f"{name}: nothing in it can witness a log", advice=_ADVICE)
        if not self._here:
            self._fail(1, f"{name} is about another log")

    def take(self, rows: Sequence[Row]) -> None:
        """Compare the next rows, which held, with the heads that were seen."""
        if self._left is None:
            self._left = sorted(self._heads)
        if not rows:
            return
        left, at, first, last = self._left, self._at, rows[0][0], rows[-1][0]
        while at < len(left) and left[at] <= last:
            seq, at = left[at], at + 1
            said = self._heads[seq]
            if rows[seq - first][3] != said[:HASH_SIZE]:
                self._fail(seq, f"entry {seq:,} is not the one that {self._where(said)} saw")
        self._at = at

    def check_root(self, size: int, root: bytes) -> None:
        """Compare the root over the first ``size`` entries with the one that was seen."""
        said = self._roots[size]
        if root != said[:HASH_SIZE]:
            self._fail(size, f"the first {size:,} entries are not those that {self._where(said)} saw")

    def verdict(self, entries: int) -> Verdict:
        """Say up to where witnesses vouch for ``entries`` entries."""
        if not self._files:
            return Verdict(State.UNANCHORED, 0, "no witness was given: a cut at the end, or a rewrite, would not show")
        reach = max((*self._heads, *self._roots), default=0)
        if reach > entries and self._bad is None:
            said = self._heads.get(reach) or self._roots[reach]
            self._fail(entries + 1, f"{self._where(said)} saw {reach:,} entries; {entries:,} hold")
        if self._bad:
            agreed = [seq for seq in (*self._heads, *self._roots) if seq < self._bad[0]]
            return Verdict(State.FAILED, max(agreed, default=0), self._bad[1], self._bad[0])
        beyond = f"; {entries - reach:,} entries beyond it are not" if entries > reach else ""
        kinds = (self._heads, "head"), (self._roots, "checkpoint")
        seen = " and ".join(_count(len(found), kind) for found, kind in kinds if found)
        return Verdict(State.PROVEN, reach, f"by {seen} in {_count(len(self._files), 'file')}{beyond}")

    def _take_object(self, found: Any, line: int) -> None:
        if isinstance(found, list):
            for each in cast("list[object]", found):
                self._take_object(each, line)
        elif not isinstance(found, dict):
            raise _Unusable("this is no JSON object")
        elif "resourceSpans" in found:
            for log_id, seq, head in _in_spans(cast("dict[str, Any]", found)):
                if log_id is None:
                    raise _Unusable(f"a span names an entry and not its log ({_ID_SPAN})")
                self._take_head(log_id, seq, head, line)
        else:
            entry = cast("dict[str, Any]", found)
            self._take_head(_log_id_in(entry), entry.get("seq", entry.get("entries")), entry.get("chain_hash"), line)

    def _take_head(self, log_id: object, seq: object, head: object, line: int) -> None:
        number = _number(seq)
        if log_id is not None and not (isinstance(log_id, str) and _ID.fullmatch(log_id)):
            raise _Unusable("this is no id of a log")
        if number == 0 and head == "":  # a receipt of queued delivery: nothing was in the log yet
            return
        if not number or not (isinstance(head, str) and _HASH.fullmatch(head)):
            raise _Unusable("this names no entry of a log with its chain hash")
        self._add(self._heads, number, bytes.fromhex(head), line, log_id)

    def _take_notes(self, text: bytes) -> None:
        for checkpoint in parse_checkpoints(text):
            other = None if checkpoint.origin == origin_of(self._log_id) else checkpoint.origin
            if checkpoint.size:  # of an empty log nothing can be witnessed
                self._add(self._roots, checkpoint.size, checkpoint.root, checkpoint.line, other or self._log_id)

    def _add(self, said: dict[int, bytes], seq: int, value: bytes, line: int, log_id: object) -> None:
        if log_id not in {None, self._log_id}:
            self._elsewhere += 1
            return
        self._here += 1
        now = value + len(self._files).to_bytes(2, "big") + min(line, 2**32 - 1).to_bytes(4, "big")
        before = said.setdefault(seq, now)
        if before[:HASH_SIZE] != value:
            self._fail(seq, f"{self._where(before)} and {self._where(now)} saw different entries up to {seq:,}")

    def _where(self, said: bytes) -> str:
        place = said[HASH_SIZE:]
        return f"{self._files[int.from_bytes(place[:2], 'big') - 1]}, line {int.from_bytes(place[2:], 'big')},"

    def _fail(self, seq: int, words: str) -> None:
        if self._bad is None or seq < self._bad[0]:
            self._bad = seq, words


def _documents(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield the number of each line and its JSON; or once, for the whole: its JSON, or as bytes a text that is none."""
    numbered, first = enumerate(lines, start=1), True
    for number, line in numbered:
        if len(line) > MAX_LINE:
            raise _Unusable(f"it is longer than {MAX_LINE:,} bytes", number)
        if not line.strip():
            continue
        if first and line.lstrip()[:1] not in {b"{", b"["}:
            yield number, b"\n" * (number - 1) + _whole(line, numbered, number)
            return
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            if not first:
                raise _Unusable("it is no JSON", number) from None
            found = _json(_whole(line, numbered, number), number)
        yield number, found
        first = False


def _whole(line: bytes, numbered: Iterable[tuple[int, bytes]], first: int) -> bytes:
    """Return everything from this line on."""
    parts, size = [line], len(line)
    for _, each in numbered:
        parts.append(each)
        size += len(each)
        if size > MAX_LINE:
            raise _Unusable(f"the text that begins here is longer than {MAX_LINE:,} bytes", first)
    return b"".join(parts)


def _json(text: bytes, number: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _Unusable("it is no JSON", number) from None


def _log_id_in(entry: dict[str, Any]) -> object:
    """Return the log of a receipt; of an exported line, if its event names one. Else its chain hash has to tell."""
    event = entry.get("event")
    if isinstance(event, dict) and (named := cast("dict[str, Any]", event)).get("kind") == "log":
        return named.get("log_id")
    return entry.get("log_id")


def _in_spans(request: dict[str, Any]) -> Iterator[tuple[object, object, object]]:
    """Yield log, sequence number and chain hash of each span that has them (OTLP, "JSON Protobuf Encoding")."""
    for resource in _objects(request, "resourceSpans"):
        for scope in _objects(resource, "scopeSpans"):
            for span in _objects(scope, "spans"):
                said = {each.get("key"): each.get("value") for each in _objects(span, "attributes") if _keyed(each)}
                if _SEQ_SPAN in said or _HASH_SPAN in said:
                    yield _value(said.get(_ID_SPAN)), _value(said.get(_SEQ_SPAN)), _value(said.get(_HASH_SPAN))


def _keyed(attribute: dict[str, Any]) -> bool:
    return isinstance(attribute.get("key"), str)


def _objects(parent: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    found = parent.get(name, [])
    if not isinstance(found, list):
        raise _Unusable("this is no export of spans")
    for each in cast("list[object]", found):
        if not isinstance(each, dict):
            raise _Unusable("this is no export of spans")
        yield cast("dict[str, Any]", each)


def _value(value: object) -> object:
    """Return what an ``AnyValue`` holds. 64-bit integers are written as strings, and read either way."""
    found = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return found.get("stringValue", found.get("intValue"))


def _number(found: object) -> int | None:
    """Return a sequence number, written as a number or as a string; None for what is none."""
    if isinstance(found, str):
        found = int(found) if _SEQ.fullmatch(found) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**63 else None


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"

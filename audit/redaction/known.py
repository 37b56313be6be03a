"""Secrets that were seen in this process: found again in any text, although no position and no pattern tells them.

What capture reads from a request, and what an application names with ``remember_secret``, is remembered as a keyed
hash; the key is drawn for each process and written nowhere. A secret is looked for by its **anchor**: its longest run
of ASCII letters and digits, 8 or more. The runs of a text are hashed and looked up, and only where an anchor stands is
the whole secret compared, again by hash. So a secret is found wherever its anchor begins and ends in a text as it does
in itself: alone, after ``=`` or ``:``, in quotes, in a URI, in a cookie, in form or JSON; with blanks, too. One without
such a run has an anchor of another kind with 8 characters, the first that there is: letters and digits of any script,
``_`` and ``-``; then whatever stands between blanks, quotes, brackets and ``= : ; & , |``; then all of it, for a text
that is nothing else. ``search`` also asks about a text as it reads once its percent-encoding or its backslash escapes
are undone, and ``encoded`` about what base64 in it says.

What it cannot find:

- A secret cut into pieces, reversed, in upper or lower case that is not its own, or encoded in more ways than those.
- One that stands between letters or digits of the text, without anything that sets it apart.
- A secret with ``+`` for its blanks, or wrapped in the middle.
- What is not remembered: see ``is_worth_remembering``. Nor what has been forgotten since, the oldest first.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2s
from secrets import token_bytes, token_hex
from struct import Struct
from threading import RLock
from typing import TYPE_CHECKING, Final, NoReturn

from .receipt import is_spent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LIMIT: Final = 4096
"""How many secrets are remembered at most, unless told. The last half as many surely are."""

SHORTEST: Final = 8
"""In characters. Fewer stand in texts by chance; and whoever can write texts and read records could try them out, since
what is removed was right."""

LONG: Final = 12
"""In characters. Most anchors have as many; shorter runs are looked at only where a shorter anchor is known."""

LONGEST: Final = 64 * 1024
"""In characters: a form may hold as much, such as a SAML response."""

LONGEST_INNOCENT: Final = 128
MOST_INNOCENT: Final = 2048

_MOST_ALIKE: Final = 8
_TAIL: Final = 128
_SLOT: Final = (1 << 30) - 1
_RECORD: Final = Struct("<II16s")  # how far before its anchor a secret begins, its length, its hash

_SURE: Final = 24
_FEWEST_KINDS: Final = 6
_WORD = r"(?:(?:[A-Z]?[a-z]{2,}){1,4}|[A-Z]+|[a-z]|[0-9]+)"
_WORDS = re.compile(rf"[^A-Za-z0-9]*{_WORD}(?:[^A-Za-z0-9]+{_WORD})*[^A-Za-z0-9]*")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.,]*(?:Z|[+-][0-9:]*)?)?")
_DIGIT = re.compile(r"[0-9]")

_RUN = re.compile(rf"[A-Za-z0-9]{{{SHORTEST},}}+")
_PIECE = re.compile(rf"[\w-]{{{SHORTEST},}}+")
_REST = re.compile(rf"""[^\s"'`=:;&,<>()\[\]{{}}|\\]{{{SHORTEST},}}+""")
_WHOLE = re.compile(r"\S(?:.*[^\s=])?", re.DOTALL)
_LONG_RUN = re.compile(rf"[A-Za-z0-9]{{{LONG},}}+")

_lock = RLock()
if hasattr(os, "register_at_fork"):  # a child begins with a whole table, and a lock that nobody holds
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class _Table:
    """Secrets by anchor, and how those are found: each way costs in every text, so none is gone for nothing."""

    __slots__ = ("count", "slots", "ways")

    def __init__(self) -> None:
        self.slots: dict[int, bytes] = {}
        self.ways: tuple[re.Pattern[str], ...] = ()
        self.count = 0

    def add(self, slot: int, record: bytes, way: re.Pattern[str]) -> None:
        """Add one. The way goes first, so that whoever searches meanwhile does not miss it."""
        if way not in self.ways:
            self.ways += (way,)
        alike = self.slots.get(slot, b"")
        kept = alike[-(_MOST_ALIKE - 1) * _RECORD.size :]
        self.count += 1 - (len(alike) - len(kept)) // _RECORD.size
        self.slots[slot] = kept + record


class KnownSecrets:
    """The last ``limit`` secrets or half as many, none of which can be read out of it. What was longest not seen goes.

    Safe to share between threads; a forked child goes on with what its parent knew.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._half = max(limit // 2, 1)
        self._salt = token_hex(16)
        self._hash = blake2s(key=token_bytes(32), digest_size=16)
        self._young = self._old = _Table()
        self._news = 0
        self.innocent: set[str] = set()
        """Short texts that were searched and held nothing; emptied when a secret is new that they could hold."""
        self.innocent_names: set[str] = set()
        """The same for the names of members, which are only searched for what is known."""

    def remember(self, secret: str | bytes) -> bool:
        """Remember a secret. Returns whether it is: not what ``is_worth_remembering`` refuses."""
        text = (secret.decode("utf-8", "surrogateescape") if isinstance(secret, bytes) else secret).strip().rstrip("=")
        if not is_worth_remembering(text):
            return False
        self._remember(text)
        if not text.isascii():  # as its UTF-8 reads where percent-encoding is undone octet by octet
            self._remember(text.encode("utf-8", "surrogatepass").decode("latin-1"))
        return True

    def _remember(self, text: str) -> None:
        way, start, end = _anchor(text)
        slot, record = self._slot(text[start:end]), _RECORD.pack(start, len(text), self._digest(text))
        if record in _records(self._young.slots.get(slot, b"")):
            return
        with _lock:
            is_new = record not in _records(self._found(slot))
            self._young.add(slot, record, way)
            if self._young.count >= self._half:
                self._old = self._young  # first, so that whoever searches meanwhile misses nothing
                self._young = _Table()
            if is_new and len(text) <= LONGEST_INNOCENT:
                self._doubt()

    def _doubt(self) -> None:
        self._news += 1
        self.innocent.clear()
        self.innocent_names.clear()

    def forget(self) -> None:
        """Forget all of them."""
        with _lock:
            self._young = self._old = _Table()
            self._doubt()

    @property
    def news(self) -> int:
        """Grows with each secret that makes ``innocent`` doubtful."""
        return self._news

    def hold_innocent(self, texts: Iterable[str], news: int, *, names: bool = False) -> None:
        """Take texts for innocent which were searched when ``news`` was this, unless there has been more since."""
        innocent = self.innocent_names if names else self.innocent
        with _lock:
            if news == self._news:
                if len(innocent) > MOST_INNOCENT:
                    innocent.clear()
                innocent.update([text for text in texts if len(text) <= LONGEST_INNOCENT])

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where secrets stand in a text, in order; they may overlap."""
        return sorted(set(self._inside(text))) if self and self._may_hold([text], text, text) else []

    def within(self, texts: Sequence[str], joined: str, long: str) -> list[int]:
        """Return the places of the texts that hold a secret.

        ``joined`` is all of them with anything between; ``long`` what is in it between blanks and has ``LONG``
        characters or more, where most secrets are.
        """
        if not self or not self._may_hold(texts, joined, long):
            return []
        return [place for place, text in enumerate(texts) if self.spans(text)]

    def _may_hold(self, texts: Sequence[str], joined: str, long: str) -> bool:
        """Whether anything in the texts could be a secret. It is what every text costs."""
        ways = self._other_ways()
        runs = _LONG_RUN.findall(long) if _RUN not in ways else []
        for way in ways:
            runs += way.findall(joined) if way is not _WHOLE else _wholes(texts)
        salt, young, old = self._salt, self._young.slots, self._old.slots
        slots = [hash(salt + run) & _SLOT for run in runs]
        return not (young.keys().isdisjoint(slots) and old.keys().isdisjoint(slots))

    def _other_ways(self) -> set[re.Pattern[str]]:
        return {*self._young.ways, *self._old.ways} - {_LONG_RUN}

    def _inside(self, text: str) -> Iterator[tuple[int, int]]:
        for way in {_LONG_RUN, *self._other_ways()}:
            for match in way.finditer(text):
                yield from self._confirmed(text, *match.span())

    def _confirmed(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        for record in _records(self._found(self._slot(text[start:end]))):
            before, length, digest = _RECORD.unpack(record)
            first, last = start - before, start - before + length
            if first >= 0 and last <= len(text) and self._digest(text[first:last]) == digest:
                while text[last : last + 1] == "=":
                    last += 1
                yield first, last

    def _found(self, slot: int) -> bytes:
        young = self._young.slots.get(slot, b"")  # looked at first: what is old now was young before
        return young + self._old.slots.get(slot, b"")

    def _slot(self, anchor: str) -> int:
        """Return where to look first. Python's own hash is quick; what it lets through is compared by a better one."""
        return hash(self._salt + anchor) & _SLOT

    def _digest(self, secret: str) -> bytes:
        keyed = self._hash.copy()
        keyed.update(secret.encode("utf-8", "surrogatepass"))
        return keyed.digest()

    def __bool__(self) -> bool:
        return bool(self._young.slots or self._old.slots)

    def __len__(self) -> int:
        young, old = self._young, self._old
        return young.count + (old.count if old is not young else 0)

    def __repr__(self) -> str:
        return f"<KnownSecrets, {len(self)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("KnownSecrets are not pickled: each process remembers what it sees itself")


def is_worth_remembering(secret: str) -> bool:
    """Whether a secret is one that a text holds for no other reason.

    It has 8 to 65,536 characters, 6 different ones, and is no time; and with fewer than 24 it is more than words, names
    and numbers. Otherwise records would lose words for it, and show by their loss what it was.
    """
    if not SHORTEST <= len(secret) <= LONGEST or len(set(secret)) < _FEWEST_KINDS:
        return False
    if len(secret) < _SURE and _WORDS.fullmatch(secret):
        return False
    return not _TIME.fullmatch(secret) and not is_spent(secret, 0, len(secret))


def _anchor(secret: str) -> tuple[re.Pattern[str], int, int]:
    """Return how the anchor is found, and where it stands: near the end, since many tokens begin alike.

    It is the longest, of those with a digit if there are any.
    """
    for way, begin in ((_RUN, max(len(secret) - _TAIL, 0)), (_RUN, 0), (_PIECE, 0), (_REST, 0)):
        spans = [match.span() for match in way.finditer(secret, begin)]
        if begin and spans and spans[0][0] == begin:
            del spans[0]  # it may begin earlier
        if spans:
            start, end = max(spans, key=lambda span: (_DIGIT.search(secret, *span) is not None, span[1] - span[0]))
            return _LONG_RUN if way is _RUN and end - start >= LONG else way, start, end
    return _WHOLE, 0, len(secret)


def _wholes(texts: Iterable[str]) -> list[str]:
    return [match[0] for text in texts if (match := _WHOLE.search(text))]


def _records(packed: bytes) -> list[bytes]:
    return [packed[at : at + _RECORD.size] for at in range(0, len(packed), _RECORD.size)]


KNOWN: Final = KnownSecrets()
"""What this process has seen. Capture fills it, and every redactor looks there unless told."""


def remember_secret(*secrets: str | bytes) -> bool:
    """Remember secrets that the application knows, from a vault say. Returns whether all of them are remembered.

    Remember a pair of user and password by its password. Those that change are named again when they do.
    """
    remembered = [KNOWN.remember(secret) for secret in secrets]
    return all(remembered)

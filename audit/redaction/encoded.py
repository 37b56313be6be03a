"""What is written in base64 or in hex inside a text: decoded, and searched like any text.

Random strings and digests decode to bytes that are no text, and stay. Where what a run says holds a secret, or is a
name and a password (RFC 7617 §2), the whole run is one.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_SHORTEST: Final = 16
_RUN = re.compile(
    r"(?:[A-Za-z0-9+/]{60,76}\r?\n)*(?:[A-Za-z0-9+/_-]{16,}={0,2}|[A-Za-z0-9+/_-]{14,15}={1,2}"
    r"|(?<=\n)[A-Za-z0-9+/]{1,15}(?:={1,2}|(?=[\r\n\"'\\]|\Z)))"
)
_LINE = re.compile(r"[A-Za-z0-9+/]{60,76}")
_NEXT_LINE = re.compile(r"\r?\n(?=[A-Za-z0-9+/])")
_PART = re.compile(r"[A-Za-z0-9]{16,}={0,2}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{7,}={0,2}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_URL_SAFE = str.maketrans("-_", "+/", "\r\n=")
_CONTROL = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")

_PAIR = re.compile(r"(?!urn:|[0-9]+:[A-Z])[^\s:/]{1,128}:(?!//)(?=\S*[^0-9\s])\S.{2,255}", re.ASCII)
_PUBLIC_ID = re.compile(
    r"[A-Za-z]+:(?:[0-9]+|[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12})(?::[0-9]+)*", re.ASCII
)
"""As in ``User:10``, which some interfaces give out as base64."""

_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")
_AS_RUNS: Final = bytes(120 if each in _ALPHABET else 32 for each in range(256))
_LONG: Final = b"x" * _SHORTEST


def with_runs(texts: Sequence[str], places: Iterable[int]) -> list[int]:
    """Return those places of texts in which something may be encoded."""
    return [place for place in places if len(texts[place]) >= _SHORTEST and _LONG in _runs(texts[place])]


def encoded_secrets(text: str, hides: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Yield where a secret is encoded. ``hides`` tells whether a decoded text holds one."""
    runs = _runs(text)
    at = runs.find(_LONG)
    while at >= 0:
        line, end = at, _end(runs, at)
        while _LINE.fullmatch(text, line, end) and (more := _NEXT_LINE.match(text, end)):
            line, end = more.end(), _end(runs, more.end())
        for run in _RUN.finditer(text, at, end):
            yield from _within(run, hides)
        at = runs.find(_LONG, end)


def _runs(text: str) -> bytes:
    """Return the text with ``x`` for each character of the alphabet: in that, runs are found fastest."""
    return text.encode("ascii", "replace").translate(_AS_RUNS)


def _end(runs: bytes, start: int) -> int:
    end = runs.find(b" ", start)
    return len(runs) if end < 0 else end


def _within(run: re.Match[str], hides: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    said = _decoded(run[0])
    if said is not None:
        if _is_pair(said) or hides(said):
            yield run.span()
    elif not run[0].isalnum():  # what stands before it may be of the alphabet as well: ``/login/dXNl…``
        for part in _PART.finditer(run.string, *run.span()):
            said = _decoded(part[0])
            if said is not None and (_is_pair(said) or hides(said)):
                yield part.span()


def is_encoded_pair(text: str) -> bool:
    """Whether a text is a name and a password in base64, however short."""
    said = _decoded(text) if _BASE64.fullmatch(text) else None
    return said is not None and _is_pair(said)


def _is_pair(text: str) -> bool:
    """Whether a decoded text is a name and a password."""
    return _PAIR.fullmatch(text) is not None and _PUBLIC_ID.fullmatch(text) is None


def _decoded(run: str) -> str | None:
    """Return what a run says, if that is text."""
    head = _bytes(run[:_SHORTEST].rstrip("="))
    if head is None or not (_is_text(head[:8]) or not any(head[1::2])):
        return None
    raw = _bytes(run)
    if raw is None:
        return None
    try:
        text = raw.decode("utf-16-le" if not any(head[1::2]) else "utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _is_text(raw: bytes) -> bool:
    return all(0x20 <= each != 0x7F or each in b"\t\n\r" for each in raw)


def _bytes(run: str) -> bytes | None:
    if _HEX.fullmatch(run) and len(run) % 2 == 0:
        return bytes.fromhex(run)
    digits = run.translate(_URL_SAFE)
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    try:
        return a2b_base64(digits + "=" * (-len(digits) % 4))
    except Error:
        return None

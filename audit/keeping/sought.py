"""A secret that is looked for in what a log holds, in every form in which it may stand there."""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from html import unescape
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from counterfoil.schemas import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST: Final = 4
"""A shorter secret, in bytes, stands everywhere by chance."""
LONGEST: Final = 65_536
"""In bytes."""

_SHORTEST_CODED: Final = 8  # characters of base64 or hex: fewer stand in digests by chance
_LAYERS: Final = 4
_MOST_READINGS: Final = 32
_ESCAPE: Final = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))')
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WHITE: Final = re.compile(r"\s+")


class Sought:
    """Finds one secret: as it is, escaped as JSON, HTML or in percent, in hex, in base64 at any offset; also nested.

    What it does not find: the secret in pieces, reversed, compressed, encrypted, hashed, or in other letter case.
    """

    def __init__(self, secret: bytes) -> None:
        """Look for ``secret``. Raises ``ConfigurationError`` if it is too short, or too long, to be looked for."""
        if not SHORTEST <= len(secret) <= LONGEST:
            raise ConfigurationError(
                f"a secret of {SHORTEST} to {LONGEST:,} bytes can be looked for",
                advice="Name the entries by --seq instead.",
            )
        forms = {secret.decode("utf-8", "surrogateescape"), *_coded(secret), *_coded(_utf_16(secret))}
        self._forms = tuple(forms)
        hexed = secret.hex()
        self._hex = hexed if len(hexed) >= _SHORTEST_CODED else None

    def stands_in(self, text: str) -> bool:
        """Whether the secret stands in a text: as it is read, and as it is read once more, up to four times."""
        return any(self._stands_plainly_in(each) for each in _readings(text))

    def _stands_plainly_in(self, text: str) -> bool:
        return any(form in text for form in self._forms) or (self._hex is not None and self._hex in text.lower())

    def __repr__(self) -> str:
        return "<Sought>"


def _coded(secret: bytes) -> Iterator[str]:
    """Yield the base64 of a secret at each of three offsets: those characters whose six bits are all the secret's."""
    for encode in (b64encode, urlsafe_b64encode):
        for offset in range(3):
            coded = encode(bytes(offset) + secret).decode()
            inner = coded[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
            if len(inner) >= _SHORTEST_CODED:
                yield inner


def _utf_16(secret: bytes) -> bytes:
    return secret.decode("utf-8", "surrogateescape").encode("utf-16-le", "surrogatepass")


def _readings(text: str) -> Iterator[str]:
    """Yield a text, and what it says when its escapes are read, and theirs."""
    seen, layer = {text}, {text}
    yield text
    for _ in range(_LAYERS):
        layer = {each for known in layer for each in _read(known)} - seen
        yield from layer
        seen |= layer
        if not layer or len(seen) > _MOST_READINGS:
            return


def _read(text: str) -> Iterator[str]:
    if "\\" in text:
        read = _ESCAPE.sub(_unescaped, text)
        # A character beyond the Basic Multilingual Plane is escaped as two surrogates.
        yield read.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if "%" in text:
        yield unquote(text, errors="surrogateescape")
        yield unquote(text.replace("+", " "), errors="surrogateescape")
    if "&" in text:
        yield unescape(text)
    if "\n" in text:
        yield _WHITE.sub("", text)  # base64 in lines


def _unescaped(found: re.Match[str]) -> str:
    code, char = found.groups()
    return chr(int(code, 16)) if code else _ESCAPED.get(char, char)

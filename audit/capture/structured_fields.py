"""Reading structured field values (RFC 8941), strictly, and writing them in their one canonical form.

Only what RFC 9421 and RFC 9530 use: no dates and no display strings (RFC 9651). Stricter than RFC 8941 in two points:
a key that stands twice is refused (§3.1.2, §3.2), since readers disagree about which of the two counts, and so is a
value of more than 1,024 keys and items in all.

Every pattern is possessive, so that reading takes time in proportion to the text.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Unreadable(ValueError):
    """The text is no structured field value. It does not say what the text is."""


class Token(str):
    """A token (RFC 8941 §3.3.4), which is not a string (§3.3.3)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, repr=False)
class Bare:
    """A bare item (RFC 8941 §3.3)."""

    value: int | float | str | bytes | bool
    """What it means: tokens are ``Token``, strings are unescaped, byte sequences decoded."""
    text: str
    """How it is written (§4.1.3)."""


Parameters: TypeAlias = "Mapping[str, Bare]"
"""Parameters in their order (RFC 8941 §3.1.2)."""


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """An item (RFC 8941 §3.3)."""

    bare: Bare
    parameters: Parameters

    @property
    def text(self) -> str:
        """How it is written (§4.1.3)."""
        return self.bare.text + parameters_text(self.parameters)


@dataclass(frozen=True, slots=True, repr=False)
class InnerList:
    """An inner list (RFC 8941 §3.1.1)."""

    items: tuple[Item, ...]
    parameters: Parameters

    @property
    def text(self) -> str:
        """How it is written (§4.1.1.1)."""
        return f"({' '.join(item.text for item in self.items)}){parameters_text(self.parameters)}"


Member: TypeAlias = Item | InnerList
"""A member of a list or dictionary."""

_TRUE: Final = Bare(value=True, text="?1")


def parameters_text(parameters: Parameters) -> str:
    """Write parameters (RFC 8941 §4.1.1.2)."""
    return "".join(f";{name}" + ("" if bare.value is True else f"={bare.text}") for name, bare in parameters.items())


def read_members(text: str) -> Iterator[tuple[str, Member]]:
    """Yield the members of a dictionary (RFC 8941 §4.2.2) as they come. Raises ``Unreadable`` where one is none."""
    yield from _Reader(text).dictionary()


def read_dictionary(text: str) -> dict[str, Member] | None:
    """Read a whole dictionary; None if any of it cannot be read, or a key stands twice."""
    members: dict[str, Member] = {}
    try:
        for key, member in read_members(text):
            if key in members:
                return None
            members[key] = member
    except Unreadable:
        return None
    return members


def canonical_text(text: str) -> str | None:
    """Write a value in canonical form (RFC 8941 §4.1) without knowing its type; None where that is needed.

    Where a value reads as a dictionary, a list and an item, it is often the same text in each.
    """
    forms = {form for form in (_dictionary_text(text), _list_text(text), _item_text(text)) if form is not None}
    return forms.pop() if len(forms) == 1 else None


def _dictionary_text(text: str) -> str | None:
    members = read_dictionary(text)
    return None if members is None else ", ".join(_member_text(key, member) for key, member in members.items())


def _member_text(key: str, member: Member) -> str:
    if isinstance(member, Item) and member.bare.value is True:
        return key + parameters_text(member.parameters)
    return f"{key}={member.text}"


def _list_text(text: str) -> str | None:
    try:
        return ", ".join(member.text for member in _Reader(text).list())
    except Unreadable:
        return None


def _item_text(text: str) -> str | None:
    try:
        return _Reader(text).only_item().text
    except Unreadable:
        return None


_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]*+")
_BARE: Final = re.compile(
    r'"(?P<string>(?:[ !#-\[\]-~]|\\["\\])*+)"'
    r"|:(?P<bytes>[A-Za-z0-9+/]*+={0,2}+):"
    r"|\?(?P<boolean>[01])"
    r"|(?P<sign>-?+)(?P<whole>[0-9]{1,15}+)(?:\.(?P<fraction>[0-9]{1,3}+))?+(?![0-9.])"
    r"|(?P<token>[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*+)"
)
_ESCAPED: Final = re.compile(r"\\(.)")
_SPACES: Final = re.compile(" *+")
_BLANKS: Final = re.compile("[ \t]*+")
_MAX_WHOLE_OF_DECIMAL: Final = 12
_MAX_PARTS: Final = 1024


class _Reader:
    """Reads from the front of a text on (RFC 8941 §4.2)."""

    def __init__(self, text: str) -> None:
        self._text = text.strip(" ")
        self._at = 0
        self._left = _MAX_PARTS

    def dictionary(self) -> Iterator[tuple[str, Member]]:
        while self._more():
            key = self._part(_KEY)[0]
            yield key, self._member() if self._took("=") else Item(_TRUE, self._parameters())
            self._separator()

    def list(self) -> Iterator[Member]:
        while self._more():
            yield self._member()
            self._separator()

    def only_item(self) -> Item:
        item = self._item()
        if self._more():
            raise Unreadable
        return item

    def _more(self) -> bool:
        return self._at < len(self._text)

    def _separator(self) -> None:
        """Take the comma between two members; none follows the last."""
        self._match(_BLANKS)
        if self._more():
            if not self._took(","):
                raise Unreadable
            self._match(_BLANKS)
            if not self._more():
                raise Unreadable

    def _member(self) -> Member:
        return self._inner_list() if self._took("(") else self._item()

    def _inner_list(self) -> InnerList:
        items: list[Item] = []
        self._match(_SPACES)
        while not self._took(")"):
            items.append(self._item())
            if not self._match(_SPACES)[0] and not self._text.startswith(")", self._at):
                raise Unreadable
        return InnerList(tuple(items), self._parameters())

    def _item(self) -> Item:
        return Item(self._bare(), self._parameters())

    def _parameters(self) -> Parameters:
        parameters: dict[str, Bare] = {}
        while self._took(";"):
            self._match(_SPACES)
            key = self._part(_KEY)[0]
            if key in parameters:
                raise Unreadable
            parameters[key] = self._bare() if self._took("=") else _TRUE
        return parameters

    def _bare(self) -> Bare:
        match = self._part(_BARE)
        if match["string"] is not None:
            return Bare(_ESCAPED.sub(r"\1", match["string"]), match[0])
        if match["bytes"] is not None:
            return _byte_sequence(match["bytes"])
        if match["boolean"]:
            return Bare(match["boolean"] == "1", match[0])
        if match["token"]:
            return Bare(Token(match[0]), match[0])
        return _number(match["sign"], match["whole"], match["fraction"])

    def _took(self, character: str) -> bool:
        if not self._text.startswith(character, self._at):
            return False
        self._at += 1
        return True

    def _part(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Match one more key or item, of which there may be so many."""
        self._left -= 1
        if self._left < 0:
            raise Unreadable
        return self._match(pattern)

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if not match:
            raise Unreadable
        self._at = match.end()
        return match


def _byte_sequence(encoded: str) -> Bare:
    """Decode base64 (§4.2.7). Padding may be missing; bits that no encoder writes are refused."""
    digits = encoded.rstrip("=")
    try:
        raw = b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        raise Unreadable from None
    canonical = b64encode(raw).decode("ascii")
    if encoded not in {canonical, canonical.rstrip("=")}:
        raise Unreadable
    return Bare(raw, f":{canonical}:")


def _number(sign: str, whole: str, fraction: str | None) -> Bare:
    """Read an integer (§3.3.1) or a decimal (§3.3.2)."""
    if fraction is None:
        integer = int(sign + whole)
        return Bare(integer, str(integer))
    if len(whole) > _MAX_WHOLE_OF_DECIMAL:
        raise Unreadable
    text = f"{sign}{int(whole)}.{fraction.rstrip('0') or '0'}"
    return Bare(float(text), text)

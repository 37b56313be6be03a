"""Which signature of a request is meant, and whether it is well formed (RFC 9421 §4.1, §4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..capture.structured_fields import InnerList, Item, Token, parameters_text, read_dictionary

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..capture.request import HttpRequest
    from ..capture.structured_fields import Member

MAX_FIELD: Final = 8 * 1024
"""The longest ``Signature-Input`` or ``Signature`` that is read, in characters."""

MAX_COMPONENTS: Final = 64
"""The most components that one signature may cover."""

_NAME: Final = re.compile(r"@[a-z-]+|[!#$%&'*+.^_`|~0-9a-z-]+")
_SPELLING: Final = ("sf", "bs")
_INTEGERS: Final = ("created", "expires")
_STRINGS: Final = ("nonce", "alg", "keyid", "tag")


class Malformed(Exception):
    """There is no one well-formed signature. It says why, and no value."""


@dataclass(frozen=True, slots=True, repr=False)
class MessageSignature:
    """One signature, unverified. Its ``repr`` shows nothing of it."""

    covered: InnerList
    """The covered components, with the parameters of the signature."""
    signature: Item
    """The signature."""

    @property
    def octets(self) -> bytes:
        """The signature, decoded."""
        value = self.signature.bare.value
        return value if isinstance(value, bytes) else b""

    @property
    def components(self) -> frozenset[str]:
        """What is covered whole: names, with the parameters that choose a part of the query or of a field."""
        return frozenset(_identifier(item) for item in self.covered.items)

    def members(self, field: str) -> tuple[str, ...] | None:
        """Return the members of a dictionary field that are covered; None if all are, empty if none is."""
        covered = [item.parameters for item in self.covered.items if item.bare.value == field]
        if any("key" not in parameters for parameters in covered):
            return None
        return tuple(str(parameters["key"].value) for parameters in covered)

    def text(self, name: str) -> str | None:
        """Return a parameter that is a string: ``nonce``, ``alg``, ``keyid`` or ``tag`` (RFC 9421 §2.3)."""
        bare = self.covered.parameters.get(name)
        return bare.value if bare and isinstance(bare.value, str) else None

    def seconds(self, name: str) -> int | None:
        """Return ``created`` or ``expires``, in Unix time."""
        bare = self.covered.parameters.get(name)
        return bare.value if bare and isinstance(bare.value, int) else None


def read_signature(
    request: HttpRequest, *, label: str | None, tag: str | None, known: Collection[str]
) -> MessageSignature:
    """Return the signature with this label, or this tag. Raises ``Malformed``.

    Where several are left, it is the one whose ``keyid`` is ``known``: others may have signed for others (§7.2.3).
    """
    inputs = _read(request, "Signature-Input")
    signatures = _read(request, "Signature")
    if label is not None:
        inputs = {name: member for name, member in inputs.items() if name == label}
    wanted = {name: member for name, member in inputs.items() if tag is None or _parameter(member, "tag") == tag}
    if len(wanted) > 1:
        wanted = {name: member for name, member in wanted.items() if _parameter(member, "keyid") in known}
    if len(wanted) != 1:
        raise Malformed(f"{len(wanted) or 'no'} signatures to choose from")
    ((name, covered),) = wanted.items()
    return _well_formed(covered, signatures.get(name))


def _read(request: HttpRequest, field: str) -> dict[str, Member]:
    value = ", ".join(request.values(field))
    if len(value) > MAX_FIELD:
        raise Malformed(f"{field} has more than {MAX_FIELD:,} characters")
    members = read_dictionary(value)
    if members is None:
        raise Malformed(f"{field} is no dictionary")
    return members


def _parameter(member: Member, name: str) -> str | None:
    bare = member.parameters.get(name)
    return bare.value if bare and isinstance(bare.value, str) else None


def _well_formed(covered: Member, signature: Member | None) -> MessageSignature:
    if not isinstance(covered, InnerList):
        raise Malformed("the covered components are no list")
    if not isinstance(signature, Item) or not isinstance(signature.bare.value, bytes):
        raise Malformed("there is no signature under the label")
    if len(covered.items) > MAX_COMPONENTS:
        raise Malformed(f"more than {MAX_COMPONENTS} covered components")
    seen: set[tuple[object, ...]] = set()
    for item in covered.items:
        name = item.bare.value
        if not isinstance(name, str) or isinstance(name, Token) or not _NAME.fullmatch(name):
            raise Malformed("a covered component has no name in lower case")
        identifier = (name, *sorted(parameters_text({each: bare}) for each, bare in item.parameters.items()))
        if identifier in seen or name == "@signature-params":
            raise Malformed("a component is covered twice")
        seen.add(identifier)
    for name, bare in covered.parameters.items():
        if (name in _INTEGERS and type(bare.value) is not int) or (name in _STRINGS and type(bare.value) is not str):
            raise Malformed(f"{name} is of another type")
    return MessageSignature(covered, signature)


def _identifier(item: Item) -> str:
    choosing = {name: bare for name, bare in item.parameters.items() if name not in _SPELLING}
    return str(item.bare.value) + parameters_text(choosing)

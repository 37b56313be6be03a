"""The sealed entry: canonical bytes, leaf hash, chain hash.

The rules, each of which a reviewer can check against the code below:

1. The body is JSON in the form of RFC 8785 (JCS): UTF-8, members sorted, no white space.
2. Its domain is what every JSON reader keeps exactly: finite numbers, integers up to 2^53 - 1, floats from 1e-4 up
   to 2^53 (between these Python and ECMAScript write the same digits), no lone surrogate, no NUL, member names within
   the Basic Multilingual Plane, depth up to 64, size up to 256 KiB. Anything else is refused, never changed.
3. ``leaf_hash = SHA-256(0x00 ‖ body)``, the leaf of RFC 9162 §2.1.1, so that a Merkle tree can be built from leaves.
4. ``chain_hash = SHA-256("counterfoil/1" ‖ 0x00 ‖ log_id ‖ seq as 8 bytes big-endian ‖ previous chain_hash ‖
   leaf_hash)``. ``log_id`` is 16 random bytes, ``seq`` starts at 1, the predecessor of the first is 32 zero bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from .document import MAX_INPUT
from .errors import EventTooLarge, OutOfDomain
from .events import Event, UnlistedEvent, read_event
from .refusal import shown_name
from .values import MAX_SAFE_INTEGER, is_unicode

if TYPE_CHECKING:
    from collections.abc import Mapping

GENESIS: Final = bytes(32)
"""The chain hash before the first entry."""

MAX_BODY: Final = 256 * 1024
"""The largest body, in bytes."""

MAX_DEPTH: Final = 64
"""The deepest nesting of a body."""

LOG_MEMBERS: Final = frozenset({"recorded_at", "producer", "salt", "redactions"})
"""The members of ``context`` that the log gives, whatever a caller put there."""

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


class _Outside(Exception):
    """A value outside the domain; the steps to it gather as the walk unwinds, in a form that can be shown."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.steps: list[str] = []


def canonical_bytes(body: Mapping[str, Any]) -> bytes:
    """Return ``body`` in its one canonical form (RFC 8785). Raises ``OutOfDomain`` and ``EventTooLarge``."""
    refusal = _refusal(body)
    if refusal:
        raise refusal
    sealed = _encode(body).encode("utf-8")
    if len(sealed) > MAX_BODY:
        raise EventTooLarge(len(sealed), MAX_BODY)
    return sealed


def check_size(free_form: Mapping[str, Any]) -> None:
    """Raise ``EventTooLarge`` for free-form members that no body could hold, before the cost of redacting them.

    Redaction can shorten what it is given, so the bound is that of a caller's JSON: four times the largest body.
    """
    size = len(_encode(free_form))
    if size > MAX_INPUT:
        raise EventTooLarge(size, MAX_INPUT)


def _refusal(body: Mapping[str, Any]) -> OutOfDomain | None:
    """Return the error for the first value outside the domain; raised by the caller, it has nothing chained to it."""
    try:
        _check(body, 0)
    except _Outside as outside:
        return OutOfDomain(".".join(reversed(outside.steps[-8:])), outside.problem)
    return None


def _check(value: Any, depth: int) -> None:
    kind: object = type(value)  # pyright: ignore[reportUnknownVariableType] -- of Any, nothing more is known
    if kind is str:
        _check_text(value)
    elif kind is dict:
        _check_members(value, depth)
    elif kind is list or kind is tuple:
        _check_depth(depth)
        for position, member in enumerate(value):
            try:
                _check(member, depth + 1)
            except _Outside as outside:
                outside.steps.append(str(position))
                raise
    elif kind is int or kind is float:
        _check_number(value)
    elif value is not None and kind is not bool:
        raise _Outside(f"{type(value).__name__} has no JSON form")


def _check_members(members: dict[Any, Any], depth: int) -> None:
    _check_depth(depth)
    for name, member in members.items():
        # Nearly every member is ASCII text under an ASCII name; a call for each would double the cost of sealing.
        if type(name) is type(member) is str and (name + member).isascii() and "\x00" not in name + member:
            continue
        try:
            _check_name(name)
            _check(member, depth + 1)
        except _Outside as outside:
            outside.steps.append(shown_name(name) if type(name) is str else "<member>")
            raise


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _Outside("the text contains NUL")
    if not is_unicode(text):
        raise _Outside("the text contains a lone surrogate")


def _check_name(name: object) -> None:
    if type(name) is not str:
        raise _Outside("a member's name is not a string")
    _check_text(name)
    # JCS sorts by UTF-16 units, Python by code points: the two differ only beyond the Basic Multilingual Plane.
    if not name.isascii() and max(name) > "\uffff":
        raise _Outside("a member's name has a character beyond U+FFFF")


def _check_number(number: float) -> None:
    if not -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER:
        raise _Outside("the number is not finite, or beyond 2^53 - 1")
    if type(number) is float and (number.is_integer() or abs(number) < 1e-4):
        raise _Outside("write a whole number without a fraction, and one below 0.0001 as a string")


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _Outside(f"nested deeper than {MAX_DEPTH}")


def leaf_hash(body: bytes) -> bytes:
    """Return the RFC 9162 §2.1.1 leaf hash of a body, 32 bytes."""
    return hashlib.sha256(b"\x00" + body).digest()


def chain_hash(log_id: bytes, seq: int, previous: bytes, leaf: bytes) -> bytes:
    """Return the chain hash of entry ``seq``, 32 bytes. ``log_id`` has 16 bytes, both hashes have 32."""
    return hashlib.sha256(b"counterfoil/1\x00" + log_id + seq.to_bytes(8, "big") + previous + leaf).digest()


def same_content(stored: str, given: bytes) -> bool:
    """Whether two bodies tell the same event, leaving out what the log itself added to each."""
    return _content(stored) == _content(given)


def _content(body: str | bytes) -> str:
    content: dict[str, Any] = json.loads(body)
    content["context"] = {
        name: member for name, member in content.get("context", {}).items() if name not in LOG_MEMBERS
    }
    return _encode(content)  # as text, because to Python 1 and True are equal


@dataclass(frozen=True, slots=True)
class Receipt:
    """What ``record()`` returns once the entry is durable. Whoever keeps it is a witness."""

    log_id: str
    """Which log, 32 hex digits."""
    seq: int
    """Position in the log, from 1."""
    event_id: UUID
    """Which event."""
    chain_hash: str
    """The head of the chain with this entry, 64 hex digits."""


@dataclass(frozen=True)
class Entry:
    """One entry as it stands in the log. ``event`` parses the body when it is first asked for."""

    seq: int
    """Position in the log, from 1."""
    body: str = field(repr=False)
    """The sealed bytes, as text."""
    leaf_hash: bytes
    """32 bytes."""
    chain_hash: bytes
    """32 bytes."""

    @cached_property
    def event(self) -> Event | UnlistedEvent:
        """The event, with what a newer release may have added. Raises ``InvalidEvent`` if the body is damaged."""
        return read_event(self.body)

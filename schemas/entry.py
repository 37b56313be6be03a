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

from pydantic_core import to_json

from .document import MAX_INPUT
from .domain import check_domain
from .errors import EventTooLarge, InvalidEvent
from .events import Event, UnlistedEvent, read_event

if TYPE_CHECKING:
    from collections.abc import Mapping

GENESIS: Final = bytes(32)
"""The chain hash before the first entry."""

MAX_BODY: Final = 256 * 1024
"""The largest body, in bytes."""

LOG_MEMBERS: Final = frozenset({"recorded_at", "producer", "salt", "redactions"})
"""The members of ``context`` that the log gives, whatever a caller put there."""

# Copied for each entry: with cold caches, as between two commits, looking the algorithm up takes longer than hashing.
_LEAF = hashlib.sha256(b"\x00")
_LINK = hashlib.sha256(b"counterfoil/1\x00")

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def canonical_bytes(body: Mapping[str, Any]) -> bytes:
    """Return ``body`` in its one canonical form (RFC 8785). Raises ``OutOfDomain`` and ``EventTooLarge``."""
    check_domain(body)
    return _bounded(_encode(body).encode("utf-8"))


def sealed_bytes(body: Mapping[str, Any], *, ordered: bool = False) -> bytes:
    """Return the canonical form of an event's body: what ``canonical_bytes`` returns, without a walk where none is due.

    An event is within the domain by construction, but for NUL in a text and for attributes, which can be changed.
    ``ordered`` says that its members are sorted at every level, and that it holds no number with a fraction.
    """
    try:
        sealed = to_json(body) if ordered else _encode(body).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return canonical_bytes(body)
    plain = sealed.isascii() and b"\\u0000" not in sealed and b'"attributes":' not in sealed
    return _bounded(sealed) if plain else canonical_bytes(body)


def _bounded(sealed: bytes) -> bytes:
    if len(sealed) > MAX_BODY:
        raise EventTooLarge(len(sealed), MAX_BODY)
    return sealed


def check_size(free_form: Mapping[str, Any]) -> None:
    """Raise ``EventTooLarge`` for free-form members that no body could hold, before the cost of redacting them.

    Redaction can shorten what it is given, so the bound is that of a caller's JSON: four times the largest body.
    """
    try:
        size = len(_encode(free_form))
    except (TypeError, ValueError, RecursionError):  # outside the domain, which is for the sealing to say
        return
    if size > MAX_INPUT:
        raise EventTooLarge(size, MAX_INPUT)


def leaf_hash(body: bytes) -> bytes:
    """Return the RFC 9162 §2.1.1 leaf hash of a body, 32 bytes."""
    leaf = _LEAF.copy()
    leaf.update(body)
    return leaf.digest()


def chain_hash(log_id: bytes, seq: int, previous: bytes, leaf: bytes) -> bytes:
    """Return the chain hash of entry ``seq``, 32 bytes. ``log_id`` has 16 bytes, both hashes have 32."""
    link = _LINK.copy()
    link.update(log_id + seq.to_bytes(8, "big") + previous + leaf)
    return link.digest()


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
    """What ``record()`` returns. Once the entry is durable, whoever keeps it is a witness.

    With queued delivery the entry is only accepted: it has no place in the chain yet, and the receipt says so. Where a
    log goes on without its store, ``lost`` says that there is no entry.
    """

    log_id: str
    """Which log, 32 hex digits."""
    seq: int
    """Position in the log, from 1; 0 where the entry is only accepted, or lost."""
    event_id: UUID
    """Which event."""
    chain_hash: str
    """The head of the chain with this entry, 64 hex digits; empty where the entry is only accepted, or lost."""
    lost: str | None = None
    """Why the entry is not recorded though the call returned (``when_unavailable="continue"``): the error's code."""

    @property
    def durable(self) -> bool:
        """Whether the entry was on disk when this receipt was given."""
        return self.seq > 0


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
        try:
            return read_event(self.body)
        except InvalidEvent as damaged:
            problems = damaged.problems
        raise InvalidEvent(tuple((f"entry {self.seq}: {path or 'body'}", problem) for path, problem in problems))

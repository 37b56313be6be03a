"""Verifying a log: pure, without input or output, from the stored rows alone.

The rules, each with the change that it shows:

1. The first entry is the log's own creation and names this ``log_id``: rows of another log are not this log's.
2. Sequence numbers run from 1 without a hole or a repetition: a deleted, inserted or reordered row.
3. ``leaf_hash`` is the hash of the body as it is stored: an edited body, to the byte.
4. ``chain_hash`` follows from ``log_id``, ``seq``, the previous ``chain_hash`` and ``leaf_hash``: an edited hash.

What this cannot show: rows cut from the end, and a rewrite of everything from some row on by somebody who can write
to the file. Only a head that is kept elsewhere shows those; receipts and exported spans carry it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from counterfoil.schemas.entry import GENESIS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_STEP: Final = 10_000


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. ``consistent`` is the verdict on chain and sequence; the others say how far it reaches."""

    log_id: str
    """Which log, 32 hex digits."""
    consistent: bool
    """Whether every row up to the last is as it was sealed."""
    entries: int
    """How many entries were good, counted from the first."""
    chain_hash: str
    """The head of the chain at the last good entry, 64 hex digits: compare it with a receipt or a span."""
    first_bad_seq: int | None = None
    """The first entry that is not as it was sealed, or is missing."""
    problem: str | None = None
    """What is wrong there."""


def verify_chain(
    rows: Iterable[tuple[int, bytes | None, bytes, bytes]],
    log_id: str,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Verification:
    """Check every row ``(seq, body, leaf_hash, chain_hash)`` in order, and stop at the first that is bad.

    ``on_progress`` is told the number of good entries now and then. Memory does not grow with the log.
    """
    sha256 = hashlib.sha256
    prefix = b"counterfoil/1\x00" + bytes.fromhex(log_id)
    expected, head = 1, GENESIS
    for seq, body, leaf, chain in rows:
        problem = None
        if seq != expected:
            problem = "the entry is missing" if seq > expected else "the sequence number is repeated or below 1"
        elif body is None:
            problem = "the body was removed"
        elif leaf != sha256(b"\x00" + body).digest():
            problem = "the body is not the one that was sealed"
        elif chain != sha256(prefix + seq.to_bytes(8, "big") + head + leaf).digest():
            problem = "the chain hash does not follow from the entry before"
        elif seq == 1 and not _is_creation(body, log_id):
            problem = "the log does not begin with its own creation"
        if problem:
            return _bad(log_id, expected - 1, head, min(seq, expected), problem)
        head = chain
        expected += 1
        if on_progress and seq % _STEP == 0:
            on_progress(seq)
    if expected == 1:
        return _bad(log_id, 0, head, 1, "the log does not begin with its own creation")
    return Verification(log_id, consistent=True, entries=expected - 1, chain_hash=head.hex())


def _bad(log_id: str, entries: int, head: bytes, seq: int, problem: str) -> Verification:
    return Verification(
        log_id, consistent=False, entries=entries, chain_hash=head.hex(), first_bad_seq=seq, problem=problem
    )


def _is_creation(body: bytes, log_id: str) -> bool:
    try:
        event = json.loads(body)
        return (event["kind"], event["change"], event["log_id"]) == ("log", "created", log_id)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False

"""What stays known of an entry whose body was erased."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from .part import Part
from .values import Count
from .vocabulary import LogChange


class ErasedEntry(Part):
    """An entry whose body was erased: its place and hash, and what whoever looks for losses has to know of it."""

    seq: Count
    """Which entry. The first is never erased."""
    leaf_hash: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    """What its body hashed to, 64 hex digits. It held 128 random bits, so that it cannot be guessed from this."""
    producer: Annotated[str, StringConstraints(pattern="^[0-9a-f]{1,64}$")] | None = None
    """Which process had written it: the random id of a producer, in hex digits."""
    numbers: tuple[Count, ...] = ()
    """That producer's numbers which stood in it: of calls that raised before, and its own."""
    change: LogChange | None = None
    """Of an entry about the log itself: what it told of."""

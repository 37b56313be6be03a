"""An entry between the log that seals it and the store that commits it."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True, eq=False)
class Pending:
    """An entry on its way: what the caller gives, and what the commit gives back.

    ``numbers`` are the producer's numbers that are accounted for if it arrives: its own and those it declares.
    ``repeated``: the event was in the log before, and what comes back is about that first entry. ``until``
    (``time.monotonic``): how long its caller waits.
    """

    event_id: str
    body: bytes
    leaf_hash: bytes
    numbers: list[int] = field(default_factory=list[int])
    seq: int = 0
    chain_hash: bytes = b""
    error: Exception | None = None
    done: bool = False
    repeated: bool = False
    until: float = 0.0
    turn: Lock | None = None
    """On which its caller waits, where it has to: released when the entry is done, or when somebody has to lead."""

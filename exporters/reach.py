"""What a store tells in sums: who used one credential or key, and which numbers one producer's entries have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holder:
    """A tenant and a process that used a credential or a key, as an agent recorded it."""

    tenant: str | None
    host: str | None
    container: str | None
    workload_id: str | None
    pid: int | None
    first: int
    """Sequence number of its first entry."""
    last: int
    """Sequence number of its last entry."""
    uses: int
    """How many entries."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """An entry as its producer counted it."""

    seq: int
    number: int
    """The producer's own count."""
    raised: tuple[int, ...]
    """Earlier numbers whose call raised an error."""
    change: str | None
    """Of an entry about the log itself, or about a credential: what changed."""

"""What a store tells in short: who used a credential or key, how a producer counted, what stayed of an erased entry."""

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


@dataclass(frozen=True, slots=True)
class Erased:
    """What stayed of an entry whose body was erased."""

    seq: int
    leaf_hash: bytes
    """32 bytes."""
    chain_hash: bytes
    """32 bytes."""
    erased_by: int
    """Which entry tells of it."""

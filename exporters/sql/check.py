"""One thing that a check-up looks at, and what holds wherever a log is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .reader import LogReader


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    """What."""
    ok: bool
    """Whether it is as it should be."""
    words: str
    """What was found."""


def check_exports(reader: LogReader) -> Check:
    """Compare how far destinations have come with the end of the log: they cannot have more than there is."""
    head, cursors = reader.head(), reader.cursors()
    if ahead := [seq for seq in cursors.values() if seq > head]:
        words = f"a destination has entry {max(ahead)}, but the log ends at {head}: its end is missing"
        return Check("exports", ok=False, words=words)
    behind = ", ".join(f"{name} up to {seq}" for name, seq in cursors.items())
    return Check("exports", ok=True, words=f"{behind}; the log ends at {head}" if behind else "none with a cursor")

"""Verifying a whole log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.audit import AuditReader

from .figure import Figure, median
from .sample import full_log

if TYPE_CHECKING:
    from pathlib import Path

_ENTRIES = 200_000


def measure(folder: Path) -> list[Figure]:
    """Measure entries a second."""
    full_log(folder / "full.db", _ENTRIES)
    with AuditReader.open(folder / "full.db") as reader:
        took = median(reader.verify, 3)
        entries = reader.verify().entries
    return [Figure(f"`verify` of {entries:,} entries", f"{entries / took:,.0f} entries/s", goal="≥ 150,000")]

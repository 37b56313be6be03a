"""Verifying a whole log: chain, the root of each checkpoint, and every producer's numbers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from counterfoil.audit import AuditReader
from counterfoil.audit.integrity.merkle import CompactRange
from counterfoil.audit.integrity.note import Checkpoint, origin_of

from .figure import Figure, median
from .sample import full_log

if TYPE_CHECKING:
    from pathlib import Path

_ENTRIES = 200_000
_EVERY = 1000


def measure(folder: Path) -> list[Figure]:
    """Measure entries a second."""
    path = folder / "full.db"
    full_log(path, _ENTRIES)
    _add_checkpoints(path)
    with AuditReader.open(path) as reader:
        took = median(reader.verify, 5)
        found = reader.verify()
    assert found.consistent, found
    assert found.complete, found
    what = f"`verify` of {found.entries:,} entries with a checkpoint every {_EVERY:,}: chain, roots, completeness"
    return [Figure(what, f"{found.entries / took:,.0f} entries/s", goal="≥ 200,000")]


def _add_checkpoints(path: Path) -> None:
    """Add the unsigned checkpoints that a log writes on its way."""
    tree = CompactRange()
    with closing(sqlite3.connect(path)) as connection, connection:
        (log_id,) = connection.execute("SELECT lower(hex(log_id)) FROM log").fetchone()
        connection.execute("DELETE FROM checkpoint")
        for first in range(1, _ENTRIES, _EVERY):
            rows = connection.execute(
                "SELECT leaf_hash FROM entry WHERE seq BETWEEN ? AND ? ORDER BY seq", (first, first + _EVERY - 1)
            )
            tree.extend([leaf for (leaf,) in rows])
            note = str(Checkpoint(origin_of(log_id), tree.size, tree.root()))
            connection.execute("INSERT INTO checkpoint (size, note) VALUES (?, ?)", (tree.size, note))

"""Finding the first hundred entries of one credential among a hundred thousand."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from counterfoil.audit import AuditReader
from counterfoil.exporters.filter import Filter

from .figure import Figure, alternately, micro
from .sample import TOKENS, full_log

if TYPE_CHECKING:
    from pathlib import Path

_SQL = "SELECT seq, body, leaf_hash, chain_hash FROM entry WHERE token_fingerprint = ? ORDER BY seq LIMIT 100"


def measure(folder: Path) -> list[Figure]:
    """Measure against the same statement in bare sqlite3."""
    path = folder / "full.db"
    full_log(path, 100_000)
    bare = sqlite3.connect(path)
    with AuditReader.open(path) as reader:
        wanted = Filter(token_fingerprint=TOKENS[7])
        assert len(list(reader.find(wanted, limit=100))) == 100
        measured, baseline = alternately(
            lambda: list(reader.find(wanted, limit=100)),
            lambda: bare.execute(_SQL, (str(TOKENS[7]),)).fetchall(),
            300,
        )
    bare.close()
    what = "first 100 of a fingerprint in 100,000 entries"
    return [Figure(what, micro(measured), f"bare sqlite3: {micro(baseline)}", f"{measured / baseline:.2f}", "≤ 3")]

"""After an I/O error: whether what is on disk is sound, and still holds what was acknowledged.

A failed sync leaves the operating system's cache and the disk apart, and asking again would succeed without having
written: PostgreSQL learned that the hard way. So the connection is thrown away, everything in the -wal is written into
the database and synced, which takes nothing over from what failed, and then it is looked at.
"""

from __future__ import annotations

import sqlite3
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import StoreCorrupt
from counterfoil.schemas.entry import GENESIS, chain_hash, leaf_hash

from ..diagnostics import diagnostics

if TYPE_CHECKING:
    from pathlib import Path

_TAIL: Final = 64
"""How many entries at the end are checked against the chain: as many as one commit takes."""

_STEPS: Final = 10_000
"""How often the clock is looked at during the check of the pages, in steps of SQLite's machine."""


def require_sound(connection: sqlite3.Connection, path: Path, log_id: bytes, until: float) -> None:
    """Write the -wal into the database, and check its pages and the end of the chain.

    The pages are checked until ``until`` (``time.monotonic``); what a large log leaves unchecked is said in the
    diagnostics. Raises ``StoreCorrupt``, and ``sqlite3.Error`` where the disk still fails.
    """
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    _require_chain(connection, path, log_id)
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        diagnostics().warning("a log was checked in part after an I/O error; `counterfoil db check` checks it whole")
    else:
        if found != ("ok",):
            raise StoreCorrupt(f"{path}: the database is damaged, as its check after an I/O error found")
    finally:
        connection.set_progress_handler(None, 0)


def _require_chain(connection: sqlite3.Connection, path: Path, log_id: bytes) -> None:
    rows = connection.execute(_LAST, {"size": _TAIL + 1}).fetchall()[::-1]
    if rows and rows[0][0] == 1:
        rows.insert(0, (0, b"", b"", GENESIS))
    for (before, *_, head), (seq, body, leaf, chain) in pairwise(rows):
        follows = seq > before + 1 or chain == chain_hash(log_id, seq, head, leaf)  # between them some may be pruned
        if leaf != leaf_hash(body) or not follows:
            raise StoreCorrupt(f"{path}: the last entries do not follow each other; see `counterfoil verify`")


_LAST: Final = "SELECT seq, CAST(body AS BLOB), leaf_hash, chain_hash FROM entry ORDER BY seq DESC LIMIT :size"

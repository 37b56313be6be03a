"""What SQLite says, translated once into our own errors. SQLite's messages can quote values, so none is passed on."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from counterfoil.schemas import AuditUnavailable, DiskFull, StoreCorrupt, StoreError, StoreForeign

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_FAULTS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_ERROR: (StoreCorrupt, "its tables or entries are not as they were made"),
    sqlite3.SQLITE_BUSY: (AuditUnavailable, "the database is locked by another process"),
    sqlite3.SQLITE_LOCKED: (AuditUnavailable, "the database is locked by another connection"),
    sqlite3.SQLITE_FULL: (DiskFull, "the disk is full"),
    sqlite3.SQLITE_READONLY: (AuditUnavailable, "the database is read-only"),
    sqlite3.SQLITE_CANTOPEN: (AuditUnavailable, "the database file cannot be opened"),
    sqlite3.SQLITE_PERM: (AuditUnavailable, "access to the database file is denied"),
    sqlite3.SQLITE_IOERR: (AuditUnavailable, "the disk reports an I/O error"),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, "the database is damaged"),
    sqlite3.SQLITE_NOTADB: (StoreForeign, "the file is not a SQLite database"),
}


def fault_of(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> StoreError:
    """Return our error for one of SQLite's, by its primary result code."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None and isinstance(error, sqlite3.OperationalError | UnicodeDecodeError):  # Python's, about a text
        return StoreCorrupt(f"{path}: what the database holds is not valid text")
    kind, sentence = _FAULTS.get((code or 0) & 0xFF, (AuditUnavailable, "the database cannot be used"))
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return kind(f"{path}: {sentence} ({name})")


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Raise our errors about the file at ``path`` in place of SQLite's."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise fault_of(error, path) from None

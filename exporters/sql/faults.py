"""What SQLite says, translated once into our own errors. SQLite's messages can quote values, so none is passed on."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from counterfoil.schemas import AuditUnavailable, StoreCorrupt, StoreError, StoreForeign

if TYPE_CHECKING:
    from collections.abc import Generator

_FAULTS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: (AuditUnavailable, "the database is locked by another process"),
    sqlite3.SQLITE_LOCKED: (AuditUnavailable, "the database is locked by another connection"),
    sqlite3.SQLITE_FULL: (AuditUnavailable, "the disk is full"),
    sqlite3.SQLITE_READONLY: (AuditUnavailable, "the database is read-only"),
    sqlite3.SQLITE_CANTOPEN: (AuditUnavailable, "the database file cannot be opened"),
    sqlite3.SQLITE_PERM: (AuditUnavailable, "access to the database file is denied"),
    sqlite3.SQLITE_IOERR: (AuditUnavailable, "the disk reports an I/O error"),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, "the database is damaged"),
    sqlite3.SQLITE_NOTADB: (StoreForeign, "the file is not a SQLite database"),
}


def fault_of(error: sqlite3.Error) -> StoreError:
    """Return our error for one of SQLite's, by its primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    kind, sentence = _FAULTS.get((code or 0) & 0xFF, (AuditUnavailable, "the database cannot be used"))
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return kind(f"{sentence} ({name})")


@contextmanager
def translated() -> Generator[None]:
    """Raise our errors in place of SQLite's and SQLAlchemy's, with nothing chained."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except sqlite3.Error as error:
        raise fault_of(error) from None
    except DBAPIError as error:
        cause = error.orig
        raise (
            fault_of(cause) if isinstance(cause, sqlite3.Error) else AuditUnavailable("the database failed")
        ) from None

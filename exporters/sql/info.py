"""What a log's file or database is, for ``counterfoil db info``."""

from __future__ import annotations

import sqlite3
from typing import Any

from .opening import postgres_database
from .sqlite import path_of
from .sqlite_reader import SqliteReader

_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))


def place_of(address: str) -> str:
    """Return which file or database an address means, without the password. Raises ``ConfigurationError``."""
    database = postgres_database(address)
    return database.name if database else str(path_of(address).absolute())


def describe(address: str, *, immutable: bool = False) -> dict[str, Any]:
    """Return facts about the log at ``address``, by name. Raises ``StoreError``."""
    if database := postgres_database(address):
        from .postgres_reader import PostgresReader

        log = PostgresReader(database)
        try:
            return log.facts()
        finally:
            log.close()
    path = path_of(address)
    reader = SqliteReader(path, immutable=immutable)
    try:
        return {
            "path": str(path.absolute()),
            "log_id": reader.log_id,
            "fingerprint_key_id": reader.fingerprint_key_id,
            "entries": reader.head(),
            "pruned_to": reader.last_pruned()[0],
            "erased": reader.erased_count(),
            "bytes": path.stat().st_size,
            "wal_bytes": _size(f"{path}-wal"),
            "schema_version": reader.pragma("user_version"),
            "journal_mode": reader.pragma("journal_mode"),
            "sqlite": sqlite3.sqlite_version,
            "wal_reset_race": wal_reset_race(sqlite3.sqlite_version_info),
        }
    finally:
        reader.close()


def _size(path: str) -> int:
    from pathlib import Path

    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def wal_reset_race(version: tuple[int, int, int]) -> str:
    """SQLite before 3.51.3 can lose rows when two connections write and checkpoint at once."""
    fixed = version >= _FIXED[0] or any(version[:2] == each[:2] and version >= each for each in _FIXED)
    return "not in this version" if fixed else "in this version; writers exclude it with their lock"

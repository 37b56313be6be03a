"""The versions of a log's tables, and the step from each to the next.

A log of an older version is read as it is. It is migrated when it is opened for writing, by one process, under the lock
that writers share, and in one transaction: a crash leaves either version whole. ``entry`` never changes, so that what
was sealed stays as it was. A step is written in plain SQL, because the models go on changing and it must not. Of each
released version a log stands under ``tests/vectors/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .tables import SCHEMA_VERSION

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the open log, which ``identify`` knows, to the version of this release. The caller holds the lock."""
    if _version(connection) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in _STEPS[_version(connection) - 1 :]:
            step(connection)
        connection.execute("UPDATE log SET schema_version = ?", (SCHEMA_VERSION,))
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _to_2(connection: sqlite3.Connection) -> None:
    """Keep the hashes of entries whose bodies were removed, and the compact range at each checkpoint."""
    connection.execute(
        "CREATE TABLE pruned (seq INTEGER NOT NULL, leaf_hash BLOB NOT NULL, chain_hash BLOB NOT NULL, "
        "PRIMARY KEY (seq)) STRICT"
    )
    connection.execute("ALTER TABLE checkpoint ADD COLUMN frontier BLOB")


def _to_3(connection: sqlite3.Connection) -> None:
    """Keep the hashes of entries whose bodies were erased, one by one."""
    connection.execute(
        "CREATE TABLE erased (seq INTEGER NOT NULL, leaf_hash BLOB NOT NULL, chain_hash BLOB NOT NULL, "
        "erased_by INTEGER NOT NULL, PRIMARY KEY (seq)) STRICT"
    )


_STEPS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (_to_2, _to_3)

"""A check-up of one log in a SQLite file: what it rests on, and whether that is as it should be. It changes nothing.

Whether the entries are those that were sealed is for ``verify`` to say.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.schema import CreateTable

from counterfoil.schemas import ConfigurationError, StoreCorrupt, StoreError

from .check import Check, check_exports
from .info import wal_reset_race
from .mounts import require_shared_memory
from .sqlite import connect
from .sqlite_reader import SqliteReader
from .statements import SQLITE
from .tables import SCHEMA_VERSION, TABLES, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGE_WAL: Final = 64 * 1024 * 1024
_LITTLE_SPACE: Final = 1024**3
_LITTLE_SHARE: Final = 0.05


def check_up(path: Path) -> Iterator[Check]:
    """Yield what is found of the log at ``path``, one thing after the other.

    Raises ``StoreMissing`` and ``StoreForeign``, and ``AuditUnavailable`` if it cannot be read now.
    """
    yield from _surroundings(path)
    try:
        with closing(SqliteReader(path)) as reader:
            yield _version(reader)
            yield _side_tables(reader)
            yield _journal(reader)
            yield check_exports(reader)
            yield _database(reader)
    except StoreCorrupt as error:
        yield Check("database", ok=False, words=str(error))


def _surroundings(path: Path) -> Iterator[Check]:
    yield from _modes(path)
    try:
        require_shared_memory(path)
    except ConfigurationError as error:
        yield Check("file system", ok=False, words=str(error))
    else:
        yield Check("file system", ok=True, words="none that is known to lose what SQLite writes")
    yield _space(path)
    yield _settings()
    yield Check("wal-reset race", ok=True, words=wal_reset_race(sqlite3.sqlite_version_info))


def _modes(path: Path) -> Iterator[Check]:
    """Yield whether others than the owner can read the files, or replace them."""
    for each in (path, *(Path(f"{path}{end}") for end in ("-wal", "-shm", ".lock"))):
        try:
            found = each.lstat()
        except OSError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if each != path and not stat.S_ISREG(found.st_mode):
            yield Check(each.name, ok=False, words="no ordinary file")
        elif stat.S_ISREG(found.st_mode) and mode & 0o077:
            yield Check(each.name, ok=False, words=f"mode {mode:04o}: others than its owner have access; chmod 600")
        else:
            yield Check(each.name, ok=True, words=f"mode {mode:04o}")
    folder = stat.S_IMODE(path.absolute().parent.stat().st_mode)
    if folder & 0o002 and not folder & stat.S_ISVTX:
        yield Check("folder", ok=False, words=f"mode {folder:04o}: anybody can replace the files in it")


def _space(path: Path) -> Check:
    found = shutil.disk_usage(path.absolute().parent)
    words = f"{found.free / 1024**3:,.1f} GiB of {found.total / 1024**3:,.1f} GiB left"
    return Check("space", ok=found.free >= min(_LITTLE_SPACE, _LITTLE_SHARE * found.total), words=words)


def _settings() -> Check:
    """Have this SQLite set what durability rests on, and read it back, with a database that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.db"
        trial.touch()
        try:
            connect(trial).close()
        except StoreError as error:
            return Check("settings", ok=False, words=str(error))
    return Check("settings", ok=True, words="this SQLite takes journal_mode=WAL, synchronous=FULL, secure_delete=ON")


def _version(reader: SqliteReader) -> Check:
    marked, said = reader.schema_version, reader.recorded_version()
    if said != marked:
        return Check("schema version", ok=False, words=f"the file is marked {marked}, its table says {said}")
    older = f"; the next writer makes it {SCHEMA_VERSION}" if marked < SCHEMA_VERSION else ""
    return Check("schema version", ok=True, words=f"{marked}{older}")


def _side_tables(reader: SqliteReader) -> Check:
    """Compare the tables beside ``entry`` with those that this release makes."""
    if reader.schema_version < SCHEMA_VERSION:
        return Check("tables", ok=True, words="of an older version, not compared")
    with closing(sqlite3.connect(":memory:")) as fresh:
        for model in TABLES:
            fresh.execute(str(CreateTable(table_of(model)).compile(dialect=SQLITE)))
        names = [table_of(model).name for model in TABLES]
        wrong = [name for name in names if reader.columns_of(name) != _columns(fresh, name)]
    if wrong:
        return Check("tables", ok=False, words=f"not as they were made: {', '.join(wrong)}")
    return Check("tables", ok=True, words=f"as they were made: {', '.join(names)}")


def _columns(connection: sqlite3.Connection, name: str) -> list[Any]:
    return connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall()


def _journal(reader: SqliteReader) -> Check:
    """Say how the file is written, and how much stands beside it."""
    mode = reader.pragma("journal_mode")
    try:
        size = os.stat(f"{reader.path}-wal").st_size  # noqa: PTH116 -- a name with an ending
    except OSError:
        size = 0
    if mode != "wal":
        return Check("journal", ok=True, words=f"{mode}: a copy that no writer has opened yet")
    if size > _LARGE_WAL:
        words = (
            f"-wal of {size / 1024**2:,.0f} MiB: somebody has been reading for long, and keeps it from being taken in"
        )
        return Check("journal", ok=False, words=words)
    return Check("journal", ok=True, words=f"wal of {size / 1024**2:,.1f} MiB")


def _database(reader: SqliteReader) -> Check:
    found = reader.irregularities()
    if found:
        return Check("database", ok=False, words="; ".join(found))
    return Check(
        "database", ok=True, words="whole, by SQLite's integrity check; columns and indexes say what bodies say"
    )

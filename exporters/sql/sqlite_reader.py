"""Reading a log in a SQLite file, opened read-only."""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from counterfoil.schemas import AuditUnavailable, StoreForeign

from .faults import translated
from .forks import leave_alone, tell_after_fork
from .reader import LogReader
from .sqlite import connect_read_only, identify
from .statements import SQLITE

if TYPE_CHECKING:
    from pathlib import Path

    from .statements import Statement


class SqliteReader(LogReader):
    """The reading end of one SQLite log. A forked child reads through a connection of its own."""

    dialect = SQLITE

    def __init__(self, path: Path, *, immutable: bool = False) -> None:
        """Open the log at ``path``. Raises ``ConfigurationError`` and ``StoreError``."""
        self.path = path
        self._immutable = immutable
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self.log_id = ""
        try:
            with translated(path):
                self._connected()
        except AuditUnavailable as error:
            if not os.access(path.parent, os.W_OK):  # where -shm has to be, without which a log in use cannot be read
                error.advice = "Of a copy that nobody changes say --immutable: then its folder need not be written to."
            raise
        tell_after_fork(self)

    def _connected(self) -> sqlite3.Connection:
        """Return the connection; after a fork, or at first, open one."""
        if self._connection is None:
            connection = connect_read_only(self.path, immutable=self._immutable)
            try:
                log_id, self.fingerprint_key_id = identify(connection, self.path)
                self._require_same(log_id.hex())
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _require_same(self, log_id: str) -> None:
        if self.log_id not in {"", log_id}:
            raise StoreForeign(f"{self.path}: another log stands in its place since it was opened")
        self.log_id = log_id

    @property
    def schema_version(self) -> int:
        """The version of the log's tables, as it stands: a writer may migrate it meanwhile."""
        return int(self.pragma("user_version"))

    def pragma(self, name: str) -> Any:
        """Return one SQLite setting as it stands, for ``db info``."""
        return self._rows((f"PRAGMA {name}", {}), {})[0][0]

    def irregularities(self) -> list[str]:
        """Return what is wrong with the database itself, in words, whatever the chain says of its entries."""
        from .examination import irregularities

        with self._turn, translated(self.path):
            return irregularities(self._connected())

    def recorded_version(self) -> int:
        """Return the version of the tables by what the log says of itself."""
        return int(self._rows(("SELECT schema_version FROM log", {}), {})[0][0])

    def columns_of(self, table: str) -> list[Any]:
        """Return the columns of a table as SQLite understands them, for ``db check``."""
        return self._rows(("SELECT * FROM pragma_table_xinfo(:name)", {}), {"name": table})

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection, and its lock, which another of its threads may have held."""
        self._turn = threading.Lock()
        if self._connection is not None:
            leave_alone(self._connection)
            self._connection = None

    def _rows(self, statement: Statement, given: dict[str, Any]) -> list[Any]:
        written, constants = statement
        with self._turn, translated(self.path):
            try:
                return self._connected().execute(written, constants | given).fetchall()
            except (OverflowError, UnicodeEncodeError):  # such a value cannot be stored, so no row has it
                return []

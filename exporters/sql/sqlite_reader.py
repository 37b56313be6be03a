"""Reading a log in a SQLite file, opened read-only."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from counterfoil.schemas import AuditUnavailable

from .faults import translated
from .reader import LogReader
from .sqlite import connect_read_only, identify
from .statements import SQLITE

if TYPE_CHECKING:
    from pathlib import Path

    from .statements import Statement


class SqliteReader(LogReader):
    """The reading end of one SQLite log."""

    dialect = SQLITE

    def __init__(self, path: Path, *, immutable: bool = False) -> None:
        """Open the log at ``path``. Raises ``ConfigurationError`` and ``StoreError``."""
        self.path = path
        self._turn = threading.Lock()
        try:
            with translated(path):
                log_id = self._connect(immutable=immutable)
        except AuditUnavailable as error:
            if not os.access(path.parent, os.W_OK):  # where -shm has to be, without which a log in use cannot be read
                error.advice = "Of a copy that nobody changes say --immutable: then its folder need not be written to."
            raise
        self.log_id = log_id.hex()

    def _connect(self, *, immutable: bool) -> bytes:
        self._connection = connect_read_only(self.path, immutable=immutable)
        try:
            log_id, self.fingerprint_key_id = identify(self._connection, self.path)
        except BaseException:
            self._connection.close()
            raise
        return log_id

    @property
    def schema_version(self) -> int:
        """The version of the log's tables, as it stands: a writer may migrate it meanwhile."""
        return int(self.pragma("user_version"))

    def pragma(self, name: str) -> Any:
        """Return one SQLite setting as it stands, for ``db info``."""
        return self._rows((f"PRAGMA {name}", {}), {})[0][0]

    def irregularities(self) -> list[str] | None:
        """Return what is wrong with the database itself, in words, whatever the chain says of its entries."""
        from .examination import irregularities

        with self._turn, translated(self.path):
            return irregularities(self._connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _rows(self, statement: Statement, given: dict[str, Any]) -> list[Any]:
        written, constants = statement
        with self._turn, translated(self.path):
            try:
                return self._connection.execute(written, constants | given).fetchall()
            except (OverflowError, UnicodeEncodeError):  # such a value cannot be stored, so no row has it
                return []

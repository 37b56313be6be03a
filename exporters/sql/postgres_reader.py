"""Reading a log in PostgreSQL, on a connection that takes no writing statement."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Final

import psycopg

from .postgres import Session
from .postgres_faults import translated
from .postgres_tables import identify
from .reader import LogReader
from .statements import POSTGRESQL

if TYPE_CHECKING:
    from .postgres import Connection, PostgresAddress
    from .statements import Statement


class PostgresReader(LogReader):
    """The reading end of one PostgreSQL log."""

    dialect = POSTGRESQL

    def __init__(self, address: PostgresAddress) -> None:
        """Open the log at ``address``. Raises ``StoreError``."""
        self.name = address.name
        self._turn = threading.Lock()
        self._session = Session(address, self._prepare)
        try:
            self.head()
        except BaseException:
            self.close()
            raise

    def _prepare(self, connection: Connection) -> None:
        connection.execute("SET default_transaction_read_only = on")
        log_id, self.fingerprint_key_id, _ = identify(connection, self.name)
        self.log_id = log_id.hex()

    @property
    def schema_version(self) -> int:
        """The version of the log's tables, as it stands: a writer may migrate it meanwhile."""
        return int(self._rows(("SELECT schema_version FROM log", {}), {})[0][0])

    def facts(self) -> dict[str, Any]:
        """Return facts about the log and its server, for ``db info``."""
        (row,) = self._rows((_FACTS, {}), {})
        found = {
            "database": self.name,
            "log_id": self.log_id,
            "fingerprint_key_id": self.fingerprint_key_id,
            "entries": self.head(),
            "pruned_to": self.last_pruned()[0],
            "erased": self.erased_count(),
            "schema_version": self.schema_version,
        }
        return found | dict(zip(("schema", "bytes", "postgresql", "fsync", "full_page_writes"), row, strict=True))

    def ask(self, statement: str, **given: Any) -> list[Any]:
        """Return the rows of a statement, for ``db check`` and ``verify --deep``."""
        return self._rows((statement, {}), given)

    def irregularities(self) -> list[str]:
        """Return what is wrong with the tables, in words, whatever the chain says of their entries."""
        from .postgres_examination import examine

        return [f"{check.name}: {check.words}" for check in examine(self.ask) if not check.ok]

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _rows(self, statement: Statement, given: dict[str, Any]) -> list[Any]:
        written, constants = statement
        parameters = constants | given

        def rows(connection: Connection) -> list[Any]:
            return connection.execute(written.encode(), parameters or None, binary=True).fetchall()

        with self._turn, translated(self.name):
            try:
                return self._session.run(rows, math.inf)
            except UnicodeEncodeError:  # such a value cannot be stored, so no row has it
                return []
            except psycopg.DataError as error:
                if error.sqlstate in _NOT_STORABLE:
                    return []
                raise


_NOT_STORABLE: Final = {None, "22003", "22P05"}
"""The SQLSTATE of a number that is too large, and of NUL in JSON; NUL in a text the driver refuses, and gives none."""

_FACTS: Final = """
SELECT current_schema()::text, sum(pg_total_relation_size(relid))::bigint, current_setting('server_version'),
  current_setting('fsync'), current_setting('full_page_writes')
FROM (SELECT to_regclass(name) AS relid
  FROM unnest('{entry,log,cursor,checkpoint,pruned,erased}'::text[]) AS name) AS tables
"""

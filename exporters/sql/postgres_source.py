"""A PostgreSQL log as exporters see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .postgres import Session, make_durable
from .postgres_faults import translated
from .postgres_reader import PostgresReader
from .source import LogSource

if TYPE_CHECKING:
    from .postgres import Connection, PostgresAddress


class PostgresSource(LogSource):
    """Reads entries read-only; writes nothing but its cursors, on another connection."""

    def __init__(self, address: PostgresAddress, *, deadline: float = 2.0) -> None:
        """Open the log at ``address``, which must exist. Raises ``StoreError``."""
        super().__init__(PostgresReader(address))
        self._name = address.name
        self._deadline = deadline
        self._session = Session(address, lambda connection: make_durable(connection, address.name))

    def cursor(self, name: str) -> int:
        """Return the last sequence number that the destination ``name`` has received, 0 at first."""

        def find(connection: Connection) -> int:
            found = connection.execute("SELECT seq FROM cursor WHERE name = %s", (name,)).fetchone()
            return int(found[0]) if found else 0

        with translated(self._name):
            return self._session.run(find, time.monotonic() + self._deadline)

    def move_cursor(self, name: str, seq: int) -> None:
        """Remember, durably, that ``name`` has received everything up to ``seq``. A cursor never goes back."""
        with translated(self._name):
            self._session.run(
                lambda connection: connection.execute(_MOVE_CURSOR, (name, seq)), time.monotonic() + self._deadline
            )

    def close(self) -> None:
        """Close all connections."""
        self._session.close()
        super().close()


_MOVE_CURSOR = (
    "INSERT INTO cursor AS stored (name, seq) VALUES (%s, %s) "
    "ON CONFLICT (name) DO UPDATE SET seq = greatest(stored.seq, excluded.seq)"
)

"""Reading a log: the statements behind every question. Opened read-only, so that reading can change nothing."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, exists, func, select
from sqlalchemy import text as sql
from sqlalchemy.pool import QueuePool

from counterfoil.schemas import Entry

from .faults import translated
from .sqlite import check_identity, connect_read_only
from .tables import EntryRow, LogRow, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import ColumnElement, Select

    from ..filter import Filter

_PAGE: Final = 500

_entry = table_of(EntryRow)
_log = table_of(LogRow)
_STORED = (_entry.c.seq, _entry.c.body, _entry.c.leaf_hash, _entry.c.chain_hash)


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    given = ((each.name, getattr(wanted, each.name)) for each in fields(wanted))
    return [_condition(name, value) for name, value in given if value is not None]


def _condition(name: str, value: str) -> ColumnElement[bool]:
    if name == "since":
        return _entry.c.occurred_at >= value
    if name == "until":
        return _entry.c.occurred_at < value
    if name == "audience":
        each = func.json_each(_entry.c.body, "$.token.audience").table_valued("value")
        return exists(select(sql("1")).select_from(each).where(each.c.value == value))
    if name == "resource":
        below = value.rstrip("/") + "/"
        return (_entry.c.resource == value) | _entry.c.resource.startswith(below, autoescape=True)
    column: ColumnElement[Any] = _entry.c[name]
    return column == value


class SqliteReader:
    """The reading end of one SQLite log."""

    def __init__(self, path: Path, *, immutable: bool = False) -> None:
        """Open the log at ``path``. Raises ``StoreMissing``, ``StoreForeign``, ``StoreCorrupt``."""
        self.path = path
        self._engine = create_engine(
            "sqlite://",
            creator=lambda: connect_read_only(path, immutable=immutable),
            poolclass=QueuePool,
            pool_size=2,
            hide_parameters=True,
        )
        try:
            with translated(), self._engine.connect() as connection:
                check_identity(connection.connection.driver_connection)  # type: ignore[arg-type]
                row = connection.execute(select(_log.c.log_id, _log.c.fingerprint_key_id)).one()
        except BaseException:
            self._engine.dispose()
            raise
        self.log_id: str = row[0].hex()
        self.fingerprint_key_id: str = row[1]

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        with translated(), self._engine.connect() as connection:
            return int(connection.execute(select(func.max(_entry.c.seq))).scalar() or 0)

    def entry(self, seq: int) -> Entry | None:
        """Return one entry, or None."""
        found = self._fetch(select(*_STORED).where(_entry.c.seq == seq))
        return found[0] if found else None

    def by_event_id(self, event_id: str) -> Entry | None:
        """Return the entry of an event, or None."""
        found = self._fetch(select(*_STORED).where(_entry.c.event_id == event_id))
        return found[0] if found else None

    def entries_after(self, seq: int, limit: int) -> list[Entry]:
        """Return up to ``limit`` entries that follow ``seq``, in order."""
        return self._fetch(select(*_STORED).where(_entry.c.seq > seq).order_by(_entry.c.seq).limit(limit))

    def find(self, wanted: Filter, *, limit: int | None = None) -> Iterator[Entry]:
        """Yield the entries that match, in order. Short transactions, so that a slow reader pins no WAL."""
        last, conditions = 0, _conditions(wanted)
        while limit is None or limit > 0:
            size = _PAGE if limit is None else min(_PAGE, limit)
            page = self._fetch(
                select(*_STORED).where(_entry.c.seq > last, *conditions).order_by(_entry.c.seq).limit(size)
            )
            yield from page
            if len(page) < size:
                return
            last = page[-1].seq
            limit = None if limit is None else limit - size

    def stored(self) -> Iterator[tuple[int, str, bytes, bytes]]:
        """Yield ``(seq, body, leaf_hash, chain_hash)`` of every row as it stands, for verification."""
        last: tuple[int, ...] = (-(2**63),)
        while True:
            with translated(), self._engine.connect() as connection:
                cursor = connection.connection.cursor()
                cursor.execute(_STORED_AFTER, last)
                page = cursor.fetchall()
                cursor.close()
            if not page:
                return
            yield from page
            last = (page[-1][0],)

    def pragma(self, name: str) -> Any:
        """Return one SQLite setting as it stands, for ``db info``."""
        with translated(), self._engine.connect() as connection:
            return connection.execute(sql(f"PRAGMA {name}")).scalar()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _fetch(self, statement: Select[Any, Any, Any, Any]) -> list[Entry]:
        with translated(), self._engine.connect() as connection:
            return [Entry(*row) for row in connection.execute(statement)]


_STORED_AFTER = "SELECT seq, body, leaf_hash, chain_hash FROM entry WHERE seq > ? ORDER BY seq LIMIT 2000"

"""Reading a log: the statements behind every question. Opened read-only, so that reading can change nothing."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, or_, select, text
from sqlalchemy.dialects import sqlite

from counterfoil.schemas import Entry
from counterfoil.schemas.events import EVENT_TYPES

from ..reach import Holder, Numbered
from .faults import translated
from .sqlite import connect_read_only, identify
from .tables import EntryRow, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..filter import Filter

_UNSTATED: Final = {
    "token_class": ("token", "unknown"),
    "binding_method": ("binding", "unknown"),
    "proof_result": ("proof", "unknown"),
    "outcome": ("action", "unknown"),
    "phase": ("action", "complete"),
    "requirement": ("approval", "unknown"),
    "decision": ("approval", "none"),
}
"""What a filter is to find where nobody stated anything, in events that have such a part: bodies hold only what was
stated."""

_PAGE: Final = 500
_ROWS: Final = 2000


class SqliteReader:
    """The reading end of one SQLite log. Threads may share it; they take turns."""

    def __init__(self, path: Path, *, immutable: bool = False) -> None:
        """Open the log at ``path``. Raises ``StoreMissing``, ``StoreForeign``, ``StoreCorrupt``."""
        self.path = path
        self._turn = threading.Lock()
        with translated(path):
            self._connection = connect_read_only(path, immutable=immutable)
            try:
                log_id, self.fingerprint_key_id = identify(self._connection, path)
            except BaseException:
                self._connection.close()
                raise
        self.log_id = log_id.hex()

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        return int(self._rows("SELECT coalesce(max(seq), 0) FROM entry")[0][0])

    def entry(self, seq: int) -> Entry | None:
        """Return one entry, or None."""
        found = self.entries_after(seq - 1, 1)
        return found[0] if found and found[0].seq == seq else None

    def by_event_id(self, event_id: str) -> Entry | None:
        """Return the entry of an event, or None."""
        found = self._entries(_statement("event_id"), {"event_id": event_id, "after": 0, "size": 1})
        return found[0] if found else None

    def entries_after(self, seq: int, limit: int) -> list[Entry]:
        """Return up to ``limit`` entries that follow ``seq``, in order."""
        return self._entries(_statement(), {"after": seq, "size": limit})

    def find(self, wanted: Filter, *, limit: int | None = None) -> Iterator[Entry]:
        """Yield the entries that match, in order. Short transactions, so that a slow reader pins no WAL."""
        given = {name: value for name, value in asdict(wanted).items() if value is not None and value is not False}
        if "checks" in given:
            given["checks"] = json.dumps(given["checks"])
        statement, last = _statement(*given), 0
        while limit is None or limit > 0:
            size = _PAGE if limit is None else min(_PAGE, limit)
            page = self._entries(statement, {**given, "after": last, "size": size})
            yield from page
            if len(page) < size:
                return
            last = page[-1].seq
            limit = None if limit is None else limit - size

    def stored(self) -> Iterator[tuple[int, bytes | None, bytes, bytes]]:
        """Yield ``(seq, body, leaf_hash, chain_hash)`` of every row as it stands, to the byte, for verification.

        Of a pruned entry there is no body.
        """
        start = -(2**63)  # a row may have been put in anywhere
        while True:
            statement = _STORED_FROM if self.pragma("user_version") > 1 else _STORED_FROM_VERSION_1
            page = self._rows(statement, {"start": start, "size": _ROWS})
            yield from page
            if len(page) < _ROWS:
                return
            start = page[-1][0] + 1

    def holders(self, *, token: str | None = None, key: str | None = None) -> list[Holder]:
        """Return who used a credential, or else a key, by what agents recorded; in the order of their first use."""
        column, value = ("token_fingerprint", token) if token else ("key_thumbprint", key)
        return [Holder(*row) for row in self._rows(_HOLDERS.format(column=column), {"value": value})]

    def numbered(self, producer: str, first: int, last: int) -> list[Numbered]:
        """Return how a producer counted its entries from ``first`` to ``last``, in order."""
        rows = self._rows(_NUMBERED, {"producer": producer, "first": first, "last": last})
        return [Numbered(seq, number, tuple(json.loads(raised)), change) for seq, number, raised, change in rows]

    def pragma(self, name: str) -> Any:
        """Return one SQLite setting as it stands, for ``db info``."""
        return self._rows(f"PRAGMA {name}")[0][0]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _entries(self, statement: tuple[str, dict[str, Any]], given: dict[str, Any]) -> list[Entry]:
        written, constants = statement
        return [Entry(*row) for row in self._rows(written, constants | given)]

    def _rows(self, statement: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        with self._turn, translated(self.path):
            try:
                return self._connection.execute(statement, parameters or {}).fetchall()
            except (OverflowError, UnicodeEncodeError):  # such a value cannot be stored, so no row has it
                return []


_entry = table_of(EntryRow)
_DIALECT = sqlite.dialect(paramstyle="named")


@cache
def _statement(*names: str) -> tuple[str, dict[str, Any]]:
    """Write the statement that finds entries by these members of ``Filter``, once for each combination.

    Returns it with the parameters that are constants of its own.
    """
    conditions = [_condition(name) for name in names]
    found = (
        select(_entry.c.seq, _entry.c.body, _entry.c.leaf_hash, _entry.c.chain_hash)
        .where(_entry.c.seq > bindparam("after"), *conditions)
        .order_by(_entry.c.seq)
        .limit(bindparam("size"))
    )
    written = found.compile(dialect=_DIALECT)
    return str(written), dict(written.params)


def _condition(name: str) -> ColumnElement[bool]:
    value: ColumnElement[Any] = bindparam(name)
    if question := _QUESTIONS.get(name):
        return question(value)
    column: ColumnElement[Any] = _entry.c[name] if name in _entry.c else _first_of(*_PATHS[name])
    if name in _UNSTATED:
        part, default = _UNSTATED[name]
        kinds = [kind for kind, event in EVENT_TYPES.items() if part in event.model_fields]
        column = func.coalesce(column, case((or_(*(_entry.c.kind == kind for kind in kinds)), default)))
    return column == value


def _first_of(*paths: str) -> ColumnElement[Any]:
    found = [func.json_extract(_entry.c.body, text(f"'$.{path}'")) for path in paths]
    return found[0] if len(found) == 1 else func.coalesce(*found)


def _passed_through(_given: ColumnElement[Any]) -> ColumnElement[bool]:
    return _first_of("context.inbound") == _entry.c.token_fingerprint


def _one_audience(value: ColumnElement[Any]) -> ColumnElement[bool]:
    each = func.json_each(_entry.c.body, text("'$.token.audience'")).table_valued("value")
    return exists(select(text("1")).select_from(each).where(each.c.value == value))


def _at_or_below(value: ColumnElement[Any]) -> ColumnElement[bool]:
    below, queried = func.rtrim(value, "/").op("||")("/"), value.op("||")("?")
    return or_(_entry.c.resource == value, _begins(_entry.c.resource, below), _begins(_entry.c.resource, queried))


def _every_check(outcomes: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say that no wanted outcome is missing. ``outcomes`` is a JSON object, so that one statement serves any number."""
    wanted = func.json_each(outcomes).table_valued("key", "value", name="wanted")
    check = func.json_each(_entry.c.body, text("'$.proof.checks'")).table_valued("value", name="checked")
    ended_so = and_(
        func.json_extract(check.c.value, text("'$.id'")) == wanted.c.key,
        func.json_extract(check.c.value, text("'$.outcome'")) == wanted.c.value,
    )
    found = exists(select(text("1")).select_from(check).where(ended_so).correlate(_entry, wanted))
    return ~exists(select(text("1")).select_from(wanted).where(~found).correlate(_entry))


def _begins(column: ColumnElement[Any], prefix: ColumnElement[Any]) -> ColumnElement[bool]:
    # Not LIKE, which SQLite matches without regard to case, and a path has regard (RFC 3986 §6.2.2.1).
    return func.substr(column, 1, func.length(prefix)) == prefix


_PATHS: Final = {
    "inbound": ("context.inbound",),
    "requirement": ("approval.requirement", "requirement"),
    "decision": ("approval.decision",),
}
"""Where in the body the members of ``Filter`` stand that have no column of their own."""

_QUESTIONS: Final[dict[str, Callable[[ColumnElement[Any]], ColumnElement[bool]]]] = {
    "since": lambda value: _entry.c.occurred_at >= value,
    "until": lambda value: _entry.c.occurred_at < value,
    "passed_through": _passed_through,
    "audience": _one_audience,
    "resource": _at_or_below,
    "checks": _every_check,
}
"""The members of ``Filter`` that are not the equality of a column."""

_HOLDERS: Final = """
SELECT tenant, json_extract(body, '$.signer.host') AS host, json_extract(body, '$.signer.container') AS container,
  json_extract(body, '$.signer.workload_id') AS workload, json_extract(body, '$.signer.pid') AS pid,
  min(seq), max(seq), count(*)
FROM entry WHERE {column} = :value AND kind = 'credential_use' AND observer = 'agent'
GROUP BY tenant, host, container, workload, pid ORDER BY min(seq)
"""

_NUMBERED: Final = """
SELECT seq, json_extract(body, '$.context.producer.seq'),
  coalesce(json_extract(body, '$.context.producer.raised'), '[]'), json_extract(body, '$.change')
FROM entry WHERE seq BETWEEN :first AND :last AND json_extract(body, '$.context.producer.id') = :producer ORDER BY seq
"""

# As a blob: a body that was damaged need not be text any more.
_STORED_FROM_VERSION_1: Final = (
    "SELECT seq, CAST(body AS BLOB), leaf_hash, chain_hash FROM entry WHERE seq >= :start ORDER BY seq LIMIT :size"
)
_STORED_FROM: Final = """
SELECT seq, CAST(body AS BLOB) AS body, leaf_hash, chain_hash FROM entry WHERE seq >= :start
UNION ALL SELECT seq, NULL, leaf_hash, chain_hash FROM pruned WHERE seq >= :start
ORDER BY seq LIMIT :size
"""

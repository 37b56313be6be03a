"""Examining a SQLite file: whether it is whole, its schema ours, and its answers what the bodies say.

What a reviewer filters by is computed from the body when it is read, and its indexes hold what was computed before.
Whoever can write the file can change how: another expression, a trigger, a view of the same name, an index made under
another expression. The chain does not see it, since no body changes. This does.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from .tables import TABLES, EntryRow, computed_columns, table_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_MOST: Final = 10
_DIALECT: Final = sqlite.dialect()
_entry = table_of(EntryRow)
_PATHS: Final[dict[str, tuple[str, ...]]] = {name: element.paths for name, element in computed_columns()}
_INDEXED: Final = {str(index.name): next(iter(index.columns)).name for index in _entry.indexes}
_SIDE_TABLES: Final = frozenset(table_of(model).name for model in TABLES) - {_entry.name}
_OF_SQLITE: Final = frozenset({("table", "sqlite_stat1"), ("table", "sqlite_stat4"), ("table", "sqlite_sequence")})


def irregularities(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong, at most ten findings, in words that quote nothing of the database."""
    connection.execute("BEGIN")  # one moment of a log that is written meanwhile
    try:
        return list(islice(_findings(connection), _MOST))
    finally:
        connection.execute("ROLLBACK")


def _findings(connection: sqlite3.Connection) -> Iterator[str]:
    damage = connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
    if damage != [("ok",)]:
        yield f"SQLite's integrity check finds {len(damage)} faults, of {_MOST} that it looks for"
    foreign = False
    for finding in _foreign(connection):
        foreign = True
        yield finding
    if not foreign:  # what a changed schema answers says nothing
        yield from _disagreements(connection)


def _foreign(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what the schema holds besides our tables and indexes, and which of these are not as we make them."""
    ours = {("index", str(index.name)): _made(CreateIndex(index)) for index in _entry.indexes}
    ours["table", _entry.name] = _made(CreateTable(_entry))
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_schema"):
        if (kind, name) in ours:
            if " ".join(str(sql).split()) != ours.pop((kind, name)):
                yield f"the {kind} {name} is not defined as it was made"
        elif not (
            (kind, name) in _OF_SQLITE
            or (kind == "table" and name in _SIDE_TABLES)
            or (kind == "index" and sql is None)  # SQLite's own, of a primary key
        ):
            yield f"the schema holds a foreign {kind}" if kind in _KINDS else "the schema holds something foreign"
    for kind, name in ours:
        yield f"the {kind} {name} is missing"


_EVERYTHING: Final = f"SELECT seq, body, {', '.join(_PATHS)} FROM entry NOT INDEXED"  # noqa: S608 -- our own names
_HELD: Final = "SELECT seq, {name} FROM entry INDEXED BY {index} WHERE {name} IS NOT NULL"
_KINDS: Final = frozenset({"table", "index", "trigger", "view"})


def _disagreements(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the columns, and the indexes, that do not say what the bodies say.

    Columns are compared row by row. Of an index the sum of the keyed hashes of what it holds is, with little memory.
    """
    sums = dict.fromkeys(_PATHS, 0)
    wrong: dict[str, int] = {}
    for seq, body, *stored in connection.execute(_EVERYTHING):
        event = _object(body)
        for name, found in zip(_PATHS, stored, strict=True):
            if found != _said(event, _PATHS[name]):
                wrong.setdefault(name, seq)
            if found is not None:
                sums[name] += hash((seq, found))
    for name, seq in wrong.items():
        yield f"the column {name} of entry {seq} does not say what its body says"
    for index, name in sorted(_INDEXED.items()):
        held = connection.execute(_HELD.format(name=name, index=index))
        if sum(map(hash, held)) != sums[name]:
            yield f"the index {index} does not say what the bodies say"


def _made(statement: CreateTable | CreateIndex) -> str:
    return " ".join(str(statement.compile(dialect=_DIALECT)).split())


def _object(body: Any) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, TypeError, RecursionError):
        return {}
    return cast("dict[str, Any]", event) if isinstance(event, dict) else {}


def _said(event: dict[str, Any], paths: tuple[str, ...]) -> str | None:
    for path in paths:
        found: Any = event
        for member in path.split("."):
            found = cast("dict[str, Any]", found).get(member) if isinstance(found, dict) else None
        if found is not None:
            return found if isinstance(found, str) else json.dumps(found, separators=(",", ":"))
    return None

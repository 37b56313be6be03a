"""The tables of a log in PostgreSQL: whether they are there, how they are made, and which log it is.

What a reviewer filters by is written by a trigger, out of the body and nothing else: whatever an INSERT or an UPDATE
says about such a column, it holds what the body says.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, LiteralString

import psycopg

from counterfoil.schemas import StoreCorrupt, StoreForeign, StoreMissing

from .statements import POSTGRESQL
from .tables import SCHEMA_VERSION, TABLES, computed_columns, definitions, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import Connection

_FIRST: Final = 2
"""The first version that there was on PostgreSQL; see ``versions``."""

_STEPS: Final[tuple[LiteralString, ...]] = (
    (
        "CREATE TABLE erased (seq BIGINT NOT NULL, leaf_hash BYTEA NOT NULL, chain_hash BYTEA NOT NULL, "
        "erased_by BIGINT NOT NULL, PRIMARY KEY (seq))"
    ),
)
"""The steps from each version to the next. They are written in plain SQL, because the models go on changing."""

_OWN_SCHEMA: Final = "Give the log a schema of its own: CREATE SCHEMA audit, and ?options=-csearch_path%3Daudit."


def has_tables(connection: Connection) -> bool:
    """Whether something in the schema has the name of one of our tables. Raises ``StoreMissing`` without a schema."""
    (schema,) = connection.execute("SELECT current_schema()").fetchone() or (None,)
    if schema is None:
        raise StoreMissing("the schema that the address names is not there", advice="Make it: CREATE SCHEMA audit.")
    counted = "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s)"
    return connection.execute(counted, ([table_of(each).name for each in TABLES],)).fetchone() != (0,)


def identify(connection: Connection, name: str) -> tuple[bytes, str, int]:
    """Return which log it is: its ``log_id``, the id of its fingerprint key, and the version of its tables.

    Raises ``StoreMissing``, ``StoreForeign`` for tables that are not a log's or of a newer release, ``StoreCorrupt``.
    """
    if connection.execute("SELECT to_regclass('log')").fetchone() == (None,):
        raise StoreMissing(f"there is no log at {name}")
    try:
        rows = connection.execute("SELECT log_id, fingerprint_key_id, schema_version FROM log").fetchall()
    except psycopg.errors.UndefinedColumn:
        raise StoreForeign(f"{name} has a table `log` that is not Counterfoil's", advice=_OWN_SCHEMA) from None
    match rows:
        case [(bytes() as log_id, str() as key_id, int() as version)] if len(log_id) == 16:
            if version > SCHEMA_VERSION:
                raise StoreForeign(
                    f"{name} has schema version {version}; this release knows {SCHEMA_VERSION}",
                    advice="Install a newer release of counterfoil.",
                )
            return log_id, key_id, version
        case _:
            raise StoreCorrupt(f"{name}: the row that says which log this is was damaged")


def make_tables(connection: Connection, fingerprint_key_id: str) -> None:
    """Make the tables of a new log, within the transaction of the caller."""
    for statement in _definitions():
        connection.execute(statement.encode())
    row = os.urandom(16), SCHEMA_VERSION, fingerprint_key_id
    connection.execute("INSERT INTO log (log_id, schema_version, fingerprint_key_id) VALUES (%s, %s, %s)", row)


def migrate(connection: Connection, version: int) -> None:
    """Bring a log of an older version to that of this release, within the transaction of the caller."""
    for step in _STEPS[version - _FIRST :]:
        connection.execute(step)
    connection.execute("UPDATE log SET schema_version = %s", (SCHEMA_VERSION,))


def _definitions() -> Iterator[str]:
    yield from definitions(POSTGRESQL)
    yield f"CREATE FUNCTION entry_from_body() RETURNS trigger LANGUAGE plpgsql AS $${trigger_source()}$$"
    yield (
        "CREATE TRIGGER entry_from_body BEFORE INSERT OR UPDATE ON entry "
        "FOR EACH ROW EXECUTE FUNCTION entry_from_body()"
    )


def trigger_source() -> str:
    """Return what the trigger does, as the server keeps it."""
    # Within the function ``body`` is the body parsed once, and the columns' own expressions hold as they are.
    assigned = "".join(f"NEW.{name} := {element.compile(dialect=POSTGRESQL)}; " for name, element in computed_columns())
    return f" DECLARE body jsonb := NEW.body::jsonb; BEGIN {assigned}RETURN NEW; END "

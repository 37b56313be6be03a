"""A check-up of one log in PostgreSQL: what it rests on, and whether that is as it should be. It changes nothing.

Whether the entries are those that were sealed is for ``verify`` to say.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import StoreCorrupt

from .check import Check, check_exports
from .postgres_reader import PostgresReader
from .postgres_tables import trigger_source
from .statements import POSTGRESQL
from .tables import SCHEMA_VERSION, TABLES, EntryRow, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import PostgresAddress

_TRIGGER: Final = "entry_from_body"


def check_up(address: PostgresAddress) -> Iterator[Check]:
    """Yield what is found of the log at ``address``, one thing after the other. Raises ``StoreError``."""
    with closing(PostgresReader(address)) as reader:
        yield _settings(reader)
        yield _commits(reader)
        version = reader.schema_version
        yield Check(
            "schema version", ok=version == SCHEMA_VERSION, words=f"{version}; this release makes {SCHEMA_VERSION}"
        )
        yield _tables(reader)
        yield _trigger(reader)
        yield _indexes(reader)
        yield check_exports(reader)
        try:
            yield _columns(reader)
        except StoreCorrupt as error:
            yield Check("columns", ok=False, words=str(error))


def _settings(reader: PostgresReader) -> Check:
    found = dict(reader.ask(_SETTINGS))
    wrong = [name for name, right in _RIGHT.items() if found[name] != right]
    words = ", ".join(f"{name}={value}" for name, value in sorted(found.items()))
    if found["data_checksums"] != "on":  # a choice, made when the cluster was made
        words += "; without checksums the server does not see what a disk altered"
    return Check("server", ok=not wrong, words=words)


def _commits(reader: PostgresReader) -> Check:
    """Say how a commit is confirmed; each writer sets it for itself, and reads it back."""
    ((found,),) = reader.ask("SELECT current_setting('synchronous_commit')")
    words = f"writers set synchronous_commit=on and read it back; otherwise it is {found} here"
    return Check("synchronous_commit", ok=True, words=words)


def _tables(reader: PostgresReader) -> Check:
    """Compare columns with those that this release makes."""
    names = [table_of(model).name for model in TABLES]
    found: dict[str, list[Any]] = {name: [] for name in names}
    for table, *column in reader.ask(_COLUMNS, names=names):
        found[table].append(tuple(column))
    wrong = [table_of(model).name for model in TABLES if found[table_of(model).name] != _made(table_of(model))]
    if wrong:
        return Check("tables", ok=False, words=f"not as they were made: {', '.join(wrong)}")
    return Check("tables", ok=True, words=f"as they were made: {', '.join(names)}")


def _made(table: Any) -> list[tuple[str, str, bool]]:
    return [(each.name, _type(each), bool(each.nullable)) for each in table.columns]


def _type(column: Any) -> str:
    written: str = column.type.compile(dialect=POSTGRESQL)
    return written.partition(" COLLATE ")[0].lower()


def _trigger(reader: PostgresReader) -> Check:
    """Require the one trigger that fills the columns, as it was made, and no other."""
    found = reader.ask(_TRIGGERS, names=[table_of(model).name for model in TABLES])
    if [(name, table) for name, table, *_ in found] != [(_TRIGGER, "entry")]:
        return Check("trigger", ok=False, words=f"{len(found)} triggers and rules where {_TRIGGER} alone belongs")
    ((_, _, enabled, source),) = found
    if enabled != "O" or source != trigger_source():
        return Check("trigger", ok=False, words=f"{_TRIGGER} is disabled, or not as it was made")
    return Check("trigger", ok=True, words=f"{_TRIGGER}, as it was made")


def _indexes(reader: PostgresReader) -> Check:
    expected = {str(index.name) for index in table_of(EntryRow).indexes}
    valid = {name for name, is_valid in reader.ask(_INDEXES) if is_valid}
    if missing := sorted(expected - valid):
        return Check("indexes", ok=False, words=f"missing or not valid: {', '.join(missing)}")
    return Check("indexes", ok=True, words=f"{len(expected)}, all valid")


def _columns(reader: PostgresReader) -> Check:
    """Compare what is filtered by with what the bodies say."""
    computed = [(each.name, each.computed.sqltext) for each in table_of(EntryRow).columns if each.computed is not None]
    names = ", ".join(name for name, _ in computed)
    said = ", ".join(str(element.compile(dialect=POSTGRESQL)) for _, element in computed)
    ((first,),) = reader.ask(f"SELECT min(seq) FROM entry WHERE ROW({names}) IS DISTINCT FROM ROW({said})")  # noqa: S608 -- our own names
    if first is not None:
        return Check("columns", ok=False, words=f"those of entry {first} do not say what its body says")
    return Check("columns", ok=True, words="they say what the bodies say")


_RIGHT: Final = {"fsync": "on", "full_page_writes": "on", "server_encoding": "UTF8"}
_SETTINGS: Final = (
    "SELECT name, setting FROM pg_settings "
    "WHERE name IN ('fsync', 'full_page_writes', 'server_encoding', 'data_checksums')"
)
_COLUMNS: Final = (
    "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND table_name = ANY(%(names)s) ORDER BY table_name, ordinal_position"
)
_TRIGGERS: Final = """
SELECT tgname::text, relname::text, tgenabled::text, prosrc FROM pg_trigger
JOIN pg_class ON tgrelid = pg_class.oid JOIN pg_proc ON tgfoid = pg_proc.oid
WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace AND relname = ANY(%(names)s)
UNION ALL SELECT rulename::text, tablename::text, '', '' FROM pg_rules
WHERE schemaname = current_schema() AND tablename = ANY(%(names)s)
"""
_INDEXES: Final = (
    "SELECT relname::text, indisvalid FROM pg_index JOIN pg_class ON indexrelid = pg_class.oid "
    "WHERE indrelid = to_regclass('entry')"
)

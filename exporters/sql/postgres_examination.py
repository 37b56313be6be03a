"""What is wrong with a log's tables in PostgreSQL, whatever the chain says: definitions, trigger, columns, indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from counterfoil.schemas import StoreCorrupt

from .check import Check
from .postgres_tables import trigger_source
from .statements import POSTGRESQL
from .tables import TABLES, EntryRow, computed_columns, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Ask: TypeAlias = Callable[..., list[Any]]
"""Runs a statement with its parameters, and returns the rows."""

_TRIGGER: Final = "entry_from_body"


def examine(ask: Ask) -> Iterator[Check]:
    """Yield whether what is searched is what was sealed, one thing after the other. Raises ``StoreError``."""
    yield _tables(ask)
    yield _trigger(ask)
    yield _indexes(ask)
    try:
        yield _columns(ask)
    except StoreCorrupt as error:
        yield Check("columns", ok=False, words=str(error))


def _tables(ask: Ask) -> Check:
    """Compare columns with those that this release makes."""
    names = [table_of(model).name for model in TABLES]
    found: dict[str, list[Any]] = {name: [] for name in names}
    for table, *column in ask(_COLUMNS, names=names):
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


def _trigger(ask: Ask) -> Check:
    """Require the one trigger that fills the columns, as it was made, and no other."""
    found = ask(_TRIGGERS, names=[table_of(model).name for model in TABLES])
    if [(name, table) for name, table, *_ in found] != [(_TRIGGER, "entry")]:
        return Check("trigger", ok=False, words=f"{len(found)} triggers and rules where {_TRIGGER} alone belongs")
    ((_, _, enabled, source),) = found
    if enabled != "O" or source != trigger_source():
        return Check("trigger", ok=False, words=f"{_TRIGGER} is disabled, or not as it was made")
    return Check("trigger", ok=True, words=f"{_TRIGGER}, as it was made")


def _indexes(ask: Ask) -> Check:
    expected = {str(index.name) for index in table_of(EntryRow).indexes}
    valid = {name for name, is_valid in ask(_INDEXES) if is_valid}
    if missing := sorted(expected - valid):
        return Check("indexes", ok=False, words=f"missing or not valid: {', '.join(missing)}")
    return Check("indexes", ok=True, words=f"{len(expected)}, all valid")


def _columns(ask: Ask) -> Check:
    """Compare what is filtered by with what the bodies say."""
    computed = computed_columns()
    names = ", ".join(name for name, _ in computed)
    said = ", ".join(str(element.compile(dialect=POSTGRESQL)) for _, element in computed)
    ((first,),) = ask(f"SELECT min(seq) FROM entry WHERE ROW({names}) IS DISTINCT FROM ROW({said})")  # noqa: S608 -- our own names
    if first is not None:
        return Check("columns", ok=False, words=f"those of entry {first} do not say what its body says")
    return Check("columns", ok=True, words="they say what the bodies say")


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

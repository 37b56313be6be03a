"""Every question that a reader asks, as statements of SQLAlchemy Core: written once, compiled for both databases."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite

from counterfoil.schemas.events import EVENT_TYPES

from .body import BodyBytes, ChecksEndedSo, FromBody, HasAudience, NumberFromBody
from .tables import CheckpointRow, CursorRow, EntryRow, ErasedRow, PrunedRow, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import GenerativeSelect, Select, Table

Statement: TypeAlias = tuple[str, dict[str, Any]]
"""What the driver runs, with the parameters that are constants of the statement."""

SQLITE: Final = sqlite.dialect(paramstyle="named")
POSTGRESQL: Final[Any] = postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]

UNSTATED: Final = {
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

_PRUNED_SINCE: Final = 2
_ERASED_SINCE: Final = 3
"""The versions of the tables since which there are these."""

_entry = table_of(EntryRow)
_pruned = table_of(PrunedRow)
_erased = table_of(ErasedRow)
_cursor = table_of(CursorRow)
_checkpoint = table_of(CheckpointRow)


@cache
def select_head(dialect: Any) -> Statement:
    """Ask for the sequence number of the last entry, 0 for an empty log."""
    return _written(select(func.coalesce(func.max(_entry.c.seq), 0)), dialect)


@cache
def select_entries(dialect: Any, *names: str) -> Statement:
    """Ask for the entries after ``after``, ``size`` of them, that have these members of ``Filter``."""
    found = (
        select(_entry.c.seq, _entry.c.body, _entry.c.leaf_hash, _entry.c.chain_hash)
        .where(_entry.c.seq > bindparam("after"), *map(_condition, names))
        .order_by(_entry.c.seq)
        .limit(bindparam("size"))
    )
    return _written(found, dialect)


@cache
def select_stored(dialect: Any, version: int) -> Statement:
    """Ask for every row from ``start`` on, ``size`` of them, as it stands.

    Of a pruned entry the body is NULL, of an erased one empty, which no body is.
    """
    tables: list[tuple[Table, ColumnElement[Any]]] = [(_entry, BodyBytes().label("body"))]
    if version >= _PRUNED_SINCE:
        tables.append((_pruned, null()))
    if version >= _ERASED_SINCE:
        tables.append((_erased, literal_column("x''" if dialect is SQLITE else "''::bytea")))
    parts = [_from(*each) for each in tables]
    every = union_all(*parts) if len(parts) > 1 else parts[0]
    return _written(every.order_by(text("seq")).limit(bindparam("size")), dialect)


def _from(table: Table, body: ColumnElement[Any]) -> Select[Any]:
    found: Any = select(table.c.seq, body, table.c.leaf_hash, table.c.chain_hash)
    rows: Select[Any] = found.where(table.c.seq >= bindparam("start"))
    return rows


@cache
def select_last_pruned(dialect: Any) -> Statement:
    """Ask for the last entry whose body was removed: its number and its chain hash."""
    return _written(select(_pruned.c.seq, _pruned.c.chain_hash).order_by(_pruned.c.seq.desc()).limit(1), dialect)


@cache
def select_first_recorded_since(dialect: Any) -> Statement:
    """Ask for the first entry after ``after`` that was recorded at ``since`` or later, or does not say when."""
    recorded = FromBody("context.recorded_at")
    young = or_(recorded >= bindparam("since", type_=Text()), recorded.is_(None))
    found = select(_entry.c.seq).where(_entry.c.seq > bindparam("after"), young)
    return _written(found.order_by(_entry.c.seq).limit(1), dialect)


@cache
def select_about_others(dialect: Any) -> Statement:
    """Ask how many entries from ``first`` to ``last`` are not about the log itself, and for the first and last."""
    found = select(func.count(), func.min(_entry.c.seq), func.max(_entry.c.seq)).where(
        _entry.c.seq.between(bindparam("first"), bindparam("last")), _entry.c.kind.is_distinct_from("log")
    )
    return _written(found, dialect)


@cache
def select_last_checkpoint(dialect: Any) -> Statement:
    """Ask for the largest size that has a checkpoint, 0 where there is none."""
    return _written(select(func.coalesce(func.max(_checkpoint.c.size), 0)), dialect)


@cache
def select_checkpoints(dialect: Any) -> Statement:
    """Ask for the checkpoints of sizes from ``start`` to ``last``, ``size`` of them. A note may be no text."""
    note: ColumnElement[Any] = _checkpoint.c.note
    note = cast(note, LargeBinary) if dialect is SQLITE else note
    found = select(_checkpoint.c.size, note).where(_checkpoint.c.size.between(bindparam("start"), bindparam("last")))
    return _written(found.order_by(_checkpoint.c.size).limit(bindparam("size")), dialect)


@cache
def select_pruned(dialect: Any) -> Statement:
    """Ask what stayed of the pruned entry ``seq``."""
    return _written(select(*_pruned.c).where(_pruned.c.seq == bindparam("seq")), dialect)


@cache
def select_erased(dialect: Any) -> Statement:
    """Ask what stayed of the erased entries from ``first`` to ``last``, and which entries tell of them."""
    found = select(*_erased.c).where(_erased.c.seq.between(bindparam("first"), bindparam("last")))
    return _written(found.order_by(_erased.c.seq).limit(bindparam("size")), dialect)


@cache
def count_erased(dialect: Any) -> Statement:
    """Ask how many entries were erased."""
    return _written(select(func.count()).select_from(_erased), dialect)


@cache
def select_cursors(dialect: Any) -> Statement:
    """Ask how far each export destination has come."""
    return _written(select(_cursor.c.name, _cursor.c.seq).order_by(_cursor.c.name), dialect)


@cache
def select_pruned_leaves(dialect: Any) -> Statement:
    """Ask for the leaf hashes of the pruned entries from ``first`` to ``last``, ``size`` of them."""
    found = select(_pruned.c.seq, _pruned.c.leaf_hash).where(
        _pruned.c.seq.between(bindparam("first"), bindparam("last"))
    )
    return _written(found.order_by(_pruned.c.seq).limit(bindparam("size")), dialect)


@cache
def select_holders(dialect: Any, column: str) -> Statement:
    """Ask who used the credential or key that has ``value`` in ``column``."""
    who = [
        _entry.c.tenant,
        *(FromBody(f"signer.{name}").label(name) for name in ("host", "container", "workload_id")),
        NumberFromBody("signer.pid").label("pid"),
    ]
    found = select(*who, func.min(_entry.c.seq), func.max(_entry.c.seq), func.count()).where(
        _entry.c[column] == bindparam("value"), _entry.c.kind == "credential_use", _entry.c.observer == "agent"
    )
    grouped = found.group_by(*(each if each is _entry.c.tenant else text(each.name) for each in who))
    return _written(grouped.order_by(func.min(_entry.c.seq)), dialect)


@cache
def select_numbered(dialect: Any) -> Statement:
    """Ask how ``producer`` counted its entries from ``first`` to ``last``."""
    found = select(
        _entry.c.seq,
        NumberFromBody("context.producer.seq"),
        func.coalesce(FromBody("context.producer.raised"), "[]"),
        FromBody("change"),
    ).where(
        _entry.c.seq.between(bindparam("first"), bindparam("last")),
        FromBody("context.producer.id") == bindparam("producer"),
    )
    return _written(found.order_by(_entry.c.seq), dialect)


def _written(statement: GenerativeSelect, dialect: Any) -> Statement:
    written = statement.compile(dialect=dialect)
    return str(written), dict(written.params)


def _condition(name: str) -> ColumnElement[bool]:
    value: ColumnElement[Any] = bindparam(name, type_=Text())
    if question := _QUESTIONS.get(name):
        return question(value)
    column: ColumnElement[Any] = _entry.c[name] if name in _entry.c else FromBody(*_PATHS[name])
    if name in UNSTATED:
        part, default = UNSTATED[name]
        kinds = [kind for kind, event in EVENT_TYPES.items() if part in event.model_fields]
        column = func.coalesce(column, case((or_(*(_entry.c.kind == str(kind) for kind in kinds)), default)))
    return column == value


def _passed_through(_given: ColumnElement[Any]) -> ColumnElement[bool]:
    return FromBody("context.inbound") == _entry.c.token_fingerprint


def _at_or_below(value: ColumnElement[Any]) -> ColumnElement[bool]:
    below, queried = func.rtrim(value, "/").op("||")("/"), value.op("||")("?")
    return or_(_entry.c.resource == value, _begins(_entry.c.resource, below), _begins(_entry.c.resource, queried))


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
    "audience": HasAudience,
    "resource": _at_or_below,
    "checks": ChecksEndedSo,
}
"""The members of ``Filter`` that are not the equality of a column."""

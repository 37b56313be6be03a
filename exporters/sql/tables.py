"""The tables of a log. Everything that a reviewer filters by is generated from the sealed body.

``entry`` holds the body and its hashes; each other column is computed by the database from ``body``, so that what is
searched cannot disagree with what was sealed. One class serves SQLite and PostgreSQL: what it reads is in ``body``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from sqlalchemy import BigInteger, Column, Computed, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import Field, SQLModel

from .body import FromBody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.sql.compiler import DDLCompiler

SCHEMA_VERSION = 3
"""The version of these tables, kept in ``log.schema_version`` and in SQLite's ``user_version``; see ``versions``."""


_SEQ: Any = BigInteger().with_variant(Integer, "sqlite")


class _Generated(Computed):
    """A column computed from the body: by SQLite when it is read; by PostgreSQL's trigger when it is written."""

    inherit_cache = False


@compiles(_Generated, "postgresql")
def _by_the_trigger(element: _Generated, compiler: DDLCompiler, **options: Any) -> str:  # noqa: ARG001 -- SQLAlchemy's
    # A generated column would parse the body once more for each: the trigger, which does it once, is five times faster.
    return ""


def _generated(*paths: str) -> Any:
    # Without a language's collation, which PostgreSQL would sort times by.
    as_bytes = Text().with_variant(Text(collation="C"), "postgresql")
    return Field(default=None, sa_column=Column(as_bytes, _Generated(FromBody(*paths))))


def _partial(column: str) -> Index:
    present = text(f"{column} IS NOT NULL")
    return Index(f"entry_{column}", column, sqlite_where=present, postgresql_where=present)


class EntryRow(SQLModel, table=True):
    """One sealed entry. Writers give the first four columns; the database makes the others."""

    __tablename__: ClassVar[Any] = "entry"
    # Eight indexes, one a question that reviewers bring; each costs every commit.
    __table_args__: ClassVar[Any] = (
        Index("entry_event_id", "event_id", unique=True),
        *map(
            _partial,
            ("token_fingerprint", "key_thumbprint", "proof_id", "approval_id", "use_id", "trace_id", "task"),
        ),
        {"sqlite_strict": True},
    )

    seq: int = Field(sa_column=Column(_SEQ, primary_key=True, autoincrement=False))
    body: str = Field(sa_column=Column(Text, nullable=False))
    leaf_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    chain_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))

    event_id: str | None = _generated("context.event_id")
    kind: str | None = _generated("kind")
    occurred_at: str | None = _generated("context.occurred_at", "context.recorded_at")
    observer: str | None = _generated("context.observer")
    agent: str | None = _generated("context.agent.id")
    task: str | None = _generated("context.task")
    tenant: str | None = _generated("context.tenant")
    tool: str | None = _generated("context.tool.name")
    trace_id: str | None = _generated("context.trace_id")
    use_id: str | None = _generated("context.use_id")
    token_class: str | None = _generated("token.token_class")
    token_fingerprint: str | None = _generated("token.fingerprint", "fingerprint")
    key_thumbprint: str | None = _generated("binding.key_thumbprint", "key_thumbprint")
    binding_method: str | None = _generated("binding.method")
    proof_result: str | None = _generated("proof.result")
    proof_id: str | None = _generated("proof.proof_id")
    approval_id: str | None = _generated("approval.approval_id", "approval_id")
    resource: str | None = _generated("resource.uri")
    action: str | None = _generated("action.name")
    phase: str | None = _generated("action.phase")
    outcome: str | None = _generated("action.outcome")


class LogRow(SQLModel, table=True):
    """The identity of the log: exactly one row."""

    __tablename__: ClassVar[Any] = "log"
    __table_args__: ClassVar[Any] = {"sqlite_strict": True}

    log_id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    schema_version: int
    fingerprint_key_id: str = Field(sa_type=Text)


class CursorRow(SQLModel, table=True):
    """How far each export destination has come."""

    __tablename__: ClassVar[Any] = "cursor"
    __table_args__: ClassVar[Any] = {"sqlite_strict": True}

    name: str = Field(primary_key=True, sa_type=Text)
    seq: int = Field(sa_type=_SEQ)


class CheckpointRow(SQLModel, table=True):
    """Commitments to the head of the log, as C2SP notes."""

    __tablename__: ClassVar[Any] = "checkpoint"
    __table_args__: ClassVar[Any] = {"sqlite_strict": True}

    size: int = Field(sa_column=Column(_SEQ, primary_key=True, autoincrement=False))
    note: str = Field(sa_type=Text)
    frontier: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    """The compact range of the leaves up to ``size`` (RFC 9162), from which the next checkpoint goes on."""


class PrunedRow(SQLModel, table=True):
    """What stays of an entry whose body was removed: its place in the chain, and in the tree."""

    __tablename__: ClassVar[Any] = "pruned"
    __table_args__: ClassVar[Any] = {"sqlite_strict": True}

    seq: int = Field(sa_column=Column(_SEQ, primary_key=True, autoincrement=False))
    leaf_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    chain_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ErasedRow(SQLModel, table=True):
    """What stays of an entry whose body was erased: as of a pruned one, and which entry tells of it."""

    __tablename__: ClassVar[Any] = "erased"
    __table_args__: ClassVar[Any] = {"sqlite_strict": True}

    seq: int = Field(sa_column=Column(_SEQ, primary_key=True, autoincrement=False))
    leaf_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    chain_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    erased_by: int = Field(sa_type=_SEQ)


TABLES: tuple[type[SQLModel], ...] = (EntryRow, LogRow, CursorRow, CheckpointRow, PrunedRow, ErasedRow)
"""All the tables of a log."""


def table_of(model: type[SQLModel]) -> Table:
    """Return the SQLAlchemy table behind a SQLModel class."""
    return cast("Table", model.__table__)  # type: ignore[attr-defined]


def computed_columns() -> list[tuple[str, FromBody]]:
    """Return the columns that the database makes from the body, each with what it reads there."""
    columns = table_of(EntryRow).columns
    return [(each.name, cast("FromBody", each.computed.sqltext)) for each in columns if each.computed is not None]


def definitions(dialect: Any) -> Iterator[str]:
    """Yield the statements that make the tables of a new log, and their indexes."""
    for table in map(table_of, TABLES):
        yield str(CreateTable(table).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            yield str(CreateIndex(index).compile(dialect=dialect))

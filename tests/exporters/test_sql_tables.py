"""The tables: what is searched is what was sealed, found through an index, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql import SqliteReader, Writer, open_writer
from counterfoil.exporters.sql.body import FromBody
from counterfoil.exporters.sql.tables import EntryRow, table_of
from counterfoil.schemas import (
    Action,
    Agent,
    Approval,
    ApprovalEvent,
    Binding,
    Compromise,
    Context,
    CredentialChange,
    CredentialUse,
    Event,
    Fingerprint,
    FingerprintKey,
    LogEvent,
    Proof,
    Resource,
    Sha256,
    Thumbprint,
    Token,
    Tool,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Connections, Seal

_NOON = "2026-11-23T12:00:00.000000Z"
_TOKEN = Fingerprint.of("token", FingerprintKey(b"a key of this test"))
_KEY = Thumbprint.of_certificate(b"certificate")
_PROOF = Sha256.of(b"proof")
_USE = UUID(int=7)
_STORED = {"seq", "body", "leaf_hash", "chain_hash"}
_AROUND = Context.model_validate(
    {
        "occurred_at": _NOON,
        "observer": "gateway",
        "agent": Agent(id="mail-agent"),
        "task": "t-42",
        "tenant": "acme",
        "tool": Tool(name="send'); DROP TABLE entry; --"),
        "trace_id": "a" * 32,
        "use_id": _USE,
    }
)
_ABOUT = {
    "occurred_at": _NOON,
    "observer": "gateway",
    "agent": "mail-agent",
    "task": "t-42",
    "tenant": "acme",
    "tool": "send'); DROP TABLE entry; --",
    "trace_id": "a" * 32,
    "use_id": str(_USE),
}
_MAIL = Resource(uri="https://api.example/mail")
_READ = Action.model_validate({"name": "read_mail", "phase": "outcome", "outcome": "refused"})
_BEARER = Token.model_validate({"token_class": "bearer_opaque", "fingerprint": _TOKEN})
_DPOP = Binding.model_validate({"method": "dpop", "key_thumbprint": _KEY})

EXPECTED: list[tuple[Event, dict[str, str]]] = [
    (
        CredentialUse(
            context=_AROUND,
            token=_BEARER,
            binding=_DPOP,
            proof=Proof.model_validate({"result": "fail", "proof_id": _PROOF}),
            resource=_MAIL,
            approval=Approval(approval_id="a-1"),
            action=_READ,
        ),
        {
            "token_class": "bearer_opaque",
            "token_fingerprint": _TOKEN,
            "key_thumbprint": _KEY,
            "binding_method": "dpop",
            "proof_result": "fail",
            "proof_id": _PROOF,
            "approval_id": "a-1",
            "resource": "https://api.example/mail",
            "action": "read_mail",
            "phase": "outcome",
            "outcome": "refused",
        },
    ),
    (
        CredentialChange.model_validate({"context": _AROUND, "change": "issued", "token": _BEARER, "binding": _DPOP}),
        {
            "token_class": "bearer_opaque",
            "token_fingerprint": _TOKEN,
            "key_thumbprint": _KEY,
            "binding_method": "dpop",
        },
    ),
    (
        ApprovalEvent.model_validate({"context": _AROUND, "approval_id": "a-1", "state": "granted", "action": _READ}),
        {"approval_id": "a-1", "action": "read_mail", "phase": "outcome", "outcome": "refused"},
    ),
    (
        Compromise.model_validate(
            {"context": _AROUND, "leaked": "both", "fingerprint": _TOKEN, "key_thumbprint": _KEY}
        ),
        {"token_fingerprint": _TOKEN, "key_thumbprint": _KEY},
    ),
    (LogEvent.model_validate({"context": _AROUND, "change": "gap"}), {}),
]


@pytest.fixture
def database(writer: Writer, address: Path) -> Iterator[sqlite3.Connection]:
    """Look at the log's file as anybody could, while the writer has it open."""
    assert not writer.closed
    connection = sqlite3.connect(address, isolation_level=None)
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


@pytest.mark.parametrize(("given", "of_its_kind"), EXPECTED, ids=lambda each: getattr(each, "kind", ""))
def test_every_generated_column_says_what_the_body_says(
    given: Event, of_its_kind: dict[str, str], seal: Seal, writer: Writer, database: sqlite3.Connection
) -> None:
    """For each kind, the columns hold exactly the body's own values, and NULL where it has none."""
    writer.append(seal(given))
    found = dict(database.execute("SELECT * FROM entry").fetchone())
    generated = {name: value for name, value in found.items() if name not in _STORED and value is not None}
    assert generated == {"event_id": str(given.context.event_id), "kind": given.kind, **_ABOUT, **of_its_kind}


def test_the_time_of_recording_stands_in_for_an_unknown_time(
    seal: Seal, writer: Writer, database: sqlite3.Connection
) -> None:
    """An event that does not say when it happened is found by when it was recorded."""
    given = LogEvent.model_validate({"change": "gap", "context": Context.model_validate({"recorded_at": _NOON})})
    writer.append(seal(given))
    assert database.execute("SELECT occurred_at FROM entry").fetchone()[0] == _NOON


def test_a_column_cannot_disagree_with_the_body(seal: Seal, writer: Writer, database: sqlite3.Connection) -> None:
    """No statement can set a generated column apart from the body it is computed from."""
    writer.append(seal())
    with pytest.raises(sqlite3.OperationalError, match="generated column"):
        database.execute("UPDATE entry SET task = 'another'")


def test_a_body_is_text(writer: Writer, database: sqlite3.Connection) -> None:
    """The table is strict: bytes in place of the text are refused by SQLite itself."""
    assert writer.head() == 0
    with pytest.raises(sqlite3.IntegrityError, match="cannot store BLOB"):
        database.execute("INSERT INTO entry (seq, body, leaf_hash, chain_hash) VALUES (1, x'7b7d', x'00', x'00')")


def test_a_reader_can_filter_by_columns_only() -> None:
    """Each member of ``Filter`` is a generated column, or is computed from one, or looks into the body itself."""
    columns = {column.name for column in table_of(EntryRow).columns if column.computed is not None}
    computed = {"since", "until"}
    in_the_body = {"audience", "checks", "inbound", "passed_through", "requirement", "decision"}
    assert {each.name for each in fields(Filter)} - columns == computed | in_the_body


@pytest.mark.parametrize(
    "name", ["token_fingerprint", "key_thumbprint", "proof_id", "approval_id", "use_id", "trace_id", "task"]
)
def test_a_question_of_a_reviewer_goes_through_its_partial_index(
    name: str, seal: Seal, address: Path, connections: Connections
) -> None:
    """The reader's own statement, explained by SQLite, searches by the index made for it and need not sort."""
    writer = open_writer(address, deadline=2.0, fingerprint_key_id="00000000")
    writer.append(seal())
    reader, seen = SqliteReader(address), list[str]()
    connections.reading[0].set_trace_callback(seen.append)
    wanted: dict[str, Any] = {name: "x"}
    assert list(reader.find(Filter(**wanted))) == []
    [statement] = seen
    plan = [row[-1] for row in connections.reading[0].execute(f"EXPLAIN QUERY PLAN {statement}")]
    reader.close()
    writer.close()
    assert plan == [f"SEARCH entry USING INDEX entry_{name} ({name}=? AND rowid>?)"]


def test_indexes_are_partial_and_one_is_unique(writer: Writer, database: sqlite3.Connection) -> None:
    """Eight indexes: the one on event_id is unique, the others leave out entries without a value."""
    assert writer.head() == 0
    listed = database.execute("PRAGMA index_list(entry)").fetchall()
    assert {row["name"]: (row["unique"], row["partial"]) for row in listed}.pop("entry_event_id") == (1, 0)
    assert sorted((row["unique"], row["partial"]) for row in listed) == [(0, 1)] * 7 + [(1, 0)]


def test_the_same_table_compiles_for_postgresql() -> None:
    """One class serves both: there a trigger writes the columns, which sort by bytes, and indexes are partial too."""
    table = table_of(EntryRow)
    dialect: Any = postgresql.dialect()
    ddl = " ".join(str(CreateTable(table).compile(dialect=dialect)).split())
    assert "seq BIGINT NOT NULL" in ddl
    assert "chain_hash BYTEA NOT NULL" in ddl
    assert ddl.count('TEXT COLLATE "C"') == sum(column.computed is not None for column in table.columns)
    indexes = [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    assert sum(" IS NOT NULL" in index for index in indexes) == 7


def test_an_expression_is_not_taken_for_another_from_the_cache() -> None:
    """Two columns from different members compile to different expressions, also in one process."""
    assert str(FromBody("context.task").compile(dialect=postgresql.dialect())) == "(body::jsonb #>> '{context,task}')"
    assert str(FromBody("kind").compile(dialect=postgresql.dialect())) == "(body::jsonb #>> '{kind}')"

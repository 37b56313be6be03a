"""A PostgreSQL database as the place of a log: which one, how durably, and that no password is shown by anything."""

from __future__ import annotations

import logging
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import psycopg
import pytest

from counterfoil.exporters.sql import open_reader, open_source, open_writer
from counterfoil.exporters.sql.info import describe, place_of
from counterfoil.exporters.sql.postgres import Connection, postgres_address
from counterfoil.exporters.sql.store import SavedCheckpoint
from counterfoil.schemas import (
    AuditUnavailable,
    ConfigurationError,
    MissingExtra,
    StoreCorrupt,
    StoreError,
    StoreForeign,
    StoreMissing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from conftest import Seal

    from bench.postgres_server import PostgresServer
    from counterfoil.exporters.sql import Writer


def _open(address: str, *, deadline: float = 10.0) -> Writer:
    return open_writer(address, deadline=deadline, fingerprint_key_id="00000000")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Collect the connections that are opened, so that a test can look at them."""
    connections: list[Connection] = []
    connect = Connection.connect

    def seen(conninfo: str, **options: Any) -> Connection:
        connections.append(connect(conninfo, **options))
        return connections[-1]

    monkeypatch.setattr(Connection, "connect", seen)
    return connections


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("postgresql://host/audit", "postgresql://host/audit"),
        ("postgresql+psycopg://host:6432/audit", "postgresql://host:6432/audit"),
        ("postgresql+psycopg://user:hunter2@host/audit", "postgresql://host/audit"),
        ("postgresql+psycopg://user:hunt%40er2@host/audit?sslmode=require", "postgresql://host/audit"),
        (
            "postgresql+psycopg:///audit?host=/run/postgresql&user=u&password=hunter2",
            "postgresql:///run/postgresql/audit",
        ),
        ("postgresql+psycopg:///", "postgresql:///"),
    ],
)
def test_a_name_holds_no_secret(address: str, name: str) -> None:
    """What is shown of an address is where the database is, and not who comes in or how."""
    found = postgres_address(address)
    assert found.name == place_of(address) == name
    assert "hunt" not in repr(found)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://user:hunter2@2@host/audit",  # as it stands the host would be 2@host
        "postgresql+psycopg://user:hunter2@host:port/audit",
        "postgresql+psycopg2://user:hunter2@host/audit",
        "postgresql+asyncpg://user:hunter2@host/audit",
        "postgresql+psycopg://user:hunter2@host/audit?no_such_option=1",
        "postgresql+psycopg://user:hunter2@host/audit?autocommit=1",
        "postgresql:user:hunter2",
    ],
)
def test_an_address_that_cannot_be_read_is_not_shown(address: str) -> None:
    """It is wrong use, and the error says how to write one without repeating any of it."""
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        open_reader(address)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caught.value.advice
    assert "hunter2" not in shown.replace(f'"{address}"', "")


@pytest.mark.parametrize("use", [_open, open_reader, open_source, describe])
def test_the_driver_is_an_extra(use: Callable[[str], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error says what to install."""
    monkeypatch.setattr("counterfoil.exporters.sql.opening.find_spec", Mock(return_value=None))
    with pytest.raises(MissingExtra) as caught:
        use("postgresql://host/audit")
    assert caught.value.advice == "pip install 'counterfoil[postgres]'"


def test_a_new_log_is_made_once(postgres: str, seal: Seal) -> None:
    """Writers that come at the same time make one log, and go on in it."""
    with ThreadPoolExecutor(4) as pool:
        writers = list(pool.map(_open, [postgres] * 4))
    assert len({writer.log_id for writer in writers}) == 1
    for expected, writer in enumerate(writers, start=1):
        pending = seal()
        writer.append(pending)
        assert pending.seq == expected
        writer.close()


def test_several_logs_in_one_database(postgres_server: PostgresServer, seal: Seal) -> None:
    """A schema is a log: neither sees the other's entries."""
    addresses = [postgres_server.new_address() for _ in range(2)]
    for address, count in zip(addresses, (1, 2), strict=True):
        with closing(_open(address)) as writer:
            for _ in range(count):
                writer.append(seal())
    for address, count in zip(addresses, (1, 2), strict=True):
        with closing(open_reader(address)) as reader:
            assert reader.head() == count


def test_a_reader_makes_nothing(postgres: str, postgres_server: PostgresServer) -> None:
    """Where there is no log a reader and an exporter say so, and afterwards there is none either."""
    for use in (open_reader, open_source, describe):
        with pytest.raises(StoreMissing, match=r"there is no log at postgresql:///.*/counterfoil$"):
            use(postgres)
    with postgres_server.connect() as connection:
        schema = postgres.rsplit("%3D", 1)[1]
        counted = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", (schema,)).fetchone()
    assert counted == (0,)


def test_a_schema_is_not_made(postgres_server: PostgresServer) -> None:
    """A schema that is not there is a mistake in the address, and is said so."""
    with pytest.raises(StoreMissing, match="schema") as caught:
        _open(postgres_server.address("nowhere"))
    assert "CREATE SCHEMA" in caught.value.advice


@pytest.mark.parametrize("table", ["log (level text)", "entry (id int)", "cursor (id int)"])
def test_tables_of_somebody_else_are_left(table: str, postgres: str, postgres_server: PostgresServer) -> None:
    """Names such as ``log`` are common: what stands there stays, and the advice is a schema of one's own."""
    _execute(postgres_server, postgres, f"CREATE TABLE {table}")
    with pytest.raises(StoreForeign if table.startswith("log") else StoreMissing):
        _open(postgres)
    found = _execute(postgres_server, postgres, "SELECT count(*) FROM pg_class WHERE relnamespace = %s::regnamespace")
    assert found == 1


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("DELETE FROM log", StoreCorrupt),
        ("UPDATE log SET log_id = '\\x00'", StoreCorrupt),
        ("INSERT INTO log VALUES ('\\x00', 1, '')", StoreCorrupt),
        ("UPDATE log SET schema_version = 99", StoreForeign),
        ("ALTER TABLE log DROP COLUMN fingerprint_key_id", StoreForeign),
        ("DROP TABLE entry CASCADE", StoreCorrupt),
    ],
)
def test_a_log_that_is_not_as_it_was_made(
    damage: str, error: type[StoreError], postgres: str, postgres_server: PostgresServer
) -> None:
    """Without its own row, or in tables of a newer release, a log can be neither continued nor read."""
    _open(postgres).close()
    _execute(postgres_server, postgres, damage)
    for use in (_open, open_reader):
        with pytest.raises(error, match="postgresql://"):
            use(postgres)


def test_commits_are_durable_whatever_the_user_has_set(postgres: str, opened: list[Connection], seal: Seal) -> None:
    """``synchronous_commit`` is on in the writer's session; the stronger ``remote_apply`` stays."""
    for given, found in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
        with closing(_open(f"{postgres}%20-csynchronous_commit%3D{given}")) as writer:
            writer.append(seal())
            assert opened[-1].execute("SHOW synchronous_commit").fetchone() == (found,)


def test_a_server_that_does_not_sync_is_refused(postgres: str, postgres_server: PostgresServer) -> None:
    """With ``fsync=off`` a power cut could take what was acknowledged."""
    with _server_setting(postgres_server, "fsync", "off"), pytest.raises(AuditUnavailable, match="with fsync or"):
        _open(postgres)
    _open(postgres).close()


def test_only_utf8_holds_every_entry(postgres_server: PostgresServer) -> None:
    """A database of another encoding could not give back the bytes that were sealed."""
    with postgres_server.connect() as connection:
        connection.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    address = postgres_server.address().replace("/counterfoil?", "/ascii?")
    with pytest.raises(AuditUnavailable, match="UTF8"):
        _open(address)


def test_reading_cannot_write(postgres: str, opened: list[Connection], seal: Seal) -> None:
    """The session of a reader refuses every statement that would change the log."""
    with closing(_open(postgres)) as writer:
        writer.append(seal())
    with closing(open_reader(postgres)) as reader:
        for statement in ("DELETE FROM entry", "UPDATE log SET schema_version = 2", "CREATE TABLE x (a int)"):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                opened[-1].execute(statement.encode())
        assert reader.head() == 1


def test_a_cursor_of_its_own_for_each_destination(postgres: str, seal: Seal) -> None:
    """A destination begins before the first entry, keeps its place over a restart, and never goes back."""
    with closing(_open(postgres)) as writer:
        writer.append(seal())
    with closing(open_source(postgres)) as source:
        assert (source.cursor("otel"), source.head(), len(source.entries_after(0, 9))) == (0, 1, 1)
        for name, seq in (("otel", 5), ("otel", 3), ("jsonl", 1)):
            source.move_cursor(name, seq)
    with closing(open_source(postgres)) as again:
        assert [again.cursor(name) for name in ("otel", "jsonl", "another")] == [5, 1, 0]


def test_the_facts_of_a_log(postgres: str, seal: Seal, postgres_server: PostgresServer) -> None:
    """Database, schema, log, key, size and settings, and nothing of who comes in."""
    with closing(_open(postgres)) as writer:
        writer.append(seal())
    found = describe(postgres)
    assert found["database"] == f"postgresql://{postgres_server.folder}/counterfoil"
    assert found["schema"] == postgres.rsplit("%3D", 1)[1]
    assert (found["log_id"], found["entries"], found["schema_version"]) == (writer.log_id.hex(), 1, 3)
    assert (found["fsync"], found["full_page_writes"]) == ("on", "on")
    assert found["bytes"] > 8192
    assert postgres_server.password not in repr(found)


def test_a_recorder_needs_no_right_to_change_an_entry(postgres_server: PostgresServer, seal: Seal) -> None:
    """With the rights that docs/postgresql.md grants, and no others, entries are recorded, read and exported."""
    page = (Path(__file__).parents[2] / "docs" / "postgresql.md").read_text("utf-8")
    owner = postgres_server.address()
    _open(owner).close()
    with postgres_server.connect() as connection:
        for role in _ROLES:
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{postgres_server.password}'".encode())
        for statement in re.findall(r"^GRANT .*;$", page, re.MULTILINE):
            connection.execute(statement.encode())
    recorder, reviewer, exporter = (owner.replace("//counterfoil:", f"//{role}:") for role in _ROLES)
    with closing(_open(recorder)) as writer:
        writer.append(seal())
        for size in (1, 1):
            writer.save_checkpoint(SavedCheckpoint(size, "note\n"))
    with closing(open_reader(reviewer)) as reader:
        assert reader.head() == 1
    with closing(open_source(exporter)) as source:
        source.move_cursor("otel", 1)
    for role in _ROLES:
        for statement in ("UPDATE entry SET body = body", "DELETE FROM entry", "TRUNCATE entry", "DELETE FROM log"):
            refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
            address = owner.replace("+psycopg", "").replace("//counterfoil:", f"//{role}:")
            with psycopg.connect(address) as somebody, refused:
                somebody.execute(statement)
    with pytest.raises(AuditUnavailable, match="this user may not do that"), closing(_open(reviewer)) as writer:
        writer.append(seal())


_ROLES = ("recorder", "reviewer", "exporter")


def test_no_error_shows_a_password(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    postgres: str,
    postgres_server: PostgresServer,
    secret: str,
    seal: Seal,
    leaks: Callable[..., list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever goes wrong: neither sentence, repr, traceback nor log line has the password, or a value of an entry."""
    caplog.set_level(logging.DEBUG)
    wrong = postgres.replace(postgres_server.password, secret)
    shown: list[str] = []
    for address in (wrong, wrong.replace("/counterfoil?", "/nowhere?"), wrong.replace("host=", "host=/nowhere")):
        for use in (_open, open_reader, open_source, describe):
            with pytest.raises(StoreError) as caught:
                use(address)
            shown.append("".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__))
    with closing(_open(postgres)) as writer:
        writer.append(seal())
        members = dict[str, Any](vars(writer))
        shown += [repr(writer), repr(members), f"{members['_store'].__dict__}"]
        _execute(postgres_server, postgres, "ALTER TABLE entry ADD CHECK (seq < 2)")
        with pytest.raises(Exception, match="the database refuses this entry") as refused:
            writer.append(seal())
        shown.append("".join(traceback.format_exception(refused.value)))
    assert leaks(secret, *shown, caplog.text) == []
    assert leaks(postgres_server.password, *shown, caplog.text) == []
    assert "read_mail" not in "".join(shown)


@contextmanager
def _server_setting(server: PostgresServer, name: str, value: str) -> Generator[None]:
    """Let the server run with another setting for a while."""
    with server.connect() as connection:
        connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        with server.connect() as connection:
            connection.execute(f"ALTER SYSTEM RESET {name}".encode())
            connection.execute("SELECT pg_reload_conf()")


def _execute(server: PostgresServer, address: str, statement: str) -> object:
    """Do something to a log as its owner could, and return what that answers first."""
    schema = address.rsplit("%3D", 1)[1]
    with server.connect() as connection:
        connection.execute(f"SET search_path = {schema}".encode())
        done = connection.execute(statement.encode(), (schema,) if "%s" in statement else None)
        row: tuple[object, ...] = (done.fetchone() if done.description else None) or (None,)
        return row[0]

"""The check-up: each thing that a log rests on is looked at, what is wrong is said in words, and nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from counterfoil.audit import AuditLog
from counterfoil.audit.keeping.checkup import check_up
from counterfoil.exporters.sql import open_source
from counterfoil.exporters.sql.opening import postgres_database
from counterfoil.schemas import StoreForeign, StoreMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeUse, Run

    from counterfoil.schemas import FingerprintKey

STORES = Path(__file__).parents[1] / "vectors"


def _wrong(address: Path) -> dict[str, str]:
    return {each.name: each.words for each in check_up(address) if not each.ok}


def _run(address: Path, *statements: str) -> None:
    with closing(sqlite3.connect(address, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_log_in_use_is_well(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """Nothing is wrong with a log that is being written to, and every thing is named once."""
    log.record(a_use())
    found = list(check_up(address))
    assert [each for each in found if not each.ok] == []
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    assert {"audit.db", "audit.db-wal", "audit.db-shm", "audit.db.lock", "settings", "database", "tables"} <= set(names)
    log.record(a_use())


def test_it_changes_nothing(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """The file and its -wal are the same to the byte."""
    log.record(a_use())
    before = [(each.name, each.read_bytes()) for each in sorted(address.parent.glob("audit.db*"))]
    assert _wrong(address) == {}
    after = [(each.name, each.read_bytes()) for each in sorted(address.parent.glob("audit.db*"))]
    assert [each for each in after if not each[0].endswith("-shm")] == [
        each for each in before if not each[0].endswith("-shm")
    ]


@pytest.mark.parametrize("name", ["store-v1.db", "store-v2.db", "store-v3.db"])
def test_a_released_log_is_well(name: str, address: Path) -> None:
    """Also one of an older version, which the next writer migrates."""
    shutil.copyfile(STORES / name, address)
    address.chmod(0o600)
    found = {each.name: each for each in check_up(address)}
    assert [each for each in found.values() if not each.ok] == []
    assert ("the next writer" in found["schema version"].words) == (name != "store-v3.db")
    assert found["exports"].words == "otel up to 5; the log ends at 7"


class Harm(NamedTuple):
    """Something done to a closed log, and how the check-up tells of it."""

    name: str
    words: str
    how: Callable[[Path], None]


def _sql(*statements: str) -> Callable[[Path], None]:
    return lambda address: _run(address, *statements)


def _writable_schema(change: str) -> Callable[[Path], None]:
    return _sql("PRAGMA writable_schema=ON", change)


def _mode(mode: int, beside: str = "") -> Callable[[Path], None]:
    def change(address: Path) -> None:
        (address.parent if beside == "/.." else Path(f"{address}{beside}")).chmod(mode)

    return change


def _cut(address: Path) -> None:
    os.truncate(address, address.stat().st_size - 8192)


def _scribble(address: Path) -> None:
    content = bytearray(address.read_bytes())
    content[4096 * 3 : 4096 * 3 + 600] = b"\xff" * 600
    address.write_bytes(content)


def _linked_lock(address: Path) -> None:
    lock = Path(f"{address}.lock")
    lock.unlink()
    lock.symlink_to("/dev/null")


HARM = [
    Harm("audit.db", "mode 0644: others than its owner have access", _mode(0o644)),
    Harm("audit.db.lock", "0660", _mode(0o660, ".lock")),
    Harm("audit.db.lock", "no ordinary file", _linked_lock),
    Harm("folder", "anybody can replace", _mode(0o777, "/..")),
    Harm("schema version", "marked 3, its table says 1", _sql("UPDATE log SET schema_version = 1")),
    Harm("tables", "not as they were made: checkpoint", _sql("ALTER TABLE checkpoint ADD COLUMN more TEXT")),
    Harm("tables", "pruned", _sql("DROP TABLE pruned")),
    Harm("database", "trigger", _sql("CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END")),
    Harm("database", "index entry_task is missing", _sql("DROP INDEX entry_task")),
    Harm(
        "database",
        "table entry is not defined as it was made",
        _writable_schema("UPDATE sqlite_schema SET sql = replace(sql, '$.context.task', '$.context.tenant')"),
    ),
    Harm("database", "", _cut),
    Harm("database", "", _scribble),
    Harm("exports", "has entry 40, but the log ends at 4", _sql("INSERT INTO cursor VALUES ('otel', 40)")),
]


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: f"{harm.name} {harm.words}"[:40])
def test_what_is_wrong_is_said(harm: Harm, log: AuditLog, address: Path, a_use: MakeUse, run: Run) -> None:
    """The thing is named, in words that say what to do or what it means, and the command exits 1."""
    log.record(a_use())
    log.close()
    harm.how(address)
    found = _wrong(address)
    assert harm.name in found
    assert harm.words in found[harm.name]
    ended = run("db", "check")
    assert ended.code == 1
    assert f"WRONG  {harm.name}" in ended.out
    assert json.loads(run("db", "check", "--json").out)["ok"] is False


def test_a_long_wal(log: AuditLog, address: Path, monkeypatch: pytest.MonkeyPatch, a_use: MakeUse) -> None:
    """What a reader keeps from being taken into the file is wrong from 64 MiB on."""
    log.record(a_use())
    monkeypatch.setattr("counterfoil.exporters.sql.checkup._LARGE_WAL", 1000)
    assert "somebody has been reading" in _wrong(address)["journal"]


def test_little_space(log: AuditLog, address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than 5 % of the disk, and less than 1 GiB: soon nothing can be recorded."""
    assert log
    usage = shutil.disk_usage(address.parent)
    found = usage._replace(total=100 * 1024**3, free=1024**3 - 1)

    def disk_usage(path: Path) -> object:
        assert path == address.parent
        return found

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    assert _wrong(address) == {"space": "1.0 GiB of 100.0 GiB left"}
    found = usage._replace(total=1024**3, free=100 * 1024**2)
    assert _wrong(address) == {}


def test_a_network_file_system(log: AuditLog, address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite is known to lose entries it is said."""
    assert log

    def file_system_of(_folder: Path, _table: bytes) -> str:
        return "nfs4"

    monkeypatch.setattr("counterfoil.exporters.sql.mounts.file_system_of", file_system_of)
    assert "nfs4" in _wrong(address)["file system"]


def test_a_sqlite_that_is_not_durable(log: AuditLog, address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that does not take a setting is named with it."""
    assert log
    monkeypatch.setattr("counterfoil.exporters.sql.sqlite._SETTINGS", (("synchronous", "NORMAL", 2),))
    assert "does not take synchronous" in _wrong(address)["settings"]


def test_a_backup_is_well(log: AuditLog, run: Run, tmp_path: Path) -> None:
    """A copy has no -wal and no lock yet, and nothing is wrong with that."""
    assert log
    copy = tmp_path / "copy.db"
    assert run("db", "backup", copy).code == 0
    ended = run("db", "check", "--db", copy, "--json")
    assert (ended.code, json.loads(ended.out)["ok"]) == (0, True)
    assert "no writer has opened" in ended.out


def test_what_is_no_log(address: Path, run: Run) -> None:
    """A log that is missing, and a file that is something else, are store errors."""
    with pytest.raises(StoreMissing):
        _wrong(address)
    assert not address.exists()
    address.write_text("Dear diary, " * 500)
    with pytest.raises(StoreForeign):
        _wrong(address)
    assert run("db", "check").code == 3


def test_a_destination_that_lags_is_well(log: AuditLog, address: Path, run: Run) -> None:
    """How far each destination has come is shown."""
    assert log
    with closing(open_source(str(address))) as source:
        source.move_cursor("otel", 1)
    found = json.loads(run("db", "check", "--json").out)["checks"]
    assert [each["words"] for each in found if each["name"] == "exports"] == ["otel up to 1; the log ends at 2"]


@pytest.fixture
def on_postgres(postgres: str, key: FingerprintKey, a_use: MakeUse) -> str:
    """Give the address of a closed log in PostgreSQL."""
    with AuditLog.open(postgres, fingerprint_key=key) as opened:
        opened.record(a_use())
    return postgres


def _on_server(address: str, statements: str) -> None:
    database = postgres_database(address)
    assert database
    with closing(psycopg.connect(make_conninfo(**database.parameters), autocommit=True)) as connection:
        connection.execute(statements.encode())


def test_a_log_in_postgresql_is_well(on_postgres: str, run: Run) -> None:
    """Server, tables, trigger, indexes and columns are looked at; no password is shown."""
    ended = run("db", "check", "--db", on_postgres)
    assert (ended.code, "WRONG" in ended.out) == (0, False)
    for name in (
        "server",
        "synchronous_commit",
        "schema version",
        "tables",
        "trigger",
        "indexes",
        "columns",
        "exports",
    ):
        assert f"ok  {name}" in ended.out
    database = postgres_database(on_postgres)
    assert database
    assert str(database.parameters["password"]) not in ended.out + ended.err


@pytest.mark.parametrize(
    ("name", "words", "statement"),
    [
        ("tables", "not as they were made: pruned", "ALTER TABLE pruned ADD COLUMN more text"),
        ("tables", "cursor", "ALTER TABLE cursor ALTER COLUMN seq TYPE text"),
        ("trigger", "disabled", "ALTER TABLE entry DISABLE TRIGGER entry_from_body"),
        ("trigger", "0 triggers", "DROP TRIGGER entry_from_body ON entry"),
        ("trigger", "2 triggers and rules", "CREATE RULE r AS ON DELETE TO pruned DO INSTEAD NOTHING"),
        (
            "trigger",
            "not as it was made",
            "CREATE OR REPLACE FUNCTION entry_from_body() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        ),
        ("indexes", "entry_task", "DROP INDEX entry_task"),
        (
            "columns",
            "entry 1",
            "SET session_replication_role = replica; UPDATE entry SET task = 'another'",
        ),
        ("exports", "has entry 40", "INSERT INTO cursor VALUES ('otel', 40)"),
        ("schema version", "1; this release", "UPDATE log SET schema_version = 1"),
    ],
)
def test_what_is_wrong_in_postgresql(name: str, words: str, statement: str, on_postgres: str, run: Run) -> None:
    """Each thing is named, with what is wrong, and the command exits 1."""
    _on_server(on_postgres, statement)
    ended = run("db", "check", "--db", on_postgres, "--json")
    found = {each["name"]: each["words"] for each in json.loads(ended.out)["checks"] if not each["ok"]}
    assert ended.code == 1
    assert words in found[name]


def test_there_is_no_immutable_server(on_postgres: str, run: Run) -> None:
    """``--immutable`` is for a copy in a file."""
    ended = run("query", "--db", on_postgres, "--immutable")
    assert (ended.code, ended.out) == (2, "")
    assert "PostgreSQL" in ended.err

"""One SQLite file as a log: which file, how durably, and that a file which is not ours, or is in trouble, is left."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from counterfoil.exporters.sql import SqliteReader, SqliteSource, Writer, open_writer, path_of
from counterfoil.exporters.sql.sqlite import SharedLock, connect
from counterfoil.exporters.sql.tables import SCHEMA_VERSION
from counterfoil.schemas import (
    AuditUnavailable,
    ConfigurationError,
    StoreCorrupt,
    StoreForeign,
    StoreMissing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from conftest import Connections, Seal

_KEY_ID = "00000000"
_NAMED = r"audit\.db"


def _open(path: Path, *, deadline: float = 2.0) -> Writer:
    return open_writer(path, deadline=deadline, fingerprint_key_id=_KEY_ID)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("audit.db", Path("audit.db")),
        ("sqlite:///audit.db", Path("audit.db")),
        ("sqlite:////srv/audit.db", Path("/srv/audit.db")),
        (Path("/srv/audit.db"), Path("/srv/audit.db")),
        ("~/audit.db", Path.home() / "audit.db"),
        ("100% of?it#all.db", Path("100% of?it#all.db")),
    ],
)
def test_an_address_means_a_file(address: str | Path, path: Path) -> None:
    """A plain path, or a SQLAlchemy address with three slashes before the path."""
    assert path_of(address) == path


@pytest.mark.parametrize(
    "address",
    [
        "",
        "sqlite:///",
        ":memory:",
        "sqlite:///:memory:",
        "sqlite://audit.db",
        "postgresql://user:hunter2@host/db",
        "http://user:hunter2@host",
        "audit\x00.db",
        "audit\ud800.db",
        "~nobody-of-this-name/audit.db",
        "x" * 5000,
    ],
)
def test_an_address_without_a_file_is_refused(address: str) -> None:
    """An address that names no file of SQLite is a configuration error, and none is shown: it can hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        path_of(address)
    assert not address or address not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize("name", ["100% of?it#all.db", "é 漢.db", os.fsdecode(b"not-\xff-utf8.db")])
def test_a_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    """Names that mean something in a URI, or nothing in UTF-8, are names."""
    _open(tmp_path / name).close()
    assert (tmp_path / name).stat().st_size > 0
    SqliteReader(tmp_path / name).close()


def test_every_connection_that_writes_is_durable(seal: Seal, address: Path, connections: Connections) -> None:
    """WAL and synchronous=FULL hold on each connection that can write: the writer's and the exporter's."""
    writer, source = _open(address), SqliteSource(address)
    writer.append(seal())
    modes = [
        tuple(each.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "secure_delete"))
        for each in connections.writing
    ]
    source.close()
    writer.close()
    assert modes == [("wal", 2, 1), ("wal", 2, 1)]


@pytest.mark.parametrize("setting", [("journal_mode", "DELETE", "wal"), ("synchronous", "NORMAL", 2)])
def test_durability_is_read_back(
    setting: tuple[str, str, object], address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that does not take a setting is not written to: nothing would be durable."""
    monkeypatch.setattr("counterfoil.exporters.sql.sqlite._SETTINGS", (setting,))
    address.touch()
    with pytest.raises(AuditUnavailable, match=setting[0]):
        connect(address)


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_only_the_owner_can_read(umask: int, seal: Seal, address: Path) -> None:
    """Database, -wal, -shm and lock are 0600, whatever the umask."""
    before = os.umask(umask)
    try:
        writer = _open(address)
        writer.append(seal())
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in address.parent.glob("audit.db*")}
    writer.close()
    assert modes == dict.fromkeys(["audit.db", "audit.db-wal", "audit.db-shm", "audit.db.lock"], 0o600)


def test_an_empty_file_becomes_a_log(seal: Seal, address: Path) -> None:
    """An empty file is what a crash before the first table leaves, or somebody's ``touch``."""
    address.touch()
    writer = _open(address)
    writer.append(seal())
    writer.close()
    with closing(SqliteReader(address)) as reader:
        assert reader.head() == 1


def test_an_empty_file_is_no_log_to_a_reader(address: Path) -> None:
    """A reader, who makes nothing, says that there is no log in it."""
    address.touch()
    with pytest.raises(StoreForeign, match="not a Counterfoil log"):
        SqliteReader(address)


def test_there_is_no_log(address: Path) -> None:
    """A reader names the file that is missing, and makes none."""
    with pytest.raises(StoreMissing, match=_NAMED):
        SqliteReader(address)
    assert not list(address.parent.glob("audit.db*"))


def _text(path: Path) -> None:
    path.write_text("Dear diary, " * 500)


def _other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, body TEXT)")
    connection.execute("INSERT INTO entry VALUES (1, 'not yours')")
    connection.commit()
    connection.close()


def _other_database_in_wal_mode(path: Path) -> None:
    _other_database(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _newer_log(path: Path) -> None:
    _open(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()


@pytest.mark.parametrize("make", [_text, _other_database, _other_database_in_wal_mode, _newer_log])
@pytest.mark.parametrize("use", [_open, SqliteReader, SqliteSource])
def test_a_file_that_is_not_ours_is_left_to_the_byte(
    make: Callable[[Path], None], use: Callable[[Path], object], address: Path
) -> None:
    """Whatever stood there stands there afterwards, and the error names it."""
    make(address)
    before = address.read_bytes()
    locked = address.with_name("audit.db.lock").exists()
    with pytest.raises(StoreForeign, match=_NAMED) as caught:
        use(address)
    assert address.read_bytes() == before
    assert address.with_name("audit.db.lock").exists() == locked
    assert "not yours" not in repr(caught.value)


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    """A folder cannot be opened, for writing or for reading."""
    (tmp_path / "folder").mkdir()
    for use in (_open, SqliteReader):
        with pytest.raises(AuditUnavailable, match="folder"):
            use(tmp_path / "folder")


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    """A folder that is not there is a mistake in the address, and is said so."""
    with pytest.raises(AuditUnavailable, match="No such file or directory"):
        _open(tmp_path / "nowhere" / "audit.db")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("damage", ["DELETE FROM log", "UPDATE log SET log_id = x'00'", "DROP TABLE log"])
def test_a_log_that_does_not_say_which_it_is_is_corrupt(damage: str, address: Path) -> None:
    """Without its own row a log can be neither continued nor verified."""
    _open(address).close()
    _run(address, damage)
    for use in (_open, SqliteReader, SqliteSource):
        with pytest.raises(StoreCorrupt, match=_NAMED):
            use(address)


@pytest.fixture
def read_only_log(address: Path) -> Iterator[Path]:
    """Give a log whose file nobody can write, root neither."""
    _open(address).close()
    made = subprocess.run(["chattr", "+i", address], capture_output=True, check=False)  # chmod does not bind root
    if made.returncode:
        address.chmod(0o400)
        if os.access(address, os.W_OK):
            pytest.skip("no means to make a file read-only for root here")
    yield address
    subprocess.run(["chattr", "-i", address], capture_output=True, check=False)


def test_a_read_only_file_cannot_be_written(read_only_log: Path, seal: Seal) -> None:
    """A log in a read-only file takes no entry, says why, and stays as it was."""
    before = read_only_log.read_bytes()
    with pytest.raises(AuditUnavailable, match=rf"{_NAMED}: the database is read-only"):
        _use_writer(read_only_log, seal)
    assert read_only_log.read_bytes() == before


_TURN = "file = open(sys.argv[1] + '.lock'); fcntl.flock(file, fcntl.LOCK_EX)"
_WRITING = "db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN IMMEDIATE')"
_ALONE = "db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA locking_mode=EXCLUSIVE'); db.execute('BEGIN EXCLUSIVE')"


@pytest.mark.parametrize("holding", [_TURN, _WRITING], ids=["the writers' turn", "SQLite's write lock"])
def test_another_process_keeps_the_log_locked(holding: str, seal: Seal, address: Path) -> None:
    """A record waits until the deadline and not longer; nothing is written, and afterwards all goes on."""
    writer = _open(address, deadline=0.2)
    with _another_process(holding, address):
        began = time.monotonic()
        with pytest.raises(AuditUnavailable, match=rf"{_NAMED}.* locked by another process"):
            writer.append(seal())
        assert 0.2 <= time.monotonic() - began < 1.8
    assert writer.head() == 0
    writer.append(seal())
    assert writer.head() == 1
    writer.close()


@pytest.mark.parametrize("holding", [_TURN, _ALONE], ids=["the writers' turn", "SQLite's exclusive lock"])
def test_a_locked_log_cannot_be_opened(holding: str, address: Path) -> None:
    """Opening waits until the deadline and not longer."""
    _open(address).close()
    with _another_process(holding, address):
        began = time.monotonic()
        with pytest.raises(AuditUnavailable, match=rf"{_NAMED}.* locked by another process"):
            _open(address, deadline=0.2)
        assert 0.2 <= time.monotonic() - began < 1.8


def test_the_lock_is_given_back_after_an_error(address: Path) -> None:
    """Whoever fails inside its turn still gives it up."""
    first, second = SharedLock(address), SharedLock(address)
    with pytest.raises(StoreCorrupt), first.held(time.monotonic()):
        raise StoreCorrupt("a test")
    with second.held(time.monotonic()):
        pass
    first.close()
    second.close()


def test_a_lock_that_was_deleted_is_made_again(address: Path) -> None:
    """Whoever takes its turn by a file that is gone would be alone with it: the next turn is by the new one."""
    first, second = SharedLock(address), SharedLock(address)
    address.with_name("audit.db.lock").unlink()
    with first.held(time.monotonic() + 1), pytest.raises(AuditUnavailable), second.held(time.monotonic() + 0.05):
        pass
    with second.held(time.monotonic() + 1), pytest.raises(AuditUnavailable), first.held(time.monotonic() + 0.05):
        pass
    first.close()
    second.close()


def _use_writer(address: Path, seal: Seal) -> None:
    writer = _open(address)
    try:
        writer.append(seal())
    finally:
        writer.close()


def _run(address: Path, statement: str) -> None:
    connection = sqlite3.connect(address, isolation_level=None)
    connection.execute(statement)
    connection.close()


@contextmanager
def _another_process(statements: str, address: Path) -> Generator[None]:
    """Let another process run ``statements`` and hold what it got."""
    script = f"import fcntl, sqlite3, sys\n{statements}\nprint('held', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", script, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()

"""Schema versions: a log of each released one opens, reads, verifies, and goes on after its migration."""

from __future__ import annotations

import hashlib
import runpy
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql import SqliteReader, SqliteSource, open_writer
from counterfoil.exporters.sql.tables import SCHEMA_VERSION, TABLES, table_of
from counterfoil.schemas import FingerprintKey, Kind, LogChange, LogEvent, StoreCorrupt, StoreForeign

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Seal

VECTORS = Path(__file__).parents[1] / "vectors"
STORES = {
    "store-v1.db": "7e5797acb1872e24ec9fb44c5dcd3357d87fd5b5e536a00d67048839563674eb",
    "store-v2.db": "223f9e491fd7354fbd965370a75f8222e90cc47d4ed3d01b8baedf837e32b622",
    "store-v3.db": "6deecc551a30bd77aa8cb756ce52939e985bf736aca299404df7e324a37d04d8",
}
PRUNED = {"store-v2-pruned.db": "fa1a9609c18920c52fad82713e9dbf54dc904ff253ffc3eb7bef3d61db097c08"}
ERASED = {"store-v3-erased.db": "aba44dc2718c4036693a492a7690dab43a489520e80837168f403c06be47b82b"}
ERASED_KEY = "counterfoil/vectors+c511f623+Ael4XQXxnZYIA4uiuc52FY1xlWxiv81Z0CyOJLj6ymzK"
PRUNED_KEY = "counterfoil/vectors+0ece3ce1+AReYLq0btm+0dr2WakDDxjCKNgzoWFG6vuSjJq0KVwWM"
KEY = FingerprintKey(b"the key of tests/vectors, no secret")


@pytest.fixture
def copy_of(address: Path) -> Callable[[str], Path]:
    """Give the function that copies a log of the vectors to where a test may use it."""

    def copied(name: str) -> Path:
        shutil.copyfile(VECTORS / name, address)
        return address

    return copied


def _version(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        (marked,) = connection.execute("PRAGMA user_version").fetchone()
        (said,) = connection.execute("SELECT schema_version FROM log").fetchone()
    return marked, said


def _structure(path: Path) -> dict[str, Any]:
    """Return each table's columns and each index, as SQLite understands them, and which tables are strict."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
        indexes = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index'").fetchall()
        columns = {
            name: connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall() for name, _ in tables
        }
    return {"tables": sorted(tables), "indexes": sorted(indexes), "columns": columns}


def test_the_files_are_the_released_ones() -> None:
    """They are never edited: a new version gets a new file, and there is one of each version."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VECTORS.glob("store-v*.db")}
    assert digests == STORES | PRUNED | ERASED
    assert len(STORES) == SCHEMA_VERSION


@pytest.mark.parametrize("name", STORES)
def test_a_released_log_is_read_as_it_is(name: str, copy_of: Callable[[str], Path]) -> None:
    """Every kind of event is read, the chain holds, an exporter finds its cursor, and the file stays as it was."""
    path = copy_of(name)
    with AuditReader.open(path) as reader:
        assert {entry.event.kind for entry in reader.find(Filter())} == set(Kind)
        found = reader.verify()
        assert (bool(found.consistent), found.entries) == (True, 7)
    source = SqliteSource(path)
    assert (source.head(), source.cursor("otel")) == (7, 5)
    source.close()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == STORES[name]


@pytest.mark.parametrize("name", STORES)
def test_a_released_log_goes_on(name: str, copy_of: Callable[[str], Path]) -> None:
    """Opened for writing it is of this version, says the same as before, and takes further entries."""
    path = copy_of(name)
    with AuditReader.open(path) as reader:
        before = [(entry.body, entry.chain_hash) for entry in reader.find(Filter())]
    with AuditLog.open(path, fingerprint_key=KEY) as log:
        log.record(LogEvent(change=LogChange.GAP))
    assert _version(path) == (SCHEMA_VERSION, SCHEMA_VERSION)
    with AuditReader.open(path) as reader:
        after = [(entry.body, entry.chain_hash) for entry in reader.find(Filter())]
        assert (bool(reader.verify().consistent), after[:7], len(after)) == (True, before, 10)
    source = SqliteSource(path)
    assert source.cursor("otel") == 5
    source.close()


def test_a_pruned_log_with_signed_checkpoints(copy_of: Callable[[str], Path]) -> None:
    """It verifies under its key, whose private half nobody has any more, is read, and goes on without a signature."""
    path = copy_of("store-v2-pruned.db")
    with AuditReader.open(path) as reader:
        found = reader.verify(keys=[PRUNED_KEY], deep=True)
        assert (bool(found.consistent), bool(found.signed), found.signed.reach, bool(found.deep)) == (
            True,
            True,
            16,
            True,
        )
        assert [seq for seq in range(1, 17) if reader.is_pruned(seq)] == [3, 4, 5, 6]
        assert {entry.event.kind for entry in reader.find(Filter())} == set(Kind)
    with AuditLog.open(path, fingerprint_key=KEY) as log:
        log.record(LogEvent(change=LogChange.GAP))
    with AuditReader.open(path) as reader:
        found = reader.verify(keys=[PRUNED_KEY])
        assert (bool(found.consistent), found.entries, found.signed.reach) == (True, 19, 16)


def test_a_log_with_erased_entries(copy_of: Callable[[str], Path]) -> None:
    """It verifies under its key, complete as it is, is read, and goes on."""
    path = copy_of("store-v3-erased.db")
    with AuditReader.open(path) as reader:
        found = reader.verify(keys=[ERASED_KEY], deep=True)
        assert found.failed == ()
        assert (found.entries, bool(found.consistent), bool(found.complete), bool(found.deep)) == (14, True, True, True)
        assert found.signed.reach == 14
        assert [reader.erased_by(seq) for seq in range(2, 7)] == [None, 9, None, 9, None]
        told = reader.entry(9)
        assert told is not None
        assert isinstance(told.event, LogEvent)
        assert [each.seq for each in told.event.erased] == [3, 5]
    with AuditLog.open(path, fingerprint_key=KEY) as log:
        log.record(LogEvent(change=LogChange.GAP))
    with AuditReader.open(path) as reader:
        found = reader.verify(keys=[ERASED_KEY])
        assert (bool(found.consistent), found.entries, found.signed.reach) == (True, 17, 14)


@pytest.mark.parametrize("name", STORES)
def test_a_migrated_log_is_made_as_a_new_one(name: str, copy_of: Callable[[str], Path], tmp_path: Path) -> None:
    """Tables, columns and indexes are those of a log that this release makes, and all of them are known."""
    path = copy_of(name)
    for each in (path, tmp_path / "new.db"):
        open_writer(each, deadline=2.0, fingerprint_key_id=KEY.key_id).close()
    made = _structure(tmp_path / "new.db")
    assert _structure(path) == made
    assert set(made["columns"]) - {"sqlite_schema"} == {table_of(model).name for model in TABLES}


def test_a_reader_that_was_open_reads_on(copy_of: Callable[[str], Path], seal: Seal) -> None:
    """Whoever reads a log while another process migrates it goes on, and sees what comes after."""
    path = copy_of("store-v1.db")
    with closing(SqliteReader(path)) as reader:
        assert len(list(reader.stored())) == 7
        writer = open_writer(path, deadline=2.0, fingerprint_key_id=KEY.key_id)
        writer.append(seal())
        assert [row[0] for row in reader.stored()] == list(range(1, 9))
        writer.close()


def test_a_migration_is_whole_or_not_at_all(copy_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """When it fails in the middle the log is of the old version, to the last table, and can be opened later."""
    path = copy_of("store-v1.db")
    before = _structure(path)

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE pruned (seq INTEGER)")
        connection.execute("SELECT nothing FROM nowhere")

    with monkeypatch.context() as patched:
        patched.setattr("counterfoil.exporters.sql.versions._STEPS", (broken,))
        with pytest.raises(StoreCorrupt):
            open_writer(path, deadline=2.0, fingerprint_key_id=KEY.key_id)
    assert (_version(path), _structure(path)) == ((1, 1), before)
    open_writer(path, deadline=2.0, fingerprint_key_id=KEY.key_id).close()
    assert _version(path) == (SCHEMA_VERSION, SCHEMA_VERSION)


def _mark(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version={version}")


def test_a_newer_version_is_refused_in_words(copy_of: Callable[[str], Path]) -> None:
    """A log that a newer release made is neither read nor written, and the advice is to install that."""
    path = copy_of("store-v2.db")
    _mark(path, SCHEMA_VERSION + 1)
    for use in (AuditReader.open, AuditLog.open, SqliteSource):
        with pytest.raises(StoreForeign, match=f"version {SCHEMA_VERSION + 1}; this release knows") as caught:
            use(path)
        assert "newer release" in caught.value.advice


@pytest.mark.parametrize("version", [0, -1])
def test_no_version_at_all_is_damage(version: int, copy_of: Callable[[str], Path]) -> None:
    """There never was a version below 1: nothing is guessed."""
    path = copy_of("store-v2.db")
    _mark(path, version)
    for use in (AuditReader.open, AuditLog.open, SqliteSource):
        with pytest.raises(StoreCorrupt, match="how its tables were made"):
            use(path)


def test_the_script_of_the_vectors_still_makes_one(tmp_path: Path) -> None:
    """What made the files is kept beside them, and makes the log of this version."""
    script = runpy.run_path(str(VECTORS / "make_store.py"))
    script["make_store"](tmp_path / "made.db")
    assert _version(tmp_path / "made.db") == (SCHEMA_VERSION, SCHEMA_VERSION)
    key = script["make_pruned_store"](tmp_path / "pruned.db")
    with AuditReader.open(tmp_path / "pruned.db") as reader:
        assert reader.verify(keys=[str(key.verifier_key)]).signed
        assert reader.pruned_to() == 6
    key = script["make_erased_store"](tmp_path / "erased.db")
    with AuditReader.open(tmp_path / "erased.db") as reader:
        assert reader.verify(keys=[str(key.verifier_key)]).signed
        assert reader.erased_by(5) == 9

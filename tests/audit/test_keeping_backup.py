"""Backup: one moment of a log that is in use, whole, verified, in a file of its own; or no file at all."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.keeping.backup import back_up
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import (
    AuditUnavailable,
    ConfigurationError,
    CounterfoilError,
    StoreCorrupt,
    StoreForeign,
    StoreMissing,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeUse, Run

    from counterfoil.schemas import FingerprintKey

COMPACT = pytest.mark.parametrize("compact", [False, True], ids=["pages", "compact"])


@COMPACT
def test_a_backup_is_the_log(*, compact: bool, log: AuditLog, address: Path, tmp_path: Path, a_use: MakeUse) -> None:
    """Every entry, to the byte; it says how far it goes, and the log goes on."""
    receipt = log.record(a_use())
    made = back_up(address, tmp_path / "copy.db", compact=compact)
    log.record(a_use())
    with AuditReader.open(address) as live, AuditReader.open(tmp_path / "copy.db") as copy:
        assert list(copy.find(Filter())) == list(live.find(Filter()))[:3]
        assert (made.log_id, made.entries, made.chain_hash) == (copy.log_id, receipt.seq, receipt.chain_hash)
        assert live.head() == 4
    assert (made.path, made.bytes) == (str(tmp_path / "copy.db"), (tmp_path / "copy.db").stat().st_size)


@COMPACT
def test_a_backup_is_one_file_of_its_owner(*, compact: bool, log: AuditLog, address: Path, tmp_path: Path) -> None:
    """0600 whatever the umask, with no -wal or lock beside it, and readable where nobody can write."""
    assert log
    (tmp_path / "copies").mkdir()
    before = os.umask(0)
    try:
        back_up(address, tmp_path / "copies" / "copy.db", compact=compact)
    finally:
        os.umask(before)
    [copy] = (tmp_path / "copies").iterdir()
    assert (copy.name, copy.stat().st_mode & 0o777) == ("copy.db", 0o600)
    with AuditReader.open(copy) as reader:
        assert reader.verify().consistent
        assert [each.name for each in copy.parent.iterdir()] == ["copy.db"]


def test_the_log_goes_on_meanwhile(log: AuditLog, address: Path, tmp_path: Path, a_use: MakeUse) -> None:
    """Threads record without an error while copies are made one after the other, and each copy is one moment."""
    stop, waits = threading.Event(), list[float]()

    def work() -> None:
        while not stop.is_set():
            began = time.monotonic()
            log.record(a_use())
            waits.append(time.monotonic() - began)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        made = [back_up(address, tmp_path / f"{number}.db", compact=number % 2 == 1) for number in range(10)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    reached = [each.entries for each in made]
    assert reached == sorted(reached)
    assert reached[-1] > reached[0]
    assert max(waits) < 2
    assert log.record(a_use()).seq == len(waits) + 3


def test_a_commit_does_not_begin_the_copy_again(
    log: AuditLog, address: Path, tmp_path: Path, a_use: MakeUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page at a time, with a commit after each: the copy ends all the same, and has none of those entries."""
    monkeypatch.setattr("counterfoil.exporters.sql.copying._STEP", 1)
    left: list[int] = []

    def commit(done: int, total: int) -> None:
        left.append(total - done)
        assert len(left) < 500
        log.record(a_use())

    assert back_up(address, tmp_path / "copy.db", on_progress=commit).entries == 2
    assert left == list(range(len(left) - 1, -1, -1))


@COMPACT
def test_what_is_there_is_not_written_over(*, compact: bool, log: AuditLog, address: Path, tmp_path: Path) -> None:
    """A file of that name stays to the byte, be it the log itself."""
    assert log
    (tmp_path / "copy.db").write_text("mine")
    before = address.read_bytes()
    for there in (tmp_path / "copy.db", address, tmp_path):
        with pytest.raises(ConfigurationError, match="is there already"):
            back_up(address, there, compact=compact)
    assert ((tmp_path / "copy.db").read_text(), address.read_bytes()) == ("mine", before)


def _missing(address: Path) -> None:
    address.unlink()


def _foreign(address: Path) -> None:
    address.unlink()
    with closing(sqlite3.connect(address)) as other:
        other.execute("CREATE TABLE mine (name TEXT)")


def _altered(address: Path) -> None:
    with closing(sqlite3.connect(address, isolation_level=None)) as attacker:
        attacker.execute("UPDATE entry SET body = replace(body, 'read_mail', 'send_mail') WHERE seq = 3")


def _torn(address: Path) -> None:
    os.truncate(address, 20_000)


@COMPACT
@pytest.mark.parametrize(
    ("harm", "error"),
    [(_missing, StoreMissing), (_foreign, StoreForeign), (_altered, StoreCorrupt), (_torn, StoreCorrupt)],
)
def test_of_what_is_no_good_log_there_is_no_copy(  # noqa: PLR0913 -- two parameters and four fixtures
    *,
    harm: Callable[[Path], None],
    error: type[CounterfoilError],
    compact: bool,
    log: AuditLog,
    address: Path,
    tmp_path: Path,
    a_use: MakeUse,
) -> None:
    """The error says what is wrong, and nothing is left where the copy was to be."""
    log.record(a_use())
    log.close()
    harm(address)
    (tmp_path / "copies").mkdir()
    with pytest.raises(error):
        back_up(address, tmp_path / "copies" / "copy.db", compact=compact)
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_place_where_nothing_can_be_made(log: AuditLog, address: Path, tmp_path: Path) -> None:
    """A folder that is not there is said, and not made."""
    assert log
    with pytest.raises(AuditUnavailable, match=r"copy\.db cannot be made \(No such file or directory\)"):
        back_up(address, tmp_path / "nowhere" / "copy.db")
    assert not (tmp_path / "nowhere").exists()


def test_a_backup_that_is_killed_has_no_name(log: AuditLog, address: Path, tmp_path: Path) -> None:
    """Where a backup was killed no log stands under its name, neither whole nor in part; another one is made."""
    assert log
    script = (
        "import os, signal, sys\nfrom counterfoil.audit.keeping.backup import back_up\n"
        "back_up(sys.argv[1], sys.argv[2], on_progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))"
    )
    killed = subprocess.run([sys.executable, "-c", script, address, tmp_path / "copy.db"], check=False)
    assert killed.returncode == -9
    with pytest.raises(StoreForeign):
        AuditReader.open(tmp_path / "copy.db")
    assert back_up(address, tmp_path / "another.db").entries == 2


def test_a_restored_copy_goes_on(
    log: AuditLog, address: Path, tmp_path: Path, a_use: MakeUse, key: FingerprintKey
) -> None:
    """Put in the place of a log that was lost, a copy takes entries, as durably as before."""
    log.record(a_use())
    back_up(address, tmp_path / "copy.db")
    log.close()
    for each in tmp_path.glob("audit.db*"):
        each.unlink()
    (tmp_path / "copy.db").rename(address)
    with AuditLog.open(address, fingerprint_key=key) as again:
        assert again.record(a_use()).seq == 5
        with AuditReader.open(address) as reader:
            assert reader.verify().consistent
    with closing(sqlite3.connect(address)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_command(log: AuditLog, run: Run, tmp_path: Path, a_use: MakeUse) -> None:
    """``db backup`` says how far the copy goes, with its head; a second one under that name is wrong use."""
    receipt = log.record(a_use())
    ended = run("db", "backup", tmp_path / "copy.db")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{tmp_path / 'copy.db'}: entries 1 to 3, consistent, ")
    assert ended.out.endswith(f"log {receipt.log_id}, head {receipt.chain_hash}\n")
    again = run("db", "backup", tmp_path / "copy.db")
    assert (again.code, again.out) == (2, "")
    assert "is there already" in again.err
    compact = json.loads(run("db", "backup", tmp_path / "compact.db", "--compact", "--json").out)
    assert (compact["entries"], compact["chain_hash"]) == (3, receipt.chain_hash)


@pytest.mark.parametrize(
    "address", ["postgresql://dana:hunter2@host/audit", "postgresql+psycopg://dana:hunter2@host/audit"]
)
def test_postgresql_copies_itself(address: str, run: Run, tmp_path: Path) -> None:
    """There the advice is pg_dump, and the password of the address is not shown."""
    ended = run("db", "backup", tmp_path / "copy.db", "--db", address)
    assert (ended.code, ended.out) == (2, "")
    assert "pg_dump" in ended.err
    assert "hunter2" not in ended.err
    assert not (tmp_path / "copy.db").exists()

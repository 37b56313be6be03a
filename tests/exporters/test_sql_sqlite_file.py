"""Errors of the disk: the connection is thrown away, what is on the disk is looked at, and what arrived is found."""

from __future__ import annotations

import functools
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.exporters.sql import Writer, open_writer
from counterfoil.schemas import AuditTimeout, AuditUnavailable, StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Seal


class Disk:
    """Lets statements fail as they do on a disk that fails."""

    def __init__(self) -> None:
        self.opened = 0
        self._faults: list[tuple[str, int, bool]] = []

    def fail(self, statement: str, code: int, *, after: bool = False) -> None:
        """Let the next statement that begins so raise, before it did anything or ``after`` it did all."""
        self._faults.append((statement, code, after))

    def executed(self, execute: Callable[..., sqlite3.Cursor], sql: str, parameters: Any) -> sqlite3.Cursor:
        """Execute a statement, or fail."""
        for fault in self._faults:
            statement, code, after = fault
            if sql.startswith(statement):
                self._faults.remove(fault)
                if after:
                    execute(sql, parameters)
                error = sqlite3.OperationalError("a test")
                error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_TEST"
                raise error
        return execute(sql, parameters)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Put a disk that may fail under the logs that are opened from now on."""
    made = Disk()

    class Connection(sqlite3.Connection):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            made.opened += "mode=rw" in str(given[0])

        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            return made.executed(super().execute, sql, parameters)

    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Connection))
    return made


@pytest.fixture
def writer(disk: Disk, address: Path) -> Iterator[Writer]:
    """Open a log on it."""
    writer = open_writer(address, deadline=2.0, fingerprint_key_id="00000000")
    assert disk.opened == 1
    yield writer
    writer.close()


def test_a_commit_that_arrived_is_acknowledged(
    disk: Disk, writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """The commit raised, but what it wrote is there and durable: its place is returned."""
    writer.append(seal())
    disk.fail("COMMIT", sqlite3.SQLITE_IOERR_FSYNC, after=True)
    pending = seal()
    writer.append(pending)
    assert (pending.seq, pending.repeated, disk.opened) == (2, False, 2)
    writer.append(seal())
    assert (count_chained(), disk.opened) == (3, 2)


def test_a_commit_that_did_not_arrive_raises(
    disk: Disk, writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """Nothing of it is there, and the same entry can be given again."""
    disk.fail("COMMIT", sqlite3.SQLITE_IOERR_WRITE)
    pending = seal()
    with pytest.raises(AuditUnavailable, match="the disk reports an I/O error"):
        writer.append(pending)
    assert (count_chained(), disk.opened) == (0, 2)
    pending.done = False
    writer.append(pending)
    assert (pending.seq, count_chained()) == (1, 1)


@pytest.mark.parametrize("step", ["PRAGMA wal_checkpoint", "PRAGMA quick_check", "PRAGMA journal_mode"])
def test_an_outcome_that_cannot_be_told_is_unknown(
    step: str, disk: Disk, writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """While the disk goes on failing it is not known what arrived; later the log goes on, and a retry is no twin."""
    disk.fail("COMMIT", sqlite3.SQLITE_IOERR_FSYNC, after=True)
    disk.fail(step, sqlite3.SQLITE_IOERR)
    pending = seal()
    with pytest.raises(AuditTimeout, match="whether it arrived cannot be told"):
        writer.append(pending)
    pending.done = False
    writer.append(pending)
    writer.append(seal())
    assert count_chained() == 2


def test_an_error_before_the_commit_is_certain(
    disk: Disk, writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """Before COMMIT nothing was written, so the call knows; the next one looks before it goes on."""
    disk.fail("BEGIN", sqlite3.SQLITE_IOERR_READ)
    with pytest.raises(AuditUnavailable):
        writer.append(seal())
    assert disk.opened == 1
    writer.append(seal())
    assert (count_chained(), disk.opened) == (1, 2)


def test_a_connection_that_is_read_only_does_not_stay(
    disk: Disk, writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """A disk that was read-only for a while is written again, through another connection."""
    disk.fail("BEGIN", sqlite3.SQLITE_READONLY)
    with pytest.raises(AuditUnavailable, match="read-only"):
        writer.append(seal())
    writer.append(seal())
    assert (count_chained(), disk.opened) == (1, 2)


def test_entries_that_are_gone_are_missed(disk: Disk, writer: Writer, seal: Seal, address: Path) -> None:
    """If the disk brings back an earlier state, nothing goes on behind what is left of it."""
    for _ in range(3):
        writer.append(seal())
    with closing(sqlite3.connect(address)) as connection, connection:
        connection.execute("DELETE FROM entry WHERE seq = 3")
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match="entries that were acknowledged are gone"):
            writer.append(seal())
    disk.fail("BEGIN", sqlite3.SQLITE_IOERR)
    with pytest.raises(AuditUnavailable):
        writer.append(seal())
    with pytest.raises(StoreCorrupt, match="entries that were acknowledged are gone"):
        writer.append(seal())


@pytest.mark.parametrize(
    "damage",
    ["UPDATE entry SET chain_hash = zeroblob(32) WHERE seq = 2", "UPDATE entry SET body = body || ' ' WHERE seq = 1"],
)
def test_a_chain_that_broke_is_not_gone_on_from(
    damage: str, disk: Disk, writer: Writer, seal: Seal, address: Path
) -> None:
    """After an error of the disk the last entries are to follow each other."""
    for _ in range(3):
        writer.append(seal())
    with closing(sqlite3.connect(address)) as connection, connection:
        connection.execute(damage)
    disk.fail("BEGIN", sqlite3.SQLITE_CORRUPT)
    for _ in range(3):
        with pytest.raises(StoreCorrupt):
            writer.append(seal())


def test_a_log_too_large_to_check_in_time_goes_on(
    disk: Disk, writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """The check of the pages ends at the deadline: the end of the chain is sound, and the rest is for `db check`."""
    writer.append(seal())
    disk.fail("BEGIN", sqlite3.SQLITE_IOERR)
    pending = seal()
    with pytest.raises(AuditUnavailable):
        writer.append(pending)
    disk.fail("PRAGMA quick_check", sqlite3.SQLITE_INTERRUPT)
    writer.append(seal())
    assert count_chained() == 2

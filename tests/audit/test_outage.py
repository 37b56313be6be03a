"""A full disk: calls are refused while it is full, and an entry tells of it as soon as one can be written."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog
from counterfoil.audit.outage import Outage, Outages
from counterfoil.schemas import DiskFull, FingerprintKey, LogChange, LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]


class Disk:
    """The connections of a log, whose file can be kept from growing."""

    def __init__(self) -> None:
        self.connections: list[sqlite3.Connection] = []

    def fill(self, room: int = 0) -> None:
        """Leave so many pages."""
        for each in self.connections:
            (pages,) = each.execute("PRAGMA page_count").fetchone()
            each.execute(f"PRAGMA max_page_count={pages + room}")

    def clear(self) -> None:
        """Make room."""
        self.fill(10_000)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Give the disk under the logs that are opened from now on."""
    found, connect = Disk(), sqlite3.connect

    def seen(database: Any, /, **options: Any) -> sqlite3.Connection:
        connection = connect(database, **options)
        if "mode=rw" in str(database):
            found.connections.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", seen)
    return found


@pytest.fixture
def durable(disk: Disk, address: Path, key: FingerprintKey) -> Iterator[AuditLog]:
    """Open a log on that disk."""
    assert disk.connections == []
    with AuditLog.open(address, fingerprint_key=key) as log:
        yield log


def _refused(log: AuditLog, a_use: MakeUse) -> int:
    """Record until a call is refused, and three times more; return how many were refused."""
    for _ in range(1000):
        try:
            log.record(a_use())
        except DiskFull:
            break
    for _ in range(3):
        with pytest.raises(DiskFull, match="the disk is full"):
            log.record(a_use())
    return 4


def _of_the_disk(entries: list[Entry]) -> list[LogEvent]:
    return [
        each.event for each in entries if isinstance(each.event, LogEvent) if each.event.change is LogChange.DISK_FULL
    ]


def test_a_full_disk_is_told_once_there_is_room(
    durable: AuditLog, disk: Disk, a_use: MakeUse, entries: Entries
) -> None:
    """The first entry after it is followed by one that says since when the disk was full, and what that cost."""
    disk.fill()
    before = datetime.now(UTC)
    refused = _refused(durable, a_use)
    after = datetime.now(UTC)
    assert _of_the_disk(entries()) == []
    disk.clear()
    durable.record(a_use("first after it"))
    durable.record(a_use())
    (told,) = _of_the_disk(entries())
    assert (told.change, told.count) == (LogChange.DISK_FULL, refused)
    assert told.context.occurred_at is not None
    assert before <= told.context.occurred_at <= after
    assert told.reason is not None
    assert told.reason.startswith("no space was left from 20")
    assert [getattr(each.event, "change", None) for each in entries()[-3:]] == [None, LogChange.DISK_FULL, None]


def test_a_disk_that_is_full_again_is_told_later(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    durable: AuditLog,
    disk: Disk,
    address: Path,
    key: FingerprintKey,
    a_use: MakeUse,
    entries: Entries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the entry about it finds no room either, its caller does not hear of it, and nothing is counted twice."""
    disk.fill()
    refused = _refused(durable, a_use)
    disk.clear()
    take = Outages.take

    def full_again(outages: Outages) -> Outage | None:
        disk.fill()
        _refused(other, a_use)
        return take(outages)

    with AuditLog.open(address, fingerprint_key=key) as other:
        monkeypatch.setattr(Outages, "take", full_again)
        durable.record(a_use())
        monkeypatch.setattr(Outages, "take", take)
        assert _of_the_disk(entries()) == []
        disk.clear()
        durable.record(a_use())
        assert [each.count for each in _of_the_disk(entries())] == [refused]


def test_what_waits_in_a_queue_was_not_refused(
    disk: Disk, address: Path, key: FingerprintKey, a_use: MakeUse, entries: Entries
) -> None:
    """Queued entries are kept while the disk is full, and written after it: no call raised."""
    with AuditLog.open(address, fingerprint_key=key, delivery="queued") as log:
        log.flush()
        disk.fill()
        for _ in range(60):
            log.record(a_use(name="x" * 500))
        with pytest.raises(Exception, match="deadline"):
            log.flush(deadline=0.5)
        disk.clear()
        log.flush(deadline=20)
        assert {told.count for told in _of_the_disk(entries())} == {0}
    assert sum(not isinstance(each.event, LogEvent) for each in entries()) == 60


def test_an_outage_that_was_given_back_goes_on() -> None:
    """Who took an outage and could not tell of it gives it back, with what was refused meanwhile, but not its own."""
    outages = Outages()
    assert not outages
    assert outages.take() is None
    outages.add(3)
    first = outages.take()
    assert first is not None
    assert not outages
    outages.add(1)
    outages.give_back(first, beside=True)
    outages.add(2)
    second = outages.take()
    assert second is not None
    assert (second.since, second.refused) == (first.since, 5)

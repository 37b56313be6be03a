"""Trouble while a log is in use: each ends in an error of ours that names the file, and nothing stored is harmed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql import SqliteReader, Writer, open_writer
from counterfoil.schemas import AuditUnavailable, LogChange, LogEvent, StoreCorrupt, StoreError, StoreForeign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Connections, Seal

_NAMED = r"audit\.db"


def _fill(writer: Writer, seal: Seal) -> int:
    """Record until the disk is full; return how many entries were acknowledged."""
    for acknowledged in range(10_000):
        try:
            writer.append(seal())
        except AuditUnavailable as error:
            assert "the disk is full" in str(error)  # noqa: PT017 -- what was counted before it is the result
            return acknowledged
    raise AssertionError("the disk never became full")


def test_a_full_database_takes_no_entry(
    connections: Connections, writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """What was acknowledged is there, the next entry is refused, and recording goes on when there is room again."""
    (connection,) = connections.writing
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 10}")
    acknowledged = _fill(writer, seal)
    assert acknowledged > 5
    assert count_chained() == acknowledged
    connection.execute(f"PRAGMA max_page_count={pages + 1000}")
    writer.append(seal())
    assert count_chained() == acknowledged + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_takes_no_entry(small_disk: Path, seal: Seal) -> None:
    """On a disk that is really full nothing acknowledged is lost, and recording goes on when there is room again."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    writer = open_writer(small_disk / "audit.db", deadline=2.0, fingerprint_key_id="00000000")
    acknowledged = _fill(writer, seal)
    assert acknowledged > 5
    assert writer.head() == acknowledged
    ballast.unlink()
    writer.append(seal())
    assert writer.head() == acknowledged + 1
    writer.close()


def _unlink(file: Path) -> None:
    file.unlink()


def _rename(file: Path) -> None:
    file.rename(f"{file}.1")


def _replace(file: Path) -> None:
    shutil.copy(file, f"{file}.copy")
    file.with_name(f"{file.name}.copy").replace(file)


@pytest.mark.parametrize("disturb", [_unlink, _rename, _replace])
@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_went_away_takes_no_entry(
    disturb: Callable[[Path], None], suffix: str, writer: Writer, address: Path, seal: Seal
) -> None:
    """SQLite would go on writing into a file that nobody finds again; not one entry more is acknowledged."""
    writer.append(seal())
    disturb(address.with_name(f"audit.db{suffix}"))
    for _ in range(2):
        with pytest.raises(AuditUnavailable, match="removed or replaced while it was in use"):
            writer.append(seal())


def test_a_file_that_came_back_takes_entries_again(
    writer: Writer, address: Path, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """A file that was renamed, and is put back, is the same log; a retry of what was refused is written once."""
    writer.append(seal())
    address.rename(f"{address}.1")
    event = LogEvent(change=LogChange.GAP)
    with pytest.raises(AuditUnavailable):
        writer.append(seal(event))
    address.with_name("audit.db.1").rename(address)
    writer.append(seal(event))
    writer.append(seal())
    assert count_chained() == 3


@pytest.mark.parametrize("offset", [0, 100, 4096])
def test_a_damaged_file_is_an_error_of_ours(offset: int, seal: Seal, address: Path) -> None:
    """Overwritten pages end in ``StoreError``, whichever they are, on every way in."""
    writer = _open(address)
    for _ in range(20):
        writer.append(seal())
    writer.close()
    damaged = bytearray(address.read_bytes())
    damaged[offset : offset + 3000] = os.urandom(3000)
    address.write_bytes(damaged)
    for use in (_use_writer, _use_reader):
        with pytest.raises(StoreError, match=_NAMED) as caught:
            use(address, seal)
        assert isinstance(caught.value, StoreCorrupt | StoreForeign)


@pytest.mark.parametrize("damage", [b"\xff", b"{"], ids=["not text", "not JSON"])
def test_a_damaged_body_is_an_error_of_ours(damage: bytes, seal: Seal, address: Path) -> None:
    """A body that is not text, or not JSON any more, is a damaged log, and the error does not show it."""
    _use_writer(address, seal)
    content = address.read_bytes()
    at = content.rindex(b'{"action":')
    address.write_bytes(content[: at + 1] + damage + content[at + 2 :])
    reader = SqliteReader(address)
    with pytest.raises(StoreCorrupt, match=_NAMED) as caught:
        list(reader.find(Filter(agent="mail-agent")))
    assert "read_mail" not in str(caught.value)
    reader.close()


def _use_reader(address: Path, _: Seal) -> None:
    reader = SqliteReader(address)
    try:
        reader.entries_after(0, 100)
    finally:
        reader.close()


def _use_writer(address: Path, seal: Seal) -> None:
    writer = _open(address)
    try:
        writer.append(seal())
    finally:
        writer.close()


def _open(path: Path) -> Writer:
    return open_writer(path, deadline=2.0, fingerprint_key_id="00000000")

"""T5: a log's files are deleted, renamed, replaced, cut or made read-only under its writer, who notices at once."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql.presence import Presence
from counterfoil.schemas import AuditTimeout, AuditUnavailable, FingerprintKey, StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Tally
    from disks import Call, Disks
    from frame import Scale

pytestmark = pytest.mark.faults

KEY = FingerprintKey(bytes.fromhex("5f" * 32))
FILES = "database, -wal, -shm, -lock or folder deleted, renamed, replaced, emptied, cut, overwritten or made read-only"
EMPTIED = "the database emptied, with all of it in the -wal, and without"
MOUNTS = "the disk mounted over, taken away, mounted read-only, under a live writer"


def _renamed(path: Path) -> None:
    path.rename(f"{path}.1")


def _replaced(path: Path) -> None:
    copy = path.with_name(f"{path.name}.copy")
    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    path.rename(f"{path}.1")
    copy.rename(path)


def _replaced_at_once(path: Path) -> None:
    copy = path.with_name(f"{path.name}.copy")
    shutil.copy(path, copy)
    copy.replace(path)


def _replaced_by_another(path: Path) -> None:
    other = path.with_name("other.db")
    AuditLog.open(other, fingerprint_key=KEY).close()
    other.replace(path)


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(64))


def _read_only(path: Path) -> None:
    path.chmod(0o400)


def _deleted(path: Path) -> None:
    path.unlink()


VARIANTS: tuple[tuple[str, Callable[[Path], None]], ...] = (
    *(("", each) for each in (_deleted, _renamed, _replaced, _replaced_at_once, _replaced_by_another, _read_only)),
    *(("-wal", each) for each in (_deleted, _renamed, _replaced, _replaced_at_once, _emptied, _halved, _overwritten)),
    *(("-shm", each) for each in (_deleted, _renamed, _replaced, _replaced_at_once)),
    ("/", _renamed),
    ("/", _replaced),
)


@dataclass(frozen=True)
class Disturbed:
    """What the calls came to."""

    calls: list[Call]
    after: list[Call]
    """Those that began once they had been."""


def _disturb(disks: Disks, folder: Path, suffix: str, disturb: Callable[[Path], object]) -> Disturbed:
    """Record from two threads, disturb, and go on for twenty calls."""
    folder.mkdir(exist_ok=True)
    db = folder / "audit.db"
    log = AuditLog.open(db, fingerprint_key=KEY, deadline=1.0)
    recorders = disks.recorders(log, pause=0.001)
    with recorders.recording(threads=2):
        recorders.wait_for(lambda call: call.error is None, 20)
        disturb(folder if suffix == "/" else db.with_name(f"audit.db{suffix}"))
        disturbed = time.monotonic()
        recorders.wait_for(lambda _: True, 20)
    log.close()
    calls = list(recorders.calls)
    return Disturbed(calls, [call for call in calls if call.began >= disturbed])


def _acknowledged(disturbed: Disturbed) -> int:
    errors = [call.error for call in disturbed.after if call.error]
    assert all(isinstance(error, AuditUnavailable | AuditTimeout | StoreCorrupt) for error in errors)
    return len(disturbed.after) - len(errors)


@pytest.mark.parametrize(("suffix", "disturb"), VARIANTS, ids=lambda each: getattr(each, "__name__", each) or "db")
def test_no_entry_is_acknowledged_into_files_that_moved(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    suffix: str, disturb: Callable[[Path], None], disks: Disks, tmp_path: Path, scale: Scale, tally: Tally
) -> None:
    """Each call that begins after it raises, and none is acknowledged."""
    rounds = scale(1, 10)
    for number in range(rounds):
        disturbed = _disturb(disks, tmp_path / f"logs-{number}", suffix, disturb)
        assert _acknowledged(disturbed) == 0
        tally("T5", FILES, injected=1, tried=len(disturbed.after), acknowledged=0, lost=0)


@pytest.mark.parametrize("kept", [True, False], ids=["the -wal has all of it", "the -wal has nothing of it"])
def test_a_database_that_was_emptied_is_looked_at(
    kept: bool,  # noqa: FBT001 -- pytest gives it by name
    disks: Disks,
    tmp_path: Path,
    scale: Scale,
    tally: Tally,
) -> None:
    """What the -wal still has in full is written back; what it has not is missed, and no call is acknowledged."""

    def empty(db: Path) -> None:
        with db.with_name(f"{db.name}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # between two commits, else a writer keeps the -wal from being emptied
            if not kept:
                with closing(sqlite3.connect(db)) as connection:
                    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            _emptied(db)

    for number in range(scale(1, 10)):
        disturbed = _disturb(disks, tmp_path / f"logs-{number}", "", empty)
        acknowledged = _acknowledged(disturbed)
        assert bool(acknowledged) == kept
        if kept:
            with AuditReader.open(tmp_path / f"logs-{number}" / "audit.db") as reader:
                assert reader.verify().consistent
                held = {str(each.event.context.event_id) for each in reader.find(Filter())}
            assert held >= {call.event_id for call in disturbed.calls if not call.error}
        tally("T5", EMPTIED, injected=1, tried=len(disturbed.after), acknowledged=acknowledged, lost=0)


def test_a_disk_that_goes_away_takes_no_entry(disks: Disks, tmp_path: Path, tally: Tally) -> None:
    """The same where another file system is mounted over the folder, or that of the folder is taken away."""
    for name, disturb in {"covered": disks.cover, "away": disks.take_away}.items():
        with disks.in_memory(tmp_path / name, kilobytes=8192) as mounted:
            if not mounted:
                tally("T5", MOUNTS, injected=0, note="not tried: this machine does not let the test mount a disk")
                return
            disturbed = _disturb(disks, tmp_path / name, "/", disturb)
            assert _acknowledged(disturbed) == 0
            tally("T5", MOUNTS, injected=1, tried=len(disturbed.after), acknowledged=0, lost=0)


def test_a_disk_that_becomes_read_only_takes_no_entry(disks: Disks, tmp_path: Path, tally: Tally) -> None:
    """ext4 makes itself read-only after an error of the disk; a polite remount is refused while files are in use."""
    folder = tmp_path / "ext4"
    with disks.in_a_file(folder, megabytes=16) as mounted:
        if not mounted:
            tally("T5", MOUNTS, injected=0, note="read-only not tried: no ext4 file system could be mounted")
            return

        def abort(where: Path) -> None:
            assert not disks.remount(where, "ro")
            assert disks.remount(where, "abort")

        disturbed = _disturb(disks, folder, "/", abort)
        assert _acknowledged(disturbed) == 0
        tally("T5", MOUNTS, injected=1, tried=len(disturbed.after), acknowledged=0, lost=0)


def _all_is_well(*_: object) -> None:
    return None


@pytest.mark.parametrize(("suffix", "disturb"), [("", _deleted), ("-wal", _emptied), ("/", _replaced)])
def test_a_writer_that_does_not_look_is_noticed(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    suffix: str,
    disturb: Callable[[Path], None],
    disks: Disks,
    tmp_path: Path,
    tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the look before and after a commit, SQLite goes on, and each receipt after it is worth nothing."""
    monkeypatch.setattr(Presence, "trouble", _all_is_well)
    disturbed = _disturb(disks, tmp_path / "logs", suffix, disturb)
    assert _acknowledged(disturbed) > 0
    tally.defect("T5", "does not look whether the files are in place")

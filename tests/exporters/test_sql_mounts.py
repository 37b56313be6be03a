"""Which file systems a log is refused on: told from the table of mounts, without any of them at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterfoil.exporters.sql import SqliteSource, open_writer
from counterfoil.exporters.sql.mounts import file_system_of, require_shared_memory
from counterfoil.schemas import ConfigurationError

_TABLE = rb"""
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:40 / /srv rw shared:3 - nfs4 filer:/srv rw
31 27 0:41 / /srv/local rw - xfs /dev/vdb rw
32 27 0:42 / /mnt/with\040space rw - cifs //filer/share rw
33 27 0:43 / /home rw master:1 shared:7 propagate_from:2 - fuse.sshfs me@host: rw
34 27 0:44 / /home rw - tmpfs tmpfs rw
35 27 0:45 / /data rw - ext4 /dev/vdc rw
36 35 0:46 / /data rw - virtiofs share rw
a line that is cut
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/deep/er", "nfs4"),
        ("/srvice", "ext4"),
        ("/srv/local/logs", "xfs"),
        ("/mnt/with space", "cifs"),
        ("/home/me", "tmpfs"),
        ("/data/audit", "virtiofs"),
    ],
)
def test_the_deepest_and_last_mount_counts(folder: str, kind: str) -> None:
    """A mount covers what is below it, by whole names; of two at one place the later one is on top."""
    assert file_system_of(Path(folder), _TABLE) == kind


def test_without_a_table_nothing_is_known() -> None:
    """An empty table, or one that covers nothing, tells nothing."""
    assert file_system_of(Path("/"), b"") is None
    assert file_system_of(Path("/"), b"30 27 0:40 / /srv rw - nfs4 filer:/srv rw") is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "fuse.s3fs", "ceph"])
def test_no_log_where_memory_is_not_shared(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log there is refused before anything is made, with the file system, and what to do instead."""
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 0:1 / / rw - {kind} share rw\n", "utf-8")
    monkeypatch.setattr("counterfoil.exporters.sql.mounts._TABLE", table)
    with pytest.raises(ConfigurationError, match=rf"audit\.db lies on a file system of type {kind},") as caught:
        open_writer(tmp_path / "audit.db", deadline=1.0, fingerprint_key_id="00000000")
    assert "local disk" in caught.value.advice
    assert not list(tmp_path.glob("audit.db*"))
    with pytest.raises(ConfigurationError):  # an exporter writes too: how far it has come
        SqliteSource(tmp_path / "audit.db")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.gocryptfs"])
def test_local_file_systems_are_taken(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not known to lose entries is taken: a name alone is no evidence."""
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 0:1 / / rw - {kind} disk rw\n", "utf-8")
    monkeypatch.setattr("counterfoil.exporters.sql.mounts._TABLE", table)
    require_shared_memory(tmp_path / "audit.db")


def test_a_system_without_a_table_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such table, as on macOS, it cannot be told."""
    monkeypatch.setattr("counterfoil.exporters.sql.mounts._TABLE", tmp_path / "nowhere")
    require_shared_memory(tmp_path / "audit.db")

"""Which file system a path lies on. SQLite's WAL needs memory and locks that all its users share; some have neither.

Known to lose or damage databases: NFS and SMB (each host has a memory of its own), and what virtual machines pass
through from their host (9p, virtiofs, the mounts of container desktops), where two caches disagree under load.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from counterfoil.schemas import ConfigurationError

_NOT_SHARED: Final = re.compile(
    r"9p|afs|beegfs|ceph|cifs|coda|davfs|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|orangefs|smb[23]|smbfs|vboxsf"
    r"|virtiofs|vmhgfs|fuse\.(ceph-fuse|davfs2?|gcsfuse|glusterfs|goofys|grpcfuse|juicefs|mount-s3|mountpoint-s3|osxfs"
    r"|rclone|s3fs|smbnetfs|sshfs|virtiofs|vmhgfs-fuse)"
)

_TABLE: Final = Path("/proc/self/mountinfo")

_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")


def require_shared_memory(path: Path) -> None:
    """Raise ``ConfigurationError`` if ``path`` lies on a file system known to damage a database. Linux only."""
    try:
        table = _TABLE.read_bytes()
    except OSError:  # no Linux: it cannot be told
        return
    kind = file_system_of(path.parent.resolve(), table)
    if kind and _NOT_SHARED.fullmatch(kind):
        raise ConfigurationError(
            f"{path} lies on a file system of type {kind}, on which SQLite loses entries or damages the log",
            advice="Put the log on a local disk or volume, or use PostgreSQL: postgresql+psycopg://host/database.",
        )


def file_system_of(folder: Path, table: bytes) -> str | None:
    """Return the type of the file system that an absolute ``folder`` lies on, by a table as in /proc/self/mountinfo.

    Of mounts over each other the last one counts. ``None`` if no line of the table covers it.
    """
    wanted, found, longest = os.fsencode(folder), None, -1
    for line in table.splitlines():
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.split(b" ")[0]
        if len(fields) < 5:
            continue
        point = _ESCAPE.sub(lambda each: bytes([int(each[1], 8)]), fields[4])
        covers = wanted == point or wanted.startswith(point.rstrip(b"/") + b"/")
        if covers and len(point) >= longest:
            found, longest = kind, len(point)
    return os.fsdecode(found) if found is not None else None

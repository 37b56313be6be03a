"""Whether the files of an open log are still those that were opened: in their place, writable, and no shorter.

SQLite goes on writing into a file that was unlinked, renamed or replaced, and those commits would be acknowledged and
lost. It also goes on when its -wal was emptied, behind whose hole nothing is found any more, or its -shm deleted,
without which other processes do not see what is committed. So the writer looks before and after each commit, which
takes a few microseconds. It never opens the database or the -shm: closing either would drop SQLite's locks.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_HEADER: Final = 32
"""Bytes at the start of a -wal: two of its words are salts, which change whenever SQLite begins it anew."""

_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


class Presence:
    """The files of one open log: which they were, and how long. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Note what stands there now, after SQLite opened it. Raises ``OSError`` if a file is missing."""
        self._database, self._wal, self._shm = str(path), f"{path}-wal", f"{path}-shm"
        self._identity, _, self._bytes, self.wal_bytes = self._look()
        self.shrunk = False
        """Whether the database became shorter since the last look: by VACUUM, or because it was cut."""
        self._file = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
        self._header = os.pread(self._file, _HEADER, 0)

    def _look(self) -> tuple[tuple[int, ...], int, int, int]:
        """Return which files there are, and the mode of the database, its length and that of the -wal."""
        stat_of = os.stat  # a Path costs three times that
        found, wal, shm = stat_of(self._database), stat_of(self._wal), stat_of(self._shm)
        which = found.st_dev, found.st_ino, wal.st_dev, wal.st_ino, shm.st_dev, shm.st_ino
        return which, found.st_mode, found.st_size, wal.st_size

    def trouble(self, connection: sqlite3.Connection) -> str | None:
        """Return what happened to the files since the last look, in words; ``None`` if all is well."""
        try:
            identity, mode, length, wal_length = self._look()
        except OSError:
            return "it, its -wal or its -shm was removed or replaced while it was in use"
        if identity != self._identity:
            return "it, its -wal or its -shm was removed or replaced while it was in use"
        if not mode & stat.S_IWUSR:
            return "it was made read-only while it was in use"
        header = os.pread(self._file, _HEADER, 0)
        if self._was_cut(connection, header, wal_length):
            return "its -wal was cut or overwritten while it was in use"
        self.shrunk = length < self._bytes
        self._bytes, self.wal_bytes, self._header = length, wal_length, header
        return None

    def _was_cut(self, connection: sqlite3.Connection, header: bytes, length: int) -> bool:
        if not header:
            # A checkpoint may leave an empty -wal. Then SQLite, too, thinks that it is empty.
            return bool(self._header) and _frames(connection) != 0
        return not header.startswith(_MAGIC) or (header == self._header and length < self.wal_bytes)

    def close(self) -> None:
        """Forget the files."""
        os.close(self._file)


def _frames(connection: sqlite3.Connection) -> int | None:
    """Return how many frames SQLite believes to be in the -wal; ``None`` if it does not find them."""
    try:
        return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])
    except sqlite3.Error:
        return None

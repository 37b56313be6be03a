"""A file of lines that only grows: each batch is on the disk before it counts, and a torn last line is cut off."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from counterfoil.schemas import ExportFailed

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_BLOCK = 65536


class LineFile:
    """Appends whole lines to a file that only its owner can read. Raises ``ExportFailed`` when the disk refuses."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, making it if need be, and cut off what a crash left behind the last line break."""
        self._path = path
        with self._faults():
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._is_regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            if self._is_regular:
                os.ftruncate(self._descriptor, self._end_of_lines())

    def write(self, lines: bytes) -> int:
        """Append ``lines``. On failure none of them stays, so that the file holds whole lines only."""
        with self._faults():
            size = os.fstat(self._descriptor).st_size
            try:
                written = 0
                while written < len(lines):
                    written += os.write(self._descriptor, lines[written:])
            except OSError:
                if self._is_regular:
                    os.ftruncate(self._descriptor, size)
                raise
            return written

    def flush(self) -> None:
        """Wait until everything is on the disk."""
        with self._faults():
            if self._is_regular:
                os.fsync(self._descriptor)

    def last_line(self) -> bytes:
        """Return the last line without its line break; nothing for an empty file."""
        with self._faults():
            size = os.fstat(self._descriptor).st_size if self._is_regular else 0
            start = self._after_line_break(size - 1) if size else 0
            return os.pread(self._descriptor, size - start, start).rstrip(b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _end_of_lines(self) -> int:
        return self._after_line_break(os.fstat(self._descriptor).st_size)

    def _after_line_break(self, end: int) -> int:
        """Return the position behind the last line break before ``end``; 0 if there is none."""
        while end > 0:
            start = max(0, end - _BLOCK)
            found = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0

    @contextmanager
    def _faults(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            raise ExportFailed(f"cannot write to {self._path.name}: {reason}") from None

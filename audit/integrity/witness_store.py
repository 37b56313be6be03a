"""A witness store: a file of checkpoints of one log, kept where whoever writes the log cannot write.

It only grows. What it refuses is what C2SP tlog-witness has a witness refuse: a size below one that it saw, another
root at a size that it saw, and a log in which the entries that it saw are others now.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.schemas import ConfigurationError, InvalidNote

from .note import Checkpoint, parse_checkpoints

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@dataclass(slots=True)
class WitnessStore:
    """An open witness store. Use ``open_witness_store``."""

    name: str
    """What it is called, for people."""
    seen: list[Checkpoint]
    """What it holds, in the order in which it came."""
    _file: int

    def append(self, checkpoint: Checkpoint) -> bool:
        """Write one more, and return once it is on disk. False if it stands there already.

        Whether it agrees with what was seen is for ``Commitment.require``. Raises ``ConfigurationError`` if it cannot
        be written; then nothing is.
        """
        if any(str(each) == str(checkpoint) for each in self.seen):
            return False
        before = os.fstat(self._file).st_size
        try:
            _write(self._file, f"{'' if before == 0 else chr(10)}{checkpoint}".encode())
        except OSError as error:
            os.ftruncate(self._file, before)
            raise ConfigurationError(
                f"{self.name} cannot be written ({_reason(error)}); it was left as it was", advice=_ADVICE
            ) from None
        self.seen.append(checkpoint)
        return True


@contextmanager
def open_witness_store(path: Path) -> Generator[WitnessStore]:
    """Open the witness store at ``path``, making it for its owner alone if there is none, and keep others out.

    Raises ``ConfigurationError`` if the file cannot be used, and ``InvalidNote`` if it holds anything but checkpoints.
    """
    file, made = _opened(path)
    try:
        yield WitnessStore(f"the witness store {path.name}", _read(file, path), file)
    finally:
        if made and not os.fstat(file).st_size:
            path.unlink()
        elif made:
            _keep_name(path)
        os.close(file)


def _opened(path: Path) -> tuple[int, bool]:
    """Return the file, locked, and whether it was made just now."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would be waited for
    try:
        try:
            file, made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
        except FileExistsError:
            file, made = os.open(path, flags), False
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path.name} cannot be opened ({_reason(error)})", advice=_ADVICE) from None
    problem = None if stat.S_ISREG(os.fstat(file).st_mode) else "is no ordinary file"
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        problem = problem or "is in use by another process"
    if problem:
        os.close(file)
        raise ConfigurationError(f"{path.name} {problem}", advice=_ADVICE)
    return file, made


def _read(file: int, path: Path) -> list[Checkpoint]:
    with open(file, "rb", closefd=False) as opened:
        content = opened.read()
    try:
        return parse_checkpoints(content)
    except InvalidNote as error:
        raise InvalidNote(
            f"{path.name}, {error}", advice="This file is no witness store; it was left as it is."
        ) from None


def _write(file: int, content: bytes) -> None:
    if os.write(file, content) != len(content):
        raise OSError(errno.ENOSPC, "it was written in part")
    os.fsync(file)


def _keep_name(path: Path) -> None:
    """Let the file still have its name after a power cut."""
    with suppress(PermissionError):  # a folder that can be written need not be readable
        folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _reason(error: OSError | ValueError) -> str:
    return os.strerror(error.errno or 0) if isinstance(error, OSError) else "no file can have this name"


_ADVICE = "Name a file that you can write and that whoever writes the log cannot."

"""Where what comes from outside is read for a verification: keys, witness files, which processes run."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import ConfigurationError, InvalidNote

from .note import VerifierKey
from .witness import MAX_LINE, Witnesses

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import BinaryIO

    from .facts import Process

_CHUNK: Final = 65_536
_SLACK: Final = 2.0  # seconds: the kernel counts the start of a process from the boot, whose time is known roughly


def read_keys(given: Iterable[str | os.PathLike[str]]) -> list[VerifierKey]:
    """Return the verifier keys that are given as such (C2SP vkeys) or in files, one a line.

    Raises ``ConfigurationError`` and ``InvalidNote``.
    """
    keys: list[VerifierKey] = []
    for each in given:
        if isinstance(each, str) and _is_vkey(each):
            keys.append(VerifierKey.parse(each))
        else:
            keys += _keys_of(Path(each))
    return keys


def read_witnesses(files: Iterable[str | os.PathLike[str]], log_id: str) -> Witnesses:
    """Read witness files about a log. Raises ``ConfigurationError``, which names file and line."""
    witnesses = Witnesses(log_id)
    for each in files:
        with _opened(Path(each), "witness file") as file:
            witnesses.read(os.fspath(each), _lines(file))
    return witnesses


def is_running(process: Process) -> bool:
    """Whether the process that wrote an entry runs on this machine still. False where that cannot be told."""
    if process.host != socket.gethostname():
        return False
    try:
        began = _began(process.pid)
        return began is None or began <= datetime.fromisoformat(process.recorded_at).timestamp() + _SLACK
    except (OSError, ValueError, IndexError, OverflowError):
        return False


def _began(pid: int) -> float | None:
    """Return when a process began, in seconds since the epoch; None where only its existence can be told."""
    try:
        # The name of the program, in parentheses, may hold anything; field 22 counts from after it (proc(5)).
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except FileNotFoundError:
        if Path("/proc/uptime").exists():
            raise
        os.kill(pid, 0)  # signal 0 asks whether the process is there, and does nothing to it
        return None
    if fields[0] == "Z":
        raise ProcessLookupError
    return datetime.now(UTC).timestamp() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _is_vkey(text: str) -> bool:
    return text.count("+") >= 2 and not Path(text).exists()


def _keys_of(path: Path) -> list[VerifierKey]:
    with _opened(path, "key file") as file:
        text = file.read(_CHUNK)
    keys: list[VerifierKey] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                keys.append(VerifierKey.parse(line.strip().decode("utf-8", "replace")))
            except InvalidNote as problem:
                raise ConfigurationError(f"{path}, line {number}: {problem}", advice=problem.advice) from None
    if not keys:
        raise ConfigurationError(f"{path}: there is no verifier key in it")
    return keys


@contextmanager
def _opened(path: Path, what: str) -> Generator[BinaryIO]:
    """Open a regular file: of a pipe or a device nobody knows when it ends."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "there is no such name"
        raise ConfigurationError(f"the {what} {path} cannot be opened ({why})") from None
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ConfigurationError(f"the {what} {path} is not a regular file")
        yield file


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines, none longer than one byte over the limit."""
    while line := file.readline(MAX_LINE + 1):
        yield line

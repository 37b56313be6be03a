"""Small disks of a test's own, and threads that record until they are told to stop. Mounting needs root."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from counterfoil.schemas import Action, CredentialUse, Resource, StoreError, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from counterfoil.audit import AuditLog


@dataclass(frozen=True)
class Call:
    """What one call of ``record`` came to."""

    began: float
    took: float
    event_id: str
    seq: int
    """0 where it raised."""
    error: StoreError | None


@dataclass
class Recorders:
    """Threads that record, with a pause between two calls."""

    log: AuditLog
    pause: float
    calls: list[Call] = field(default_factory=list[Call])
    _ending: threading.Event = field(default_factory=threading.Event)

    def _run(self) -> None:
        while not self._ending.is_set():
            use, began = Disks.a_use(), time.monotonic()
            seq, error = 0, None
            try:
                seq = self.log.record(use).seq
            except StoreError as raised:
                error = raised
            self.calls.append(Call(began, time.monotonic() - began, str(use.context.event_id), seq, error))
            time.sleep(self.pause)

    @contextmanager
    def recording(self, threads: int) -> Generator[None]:
        """Let so many threads record while the block runs."""
        started = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in started:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
            for thread in started:
                thread.join()

    def wait_for(self, wanted: Callable[[Call], bool], times: int) -> None:
        """Return once so many calls ended as wanted, of those that began from now on."""
        now = time.monotonic()
        while sum(wanted(call) for call in list(self.calls) if call.began >= now) < times:
            assert time.monotonic() < now + 60, "the writers hang"
            time.sleep(0.002)

    def acknowledged(self) -> dict[str, int]:
        """Return the sequence number of each event that has a receipt."""
        return {call.event_id: call.seq for call in self.calls if call.error is None}


class Disks:
    """Makes disks, and changes them."""

    @contextmanager
    def in_memory(self, folder: Path, kilobytes: int) -> Generator[bool]:
        """Mount a file system in memory at ``folder``. Gives False where that cannot be done."""
        folder.mkdir()
        with _mounted(folder, _run("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder)) as mounted:
            yield mounted

    @contextmanager
    def in_a_file(self, folder: Path, megabytes: int) -> Generator[bool]:
        """Mount an ext4 file system that lies in a file at ``folder``. Gives False where that cannot be done."""
        folder.mkdir()
        image = folder.with_name(f"{folder.name}.img")
        with image.open("wb") as made:
            made.truncate(megabytes << 20)
        made_it = _run("mkfs.ext4", "-q", "-F", image) and _run("mount", "-o", "loop", image, folder)
        with _mounted(folder, made_it) as mounted:
            yield mounted

    def remount(self, folder: Path, how: str) -> bool:
        """Mount what is at ``folder`` in another way. False if the kernel does not."""
        return _run("mount", "-o", f"remount,{how}", folder)

    def cover(self, folder: Path) -> bool:
        """Hide what is at ``folder`` under another file system."""
        return _run("mount", "-t", "tmpfs", "tmpfs", folder)

    def take_away(self, folder: Path) -> bool:
        """Unmount what is at ``folder`` although files on it are in use."""
        return _run("umount", "-l", folder)

    def recorders(self, log: AuditLog, pause: float) -> Recorders:
        """Return threads that will record into ``log``."""
        return Recorders(log, pause)

    @staticmethod
    def a_use() -> CredentialUse:
        """Return a use."""
        action = Action(name="read_mail")
        return CredentialUse(token=Token(), resource=Resource(uri="https://api.example/mail"), action=action)


@contextmanager
def _mounted(folder: Path, mounted: bool) -> Generator[bool]:  # noqa: FBT001 -- what came of it
    try:
        yield mounted
    finally:
        while mounted and folder.is_mount() and _run("umount", "-l", folder):
            pass


def _run(*command: str | Path) -> bool:
    if not shutil.which(command[0]):
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0

"""Copying one SQLite log while it is being written to: one moment of it, in a file of its own."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from counterfoil.schemas import AuditUnavailable, ConfigurationError

from .faults import translated
from .sqlite import connect_read_only, identify

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_STEP: Final = 1024  # pages: 4 MiB between two words of progress


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """Give a draft that takes its place at ``path``, whole and on disk, when the block ends without an error.

    Nobody but its owner can read it. Raises ``ConfigurationError`` for a file that is there, which is left, and
    ``AuditUnavailable`` for a place where none can be made.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        for each in (path, draft):  # the first keeps the name
            os.close(os.open(each, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise ConfigurationError(
            f"{path} is there already", advice="Name a new file: a copy that exists is not written over."
        ) from None
    except OSError as error:
        raise AuditUnavailable(f"{path} cannot be made ({os.strerror(error.errno or 0)})") from None
    try:
        yield draft
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    except BaseException as error:
        for each in (path, draft, Path(f"{draft}-journal"), Path(f"{draft}-wal"), Path(f"{draft}-shm")):
            each.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise AuditUnavailable(f"{path} cannot be written ({os.strerror(error.errno or 0)})") from None
        raise


def copy_log(path: Path, to: Path, *, compact: bool, on_progress: Callable[[int, int], None]) -> None:
    """Copy the log at ``path`` as it is at one moment into the empty file ``to``, while others go on writing.

    The copy needs no -wal, so that it can be read where nobody can write. ``compact`` leaves out free pages.
    ``on_progress`` gets (done, of how many) pages. Raises ``StoreError``.
    """
    with translated(path):
        source = connect_read_only(path)
    with closing(source):
        with translated(path):
            identify(source, path)
        with translated(to):
            if compact:
                source.execute("VACUUM INTO ?", (f"file:{quote(os.fsencode(to.absolute()))}",))
                return
            target = sqlite3.connect(f"file:{quote(os.fsencode(to.absolute()))}?mode=rw", uri=True)
            with closing(target):
                _copy_pages(source, target, on_progress)
                target.execute("PRAGMA journal_mode=DELETE")


def _copy_pages(
    source: sqlite3.Connection, target: sqlite3.Connection, on_progress: Callable[[int, int], None]
) -> None:
    # Within one read transaction: otherwise each commit of somebody else would make SQLite begin the copy again.
    source.execute("BEGIN")
    source.execute("SELECT count(*) FROM log").fetchone()
    source.backup(target, pages=_STEP, progress=lambda _, left, total: on_progress(total - left, total))
    source.execute("COMMIT")


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

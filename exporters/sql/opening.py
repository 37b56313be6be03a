"""The three ways to open a log, by its address: to write, to read, to export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.schemas import StoreMissing

from .source import CopiedSource
from .sqlite import path_of
from .sqlite_reader import SqliteReader
from .sqlite_source import SqliteSource
from .sqlite_store import SqliteStore
from .writer import Writer

if TYPE_CHECKING:
    import os

    from .reader import LogReader
    from .source import LogSource


def open_writer(address: str | os.PathLike[str], *, deadline: float, fingerprint_key_id: str) -> Writer:
    """Open a log for writing, making it if there is none. ``deadline`` in seconds bounds every wait.

    Raises ``ConfigurationError``, ``AuditUnavailable``, ``StoreForeign`` or ``StoreCorrupt``.
    """
    store = SqliteStore(path_of(address), deadline=deadline, fingerprint_key_id=fingerprint_key_id)
    return Writer(store, deadline=deadline)


def open_reader(address: str | os.PathLike[str], *, immutable: bool = False) -> LogReader:
    """Open a log for reading only. Raises ``ConfigurationError`` and ``StoreError``."""
    return SqliteReader(path_of(address), immutable=immutable)


def open_source(address: str | os.PathLike[str], *, immutable: bool = False) -> LogSource:
    """Open a log for exporting. Raises ``StoreMissing`` rather than make an empty one.

    An ``immutable`` copy is not written to: it begins where the log had come with each destination.
    """
    if immutable:
        return CopiedSource(open_reader(address, immutable=True))
    path = path_of(address)
    if not path.exists():
        raise StoreMissing(f"there is no log at {path}")
    return SqliteSource(path)

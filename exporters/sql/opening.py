"""The three ways to open a log, by its address: to write, to read, to export."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from counterfoil.schemas import ConfigurationError, MissingExtra, StoreMissing

from .source import CopiedSource
from .sqlite import path_of
from .sqlite_reader import SqliteReader
from .sqlite_source import SqliteSource
from .sqlite_store import SqliteStore
from .writer import Writer

if TYPE_CHECKING:
    from .postgres import PostgresAddress
    from .reader import LogReader
    from .source import LogSource
    from .store import Store


def open_writer(address: str | os.PathLike[str], *, deadline: float, fingerprint_key_id: str) -> Writer:
    """Open a log for writing, making it if there is none. ``deadline`` in seconds bounds every wait.

    Raises ``ConfigurationError``, ``MissingExtra`` and ``StoreError``.
    """
    store: Store
    if database := postgres_database(address):
        from .postgres_store import PostgresStore

        store = PostgresStore(database, deadline=deadline, fingerprint_key_id=fingerprint_key_id)
    else:
        store = SqliteStore(path_of(address), deadline=deadline, fingerprint_key_id=fingerprint_key_id)
    return Writer(store, deadline=deadline)


def open_reader(address: str | os.PathLike[str], *, immutable: bool = False) -> LogReader:
    """Open a log for reading only. Raises ``ConfigurationError``, ``MissingExtra`` and ``StoreError``."""
    if database := postgres_database(address):
        from .postgres_reader import PostgresReader

        if immutable:
            raise ConfigurationError("--immutable is for a copy in a file; this log is in PostgreSQL")
        return PostgresReader(database)
    return SqliteReader(path_of(address), immutable=immutable)


def open_source(address: str | os.PathLike[str], *, immutable: bool = False) -> LogSource:
    """Open a log for exporting. Raises what ``open_reader`` does: where there is none, none is made.

    An ``immutable`` copy is not written to: it begins where the log had come with each destination.
    """
    if immutable:
        return CopiedSource(open_reader(address, immutable=True))
    if database := postgres_database(address):
        from .postgres_source import PostgresSource

        return PostgresSource(database)
    path = path_of(address)
    if not path.exists():
        raise StoreMissing(f"there is no log at {path}")
    return SqliteSource(path)


def postgres_database(address: str | os.PathLike[str]) -> PostgresAddress | None:
    """Return which PostgreSQL database an address means, if it means one.

    Raises ``ConfigurationError``, and ``MissingExtra`` where the driver is not installed.
    """
    text = os.fspath(address)
    if not text.startswith(("postgresql:", "postgresql+")):
        return None
    if find_spec("psycopg") is None:
        raise MissingExtra("postgres")
    from .postgres import postgres_address

    return postgres_address(text)

"""The SQL store: one table, a writer, a reader, and a source for exporters. Imports SQLModel: load it lazily."""

from ..pending import Pending
from .opening import open_reader, open_source, open_writer
from .reader import LogReader
from .source import LogSource
from .sqlite import path_of
from .sqlite_reader import SqliteReader
from .sqlite_source import SqliteSource
from .writer import Writer

__all__ = [
    "LogReader",
    "LogSource",
    "Pending",
    "SqliteReader",
    "SqliteSource",
    "Writer",
    "open_reader",
    "open_source",
    "open_writer",
    "path_of",
]

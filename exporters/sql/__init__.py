"""The SQL store: one table, a writer, a reader, and a source for exporters. Imports SQLModel: load it lazily."""

from ..pending import Pending
from .opening import open_reader, open_source, open_writer
from .reader import SqliteReader
from .source import SqliteSource
from .sqlite import path_of
from .writer import Writer

__all__ = ["Pending", "SqliteReader", "SqliteSource", "Writer", "open_reader", "open_source", "open_writer", "path_of"]

"""The SQL store: one table, a writer, a reader, and a source for exporters. Imports SQLModel: load it lazily."""

from ..pending import Pending
from .reader import SqliteReader
from .source import SqliteSource, open_source
from .sqlite import path_of
from .writer import SqliteWriter

__all__ = ["Pending", "SqliteReader", "SqliteSource", "SqliteWriter", "open_source", "path_of"]

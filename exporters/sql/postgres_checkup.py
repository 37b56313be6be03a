"""A check-up of one log in PostgreSQL: what it rests on, and whether that is as it should be. It changes nothing.

Whether the entries are those that were sealed is for ``verify`` to say.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from .check import Check, check_exports
from .postgres_examination import examine
from .postgres_reader import PostgresReader
from .tables import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import PostgresAddress


def check_up(address: PostgresAddress) -> Iterator[Check]:
    """Yield what is found of the log at ``address``, one thing after the other. Raises ``StoreError``."""
    with closing(PostgresReader(address)) as reader:
        yield _settings(reader)
        yield _commits(reader)
        version = reader.schema_version
        yield Check(
            "schema version", ok=version == SCHEMA_VERSION, words=f"{version}; this release makes {SCHEMA_VERSION}"
        )
        yield check_exports(reader)
        yield from examine(reader.ask)


def _settings(reader: PostgresReader) -> Check:
    found = dict(reader.ask(_SETTINGS))
    wrong = [name for name, right in _RIGHT.items() if found[name] != right]
    words = ", ".join(f"{name}={value}" for name, value in sorted(found.items()))
    if found["data_checksums"] != "on":  # a choice, made when the cluster was made
        words += "; without checksums the server does not see what a disk altered"
    return Check("server", ok=not wrong, words=words)


def _commits(reader: PostgresReader) -> Check:
    """Say how a commit is confirmed; each writer sets it for itself, and reads it back."""
    ((found,),) = reader.ask("SELECT current_setting('synchronous_commit')")
    words = f"writers set synchronous_commit=on and read it back; otherwise it is {found} here"
    return Check("synchronous_commit", ok=True, words=words)


_RIGHT: Final = {"fsync": "on", "full_page_writes": "on", "server_encoding": "UTF8"}
_SETTINGS: Final = (
    "SELECT name, setting FROM pg_settings "
    "WHERE name IN ('fsync', 'full_page_writes', 'server_encoding', 'data_checksums')"
)

"""Layers that fail, one at a time: each error quotes whatever it was given, as the worst of them would."""

from __future__ import annotations

import functools
import sqlite3
import time
from contextlib import closing, contextmanager
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from counterfoil.exporters.sql.sqlite import SharedLock

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    import pytest
    from opentelemetry.sdk.trace import ReadableSpan


class Talking(Exception):
    """An error that quotes whatever there was."""


class Dying(BaseException):
    """The same for an error that nobody expects, as a panic in an extension is."""


def _failing(whole: Callable[..., Any], rng: random.Random, kind: type[BaseException]) -> Callable[..., Any]:
    """Return a function that fails every third time, and says all that it was given."""

    def call(*given: Any, **named: Any) -> Any:
        if rng.random() < 0.34:
            error = kind(f"cannot handle {given!r} {named!r}: {[getattr(each, '__dict__', each) for each in given]!r}")
            error.add_note(f"given: {given!r}")
            raise error
        return whole(*given, **named)

    return call


LAYERS: Final = {
    "the walk by position": "counterfoil.audit.redaction.walk.Walk.put",
    "the search for keywords": "counterfoil.audit.redaction.findings.suspects",
    "the search by pattern": "counterfoil.audit.redaction.findings.without_secrets",
    "the rule for URIs": "counterfoil.audit.redaction.findings.structure",
    "the receipts": "counterfoil.audit.redaction.findings.receipt",
    "the end of a redaction": "counterfoil.audit.redaction.findings.Findings.search",
    "the plan of an event": "counterfoil.audit.redaction.redactor.plan_of",
    "reading an event out": "counterfoil.audit.redaction.redactor.read_out",
    "the whole redactor": "counterfoil.audit.redaction.redactor.Redactor.event",
    "what an event states": "counterfoil.audit.sealing.stated",
    "what surrounds an event": "counterfoil.audit.sealing._surroundings",
    "sealing": "counterfoil.audit.sealing.sealed_bytes",
    "the writer": "counterfoil.exporters.sql.writer.Writer._commit_batch",
    "the writer's store": "counterfoil.exporters.sql.sqlite_store.SqliteStore.commit",
    "the thread of the queue": "counterfoil.audit.queued.QueuedDelivery._write_group",
    "the group of the queue": "counterfoil.audit.log.AuditLog.commit_group",
}
"""Functions of the product that are made to fail. The switch is here, not there."""


@contextmanager
def failing_layer(
    layer: str, rng: random.Random, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException] = Talking
) -> Generator[None]:
    """Let one layer fail every third time."""
    place = LAYERS[layer]
    owner, _, name = place.rpartition(".")
    with monkeypatch.context() as patch:
        patch.setattr(place, _failing(getattr(resolve_name(owner), name), rng, kind))
        yield


@contextmanager
def refused_by_the_database(address: Path) -> Generator[None]:
    """Let the database refuse entries, in errors of SQLite that quote them."""
    with closing(sqlite3.connect(address)) as connection:
        connection.execute(
            "CREATE TRIGGER quoting BEFORE INSERT ON entry WHEN NEW.seq % 3 = 0 "
            "BEGIN SELECT json_extract('{}', 'no path: ' || NEW.body); END"
        )
        connection.execute(
            "CREATE TRIGGER refusing BEFORE INSERT ON entry WHEN NEW.seq % 3 = 1 "
            "BEGIN SELECT RAISE(ABORT, 'refused by a rule of the house'); END"
        )
        connection.commit()
        yield
        connection.execute("DROP TRIGGER quoting")
        connection.execute("DROP TRIGGER refusing")
        connection.commit()


@contextmanager
def locked(address: Path) -> Generator[None]:
    """Let somebody else have the log."""
    lock = SharedLock(address)
    with lock.held(time.monotonic() + 5):
        yield
    lock.close()


class Connections:
    """SQLite's connections, which find no space, or fail with errors that quote what they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connections = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                if sql == "BEGIN IMMEDIATE" and not self.in_transaction:
                    super().execute(f"PRAGMA max_page_count={1 if connections.full else 1_000_000}")
                if connections.quoting and sql.startswith("INSERT"):
                    raise sqlite3.OperationalError(f"{sql} {parameters!r}")
                return super().execute(sql, parameters)

            def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
                if connections.quoting:
                    raise sqlite3.DatabaseError(f"{sql} {list(parameters)!r}")
                return super().executemany(sql, parameters)

        self.full = self.quoting = False
        monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Connection))

    @contextmanager
    def without_space(self) -> Generator[None]:
        """Let the disk be full."""
        self.full = True
        yield
        self.full = False

    @contextmanager
    def that_quote(self) -> Generator[None]:
        """Let every insertion fail, and quote the entry."""
        self.quoting = True
        yield
        self.quoting = False


class QuotingExporter(SpanExporter):
    """Fails, and quotes the spans; or returns that it failed."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Fail."""
        raise Talking(f"{[span.to_json() for span in spans]}")


class QuotingStream:
    """A stream that fails and quotes what it was given."""

    def write(self, lines: bytes, /) -> object:
        """Fail."""
        raise OSError(28, repr(lines))

    def flush(self) -> object:
        """Do nothing."""
        return None

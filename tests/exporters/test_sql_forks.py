"""After a fork each process reads and writes through connections of its own."""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.exporters.sql import SqliteReader, SqliteSource, Writer, open_writer
from counterfoil.schemas import StoreForeign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Connections, Seal

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def _in_child(work: Callable[[], bool]) -> bool:
    """Fork, and return what ``work`` finds there."""
    child = os.fork()
    if not child:
        found = False
        try:
            found = work()
        finally:
            os._exit(0 if found else 1)
    return os.waitpid(child, 0)[1] == 0


def test_a_child_reads_through_a_connection_of_its_own(
    writer: Writer, address: Path, seal: Seal, connections: Connections
) -> None:
    """A child's reader opens another connection when it is used, and the parent's goes on."""
    writer.append(seal())
    reader = SqliteReader(address)
    before = len(connections.reading)
    writer.append(seal())
    assert _in_child(lambda: reader.head() == 2 and len(connections.reading) == before + 1)
    assert reader.head() == 2
    assert len(connections.reading) == before
    reader.close()


def test_a_child_can_read_while_the_parent_does(writer: Writer, address: Path, seal: Seal) -> None:
    """The turn that a thread of the parent had at the fork binds nobody in the child."""
    writer.append(seal())
    reader = SqliteReader(address)
    held, done = threading.Event(), threading.Event()
    turn: Any = vars(reader)["_turn"]

    def hold() -> None:
        with turn:
            held.set()
            done.wait(10)

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert _in_child(lambda: reader.head() == 1)
    done.set()
    holding.join()
    reader.close()


def test_a_child_exports_through_connections_of_its_own(
    writer: Writer, address: Path, seal: Seal, connections: Connections
) -> None:
    """A child may move a cursor; the parent sees it, and moves it on."""
    writer.append(seal())
    source = SqliteSource(address)
    before = len(connections.writing)

    def move() -> bool:
        source.move_cursor("otel", 1)
        return source.cursor("otel") == 1 and len(connections.writing) == before + 1

    assert _in_child(move)
    assert source.cursor("otel") == 1
    source.move_cursor("otel", 2)
    source.close()


def test_a_child_does_not_read_another_log(address: Path, seal: Seal, tmp_path: Path) -> None:
    """If another log stands at the address by then, the child says so, and does not mix the two."""
    for path in (address, tmp_path / "other.db"):
        writer = open_writer(path, deadline=2.0, fingerprint_key_id="00000000")
        writer.append(seal())
        writer.close()
    reader = SqliteReader(address)
    address.unlink()
    (tmp_path / "other.db").rename(address)

    def refuses() -> bool:
        with pytest.raises(StoreForeign, match="another log stands in its place"):
            reader.head()
        return True

    assert _in_child(refuses)
    reader.close()


def test_the_connection_of_the_parent_stays_usable(writer: Writer, address: Path, seal: Seal) -> None:
    """What children do, and how they end, costs the parent's connections nothing: no lock of theirs is dropped."""
    for _ in range(5):
        assert _in_child(lambda: writer.append(seal()) is None)
        writer.append(seal())
    assert writer.head() == 10
    with sqlite3.connect(address) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()

"""A log as exporters see it: entries in order, and for each destination how far it has come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from counterfoil.exporters.sql import SqliteSource, Writer, open_source
from counterfoil.exporters.sql.sqlite import SharedLock
from counterfoil.schemas import AuditUnavailable, StoreMissing

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Seal


def test_a_cursor_of_its_own_for_each_destination(writer: Writer, address: Path) -> None:
    """A destination begins before the first entry, keeps its place over a restart, and never goes back."""
    assert writer.head() == 0
    source = open_source(f"sqlite:///{address}")
    assert source.cursor("otel") == 0
    source.move_cursor("otel", 5)
    source.move_cursor("otel", 3)
    source.move_cursor("jsonl", 1)
    source.close()
    again = open_source(str(address))
    assert [again.cursor(name) for name in ("otel", "jsonl", "another")] == [5, 1, 0]
    again.close()


def test_entries_in_order(writer: Writer, address: Path, seal: Seal) -> None:
    """Entries come in order from behind a number, no more than asked for, also while others record."""
    source = SqliteSource(address)
    for _ in range(3):
        writer.append(seal())
    assert source.head() == 3
    assert source.log_id == writer.log_id.hex()
    assert [entry.seq for entry in source.entries_after(1, 9)] == [2, 3]
    assert [entry.seq for entry in source.entries_after(0, 2)] == [1, 2]
    source.close()


def test_exporting_makes_no_log(address: Path) -> None:
    """Where there is no log, there is nothing to export, and afterwards there is none either."""
    with pytest.raises(StoreMissing, match=r"audit\.db"):
        open_source(str(address))
    assert not list(address.parent.glob("audit.db*"))


def test_a_cursor_waits_for_its_turn(writer: Writer, address: Path) -> None:
    """Moving a cursor is a write and takes its turn with the writers, until the deadline."""
    assert writer.head() == 0
    source, lock = SqliteSource(address, deadline=0.1), SharedLock(address)
    with lock.held(time.monotonic()), pytest.raises(AuditUnavailable, match="locked"):
        source.move_cursor("otel", 1)
    lock.close()
    assert source.cursor("otel") == 0
    source.close()

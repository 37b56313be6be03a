"""What ``counterfoil db info`` shows of a log's file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from counterfoil.exporters.sql import Writer
from counterfoil.exporters.sql.info import describe
from counterfoil.schemas import StoreMissing

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Seal


def test_the_facts_of_a_log(writer: Writer, address: Path, seal: Seal) -> None:
    """File, log, key, size and settings, as they are while the log is in use."""
    writer.append(seal())
    found = describe(str(address))
    assert found["path"] == str(address)
    assert (found["log_id"], found["fingerprint_key_id"]) == (writer.log_id.hex(), "00000000")
    assert (found["entries"], found["pruned_to"], found["schema_version"], found["journal_mode"]) == (1, 0, 3, "wal")
    assert found["erased"] == 0
    assert found["bytes"] == address.stat().st_size
    assert found["wal_bytes"] > 0
    assert found["sqlite"] == sqlite3.sqlite_version


def test_after_closing_there_is_no_wal(writer: Writer, address: Path, seal: Seal) -> None:
    """A closed log is one file."""
    writer.append(seal())
    writer.close()
    assert describe(str(address))["wal_bytes"] == 0


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ((3, 40, 1), "in this version; writers"),
        ((3, 44, 5), "in this version; writers"),
        ((3, 44, 6), "not in this version"),
        ((3, 45, 0), "in this version; writers"),
        ((3, 50, 7), "not in this version"),
        ((3, 51, 2), "in this version; writers"),
        ((3, 51, 3), "not in this version"),
        ((3, 52, 0), "not in this version"),
    ],
)
def test_which_sqlite_has_the_wal_reset_race(
    version: tuple[int, int, int], found: str, address: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race is fixed in 3.51.3 and later, and in the later releases of 3.50 and 3.44."""
    assert writer.head() == 0
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert describe(str(address))["wal_reset_race"].startswith(found)


def test_there_is_no_log_to_describe(address: Path) -> None:
    """A missing log is missing, and stays so."""
    with pytest.raises(StoreMissing):
        describe(str(address))
    assert not address.exists()

"""Reading: a smaller interface than writing, which makes and changes nothing."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import ConfigurationError, Context, StoreForeign, StoreMissing, UnlistedEvent
from counterfoil.schemas.entry import chain_hash, leaf_hash

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeUse


def test_a_reader_has_no_way_to_write() -> None:
    """Whoever is given a reader can look, verify and close, and nothing else."""
    face = {name for name in dir(AuditReader) if not name.startswith("_")}
    facts = {
        "commitment",
        "erased_by",
        "erased_count",
        "fingerprint_key_id",
        "head",
        "is_pruned",
        "log_id",
        "pruned_to",
    }
    assert face == facts | {"close", "entry", "find", "incident", "open", "verify"}


def test_reading_a_live_log(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """A reader sees what was recorded before it asked, while the log goes on."""
    with AuditReader.open(address) as reader:
        for task in ("t-0", "t-1"):
            assert log.record(a_use(context=Context(task=task))).seq == reader.head()
        receipt = log.record(a_use(context=Context(task="t-2")))
        found = [entry.event.context.task for entry in reader.find(Filter(kind="credential_use"))]
        assert found == ["t-0", "t-1", "t-2"]
        assert [entry.seq for entry in reader.find(Filter(task="t-1"), limit=1)] == [4]
        assert (reader.log_id, reader.fingerprint_key_id) == (receipt.log_id, log.fingerprint_key.key_id)
        entry = reader.entry(receipt.seq)
        assert entry is not None
        assert entry.chain_hash.hex() == receipt.chain_hash
        assert reader.entry(99) is None
        assert reader.verify().entries == 5


def test_reading_leaves_the_file_as_it_is(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """A closed log is the same to the byte after it was queried and verified. SQLite may leave an empty -wal."""
    log.record(a_use())
    log.close()
    before = address.read_bytes()
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        assert len(list(reader.find(Filter(task="x")))) == 0
    assert address.read_bytes() == before
    assert all(wal.stat().st_size == 0 for wal in address.parent.glob("*-wal"))


def test_the_address_may_come_from_the_environment(
    log: AuditLog, address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``COUNTERFOIL_DB`` names the log where the caller names none."""
    with pytest.raises(ConfigurationError):
        AuditReader.open()
    monkeypatch.setenv("COUNTERFOIL_DB", str(address))
    with AuditReader.open() as reader:
        assert reader.fingerprint_key_id == log.fingerprint_key.key_id


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A missing log and a file that is none are errors, and neither becomes a log."""
    (tmp_path / "text").write_text("no log")
    with pytest.raises(StoreMissing):
        AuditReader.open(tmp_path / "missing.db")
    with pytest.raises(StoreForeign):
        AuditReader.open(tmp_path / "text")
    assert not (tmp_path / "missing.db").exists()
    assert (tmp_path / "text").read_text() == "no log"


def test_a_newer_release_wrote_here(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """Kinds, terms and members that this release does not know are read, found and verified."""
    receipt = log.record(a_use())
    body = '{"context":{"event_id":"01890000-0000-7000-8000-000000000000","task":"t-9"},"kind":"weather","sky":"blue"}'
    leaf = leaf_hash(body.encode())
    chain = chain_hash(bytes.fromhex(receipt.log_id), receipt.seq + 1, bytes.fromhex(receipt.chain_hash), leaf)
    log.close()
    connection = sqlite3.connect(address, isolation_level=None)
    connection.execute("DELETE FROM entry WHERE seq > ?", (receipt.seq,))
    connection.execute("DELETE FROM checkpoint")  # that of the closing, which is gone
    connection.execute(
        "INSERT INTO entry (seq, body, leaf_hash, chain_hash) VALUES (?, ?, ?, ?)", (4, body, leaf, chain)
    )
    connection.close()
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        (entry,) = reader.find(Filter(task="t-9"))
        assert isinstance(entry.event, UnlistedEvent)
        assert entry.event.kind == "weather"
        assert entry.body == body

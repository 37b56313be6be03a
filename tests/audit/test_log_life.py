"""The life of a log: made once, opened and closed on record, under one key, by whichever process."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql import open_writer
from counterfoil.schemas import (
    AuditUnavailable,
    ConfigurationError,
    FingerprintKey,
    KeyMismatch,
    LogClosed,
    LogEvent,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.schemas import Entry

    Busy = Callable[[], AbstractContextManager[None]]


def _everything(address: Path) -> list[Entry]:
    with AuditReader.open(address) as reader:
        return list(reader.find(Filter()))


def _changes(address: Path) -> list[str]:
    return [entry.event.change for entry in _everything(address) if isinstance(entry.event, LogEvent)]


def test_a_closed_log_accepts_nothing(address: Path, key: FingerprintKey, a_use: MakeUse) -> None:
    """Closing is recorded once; afterwards ``record`` and ``arecord`` raise."""
    log = AuditLog.open(address, fingerprint_key=key)
    log.close()
    log.close()
    with pytest.raises(LogClosed):
        log.record(a_use())
    with pytest.raises(LogClosed):
        asyncio.run(log.arecord(a_use()))
    assert _changes(address) == ["created", "opened", "closed"]


def test_a_busy_store_does_not_keep_a_log_from_closing(address: Path, key: FingerprintKey, busy: Busy) -> None:
    """If the closing itself cannot be recorded, the log is closed all the same."""
    log = AuditLog.open(address, fingerprint_key=key, deadline=0.1)
    with busy():
        log.close()
    assert _changes(address) == ["created", "opened"]


def test_a_log_tells_its_own_life(address: Path, key: FingerprintKey) -> None:
    """The first entry names log and key; each opening and closing is an entry."""
    for _ in range(2):
        AuditLog.open(address, fingerprint_key=key).close()
    created = _everything(address)[0].event
    assert _changes(address) == ["created", "opened", "closed", "opened", "closed"]
    assert isinstance(created, LogEvent)
    assert created.fingerprint_key_id == key.key_id
    with AuditReader.open(address) as reader:
        assert created.log_id == reader.log_id


def test_the_logs_own_entries_belong_to_no_scope(address: Path, key: FingerprintKey) -> None:
    """That a log was opened inside a task does not make its life a part of the task."""
    with AuditLog.scope(agent="mail-agent", task="t-42"), AuditLog.open(address, fingerprint_key=key):
        pass
    assert {(entry.event.context.agent, entry.event.context.task) for entry in _everything(address)} == {(None, None)}


def test_two_processes_open_a_new_log_at_once(address: Path) -> None:
    """The log is created once, whoever comes first, and both record into it."""
    script = """
import os, sys
from counterfoil.audit import AuditLog
from counterfoil.exporters import sql
children = []
for task in ("t-1", "t-2"):
    children.append(os.fork())
    if not children[-1]:
        with AuditLog.scope(task=task): AuditLog.open(sys.argv[1]).close()
        os._exit(0)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""
    environment = os.environ | {"COUNTERFOIL_FINGERPRINT_KEY": secrets.token_hex(32)}
    subprocess.run([sys.executable, "-c", script, address], check=True, timeout=30, env=environment)
    changes = _changes(address)
    assert changes[0] == "created"
    assert sorted(changes) == ["closed", "closed", "created", "opened", "opened"]


def test_whoever_comes_second_does_not_create_the_log_again(
    address: Path, key: FingerprintKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that saw the log still empty, and stands in another scope, finds the creation already told."""
    AuditLog.open(address, fingerprint_key=key).close()
    monkeypatch.setattr("counterfoil.exporters.sql.Writer.head", Mock(return_value=0))
    with AuditLog.scope(task="t-42"):
        AuditLog.open(address, fingerprint_key=key).close()
    assert _changes(address) == ["created", "opened", "closed", "opened", "closed"]


def test_a_child_is_a_producer_of_its_own(address: Path) -> None:
    """A forked child counts from 1 under another id, even if a thread of its parent was counting at that moment."""
    script = """
import os, sys, threading
from counterfoil.audit import AuditLog
from counterfoil.schemas import LogEvent, LogChange
log = AuditLog.open(sys.argv[1])
stop = threading.Event()
def busy():
    while not stop.is_set(): log.next_number()
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(20):
    child = os.fork()
    if not child:
        log.record(LogEvent(change=LogChange.GAP)); os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, address]
    subprocess.run(command, check=True, timeout=30)
    producers = [entry.event.context.producer for entry in _everything(address)]
    assert [producer.seq for producer in producers if producer][:-1] == [1, 2] + [1] * 20
    assert len({producer.id for producer in producers if producer}) == 21


def test_another_key_is_refused(address: Path, key: FingerprintKey) -> None:
    """With another key credentials would no longer join; the error names both keys by id, and advises."""
    AuditLog.open(address, fingerprint_key=key).close()
    other = FingerprintKey(secrets.token_bytes(32))
    with pytest.raises(KeyMismatch) as caught:
        AuditLog.open(address, fingerprint_key=other)
    assert key.key_id in str(caught.value)
    assert other.key_id in str(caught.value)
    assert "accept_new_key" in caught.value.advice
    assert _changes(address) == ["created", "opened", "closed"]


def test_another_key_can_be_accepted(address: Path, key: FingerprintKey) -> None:
    """Going on under another key is recorded, once, and from then on the log has that key."""
    AuditLog.open(address, fingerprint_key=key).close()
    other = FingerprintKey(secrets.token_bytes(32))
    for _ in range(2):
        AuditLog.open(address, fingerprint_key=other, accept_new_key=True).close()
    changes = _changes(address)
    assert changes.count("key_rotated") == 1
    assert changes[3:6] == ["key_rotated", "opened", "closed"]
    with pytest.raises(KeyMismatch):
        AuditLog.open(address, fingerprint_key=key)
    with AuditReader.open(address) as reader:
        assert reader.fingerprint_key_id == other.key_id


def test_a_log_that_goes_on_under_another_key_takes_no_entry_of_the_old_one(
    address: Path, key: FingerprintKey, a_use: MakeUse
) -> None:
    """Whoever had it open is told at the next entry, and writes none: fingerprints of two keys do not mix."""
    other = FingerprintKey(secrets.token_bytes(32))
    with AuditLog.open(address, fingerprint_key=key) as first:
        first.record(a_use())
        with AuditLog.open(address, fingerprint_key=other, accept_new_key=True) as second:
            second.record(a_use())
            for _ in range(2):
                with pytest.raises(KeyMismatch):
                    first.record(a_use())
            with pytest.raises(StoreError):  # which is what callers look out for
                first.record(a_use())
            second.record(a_use())
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        told = [getattr(entry.event, "change", entry.event.kind) for entry in reader.find(Filter())]
    assert told == ["created", "opened", "credential_use", "key_rotated", "opened", *["credential_use"] * 2, "closed"]


def test_no_other_entry_comes_between_a_new_key_and_its_entry(address: Path, key: FingerprintKey) -> None:
    """The key changes in the transaction that writes the entry: if that fails, neither has happened."""
    AuditLog.open(address, fingerprint_key=key).close()
    other = FingerprintKey(secrets.token_bytes(32))
    writer = open_writer(address, deadline=1.0, fingerprint_key_id=key.key_id)
    writer.adopt_key(other.key_id)
    assert writer.fingerprint_key_id == key.key_id
    writer.close()
    AuditLog.open(address, fingerprint_key=key).close()
    with pytest.raises(KeyMismatch):
        AuditLog.open(address, fingerprint_key=other)


def test_the_address_may_come_from_the_environment(
    address: Path, key: FingerprintKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``COUNTERFOIL_DB`` names the log where the caller names none; without either there is no log."""
    with pytest.raises(ConfigurationError, match="no log is named"):
        AuditLog.open(fingerprint_key=key)
    monkeypatch.setenv("COUNTERFOIL_DB", f"sqlite:///{address}")
    AuditLog.open(fingerprint_key=key).close()
    assert AuditReader.open().head() == 3


def test_a_failed_opening_leaves_nothing_open(address: Path, key: FingerprintKey, busy: Busy) -> None:
    """When a log cannot be opened, no thread, lock or connection stays behind; later it opens."""
    before = threading.active_count()
    AuditLog.open(address, fingerprint_key=key).close()
    with busy(), pytest.raises(AuditUnavailable):
        AuditLog.open(address, fingerprint_key=key, deadline=0.1)
    AuditLog.open(address, fingerprint_key=key).close()
    assert threading.active_count() == before
    assert not list(address.parent.glob("audit.db-*"))


def test_a_fork_finds_every_part_built() -> None:
    """Parts are built when first used, under a lock; a fork at that moment would leave a child that waits for ever."""
    script = """
import os
from counterfoil.audit.log import AuditLog
from counterfoil.schemas.part import Part

def unbuilt(part=Part):
    own = [] if part.__pydantic_complete__ else [part.__name__]
    return own + [name for each in part.__subclasses__() for name in unbuilt(each)]

assert "CredentialUse" in unbuilt(), "nothing is left to build: this test shows nothing"
pid = os.fork()
if pid == 0:
    os._exit(len(unbuilt()))
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

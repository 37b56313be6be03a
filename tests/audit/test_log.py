"""The log: accepted means durable, what surrounds an event is added, and what the log adds is its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import (
    Action,
    ApprovalEvent,
    AuditUnavailable,
    Compromise,
    Context,
    CredentialChange,
    CredentialUse,
    EventConflict,
    EventTooLarge,
    Fingerprint,
    FingerprintKey,
    InputError,
    InvalidEvent,
    LogEvent,
    Token,
    UnlistedEvent,
    chain_hash,
    read_event,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]
    Leaks = Callable[..., list[str]]
    Busy = Callable[[], AbstractContextManager[None]]


def _everything(address: Path) -> list[Entry]:
    with AuditReader.open(address) as reader:
        return list(reader.find(Filter()))


def test_a_receipt_is_a_witness(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """The receipt names log, entry and event, and its hash follows from the entry before and the body stored."""
    event = a_use()
    receipt = log.record(event)
    *_, before, entry = _everything(address)
    assert (receipt.seq, receipt.event_id, receipt.chain_hash) == (
        entry.seq,
        event.context.event_id,
        entry.chain_hash.hex(),
    )
    log_id = bytes.fromhex(receipt.log_id)
    assert entry.chain_hash == chain_hash(log_id, entry.seq, before.chain_hash, entry.leaf_hash)


def test_a_receipt_means_durable(address: Path, key: FingerprintKey, a_use: MakeUse) -> None:
    """When ``record`` returns, another process can read the entry, though nothing was closed or flushed."""
    log = AuditLog.open(address, fingerprint_key=key)
    receipt = log.record(a_use())
    script = (
        "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT max(seq) FROM entry').fetchone())"
    )
    shown = subprocess.run([sys.executable, "-c", script, address], check=True, capture_output=True, text=True)
    assert int(shown.stdout) == receipt.seq
    log.flush()
    log.close()


@pytest.mark.parametrize(
    "event",
    [
        CredentialChange.model_validate({"change": "issued", "token": Token()}),
        ApprovalEvent.model_validate({"approval_id": "a-1", "state": "granted", "action": Action(name="pay")}),
        Compromise.model_validate({"leaked": "token"}),
        LogEvent.model_validate({"change": "gap"}),
    ],
    ids=lambda event: event.kind,
)
def test_every_kind_can_be_recorded(event: Any, log: AuditLog, address: Path) -> None:
    """What was recorded is what is read, but for what the log adds to ``context``."""
    log.record(event)
    read = _everything(address)[-1].event
    mine = {"recorded_at": None, "producer": None, "salt": None}
    assert read.model_copy(update={"context": read.context.model_copy(update=mine)}) == event


def test_what_the_log_adds(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """Each entry says when it was sealed, by which process, and has a salt of its own."""
    for _ in range(2):
        log.record(a_use())
    first, second = (entry.event.context for entry in entries())
    assert first.producer is not None
    assert second.producer is not None
    assert first.producer.pid == os.getpid()
    assert first.producer.library.startswith("counterfoil/")
    assert first.producer.id == second.producer.id
    assert second.producer.seq == first.producer.seq + 1
    assert first.recorded_at is not None
    assert first.salt != second.salt


def test_what_a_caller_puts_in_the_logs_place_is_replaced(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """Nobody but the log says when and by whom an entry was sealed, and what was removed from it."""
    forged = {"recorded_at": "2000-01-01T00:00:00Z", "salt": "0" * 32, "producer": None, "redactions": ()}
    log.record(a_use(context=Context.model_validate({"task": "t-42", **forged})))
    context = entries()[0].event.context
    assert context.task == "t-42"
    assert context.recorded_at is not None
    assert context.recorded_at.year > 2000
    assert context.salt != "0" * 32
    assert context.producer is not None


def test_an_entry_of_one_log_can_be_recorded_in_another(
    log: AuditLog, tmp_path: Path, key: FingerprintKey, a_use: MakeUse, entries: Entries
) -> None:
    """The event keeps its id and all that it says; the other log adds its own facts. Again: the first receipt."""
    log.record(a_use("send_mail", context=Context(task="t-42")))
    (entry,) = entries()
    event = entry.event
    assert isinstance(event, CredentialUse)
    with AuditLog.open(tmp_path / "other.db", fingerprint_key=key) as other:
        first, again = other.record(event), other.record(event)
    copied = _everything(tmp_path / "other.db")[first.seq - 1].event
    assert first == again
    assert (copied.context.event_id, copied.context.task) == (event.context.event_id, "t-42")
    assert copied.context.producer != event.context.producer
    assert copied.context.salt != event.context.salt


def test_what_a_newer_release_added_survives(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """A member that this release does not know is kept when an entry is recorded in another log."""
    log.record(a_use())
    newer = (
        entries()[0].body.replace('{"action":{', '{"action":{"mood":"calm",').replace('"event_id":"0', '"event_id":"1')
    )
    event = read_event(newer)
    assert isinstance(event, CredentialUse)
    log.record(event)
    assert '"mood":"calm"' in entries()[1].body


def test_an_unlisted_kind_is_not_recorded(log: AuditLog) -> None:
    """Only the five kinds of event can be recorded: what else is read can be kept, and not be written."""
    with pytest.raises(InvalidEvent, match="five kinds"):
        log.record(UnlistedEvent(kind="weather"))  # type: ignore[arg-type]


def test_the_same_event_twice(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """A retry returns the first receipt, also in another scope; another event under its id is refused."""
    event = a_use()
    first = log.record(event)
    assert log.record(event) == first
    with pytest.raises(EventConflict):
        log.record(a_use("pay", context=event.context))
    assert len(entries()) == 1


def test_numbers_show_a_loss_and_declare_what_is_none(
    log: AuditLog, address: Path, a_use: MakeUse, entries: Entries
) -> None:
    """A call that raised, or that was a retry, leaves a hole in the numbers; the next entry declares it."""
    event = a_use()
    log.record(event)
    with pytest.raises(EventConflict):
        log.record(a_use("pay", context=event.context))
    with pytest.raises(EventTooLarge):
        log.record(a_use(context=Context.model_validate({"attributes": {"x": ["y" * 60] * 5000}})))
    log.record(event)
    log.record(a_use())
    producers = [entry.event.context.producer for entry in _everything(address)]
    numbers = [producer.seq for producer in producers if producer]
    raised = [number for producer in producers if producer for number in producer.raised]
    assert len(entries()) == 2
    assert sorted([*numbers, *raised]) == list(range(1, max(numbers) + 1))
    assert len(raised) == 3


def test_a_long_outage_does_not_make_entries_too_large(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """However many calls raised, their numbers are declared a few hundred at a time."""
    for _ in range(600):
        with pytest.raises(InvalidEvent):
            log.record(UnlistedEvent(kind="weather"))  # type: ignore[arg-type]
    for _ in range(4):
        log.record(a_use())
    declared = [len(producer.raised) for entry in _everything(address) if (producer := entry.event.context.producer)]
    assert sum(declared) == 600
    assert max(declared) < 300


def test_many_threads_one_log(log: AuditLog, address: Path, a_use: MakeUse, entries: Entries) -> None:
    """Receipts given to different threads are for different entries, and no number is missing."""
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(log.record, [a_use() for _ in range(80)]))
    assert len({receipt.seq for receipt in receipts}) == len(entries()) == 80
    numbers = [producer.seq for entry in _everything(address) if (producer := entry.event.context.producer)]
    assert sorted(numbers) == list(range(1, 83))


def test_arecord_does_not_block_the_loop(log: AuditLog, a_use: MakeUse, busy: Busy, entries: Entries) -> None:
    """While the store is busy, other tasks go on; the receipt comes when the entry is durable."""

    async def scene() -> int:
        with busy():
            recording = asyncio.create_task(log.arecord(a_use()))
            await asyncio.sleep(0.1)
            assert not recording.done()
        return (await recording).seq

    assert asyncio.run(scene()) == 3
    assert len(entries()) == 1


def test_a_cancelled_caller_is_still_recorded(log: AuditLog, a_use: MakeUse, busy: Busy, entries: Entries) -> None:
    """What was given to ``arecord`` is written, begun or still waiting for a thread, though nobody waits for it."""

    async def scene() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        with busy():
            recording = [asyncio.create_task(log.arecord(a_use())) for _ in range(2)]
            await asyncio.sleep(0.05)
            for each in recording:
                each.cancel()
            assert await asyncio.gather(*recording, return_exceptions=True) != []
        assert all(each.cancelled() for each in recording)

    asyncio.run(scene())
    log.flush()
    assert len(entries()) == 2


def test_many_tasks_one_log(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """Tasks record at once, each in a scope of its own."""

    async def one(task: str) -> None:
        with log.scope(task=task):
            await log.arecord(a_use())

    async def scene() -> None:
        await asyncio.gather(*(one(f"t-{number}") for number in range(20)))

    asyncio.run(scene())
    assert {entry.event.context.task for entry in entries()} == {f"t-{number}" for number in range(20)}


def test_fingerprints_and_digests_are_under_the_logs_key(log: AuditLog, key: FingerprintKey, secret: str) -> None:
    """Equal credentials and equal arguments give equal values; the order of members does not matter."""
    assert log.fingerprint(secret) == Fingerprint.of(secret, key)
    digest = log.arguments_digest("pay", {"to": "acme", "amount": 10})
    assert digest == log.arguments_digest("pay", {"amount": 10, "to": "acme"})
    assert digest != log.arguments_digest("pay", {"to": "acme", "amount": 11})
    assert digest != log.arguments_digest("send", {"to": "acme", "amount": 10})
    with pytest.raises(InputError):
        log.arguments_digest("pay", {"amount": float("nan")})


def test_no_secret_reaches_the_files(log: AuditLog, address: Path, secret: str, a_use: MakeUse, leaks: Leaks) -> None:
    """A credential in free-form text is gone before the first byte is written, -wal and -shm included."""
    attributes = {"headers": {"Authorization": f"Bearer {secret}"}, "password": secret, "note": f"Bearer {secret}"}
    log.record(
        a_use(context=Context.model_validate({"attributes": attributes, "reference": f"https://x?token={secret}"}))
    )
    assert len(_everything(address)[-1].event.context.redactions) >= 3
    assert leaks(secret, *address.parent.glob("audit.db*")) == []


def test_an_unavailable_store_is_told_in_time(address: Path, key: FingerprintKey, a_use: MakeUse, busy: Busy) -> None:
    """A record that cannot be written raises at the deadline, and the same event can be recorded afterwards."""
    log, event = AuditLog.open(address, fingerprint_key=key, deadline=0.1), a_use()
    with busy(), pytest.raises(AuditUnavailable):
        log.record(event)
    assert log.record(event).seq == 3
    log.close()


def test_every_event_id_is_kept(log: AuditLog, a_use: MakeUse, entries: Entries) -> None:
    """Any RFC 9562 UUID serves as event_id."""
    given = uuid.uuid5(uuid.NAMESPACE_DNS, "example")
    assert log.record(a_use(context=Context(event_id=given))).event_id == given
    assert entries()[0].event.context.event_id == given

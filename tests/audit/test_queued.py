"""Queued delivery: what is accepted is written in order and as it was at the call, from threads and tasks alike."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import (
    AuditUnavailable,
    ConfigurationError,
    Context,
    CredentialUse,
    EventTooLarge,
    FingerprintKey,
    InvalidEvent,
    KeyCustody,
    LogChange,
    LogClosed,
    LogEvent,
    OutOfDomain,
    UnlistedEvent,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.schemas import Entry, Event

    Entries = Callable[[], list[Entry]]
    Numbers = Callable[[], set[int]]
    Leaks = Callable[..., list[str]]
    Busy = Callable[[], AbstractContextManager[None]]


def _names(entries: list[Entry]) -> list[str]:
    return [entry.event.action.name for entry in entries if isinstance(entry.event, CredentialUse)]


def _number(entry: Entry) -> int:
    assert entry.event.context.producer is not None
    return entry.event.context.producer.seq


def test_everything_arrives_in_order(queued: AuditLog, entries: Entries, a_use: MakeUse) -> None:
    """After ``flush`` the log holds what was recorded, in the order of the calls and of their numbers, in one chain."""
    for number in range(300):
        queued.record(a_use(f"use-{number}"))
    queued.flush(deadline=20)
    assert _names(entries()) == [f"use-{number}" for number in range(300)]
    assert [_number(entry) for entry in entries()] == list(range(3, 303))


def test_what_nobody_waits_for_is_written_soon(queued: AuditLog, entries: Entries, a_use: MakeUse) -> None:
    """Without a ``flush``, and without another entry to push it, an entry is in the log after a moment."""
    queued.record(a_use())
    until = time.monotonic() + 10
    while not entries():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_receipt_says_that_the_entry_is_only_accepted(queued: AuditLog, entries: Entries, a_use: MakeUse) -> None:
    """A queued entry has no place in the chain yet, and its receipt does not pretend one; its event can be found."""
    event = a_use()
    receipt = queued.record(event)
    assert (receipt.durable, receipt.seq, receipt.chain_hash) == (False, 0, "")
    assert receipt.event_id == event.context.event_id
    queued.flush(deadline=20)
    assert [entry.event.context.event_id for entry in entries()] == [receipt.event_id]


def test_what_is_sealed_is_what_durable_delivery_seals(log: AuditLog, tmp_path: Path, a_use: MakeUse) -> None:
    """Both kinds of delivery tell the same of an event: its own facts, scope, trace and redactions."""
    attributes = {"password": "hunter2-hunter2", "deep": [{"n": [1, 2.5, None, True, "é"]}]}
    context = Context.model_validate({"attributes": attributes, "conversation": "c-1"})
    surroundings: dict[str, Any] = {"agent": "mail-agent", "task": "t-42", "attributes": {"x": "y"}}
    custody, tracer = KeyCustody.model_validate({"store": "software_file"}), TracerProvider().get_tracer("test")
    with AuditLog.open(tmp_path / "queued.db", delivery="queued") as queued:
        for event in (a_use(), a_use(context=context), a_use("null"), a_use("nul\\u0000"), a_use(key_custody=custody)):
            around = AuditLog.scope(**surroundings, conversation="c-2", key_custody=KeyCustody())
            with around, tracer.start_as_current_span("span"):
                assert log.record(event).durable
                queued.record(event)
    assert _told(tmp_path / "queued.db") == _told(tmp_path / "audit.db")
    assert len(_told(tmp_path / "queued.db")) == 5


def _told(address: Path) -> list[Event | UnlistedEvent]:
    own: dict[str, Any] = {"producer": None, "salt": None, "recorded_at": None}
    with AuditReader.open(address) as reader:
        events = [entry.event for entry in reader.find(Filter())]
    return [
        each.model_copy(update={"context": each.context.model_copy(update=own)})
        for each in events
        if not isinstance(each, LogEvent)
    ]


def test_the_moment_of_the_call_counts(queued: AuditLog, a_use: MakeUse, busy: Busy, entries: Entries) -> None:
    """Scope, time and content are those of the call, however much later the entry is written."""
    event = a_use(context=Context.model_validate({"attributes": {"state": ["before"]}}))
    with busy():
        with queued.scope(task="t-42"):
            queued.record(event)
        event.context.attributes["state"] = ["after"]
        called = datetime.now(UTC)
        time.sleep(0.05)
    queued.flush(deadline=20)
    (entry,) = entries()
    context = entry.event.context
    assert context.recorded_at is not None
    assert (context.task, context.attributes, context.recorded_at <= called) == ("t-42", {"state": ["before"]}, True)


def test_what_cannot_be_recorded_is_refused_at_the_call(
    queued: AuditLog, everything: Entries, unaccounted: Numbers, a_use: MakeUse
) -> None:
    """Type, size and domain are looked at before an entry is accepted; the numbers of those calls are declared."""

    def attributes(value: object) -> CredentialUse:
        return a_use(context=Context.model_validate({"attributes": {"x": value}}))

    changed = attributes(1)
    changed.context.attributes["x"] = float("nan")
    refused: list[tuple[Any, type[Exception]]] = [
        (UnlistedEvent(kind="weather"), InvalidEvent),
        (attributes(["y" * 60] * 5000), EventTooLarge),
        (attributes(["y" * 60] * 50_000), EventTooLarge),
        (attributes(2**60), OutOfDomain),
        (attributes("\x00"), OutOfDomain),
        (a_use("nul\x00"), OutOfDomain),
        (changed, OutOfDomain),
    ]
    for event, error in refused:
        with pytest.raises(error):
            queued.record(event)
        with pytest.raises(error):
            asyncio.run(queued.arecord(event))
    for hostile in ({"x": "\x00"}, {"x": ["y" * 60] * 5000}):
        with queued.scope(attributes=hostile), pytest.raises((OutOfDomain, EventTooLarge)):
            queued.record(a_use())
    queued.record(a_use())
    queued.flush(deadline=20)
    producer = everything()[-1].event.context.producer
    assert producer is not None
    assert len(producer.raised) == 2 * len(refused) + 2
    assert unaccounted() == set()


@pytest.mark.parametrize("option", [{"queue_entries": 0}, {"queue_bytes": 1000}, {"delivery": "eventually"}])
def test_an_option_without_meaning(option: dict[str, Any], address: Path, key: FingerprintKey) -> None:
    """A queue that could hold nothing, or a delivery that does not exist, is refused before a file is made."""
    options: dict[str, Any] = {"delivery": "queued", **option}
    with pytest.raises(ConfigurationError):
        AuditLog.open(address, fingerprint_key=key, **options)
    assert not address.exists()


def test_the_same_event_twice(queued: AuditLog, entries: Entries, unaccounted: Numbers, a_use: MakeUse) -> None:
    """A retry is written once, whether the first has been written or waits; its number is declared."""
    event = a_use()
    for _ in range(2):
        queued.record(event)
        queued.record(event)
        queued.flush(deadline=20)
    queued.record(a_use("other"))
    queued.flush(deadline=20)
    assert _names(entries()) == ["read_mail", "other"]
    assert unaccounted() == set()


def test_closing_writes_what_waits(address: Path, key: FingerprintKey, everything: Entries, a_use: MakeUse) -> None:
    """``close`` ends with the queue empty, the closing recorded after it, the thread gone; then nothing is accepted."""
    before = threading.active_count()
    log = AuditLog.open(address, fingerprint_key=key, delivery="queued")
    for _ in range(100):
        log.record(a_use())
    log.close()
    log.close()
    with pytest.raises(LogClosed):
        log.record(a_use())
    with pytest.raises(LogClosed):
        asyncio.run(log.arecord(a_use()))
    assert threading.active_count() == before
    stored = everything()
    assert len(stored) == 103
    assert isinstance(stored[-1].event, LogEvent)
    assert stored[-1].event.change is LogChange.CLOSED


def test_a_log_that_recorded_nothing_needs_no_thread(address: Path, key: FingerprintKey) -> None:
    """Opening, flushing and closing start nothing."""
    before = threading.active_count()
    with AuditLog.open(address, fingerprint_key=key, delivery="queued") as log:
        log.flush()
        assert threading.active_count() == before


def test_many_threads(queued: AuditLog, everything: Entries, a_use: MakeUse) -> None:
    """Each thread finds its entries in its own order, and the log has the order of the numbers."""

    def work(name: str) -> None:
        for number in range(100):
            queued.record(a_use(f"{name}-{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, "abcdefgh"))
    queued.flush(deadline=20)
    names = _names(everything())
    for thread in "abcdefgh":
        assert [name for name in names if name.startswith(thread)] == [f"{thread}-{number}" for number in range(100)]
    assert [_number(entry) for entry in everything()] == list(range(1, 803))


def test_tasks_need_no_thread(queued: AuditLog, entries: Entries, a_use: MakeUse) -> None:
    """``arecord`` accepts at once, without a hop to another thread, each task in its own scope."""

    async def one(task: str) -> None:
        with queued.scope(task=task):
            await queued.arecord(a_use())

    async def scene() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.run_in_executor = pytest.fail
        await asyncio.gather(*(one(f"t-{number}") for number in range(50)))

    asyncio.run(scene())
    queued.flush(deadline=20)
    assert [entry.event.context.task for entry in entries()] == [f"t-{number}" for number in range(50)]


def test_a_full_queue_does_not_block_the_loop(small: AuditLog, a_use: MakeUse, busy: Busy) -> None:
    """A task that waits for room lets others run, and raises at the deadline."""

    async def scene() -> None:
        with busy():
            for _ in range(5):
                await small.arecord(a_use())
            refused = asyncio.create_task(small.arecord(a_use()))
            await asyncio.sleep(0)
            assert not refused.done()
            with pytest.raises(AuditUnavailable):
                await refused

    asyncio.run(scene())


@pytest.mark.usefixtures("key")
def test_a_cancelled_caller_is_still_recorded(
    address: Path, entries: Entries, unaccounted: Numbers, a_use: MakeUse, busy: Busy
) -> None:
    """What waits for room in ``arecord`` is accepted when there is some, though nobody waits for it any more."""

    async def scene(log: AuditLog) -> None:
        with busy():
            await log.arecord(a_use())
            cancelled = asyncio.create_task(log.arecord(a_use("cancelled")))
            await asyncio.sleep(0.05)
            cancelled.cancel()
            assert await asyncio.gather(cancelled, return_exceptions=True) != []
        assert cancelled.cancelled()

    with AuditLog.open(address, delivery="queued", queue_entries=1, deadline=10) as log:
        asyncio.run(scene(log))
    assert _names(entries()) == ["read_mail", "cancelled"]
    assert unaccounted() == set()


def test_no_secret_is_written(queued: AuditLog, address: Path, secret: str, a_use: MakeUse, leaks: Leaks) -> None:
    """Redaction runs before the first byte is written, here too; what is refused shows no value either."""
    attributes = {"headers": {"Authorization": f"Bearer {secret}"}, "password": secret}
    secretive = Context.model_validate({"attributes": attributes, "reference": f"https://x?token={secret}"})
    queued.record(a_use(context=secretive))
    queued.record(a_use(f"Bearer {secret}", context=secretive))
    with queued.scope(attributes=attributes):
        queued.record(a_use())
    with pytest.raises(EventTooLarge) as caught:
        queued.record(a_use(context=Context(attributes={"x": secret * 10_000})))
    queued.flush(deadline=20)
    assert len(_told(address)) == 2
    assert leaks(secret, *address.parent.glob("audit.db*"), str(caught.value), repr(caught.value)) == []

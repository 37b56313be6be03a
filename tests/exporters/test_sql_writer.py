"""Appending: durable, one chain, from many threads and processes at once, and the same event never twice."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any, cast

import pytest

from counterfoil.exporters.sql import Pending, Writer, open_writer
from counterfoil.exporters.sql.sqlite import SharedLock
from counterfoil.exporters.sql.store import SavedCheckpoint
from counterfoil.schemas import (
    Action,
    AuditTimeout,
    AuditUnavailable,
    Context,
    CredentialUse,
    EntryRefused,
    EventConflict,
    LogClosed,
    Resource,
    StoreCorrupt,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from conftest import Connections, Seal

_SCRIPT = """
import os, signal, sys, threading, time, warnings
from pathlib import Path
from counterfoil.exporters.sql import Pending, Writer, open_writer
from counterfoil.schemas import LogChange, LogEvent, canonical_bytes, leaf_hash

def open_log():
    return open_writer(Path(sys.argv[1]), deadline=10.0, fingerprint_key_id="00000000")

def append(writer):
    event = LogEvent(change=LogChange.GAP)
    body = canonical_bytes(event.model_dump(mode="json", exclude_none=True))
    pending = Pending(str(event.context.event_id), body, leaf_hash(body))
    writer.append(pending)
    return pending.seq

def fork(work):
    child = os.fork()
    if not child:
        try: work()
        except BaseException: sys.excepthook(*sys.exc_info()); os._exit(1)
        os._exit(0)
    return child
"""


def _use(name: str, like: CredentialUse | None = None) -> CredentialUse:
    """Return a use, with the event_id of another one if that is given."""
    context = like.context if like else Context()
    resource = Resource(uri="https://api.example/mail")
    return CredentialUse(context=context, token=Token(), resource=resource, action=Action(name=name))


@contextmanager
def _turn_taken(address: Path) -> Generator[None]:
    """Hold the turn of the writers, as another process does while it commits."""
    lock = SharedLock(address)
    with lock.held(time.monotonic()):
        yield
    lock.close()


def test_entries_follow_each_other(writer: Writer, seal: Seal, count_chained: Callable[[], int]) -> None:
    """Each entry gets the next number, and the head of the chain with itself."""
    given = [seal() for _ in range(3)]
    for pending in given:
        writer.append(pending)
    assert [pending.seq for pending in given] == [1, 2, 3]
    assert len({pending.chain_hash for pending in given}) == 3
    assert writer.head() == count_chained() == 3


def test_threads_share_commits(
    connections: Connections, writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """Sixteen threads record at once: all entries are there, in one chain, in fewer commits than entries."""
    statements: list[str] = []
    connections.writing[0].set_trace_callback(statements.append)
    given = [seal() for _ in range(400)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(writer.append, given))
    connections.writing[0].set_trace_callback(None)
    assert sorted(pending.seq for pending in given) == list(range(1, 401))
    assert count_chained() == 400
    assert 0 < statements.count("COMMIT") < 400


def test_whoever_comes_while_the_leader_waits_shares_its_commit(
    connections: Connections, writer: Writer, address: Path, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """What arrives before the turn is ours is written in it, with the entry whose caller waits for the turn."""
    statements: list[str] = []
    connections.writing[0].set_trace_callback(statements.append)
    with ThreadPoolExecutor(9) as pool:
        with _turn_taken(address):
            futures = [pool.submit(writer.append, seal()) for _ in range(9)]
            time.sleep(0.2)
        for future in futures:
            future.result()
    connections.writing[0].set_trace_callback(None)
    assert statements.count("COMMIT") == 1
    assert count_chained() == 9


def test_the_same_event_again_gets_the_first_receipt(
    writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """A retry is answered with the first entry, and marked as a repetition; nothing is written twice."""
    event = _use("read_mail")
    first, again = seal(event), seal(event)
    for pending in (first, seal(), again):
        writer.append(pending)
    assert (again.seq, again.chain_hash, again.repeated) == (first.seq, first.chain_hash, True)
    assert not first.repeated
    assert count_chained() == 2


def test_another_event_under_the_same_id_is_refused(
    writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """The error names the entry that has the id, and the log goes on."""
    event = _use("read_mail")
    writer.append(seal(event))
    with pytest.raises(EventConflict) as caught:
        writer.append(seal(_use("pay", event)))
    assert caught.value.seq == 1
    writer.append(seal())
    assert count_chained() == 2


def test_twins_within_one_commit(writer: Writer, address: Path, seal: Seal, count_chained: Callable[[], int]) -> None:
    """In one batch too an event is written once: its twins get the first receipt, other content gets an error."""
    known, new = _use("read_mail"), _use("send_mail")
    writer.append(seal(known))
    batch = [seal(event) for event in (known, _use("x"), new, new, new, _use("pay", known), known, _use("pay", new))]
    with ThreadPoolExecutor(len(batch) + 1) as pool:
        with _turn_taken(address):
            pool.submit(writer.append, seal())  # takes the lead, and waits for the turn while the others queue up
            time.sleep(0.05)
            futures = [pool.submit(writer.append, pending) for pending in batch]
            time.sleep(0.05)
        errors = [type(error) for future in futures if (error := future.exception())]
    assert errors == [EventConflict, EventConflict]
    assert {batch[0].seq, batch[6].seq} == {1}
    assert len({pending.seq for pending in batch[2:5]}) == 1
    assert sum(pending.repeated for pending in batch[2:5]) == 2
    assert count_chained() == 4


def test_threads_do_not_wait_beyond_the_deadline(address: Path, seal: Seal, count_chained: Callable[[], int]) -> None:
    """While another process keeps the turn, every thread is told in time that nothing was written."""
    writer = open_writer(address, deadline=0.2, fingerprint_key_id="00000000")
    began = time.monotonic()
    with _turn_taken(address), ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(writer.append, seal()) for _ in range(8)]
        errors = {type(future.exception()) for future in futures}
        assert time.monotonic() - began < 1.8
    assert errors <= {AuditUnavailable, AuditTimeout}
    assert count_chained() == 0
    writer.append(seal())
    assert count_chained() == 1
    writer.close()


@pytest.mark.parametrize("patience", [0.3, 1.0])
def test_two_locks_share_one_deadline(address: Path, seal: Seal, patience: float) -> None:
    """Whoever waits for the turn first, and for SQLite's own lock then, waits no longer than told in all."""
    writer = open_writer(address, deadline=patience, fingerprint_key_id="00000000")
    writer.append(seal())
    foreign = sqlite3.connect(address, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        with _turn_taken(address):
            waiting = pool.submit(_waited, writer, seal())
            time.sleep(patience / 2)
        assert patience * 0.9 <= waiting.result() <= patience * 1.2 + 0.1
    foreign.execute("ROLLBACK")
    foreign.close()
    writer.append(seal())
    writer.close()


def _waited(writer: Writer, pending: Pending) -> float:
    """Return how long it took until the store was called unavailable, in seconds."""
    began = time.monotonic()
    with pytest.raises(AuditUnavailable):
        writer.append(pending)
    return time.monotonic() - began


@pytest.mark.parametrize("defect", [False, True])
def test_an_impatient_leader_costs_the_others_no_time(
    defect: bool,  # noqa: FBT001 -- pytest gives it by name
    address: Path,
    seal: Seal,
    count_chained: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An entry in the batch of a leader whose time runs out waits on until its own does, under another leader.

    The seeded defect fails the whole batch together.
    """
    if defect:
        monkeypatch.setattr(Writer, "_in_time", _all_of_it)
    writer = open_writer(address, deadline=20, fingerprint_key_id="00000000")
    batch = [seal() for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        with _turn_taken(address):
            first = pool.submit(writer.append, seal(), time.monotonic() + 0.2)  # leads alone
            time.sleep(0.1)
            second = pool.submit(writer.append, batch[0], time.monotonic() + 0.4)  # leads the rest after it
            time.sleep(0.02)
            others = [pool.submit(writer.append, pending) for pending in batch[1:]]
            assert isinstance(first.exception(), AuditUnavailable)
            assert isinstance(second.exception(), AuditUnavailable)
        failed = [future.exception() for future in others]
    assert (failed == [None, None]) == (not defect)
    assert count_chained() == (0 if defect else 2)
    writer.close()


def _all_of_it(_: object, batch: list[Pending], _until: float) -> list[Pending]:
    return batch


def test_a_thread_does_not_wait_for_itself(
    connections: Connections, address: Path, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """A signal handler that interrupts a commit is told at once; its thread goes on, and then closes the log for it."""
    writer = open_writer(address, deadline=20, fingerprint_key_id="00000000")
    told: list[float] = []

    def interrupt(statement: str) -> None:
        if statement == "COMMIT" and not told:
            told.append(_waited(writer, seal()))
            writer.close()

    connections.writing[0].set_trace_callback(interrupt)
    writer.append(seal())
    assert told[0] < 1
    with pytest.raises(LogClosed):
        writer.append(seal())
    assert count_chained() == 1


def test_an_entry_whose_leader_vanished_is_committed(
    writer: Writer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """An interrupt that takes an entry off the queue and leaves it there: its own caller commits it."""
    pending, inner = seal(), cast("Any", writer)
    waiting = inner._waiting

    class Losing(deque[Pending]):
        def append(self, _: Pending) -> None:
            pass

    inner._waiting = Losing()
    writer.append(pending)
    inner._waiting = waiting
    assert (pending.seq, count_chained()) == (1, 1)


def test_a_long_commit_does_not_keep_anybody(address: Path, seal: Seal, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a disk does not answer, flushing, closing and forking end in time, and the log closes afterwards."""
    writer = open_writer(address, deadline=0.3, fingerprint_key_id="00000000")
    store = cast("Any", writer)._store
    answers, commit = Event(), store.commit

    def slow(*given: Any) -> None:
        answers.wait(20)
        commit(*given)

    monkeypatch.setattr(store, "commit", slow)
    with ThreadPoolExecutor(1) as pool:
        leading = pool.submit(writer.append, seal())
        time.sleep(0.05)
        began = time.monotonic()
        with pytest.raises(AuditTimeout):
            writer.flush(0.2)
        writer.close(0.2)
        writer.before_fork(time.monotonic())
        writer.after_fork_in_parent()
        assert 0.6 <= time.monotonic() - began < 1.5
        with pytest.raises(AuditUnavailable):
            writer.append(seal())
        answers.set()
        leading.result()
    assert store._file._open is None


def test_a_poison_entry_costs_only_itself(
    writer: Writer, address: Path, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """What a rule of the database refuses is refused alone, with its twins; the rest of the batch is written."""
    outside = sqlite3.connect(address)
    outside.execute(
        "CREATE TRIGGER picky BEFORE INSERT ON entry WHEN json_extract(NEW.body, '$.action.name') = 'poison' "
        "BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    outside.close()
    poison, good = _use("poison"), _use("read_mail")
    batch = [seal(), seal(poison), seal(poison), seal(good), seal(good), seal()]
    writer.append_all(batch)
    errors = [type(pending.error) for pending in batch]
    assert errors == [type(None), EntryRefused, EntryRefused, type(None), type(None), type(None)]
    assert [batch[each].seq for each in (0, 3, 4, 5)] == [1, 2, 2, 3]
    with pytest.raises(EntryRefused, match="SQLITE_CONSTRAINT_TRIGGER"):
        writer.append(seal(poison))
    assert count_chained() == 3


def test_leaves_come_in_order_and_page_by_page(writer: Writer, seal: Seal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is made of the leaf hashes behind the last one, none left out, also while others record."""
    monkeypatch.setattr("counterfoil.exporters.sql.writer._LEAVES", 3)
    given = [seal() for _ in range(7)]
    writer.append_all(given)
    leaves = writer.leaves_after(1)
    assert next(leaves) == (2, given[1].leaf_hash)
    given.append(seal())
    writer.append(given[-1])
    assert list(leaves) == [(pending.seq, pending.leaf_hash) for pending in given[2:]]
    assert list(writer.leaves_after(8)) == []


def test_a_checkpoint_is_kept(writer: Writer, address: Path) -> None:
    """The last is the one of the largest size; a second process sees it."""
    assert writer.last_checkpoint() is None
    for checkpoint in (SavedCheckpoint(8, "eight\n\n"), SavedCheckpoint(3, "three\n\n", b"range")):
        writer.save_checkpoint(checkpoint)
    writer.save_checkpoint(SavedCheckpoint(8, "eight\n\n", b"range"))
    second = open_writer(address, deadline=2.0, fingerprint_key_id="00000000")
    assert writer.last_checkpoint() == second.last_checkpoint() == SavedCheckpoint(8, "eight\n\n", b"range")
    second.close()


def test_there_are_no_two_checkpoints_of_one_size(writer: Writer) -> None:
    """Signatures of two processes come together, each once; another root is refused, and what is stored stays."""
    for lines in ("", "— one AAAA\n", "— two BBBB\n", "— one AAAA\n", ""):
        writer.save_checkpoint(SavedCheckpoint(8, f"log\n8\nroot\n\n{lines}", b"range"))
    with pytest.raises(StoreCorrupt, match="another root"):
        writer.save_checkpoint(SavedCheckpoint(8, "log\n8\nother\n\n— one AAAA\n", b"other"))
    last = writer.last_checkpoint()
    assert last is not None
    text, _, lines = last.note.partition("\n\n")
    assert (text, sorted(lines.splitlines())) == ("log\n8\nroot", ["— one AAAA", "— two BBBB"])


def test_saving_a_checkpoint_waits_for_its_turn(address: Path) -> None:
    """It is a write like any other: until the deadline, and after closing not at all."""
    writer = open_writer(address, deadline=0.1, fingerprint_key_id="00000000")
    with _turn_taken(address), pytest.raises(AuditUnavailable, match="locked by another process"):
        writer.save_checkpoint(SavedCheckpoint(1, "note"))
    assert writer.last_checkpoint() is None
    writer.close()
    with pytest.raises(LogClosed):
        writer.save_checkpoint(SavedCheckpoint(1, "note"))


def test_after_closing_nothing_is_accepted(writer: Writer, seal: Seal, count_chained: Callable[[], int]) -> None:
    """An append after ``close`` is an error, never a success that is lost. Closing twice is harmless."""
    writer.append(seal())
    writer.flush()
    writer.close()
    writer.close()
    with pytest.raises(LogClosed):
        writer.append(seal())
    assert count_chained() == 1


def test_another_process_continues_the_same_log(writer: Writer, address: Path, seal: Seal) -> None:
    """A second writer finds the log's id and key, and goes on behind the first one's entries."""
    writer.append(seal())
    second = open_writer(address, deadline=2.0, fingerprint_key_id="another")
    assert (second.log_id, second.fingerprint_key_id) == (writer.log_id, "00000000")
    for each, seq in ((second, 2), (writer, 3), (second, 4)):
        pending = seal()
        each.append(pending)
        assert pending.seq == seq
    second.close()


def _run(script: str, address: Path) -> list[int]:
    """Run ``script`` in a fresh process, whose children have nothing open yet. Return the numbers that it printed."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _SCRIPT + script, address]
    done = subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE)
    return [int(number) for number in done.stdout.split()]


def test_four_processes_record_at_once(address: Path, count_chained: Callable[[], int]) -> None:
    """All entries are there, each once, in one chain, though no process knows of the others."""
    script = """
def work():
    writer = open_log()
    print(*(append(writer) for _ in range(100)), flush=True)

children = [fork(work) for _ in range(4)]
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""
    assert sorted(_run(script, address)) == list(range(1, 401))
    assert count_chained() == 400


def test_fork_while_recording(address: Path, count_chained: Callable[[], int]) -> None:
    """Children forked while four threads record go on by themselves: none hangs, none repeats what was waiting."""
    script = """
writer = open_log()
append(writer)  # builds the parts of an event, which AuditLog sees to before a fork
threads = [threading.Thread(target=lambda: [append(writer) for _ in range(60)]) for _ in range(4)]
for thread in threads: thread.start()
children = []
for _ in range(8):
    time.sleep(0.002)
    children.append(fork(lambda: print(append(writer), flush=True)))
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
for thread in threads: thread.join()
"""
    assert len(set(_run(script, address))) == 8
    assert count_chained() == 1 + 4 * 60 + 8


def test_a_killed_process_loses_nothing_that_was_acknowledged(address: Path, count_chained: Callable[[], int]) -> None:
    """Killed at any moment: every receipt that was given is in the log, and the chain is whole."""
    script = """
def work():
    writer = open_log()
    while True: os.write(theirs, b"%d\\n" % append(writer))

for milliseconds in (5, 20, 50, 100):
    ours, theirs = os.pipe()
    child = fork(work)
    os.close(theirs)
    with open(ours) as acknowledged:
        first = acknowledged.readline()
        time.sleep(milliseconds / 1000)
        os.kill(child, signal.SIGKILL)
        print((first + acknowledged.read()).split("\\n")[-2], flush=True)
    os.waitpid(child, 0)
"""
    acknowledged = _run(script, address)
    assert len(acknowledged) == 4
    assert count_chained() >= max(acknowledged)

"""Appending to a log in PostgreSQL: one chain from many connections, and nothing acknowledged that is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from counterfoil.exporters.sql import Writer, open_reader, open_writer
from counterfoil.exporters.sql.store import SavedCheckpoint
from counterfoil.schemas import (
    Action,
    AuditTimeout,
    AuditUnavailable,
    Context,
    CredentialUse,
    EntryRefused,
    EventConflict,
    KeyMismatch,
    LogChange,
    LogEvent,
    Resource,
    StoreCorrupt,
    StoreError,
    Token,
)
from counterfoil.schemas.entry import GENESIS, chain_hash, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from conftest import Seal

    from bench.postgres_server import PostgresServer


def _open(address: str, *, deadline: float = 20.0) -> Writer:
    return open_writer(address, deadline=deadline, fingerprint_key_id="00000000")


def _use(name: str, like: CredentialUse | None = None) -> CredentialUse:
    """Return a use, with the event_id of another one if that is given."""
    context = like.context if like else Context()
    resource = Resource(uri="https://api.example/mail")
    return CredentialUse(context=context, token=Token(), resource=resource, action=Action(name=name))


@pytest.fixture
def writer(postgres: str) -> Iterator[Writer]:
    """Open the log for writing, and close it."""
    with closing(_open(postgres)) as opened:
        yield opened


@pytest.fixture
def log_of_owner(postgres: str, postgres_server: PostgresServer) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Connect to the log as its owner could, past Counterfoil."""
    with postgres_server.connect() as connection:
        connection.execute(f"SET search_path = {_schema(postgres)}".encode())
        yield connection


def _schema(address: str) -> str:
    return address.rsplit("%3D", 1)[1]


@pytest.fixture
def count_chained(postgres: str) -> Callable[[], int]:
    """Give a count of the entries in the log that fails unless they are one unbroken chain from 1 on."""

    def count() -> int:
        with closing(open_reader(postgres)) as reader:
            head, expected = GENESIS, 1
            for seq, body, leaf, chain in reader.stored():
                assert body is not None
                head = chain_hash(bytes.fromhex(reader.log_id), expected, head, leaf_hash(body))
                assert (seq, leaf, chain) == (expected, leaf_hash(body), head)
                expected += 1
            return expected - 1

    return count


def test_threads_share_commits(
    writer: Writer, seal: Seal, count_chained: Callable[[], int], log_of_owner: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """Sixteen threads record at once: all entries are there, in one chain, in fewer commits than entries."""
    given = [seal() for _ in range(200)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(writer.append, given))
    assert sorted(pending.seq for pending in given) == list(range(1, 201))
    assert count_chained() == 200
    (commits,) = log_of_owner.execute("SELECT count(DISTINCT xmin::text) FROM entry").fetchone() or (0,)
    assert 0 < commits < 200


def test_two_writers_continue_the_same_log(postgres: str, writer: Writer, seal: Seal) -> None:
    """A second writer finds the log's id and key, and goes on behind the first one's entries."""
    writer.append(seal())
    with closing(open_writer(postgres, deadline=10, fingerprint_key_id="another")) as second:
        assert (second.log_id, second.fingerprint_key_id) == (writer.log_id, "00000000")
        for each, seq in ((second, 2), (writer, 3), (second, 4)):
            pending = seal()
            each.append(pending)
            assert pending.seq == seq


def test_the_same_event_is_written_once(writer: Writer, seal: Seal, count_chained: Callable[[], int]) -> None:
    """Again, or within one batch: twins get the first receipt, other content gets an error that names the entry."""
    known, new = _use("read_mail"), _use("send_mail")
    first = seal(known)
    writer.append(first)
    batch = [seal(event) for event in (known, _use("x"), new, new, new, _use("pay", known), known, _use("pay", new))]
    writer.append_all(batch)
    errors = [(index, type(pending.error)) for index, pending in enumerate(batch) if pending.error]
    assert errors == [(5, EventConflict), (7, EventConflict)]
    assert (batch[0].seq, batch[0].chain_hash, batch[0].repeated) == (first.seq, first.chain_hash, True)
    assert (batch[6].seq, len({pending.seq for pending in batch[2:5]})) == (1, 1)
    assert [pending.repeated for pending in batch[2:5]] == [False, True, True]
    assert count_chained() == 3
    writer.append(seal())
    assert count_chained() == 4


def test_a_refused_entry_costs_no_other_its_place(
    writer: Writer, seal: Seal, count_chained: Callable[[], int], log_of_owner: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """A constraint that somebody added refuses one entry, and its twin; the rest of the batch is stored."""
    log_of_owner.execute("ALTER TABLE entry ADD CHECK (action IS DISTINCT FROM 'pay')")
    pay = _use("pay")
    batch = [seal(event) for event in (_use("a"), pay, _use("b"), pay)]
    writer.append_all(batch)
    assert [type(pending.error) for pending in batch] == [type(None), EntryRefused, type(None), EntryRefused]
    assert [batch[0].seq, batch[2].seq] == [1, 2]
    assert count_chained() == 2


def test_a_column_cannot_disagree_with_the_body(
    writer: Writer, seal: Seal, log_of_owner: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """Whatever a statement says about a searched column, it holds what the body says."""
    writer.append(seal(_use("read_mail")))
    log_of_owner.execute("UPDATE entry SET action = 'pay', task = 'another'")
    log_of_owner.execute(
        "INSERT INTO entry (seq, body, leaf_hash, chain_hash, task) VALUES (2, '{}', '', '', 'another')"
    )
    assert log_of_owner.execute("SELECT action, task FROM entry ORDER BY seq").fetchall() == [
        ("read_mail", None),
        (None, None),
    ]


@contextmanager
def _turn_taken(server: PostgresServer, writer: Writer) -> Generator[None]:
    """Hold the turn of the writers, as another process does while it commits."""
    key = int.from_bytes(writer.log_id[:8], "big", signed=True)
    with server.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (key,))
        yield


def test_nobody_waits_beyond_the_deadline(
    postgres: str, postgres_server: PostgresServer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """While another process keeps the turn, every thread is told in time that nothing was written."""
    with closing(_open(postgres, deadline=0.3)) as writer:
        began = time.monotonic()
        with _turn_taken(postgres_server, writer), ThreadPoolExecutor(4) as pool:
            errors = [type(each.exception()) for each in [pool.submit(writer.append, seal()) for _ in range(4)]]
            assert 0.3 <= time.monotonic() - began < 3
        assert set(errors) <= {AuditUnavailable, AuditTimeout}
        assert AuditUnavailable in errors
        assert count_chained() == 0
    with closing(_open(postgres)) as writer:
        writer.append(seal())
    assert count_chained() == 1


def test_the_head_is_read_under_the_lock_whatever_the_isolation(
    postgres: str, postgres_server: PostgresServer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """With a snapshot of before the wait the head would be stale: the writer's isolation is its own."""
    strict = f"{postgres}%20-cdefault_transaction_isolation%3Dserializable"
    with closing(_open(strict)) as first, closing(_open(strict)) as second, ThreadPoolExecutor(2) as pool:
        with _turn_taken(postgres_server, first):
            waiting = [pool.submit(each.append, seal()) for each in (first, second)]
            _wait_for_locks(postgres_server, 2)
        for each in waiting:
            each.result(20)
    assert count_chained() == 2


def _wait_for_locks(server: PostgresServer, count: int) -> None:
    until = time.monotonic() + 20
    with server.connect() as connection:
        while connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (count,):
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_server_that_stops_answering(
    postgres: str, log_of_owner: psycopg.Connection[tuple[Any, ...]], seal: Seal, count_chained: Callable[[], int]
) -> None:
    """A frozen server cannot end our wait; the writer ends it, and goes on with a new connection."""
    with closing(_open(postgres, deadline=2)) as writer:
        writer.append(seal())
        backend = _backend(log_of_owner)
        os.kill(backend, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises((AuditUnavailable, AuditTimeout)):
                writer.append(seal())
            assert time.monotonic() - began < 6
        finally:
            os.kill(backend, signal.SIGCONT)
    with closing(_open(postgres)) as again:
        again.append(seal())
        assert again.head() == count_chained()


def _backend(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    """Return the server's process for the newest connection of a log."""
    ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'counterfoil' ORDER BY backend_start DESC"
    (pid,) = connection.execute(ours).fetchone() or (0,)
    return int(pid)


def test_a_connection_that_was_ended_is_opened_again(
    writer: Writer, log_of_owner: psycopg.Connection[tuple[Any, ...]], seal: Seal, count_chained: Callable[[], int]
) -> None:
    """Between two records nothing is lost: the next one opens a new connection, and nobody notices."""
    for expected in (1, 2, 3):
        writer.append(seal())
        assert writer.head() == expected
        log_of_owner.execute("SELECT pg_terminate_backend(%s)", (_backend(log_of_owner),))
    assert count_chained() == 3


def test_a_server_that_is_away_and_comes_back(
    writer: Writer, postgres_server: PostgresServer, seal: Seal, count_chained: Callable[[], int]
) -> None:
    """While there is no server nothing is acknowledged; afterwards the writer and its reader go on by themselves."""
    writer.append(seal())
    postgres_server.end(signal.SIGINT)
    try:
        with pytest.raises(AuditUnavailable, match="the server cannot be reached"):
            writer.append(seal())
    finally:
        postgres_server.start()
    writer.append(seal())
    assert count_chained() == 2


@pytest.fixture
def no_standby(postgres_server: PostgresServer) -> Iterator[None]:
    """Let commits wait for a standby that does not exist."""
    with postgres_server.connect() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
    yield
    with postgres_server.connect() as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")


@pytest.mark.parametrize("end", ["the deadline", "a cancelled wait"])
def test_a_commit_that_is_not_confirmed_is_unknown(
    end: str, postgres: str, postgres_server: PostgresServer, seal: Seal, request: pytest.FixtureRequest
) -> None:
    """When the wait for a standby is cancelled the server reports success, with a warning: no acknowledgement."""
    with closing(_open(postgres, deadline=1 if end == "the deadline" else 30)) as writer:
        request.getfixturevalue("no_standby")
        if end == "a cancelled wait":
            threading.Thread(target=_cancel_the_wait, args=(postgres_server,)).start()
        pending = seal()
        with pytest.raises(AuditTimeout):
            writer.append(pending)


def _cancel_the_wait(server: PostgresServer) -> None:
    until = time.monotonic() + 20
    with server.connect() as connection:
        cancelled = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        while not connection.execute(cancelled).fetchone():
            assert time.monotonic() < until
            time.sleep(0.01)


def test_an_unknown_commit_is_repeated_once(postgres: str, seal: Seal, count_chained: Callable[[], int]) -> None:
    """What was committed without an answer is found in the log when it is given again."""
    event = LogEvent(change=LogChange.GAP)
    with closing(_open(postgres)) as first:
        first.append(seal(event))  # as if nobody had heard of it
    with closing(_open(postgres)) as second:
        again = seal(event)
        second.append(again)
    assert (again.seq, again.repeated, count_chained()) == (1, True, 1)


@pytest.mark.parametrize("ended", [False, True], ids=["connected", "connected again"])
@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("DELETE FROM entry WHERE seq = 2", StoreCorrupt),
        ("UPDATE entry SET chain_hash = '\\x00' WHERE seq = 2", StoreCorrupt),
        ("UPDATE log SET fingerprint_key_id = '11111111'", KeyMismatch),
    ],
)
def test_a_log_that_lost_what_was_acknowledged(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    damage: str,
    error: type[Exception],
    ended: bool,  # noqa: FBT001 -- pytest gives it by name
    writer: Writer,
    seal: Seal,
    log_of_owner: psycopg.Connection[tuple[Any, ...]],
) -> None:
    """A standby that took over without the last entries, or a restored backup, is not written to in silence."""
    for _ in range(2):
        writer.append(seal())
    log_of_owner.execute(damage.encode())
    if ended:
        log_of_owner.execute("SELECT pg_terminate_backend(%s)", (_backend(log_of_owner),))
    with pytest.raises(error):
        writer.append(seal())


def test_another_log_in_its_place_takes_no_entry(
    postgres: str, writer: Writer, seal: Seal, log_of_owner: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """Whoever puts a new log where one was gets none of the old one's entries."""
    writer.append(seal())
    log_of_owner.execute(f"DROP SCHEMA {_schema(postgres)} CASCADE; CREATE SCHEMA {_schema(postgres)}".encode())
    with pytest.raises(StoreError):
        writer.append(seal())
    with closing(_open(postgres)) as new:
        log_of_owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'counterfoil'"
        )
        with pytest.raises(AuditUnavailable, match="another log stands in its place"):
            writer.append(seal())
        assert new.head() == 0


def test_a_key_is_adopted_with_the_entry_that_tells_of_it(postgres: str, writer: Writer, seal: Seal) -> None:
    """Until then the log has the old one; a writer that has the old key writes nothing more."""
    writer.append(seal())
    with closing(_open(postgres)) as second:
        writer.adopt_key("11111111")
        second.append(seal())
        writer.append(seal())
        assert writer.fingerprint_key_id == "11111111"
        with pytest.raises(KeyMismatch):
            second.append(seal())


def test_checkpoints_are_kept(postgres: str, writer: Writer, seal: Seal) -> None:
    """The last is the one of the largest size, with its frontier; the leaves behind it come in order."""
    given = [seal() for _ in range(5)]
    writer.append_all(given)
    assert writer.last_checkpoint() is None
    for checkpoint in (SavedCheckpoint(3, "three\n", b"3"), SavedCheckpoint(2, "two\n\n— k sig\n", b"2")):
        writer.save_checkpoint(checkpoint)
    with closing(_open(postgres)) as second:
        assert second.last_checkpoint() == SavedCheckpoint(3, "three\n", b"3")
        assert second.last_checkpoint(signed=True) == SavedCheckpoint(2, "two\n\n— k sig\n", b"2")
        assert list(second.leaves_after(3)) == [(pending.seq, pending.leaf_hash) for pending in given[3:]]


def test_bodies_are_pruned_with_the_entry_that_tells_of_it(postgres: str, writer: Writer, seal: Seal) -> None:
    """Their hashes stay, and the table keeps no dead rows of them; a wrong count removes nothing."""
    given = [seal(_use("read_mail")) for _ in range(4)]
    writer.append_all(given)
    with pytest.raises(AuditUnavailable, match="nothing was removed"):
        writer.prune(seal(), 1, 3, 2)
    told = seal(LogEvent(change=LogChange.PRUNED))
    writer.prune(told, 1, 3, 3)
    assert (told.seq, writer.head()) == (5, 5)
    assert writer.purge()
    with closing(open_reader(postgres)) as reader:
        assert [(seq, body is None) for seq, body, *_ in reader.stored()] == [
            (1, True),
            (2, True),
            (3, True),
            (4, False),
            (5, False),
        ]
        assert [leaf for _, _, leaf, _ in reader.stored()] == [each.leaf_hash for each in (*given, told)]
    writer.append(seal())


_FORK = """
import os, sys, threading, time
from counterfoil.exporters.sql import Pending, open_reader, open_writer
from counterfoil.schemas import LogChange, LogEvent, canonical_bytes, leaf_hash

def append(writer):
    event = LogEvent(change=LogChange.GAP)
    body = canonical_bytes(event.model_dump(mode="json", exclude_none=True))
    pending = Pending(str(event.context.event_id), body, leaf_hash(body))
    writer.append(pending)
    return pending.seq

writer, reader = open_writer(sys.argv[1], deadline=20.0, fingerprint_key_id="00000000"), open_reader(sys.argv[1])
append(writer)
ours = lambda: [each._session._connection.info.backend_pid for each in (writer._store, reader)]
before = ours()
threads = [threading.Thread(target=lambda: [append(writer) for _ in range(20)]) for _ in range(3)]
for thread in threads: thread.start()
children = []
for _ in range(4):
    time.sleep(0.01)
    child = os.fork()
    if not child:
        try:
            for _ in range(3): assert append(writer) <= reader.head()
            writer.close(); reader.close()
        except BaseException: sys.excepthook(*sys.exc_info()); os._exit(1)
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
for thread in threads: thread.join()
append(writer)
print(reader.head())
assert ours() == before
writer.close(); reader.close()
"""


def test_fork_while_recording(postgres: str, count_chained: Callable[[], int]) -> None:
    """Children go on with connections of their own, and their end does not end the parent's."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK, postgres]
    done = subprocess.run(command, check=True, timeout=120, stdout=subprocess.PIPE)
    assert int(done.stdout) == count_chained() == 1 + 3 * 20 + 4 * 3 + 1

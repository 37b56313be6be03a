"""T7: a log in PostgreSQL: sixteen connections, kills of writers and of the server, callers in transactions."""

from __future__ import annotations

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import pytest

from counterfoil.audit import AuditLog
from counterfoil.exporters.sql import open_reader
from counterfoil.schemas import Action, CredentialUse, FingerprintKey, Resource, StoreError, Token

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from conftest import Compare, Tally, Writers, Written
    from frame import Scale

    from bench.postgres_server import PostgresServer

pytestmark = pytest.mark.faults

CONNECTIONS = 16
_FINGERPRINT_KEY = FingerprintKey(bytes.fromhex("5f" * 32))  # that of the writers


def _use() -> CredentialUse:
    return CredentialUse(
        token=Token(), resource=Resource(uri="https://api.example/mail"), action=Action(name="read_mail")
    )


@contextmanager
def _callers_in_transactions(server: PostgresServer, address: str, count: int = 4) -> Generator[list[str]]:
    """Let callers record from within transactions of their own, before and after they lock the same row.

    A log that wrote in its caller's transaction would deadlock: one has the row and waits for the log, the other has
    the log and waits for the row. Gives what went wrong.
    """
    with server.connect() as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS account (id int PRIMARY KEY, uses int)")
        owner.execute("INSERT INTO account VALUES (1, 0) ON CONFLICT DO NOTHING")
    stop, problems = threading.Event(), list[str]()

    def call(number: int) -> None:
        with AuditLog.open(address, fingerprint_key=_FINGERPRINT_KEY, deadline=30) as log, server.connect() as own:
            while not stop.is_set():
                try:
                    with own.transaction():
                        if number % 2:
                            log.record(_use())
                        own.execute("UPDATE account SET uses = uses + 1 WHERE id = 1")
                        own.execute("SELECT count(*) FROM account")
                        if not number % 2:
                            log.record(_use())
                except (StoreError, psycopg.Error) as error:
                    problems.append(f"{type(error).__name__} {error}")

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield problems
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _deadlocks(server: PostgresServer) -> int:
    with server.connect() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        found = connection.execute("SELECT sum(deadlocks) FROM pg_stat_database").fetchone()
        return int((found or (0,))[0])


def _distinct_heads(address: str) -> tuple[int, int]:
    """Return how many entries there are, and how many different predecessors they have."""
    with closing(open_reader(address)) as reader:
        heads = [b"", *(chain_hash for *_, chain_hash in reader.stored())]
    return len(heads) - 1, len(set(heads[:-1]))


def test_sixteen_connections(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    postgres: str,
    postgres_server: PostgresServer,
    writers: Writers,
    compare: Compare,
    scale: Scale,
    tally: Tally,
) -> None:
    """All entries are there, in one chain, whatever transactions their callers have open; nobody deadlocks."""
    count, before = scale(10, 1_000), _deadlocks(postgres_server)
    with _callers_in_transactions(postgres_server, postgres) as problems:
        crowd = writers.start(postgres, CONNECTIONS, waiting=True, count=count, deadline=60.0)
        crowd.listen_for(b"ready\n", CONNECTIONS, patience=120)
        crowd.let_go()
        crowd.listen_to_the_end(patience=600)
    given = crowd.receipts_given()
    compared = compare(postgres, given)
    entries, predecessors = _distinct_heads(postgres)
    seconds = max(each.at for each in given) - min(each.at - each.waited for each in given)
    tally(
        test="T7",
        what=f"PostgreSQL, {CONNECTIONS} processes, {count:,} entries each, and 4 callers in transactions",
        tried=CONNECTIONS * count,
        acknowledged=len(given),
        stored=compared.stored,
        lost=len(compared.lost),
        false_alarms=len(problems),
        note=f"{_deadlocks(postgres_server) - before} deadlocks; {len(given) / seconds:,.0f} entries/s, one a commit",
    )
    assert problems == []
    assert _deadlocks(postgres_server) == before
    assert compared.lost == []
    assert len(given) == CONNECTIONS * count
    assert entries == predecessors


def test_without_the_lock_calls_fail(postgres: str, writers: Writers, scale: Scale, tally: Tally) -> None:
    """With the head read outside a lock two writers take one place; the primary key lets only one of them have it."""
    crowd = writers.start(postgres, 8, waiting=True, count=scale(20, 200), deadline=60.0, defect="no advisory lock")
    crowd.listen_for(b"ready\n", 8, patience=120)
    crowd.let_go()
    crowd.listen_to_the_end(patience=300)
    failed = [line for line in crowd.said.decode().splitlines() if "another program writes into the log" in line]
    assert failed
    tally.defect("T7", f"no advisory lock: {len(failed)} of 8 writers were refused their place")


def test_writers_that_are_killed(postgres: str, writers: Writers, compare: Compare, scale: Scale, tally: Tally) -> None:
    """Each receipt that was given is in the log; the server ends what the dead have begun, and others go on."""
    kills, chance = 0, random.Random(7)
    given: list[Written] = []
    while kills < scale(6, 100):
        crowd = writers.start(postgres, 2, threads=2, deadline=60.0)
        if chance.random() < 0.7:
            crowd.listen_for(b"\n")
        for _ in range(2):
            crowd.listen(chance.uniform(0, 0.2))
            crowd.kill()
            kills += 1
        crowd.listen_to_the_end()
        given += crowd.receipts_given()
    compared = compare(postgres, given)
    tally(
        test="T7",
        what="PostgreSQL, kill -9 of writers",
        injected=kills,
        tried=None,
        acknowledged=len(given),
        stored=compared.stored,
        lost=len(compared.lost),
        false_alarms=0,
    )
    assert given
    assert compared.lost == []


@dataclass
class _Retrying:
    """A caller that gives an event again until it is acknowledged."""

    address: str
    stop: threading.Event
    receipts: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    errors: int = 0

    def __call__(self) -> None:
        with AuditLog.open(self.address, fingerprint_key=_FINGERPRINT_KEY, deadline=5) as log:
            while not self.stop.is_set():
                self._record(log, _use())

    def _record(self, log: AuditLog, use: CredentialUse) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                receipt = log.record(use)
            except StoreError:
                self.errors += 1
                assert time.monotonic() < until
                time.sleep(0.02)
            else:
                self.receipts[str(receipt.event_id)] = (receipt.seq, receipt.chain_hash)
                return


@pytest.fixture
def server_of_its_own(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """Start the server again, whatever happened."""
    yield postgres_server
    postgres_server.start()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "restart"])
def test_a_server_that_is_ended(
    how: signal.Signals, postgres: str, server_of_its_own: PostgresServer, scale: Scale, tally: Tally
) -> None:
    """What was acknowledged is stored, once; what was not, or of which nobody knows, can be given again."""
    times, stop, chance = scale(1, 25), threading.Event(), random.Random(7)
    callers = [_Retrying(postgres, stop) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(caller) for caller in callers]
        try:
            for _ in range(times):
                time.sleep(chance.uniform(0.1, 0.6))
                server_of_its_own.end(how)
                server_of_its_own.start()
            time.sleep(0.5)
        finally:
            stop.set()
        for each in running:
            each.result(120)
    with closing(open_reader(postgres)) as reader:
        assert reader.head() > 0
    receipts = {event: place for caller in callers for event, place in caller.receipts.items()}
    with psycopg.connect(postgres.replace("+psycopg", "")) as owner:
        uses = "SELECT event_id, seq, encode(chain_hash, 'hex') FROM entry WHERE kind = 'credential_use'"
        stored = {event: (seq, chain_hash) for event, seq, chain_hash in owner.execute(uses)}
        counted = owner.execute("SELECT count(*) FROM entry WHERE kind = 'credential_use'").fetchone()
    entries, predecessors = _distinct_heads(postgres)
    tally(
        test="T7",
        what=f"PostgreSQL, the server ended by {how.name} while 4 callers record",
        injected=times,
        tried=len(receipts),
        acknowledged=len(receipts),
        stored=len(stored),
        lost=len(receipts.items() - stored.items()),
        false_alarms=0,
        note=f"{sum(caller.errors for caller in callers)} calls raised and were repeated",
    )
    assert receipts == stored
    assert counted == (len(stored),)
    assert entries == predecessors

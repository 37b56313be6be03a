"""A log in PostgreSQL: what is grouped into commits of 64, and 64 threads at once, against a bare ``executemany``.

The baseline inserts the same bytes into the very same table, trigger and indexes, 64 rows a commit, through the same
driver. The server is a local one, on the same two cores.
"""

from __future__ import annotations

import statistics
import threading
import time
from itertools import islice
from typing import TYPE_CHECKING

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.scope import scope
from counterfoil.exporters.sql import Pending, open_writer
from counterfoil.schemas import leaf_hash

from .figure import Figure
from .postgres_server import PostgresServer
from .sample import KEY, SURROUNDINGS, event, rows_like

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BATCH = 64
_BATCHES = 100
_ROUNDS = 3
_THREADS = 64
_SECONDS = 1.0
_INSERT = "INSERT INTO entry (seq, body, leaf_hash, chain_hash) VALUES (%s, %s, %s, %s)"


def measure(folder: Path) -> list[Figure]:
    """Measure both, with a server of our own."""
    like = folder / "like.db"
    with AuditLog.open(like, fingerprint_key=KEY) as log, scope(**SURROUNDINGS):
        log.record(event())
    server = PostgresServer("shared_buffers=256MB")
    try:
        rounds = [(_bare(server, like), _grouped(server, like), _threads(server)) for _ in range(_ROUNDS)]
    finally:
        server.stop()
    bare, grouped, threads = map(statistics.median, zip(*rounds, strict=True))
    baseline = f"`executemany`, {_BATCH} a commit: {bare:,.0f} rows/s"
    return [
        Figure(
            "PostgreSQL: sealed entries, 64 a commit",
            f"{grouped:,.0f} entries/s",
            baseline,
            f"{grouped / bare:.2f}",
            "≥ 8,000 entries/s",
        ),
        Figure(
            f"PostgreSQL: durable `record()` from {_THREADS} threads at once",
            f"{threads:,.0f} entries/s",
            baseline,
            f"{threads / bare:.2f}",
        ),
    ]


def _bare(server: PostgresServer, like: Path) -> float:
    """Return how many rows a second the bare driver inserts."""
    address = server.new_address()
    open_writer(address, deadline=10, fingerprint_key_id=KEY.key_id).close()
    rows = rows_like(like)
    with server.connect() as connection:
        connection.execute(f"SET search_path = {address.rsplit('%3D', 1)[1]}".encode())
        began = time.perf_counter()
        for _ in range(_BATCHES):
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(_INSERT, list(islice(rows, _BATCH)))
        return _BATCH * _BATCHES / (time.perf_counter() - began)


def _grouped(server: PostgresServer, like: Path) -> float:
    """Return how many sealed entries a second are chained and committed, as behind a queue."""
    entries = _entries(like)
    batches = [list(islice(entries, _BATCH)) for _ in range(_BATCHES)]
    writer = open_writer(server.new_address(), deadline=60, fingerprint_key_id=KEY.key_id)
    began = time.perf_counter()
    for batch in batches:
        writer.append_all(batch)
    took = time.perf_counter() - began
    assert not any(pending.error for batch in batches for pending in batch)
    assert writer.head() == _BATCH * _BATCHES
    writer.close()
    return _BATCH * _BATCHES / took


def _entries(like: Path) -> Iterator[Pending]:
    for number, body, *_ in rows_like(like):
        sealed = body.encode()
        yield Pending(f"{number:036d}", sealed, leaf_hash(sealed))


def _threads(server: PostgresServer) -> float:
    """Return how many entries a second many threads record: built, redacted, sealed and acknowledged one by one."""
    address = server.new_address()
    with AuditLog.open(address, fingerprint_key=KEY, deadline=30) as log:
        recorded = [0] * _THREADS
        began = time.perf_counter()
        callers = [threading.Thread(target=_record, args=(log, recorded, each)) for each in range(_THREADS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        took = time.perf_counter() - began
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        assert reader.head() >= sum(recorded)
    return sum(recorded) / took


def _record(log: AuditLog, recorded: list[int], number: int) -> None:
    until = time.perf_counter() + _SECONDS
    with scope(**SURROUNDINGS):
        while time.perf_counter() < until:
            log.record(event())
            recorded[number] += 1

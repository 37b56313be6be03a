"""Writers to be killed. Each line on stdin is an order; as many processes are forked, and their pids are the answer.

A writer records until it is killed, or as often as it is told, and writes a line for each receipt, with how long the
call took, into the pipe that the order names. It is forked from a process that has imported everything, so that an
instant after its birth it may be anywhere: opening, making the tables, waiting for its turn, in the commit.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import threading
import time
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from counterfoil.audit import AuditLog
from counterfoil.exporters.sql import postgres_store
from counterfoil.schemas import Action, Context, CredentialUse, FingerprintKey, Resource, StoreError, Token

if TYPE_CHECKING:
    from collections.abc import Generator


def a_use(number: int) -> CredentialUse:
    """Return the number-th use of a writer: of varying length, so that rows cross pages."""
    return CredentialUse(
        context=Context(attributes={"text": "x" * (number % 7 * 150)}),
        token=Token(),
        resource=Resource(uri="https://api.example/mail"),
        action=Action(name="read_mail"),
    )


def record(log: AuditLog, out: int, order: dict[str, Any]) -> None:
    """Record ``count`` times, or for ever; a line of the pipe is written whole, since it is short."""
    done, due = 0, time.monotonic()
    with telling(out):
        while done != order["count"]:
            begun = time.monotonic()
            try:
                receipt = log.record(a_use(done))
            except StoreError:
                if not order["tolerant"]:
                    raise
                continue
            now = time.monotonic()
            said = os.getpid(), receipt.seq, receipt.event_id, receipt.chain_hash or "-", now, now - begun
            os.write(out, " ".join(map(str, said)).encode() + b"\n")
            done += 1
            if order["rate"]:
                due = max(due + 1 / order["rate"], now - 1)  # what was missed is not made up for later
                time.sleep(max(0.0, due - now))


@contextmanager
def telling(out: int) -> Generator[None]:
    """Tell the test of any error."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001 -- the test is told, whatever it is
        os.write(out, f"! {type(error).__name__} {error}\n".encode())


def work(order: dict[str, Any], number: int) -> None:
    """Open the log, wait for the word if there is to be one, record from so many threads, close."""
    out = os.open(order["receipts"], os.O_WRONLY)
    gate = os.open(order["gate"], os.O_RDONLY | os.O_NONBLOCK) if order["gate"] else None
    key = FingerprintKey(bytes.fromhex(order["key"]))
    given = {"delivery": order["delivery"], "deadline": order["deadline"]}
    with telling(out), AuditLog.open(order["db"], fingerprint_key=key, **given) as log:
        if order["defect"] == "no lock":  # from here on: without it not even the tables could be made
            fcntl.flock = lambda *_: None  # type: ignore[assignment]
        if order["defect"] == "no advisory lock":
            store: Any = postgres_store
            store._BEGIN = store._BEGIN.replace(b"pg_advisory_xact_lock(%d)", b"%d")
        if gate is not None:
            os.write(out, b"ready\n")
            select.select([gate], [], [])  # until the test closes its end
        threads = [
            threading.Thread(target=record, args=(log, out, order)) for _ in range(1 + number % order["threads"])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> None:
    """Take orders until stdin is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever is killed is gone at once
    with TemporaryDirectory() as folder, AuditLog.open(f"{folder}/audit.db") as log:
        log.record(a_use(0))  # imports what is imported late
    for line in sys.stdin:
        order = json.loads(line)
        born: list[int] = []
        for number in range(order["processes"]):
            if not (child := os.fork()):
                try:
                    work(order, number)
                finally:
                    os._exit(0)
            born.append(child)
        print(json.dumps(born), flush=True)


if __name__ == "__main__":
    main()

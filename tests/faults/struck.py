"""A writer whose system calls are struck. Each line on stdin is an order; a child is forked, and its pid is the answer.

The child waits at the gate until strace has it, then opens the log, records, closes, and does so once more. What each
call came to is a line of the pipe: the receipt, or an exclamation mark and the error. Every few pages there is a
checkpoint, so that few entries go through all that a writer does.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sqlite3
import sys
from typing import Any

from counterfoil.audit import AuditLog
from counterfoil.exporters.sql.sqlite_store import SqliteStore
from counterfoil.schemas import Action, Context, CredentialUse, FingerprintKey, Resource, StoreError, Token

PAGES = 24
"""After so many pages in the -wal there is a checkpoint."""

KEPT = 4096
"""Bytes of the -wal that are kept after one, so that it is cut."""


class Connection(sqlite3.Connection):
    """A connection that checkpoints early."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute, and set what a new connection does not have yet."""
        if sql.startswith("PRAGMA journal_size_limit="):
            super().execute(f"PRAGMA wal_autocheckpoint={PAGES}")
            sql = f"PRAGMA journal_size_limit={KEPT}"
        cursor = super().execute(sql, parameters)
        return super().execute("SELECT 16777216") if sql == "PRAGMA journal_size_limit" else cursor


def blind(*given: Any) -> None:
    """Acknowledge whatever the disk says: the seeded defect."""
    with contextlib.suppress(StoreError):
        honest(*given)


honest = SqliteStore.commit


def live(order: dict[str, Any], out: int) -> None:
    """Open the log, record, close; say what each call came to."""
    key = FingerprintKey(bytes.fromhex(order["key"]))
    try:
        with AuditLog.open(order["db"], fingerprint_key=key, deadline=order["deadline"]) as log:
            for number in range(order["count"]):
                use = CredentialUse(
                    context=Context(attributes={"text": "x" * (number % 3 * 900)}),
                    token=Token(),
                    resource=Resource(uri="https://api.example/mail"),
                    action=Action(name="read_mail"),
                )
                try:
                    receipt = log.record(use)
                except StoreError as error:
                    os.write(out, f"! {type(error).__name__}\n".encode())
                else:
                    os.write(out, f"{receipt.seq} {receipt.event_id} {receipt.chain_hash}\n".encode())
    except StoreError as error:
        os.write(out, f"! {type(error).__name__}\n".encode())


def main() -> None:
    """Take orders until stdin is closed."""
    sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            try:
                if order["blind"]:
                    SqliteStore.commit = blind  # type: ignore[method-assign]
                out = os.open(order["receipts"], os.O_WRONLY | os.O_CREAT, 0o600)
                os.dup2(out, 2)
                signal.sigwait([signal.SIGUSR1])
                for _ in range(2):
                    live(order, out)
                os.write(out, b"done\n")
            finally:
                os._exit(0)
        print(child, flush=True)
        status = os.waitpid(child, 0)[1]
        print(status, flush=True)


if __name__ == "__main__":
    os.environ["COUNTERFOIL_LOG"] = "warning"
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    main()

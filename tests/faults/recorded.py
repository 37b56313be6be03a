"""A writer whose system calls are recorded: it records, closes and opens again, checkpointing often.

Each receipt goes to a file in one write, so that the trace says what was on disk when it was given. With
``"synchronous": "NORMAL"`` its connections only pretend to sync each commit: the seeded defect.
"""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import sys
import threading
from typing import Any

from counterfoil.audit import AuditLog
from counterfoil.schemas import Action, Context, CredentialUse, FingerprintKey, Resource, Token

ORDER: dict[str, Any] = json.loads(sys.argv[1])


LIES = {"PRAGMA synchronous=FULL": "PRAGMA synchronous=NORMAL", "PRAGMA synchronous": "SELECT 2"}


class Connection(sqlite3.Connection):
    """A connection that checkpoints after so many pages, and that may lie about how it syncs."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute, but for what the order says otherwise."""
        if sql.startswith("PRAGMA wal_autocheckpoint") or (sql == "BEGIN IMMEDIATE" and not self.in_transaction):
            super().execute(f"PRAGMA wal_autocheckpoint={ORDER['pages']}")
        if ORDER["synchronous"] == "NORMAL":
            sql = {"PRAGMA synchronous=FULL": "PRAGMA synchronous=NORMAL", "PRAGMA synchronous": "SELECT 2"}.get(
                sql, sql
            )
        return super().execute(sql, parameters)


def record(log: AuditLog, out: int, count: int) -> None:
    """Record ``count`` times, of varying length, so that rows cross pages."""
    for number in range(count):
        receipt = log.record(
            CredentialUse(
                context=Context(attributes={"text": "x" * (number % 7 * 150)}),
                token=Token(),
                resource=Resource(uri="https://api.example/mail"),
                action=Action(name="read_mail"),
            )
        )
        os.write(out, f"{receipt.seq} {receipt.event_id} {receipt.chain_hash}\n".encode())


def main() -> None:
    """Record in two lives of the log, from so many threads."""
    sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]
    key = FingerprintKey(bytes.fromhex("5f" * 32))
    out = os.open(ORDER["receipts"], os.O_WRONLY | os.O_CREAT)
    for _ in range(2):
        with AuditLog.open(ORDER["db"], fingerprint_key=key, deadline=30.0) as log:
            share = ORDER["records"] // 2 // ORDER["threads"]
            threads = [threading.Thread(target=record, args=(log, out, share)) for _ in range(ORDER["threads"])]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


if __name__ == "__main__":
    main()

"""A process that holds a lock of a log until it is killed: ``holder.py ADDRESS flock|sqlite|record``."""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path

from counterfoil.audit import AuditLog
from counterfoil.exporters.sql.sqlite import SharedLock
from counterfoil.schemas import Action, CredentialUse, Resource, Token


def main() -> None:
    """Hold what is asked for, and say so; ``record`` records for ever, to be stopped in the middle of it."""
    address, what = Path(sys.argv[1]), sys.argv[2]
    if what == "record":
        log = AuditLog.open(address)
        print("holds", flush=True)
        while True:
            action = Action(name="of another process")
            log.record(CredentialUse(token=Token(), resource=Resource(uri="https://a.example"), action=action))
    if what == "sqlite":
        connection = sqlite3.connect(address, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
    else:
        SharedLock(address).acquire(time.monotonic() + 10)
    print("holds", flush=True)
    time.sleep(600)


main()

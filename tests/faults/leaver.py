"""A process that records and then ends, in one of seven ways: ``leaver.py ADDRESS JSON``.

It writes a line for each receipt to stdout, and last, in a line of its own, when it began to end.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import signal
import sys
import threading
import time

from counterfoil.audit import AuditLog, install_signal_handlers
from counterfoil.audit.lifetime import leave_all
from counterfoil.exporters import follow
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import Action, CredentialUse, Resource, Token


class Dead:
    """An exporter whose destination never answers."""

    name = "dead"

    def export(self, entries: object) -> None:
        """Wait for ever."""
        del entries
        threading.Event().wait()

    def close(self) -> None:
        """Nothing is open."""


def end(how: str) -> None:
    """End the process."""
    print("ending", time.time(), flush=True)
    match how:
        case "return":
            return
        case "exception":
            raise RuntimeError
        case "sys.exit":
            sys.exit(3)
        case "os._exit":
            os._exit(5)
        case _:
            os.kill(os.getpid(), getattr(signal, how))
            time.sleep(20)  # a handler may put the signal off for a moment


def main() -> None:
    """Do as told."""
    order = json.loads(sys.argv[2])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where tests run in the background
    log = AuditLog.open(sys.argv[1], delivery=order["delivery"])
    if order["handlers"]:
        install_signal_handlers()
    if order["defect"]:
        atexit.unregister(leave_all)
    if order["exporter"]:
        work = open_source(sys.argv[1]), Dead(), threading.Event()
        threading.Thread(target=follow, args=work, daemon=True).start()
    for number in range(order["count"]):
        use = CredentialUse(
            token=Token(), resource=Resource(uri="https://api.example"), action=Action(name=str(number))
        )
        print(log.record(use).event_id)
    if order["locked"]:
        lock = os.open(f"{sys.argv[1]}.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)  # by another open file: as another process would
    end(order["how"])


main()

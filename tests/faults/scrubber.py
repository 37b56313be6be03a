"""Erasures to be killed. Each line on stdin is an order; a child is forked that erases, and how it ended is the answer.

It is killed ``after`` so many seconds, or at the ``instant`` of that number, counted from its first statement: before
each statement, and now and then within one. It is forked from a process that has imported everything.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
import traceback
from typing import Any
from unittest.mock import patch

from counterfoil.audit.keeping import erasure

_BATCH = 3  # so that there are several transactions
_STEPS = 2000  # of SQLite's machine, between two instants within a statement
_connect = sqlite3.connect


class Killed(sqlite3.Connection):
    """Counts instants over all connections, and kills its process at one of them."""

    left = 0

    @classmethod
    def pass_by(cls) -> int:
        """Let an instant pass."""
        cls.left -= 1
        if cls.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def execute(self, *given: Any) -> sqlite3.Cursor:
        """Run a statement, if that is lived to see."""
        self.pass_by()
        return super().execute(*given)


def connect(name: str, **options: Any) -> sqlite3.Connection:
    """Open a connection on which instants are counted."""
    made = _connect(name, **options, factory=Killed)
    made.set_progress_handler(Killed.pass_by, _STEPS)
    return made


def scrub(order: dict[str, Any]) -> None:
    """Erase, until the end or less."""
    Killed.left = order.get("instant", 0)
    with (
        patch.dict("os.environ", order["environment"]),
        patch.object(erasure, "_BATCH", _BATCH),
        patch("counterfoil.exporters.sql.sqlite.sqlite3.connect", connect),
    ):
        erasure.erase(order["db"], secret=order["secret"].encode(), reason="a secret slipped in")


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Have a child erase, and return how it ended and after how long."""
    begun = time.monotonic()
    child = os.fork()
    if not child:
        try:
            scrub(order)
        except BaseException as error:  # noqa: BLE001 -- a child ends here, whatever happens
            traceback.print_exception(error)
            os._exit(1)
        os._exit(0)
    if "after" in order:
        time.sleep(order["after"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {"ended": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - begun}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)

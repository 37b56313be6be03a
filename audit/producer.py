"""Who writes, and which of its calls: what makes a loss visible.

Every call of ``record`` has a number. A number that is in no entry is a loss, unless a later entry declares that its
call raised: then its caller knows.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from functools import cache
from typing import Any, Final

_MOST_DECLARED: Final = 256  # numbers in one entry: after a long outage all would not fit


class Producer:
    """One process with a log open, counting from 1: a forked child makes one of its own."""

    def __init__(self) -> None:
        self._counting = threading.RLock()  # reentrant, since a signal handler may record while its thread does
        self._number = 0
        self._raised: list[int] = []
        self._identity: dict[str, Any] = {
            "host": socket.gethostname(),
            "id": secrets.token_hex(8),
            "library": _library(),
            "pid": os.getpid(),
        }

    def next_number(self) -> int:
        """Count a call."""
        with self._counting:
            number = self._number = self._number + 1
            return number

    @property
    def has_counted(self) -> bool:
        """Whether it has recorded anything."""
        return self._number > 0

    def take_raised(self) -> list[int]:
        """Return numbers of earlier calls that raised, for the next entry to declare."""
        if not self._raised:
            return []
        with self._counting:
            raised, self._raised = self._raised[:_MOST_DECLARED], self._raised[_MOST_DECLARED:]
            return raised

    def declare_later(self, numbers: list[int]) -> None:
        """Remember numbers of calls that raised, or whose entry did not arrive to declare them."""
        with self._counting:
            self._raised.extend(numbers)

    def part(self, number: int, raised: list[int]) -> dict[str, Any]:
        """Return what an entry says of its producer, in JSON form, in canonical order."""
        return {**self._identity, "raised": raised, "seq": number}


@cache
def _library() -> str:
    from importlib.metadata import version

    return f"counterfoil/{version('counterfoil')}"

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

from counterfoil.schemas import LogClosed

_MOST_DECLARED: Final = 256  # numbers in one entry: after a long outage all would not fit
_MOST_AT_THE_END: Final = 20_000  # numbers in the last one: of 256 KiB about half


class Producer:
    """One process with a log open, counting from 1: a forked child makes one of its own."""

    def __init__(self) -> None:
        self._counting = threading.RLock()  # reentrant, since a signal handler may record while its thread does
        self._number = 0
        self._raised: list[int] = []
        self._under_way: set[int] = set()
        self._last: int | None = None
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

    def begin_call(self) -> int:
        """Count a call that writes by itself, until ``end_call``. After ``end`` it raises ``LogClosed``."""
        with self._counting:
            if self._last not in {None, threading.get_ident()}:
                raise LogClosed
            number = self._number = self._number + 1
            self._under_way.add(number)
            return number

    def end_call(self, numbers: list[int]) -> None:
        """Say that a call is over: these numbers are in the log, or are to be declared."""
        with self._counting:
            self._under_way.difference_update(numbers)

    def end(self) -> None:
        """Let the entries of this thread be the last: they declare every call under way, since it may come too late.

        One that does not is in the log and declared, which is no harm. Later calls are refused.
        """
        self._last = threading.get_ident()

    @property
    def has_counted(self) -> bool:
        """Whether it has recorded anything."""
        return self._number > 0

    def take_raised(self, number: int) -> list[int]:
        """Return numbers of earlier calls that raised, for entry ``number`` to declare."""
        if not self._raised and not self._last:
            return []
        with self._counting:
            if self._last not in {None, threading.get_ident()}:
                return []  # which may itself come too late
            most = _MOST_AT_THE_END if self._last else _MOST_DECLARED
            raised, self._raised = self._raised[:most], self._raised[most:]
            if self._last:
                return sorted({*raised, *self._under_way} - {number})
            self._under_way.update(raised)
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

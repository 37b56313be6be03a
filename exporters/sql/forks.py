"""What a forked child must not share with its parent: a connection. Each that has one is told after a fork.

SQLite's connections are left alone by the child, not even closed: that would drop locks of the parent.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from typing import Final, Protocol


class Forked(Protocol):
    """Something that holds a connection."""

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection alone; open another when there is need of one."""
        ...


def tell_after_fork(holder: Forked) -> None:
    """Call ``holder.after_fork_in_child`` in every child that is forked from now on, as long as it lives."""
    _holders.add(holder)


def leave_alone(connection: sqlite3.Connection) -> None:
    """Keep a connection from being closed, which happens when it is forgotten."""
    _left_alone.append(connection)


def _tell_all() -> None:
    for holder in list(_holders):
        holder.after_fork_in_child()


_holders: Final[weakref.WeakSet[Forked]] = weakref.WeakSet()
_left_alone: Final[list[sqlite3.Connection]] = []
os.register_at_fork(after_in_child=_tell_all)

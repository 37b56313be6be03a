"""Remembering proofs in one SQLite file that the processes of a server share.

One ``INSERT`` decides whether a proof is new. Processes take turns by the same kind of lock as the writers of a log,
and every wait has a deadline. What was added survives the end of the process. A machine that loses power may forget
the last moments; a proof from then could be used again, if the machine is back before the proof expires.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import quote

from counterfoil.exporters.sql.faults import fault_of
from counterfoil.exporters.sql.sqlite import SharedLock, make_file
from counterfoil.schemas import ReplayUnavailable, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

APPLICATION_ID: Final = 0x43545250
"""SQLite's ``application_id`` of a replay store: the letters CTRP."""

_TABLES: Final = (
    "CREATE TABLE proof (key TEXT PRIMARY KEY, expires REAL NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX by_expiry ON proof (expires)",
    f"PRAGMA application_id={APPLICATION_ID}",
)
_INSERT: Final = "INSERT INTO proof (key, expires) VALUES (?, ?) ON CONFLICT DO NOTHING"
_PURGE: Final = "DELETE FROM proof WHERE key IN (SELECT key FROM proof WHERE expires <= ? ORDER BY expires LIMIT 64)"
_PURGE_EVERY: Final = 16
_PURGES_WHEN_FULL: Final = 32
_MIN_PAGES: Final = 16


@dataclass(frozen=True, slots=True)
class _Store:
    """What is open, and which file it was."""

    connection: sqlite3.Connection
    turn: SharedLock
    file: tuple[int, int] | None


class SqliteReplayStore:
    """Remembers the proofs that the processes of one machine have seen. Safe between threads, and after a fork.

    The file is made if there is none, for its owner alone. It grows to at most ``max_bytes``, about 150 a proof; then,
    and whenever the file cannot be used within ``deadline`` seconds, ``add`` raises ``ReplayUnavailable``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 64 * 1024 * 1024,
        deadline: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the store. Raises ``ReplayUnavailable``, also for a file that is something else; that is left alone."""
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._clock = clock
        self._attempts = 0
        self._store: _Store | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._forking = False
        self._in_turn(lambda _: None)
        _stores.add(self)

    def add(self, key: str, expires: float) -> bool:
        """Remember ``key``. Raises ``ReplayUnavailable``, also when ``expires`` is over by its own clock."""
        now = self._clock()
        if expires <= now:
            raise ReplayUnavailable("the proof expires before now by the clock of the replay store")
        return self._in_turn(lambda store: self._insert(store, key, expires, now))

    def _insert(self, store: _Store, key: str, expires: float, now: float) -> bool:
        """Insert in one statement, which is a transaction of its own. Every few times, forget what has expired."""
        self._attempts += 1
        if self._attempts % _PURGE_EVERY == 0:
            store.connection.execute(_PURGE, (now,))
        purges = 0
        while True:
            try:
                return store.connection.execute(_INSERT, (key, expires)).rowcount == 1
            except sqlite3.OperationalError as error:
                purges += 1
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL or purges > _PURGES_WHEN_FULL:
                    raise
            # A page is free only when every proof on it is gone.
            if store.connection.execute(_PURGE, (now,)).rowcount == 0:
                purges = _PURGES_WHEN_FULL

    def _in_turn(self, action: Callable[[_Store], T]) -> T:
        """Do something while no other thread and no other process does. Raises ``ReplayUnavailable``."""
        until = time.monotonic() + self._deadline
        if not self._lock.acquire(timeout=self._deadline):
            raise ReplayUnavailable(f"{self._path} was busy until the deadline")
        try:
            store = self._opened(until)
            with store.turn.held(until):
                return action(store)
        except StoreError as error:
            raise ReplayUnavailable(str(error)) from None
        except sqlite3.Error as error:
            raise ReplayUnavailable(str(fault_of(error, self._path))) from None
        except OSError as error:
            raise ReplayUnavailable(f"{self._path} cannot be used ({os.strerror(error.errno or 0)})") from None
        finally:
            self._lock.release()

    def _opened(self, until: float) -> _Store:
        """Return what is open. A file that was moved or removed is not the one that other processes use now."""
        if self._closed:
            raise ReplayUnavailable(f"the replay store {self._path} was closed")
        if self._store is not None and self._store.file == _file(self._path):
            return self._store
        self._drop()
        make_file(self._path)
        turn = SharedLock(self._path)
        try:
            with turn.held(until):
                self._store = _Store(self._connect(), turn, _file(self._path))
        except BaseException:
            turn.close()
            raise
        return self._store

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(self._path.absolute()))}?mode=rw",
            uri=True,
            timeout=self._deadline,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the table in an empty file; a file that is something else is refused before anything changes it."""
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if (application_id, tables) != (0, 0) and application_id != APPLICATION_ID:
            raise ReplayUnavailable(f"{self._path} is something else than a replay store; it was left as it is")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count={max(self._max_bytes // page_size, _MIN_PAGES)}")
        if application_id == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {'; '.join(_TABLES)}; COMMIT")

    def _drop(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.connection.close()
            store.turn.close()

    def close(self) -> None:
        """Close the file. What it remembers stays."""
        with self._lock:
            self._drop()
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def before_fork(self) -> None:
        """Let an add end: SQLite would hand its locks down to the child, where nobody could give them up."""
        self._forking = self._lock.acquire(timeout=self._deadline)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._forking:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Open anew with the next add; the parent's connection is left alone, not even closed."""
        if self._store is not None:
            self._store.turn.close()
            _inherited.append(self._store.connection)
        self._store = None
        self._lock = threading.Lock()


def _file(path: Path) -> tuple[int, int] | None:
    """Return which file a path names now; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


_stores: weakref.WeakSet[SqliteReplayStore] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _each(step: Callable[[SqliteReplayStore], None]) -> Callable[[], None]:
    def for_all() -> None:
        for store in list(_stores):
            step(store)

    return for_all


os.register_at_fork(
    before=_each(SqliteReplayStore.before_fork),
    after_in_parent=_each(SqliteReplayStore.after_fork_in_parent),
    after_in_child=_each(SqliteReplayStore.after_fork_in_child),
)

"""One SQLite file as a log: its address, its connections, and the lock that its writers share.

Every connection sets what durability rests on and reads it back (``journal_mode=WAL``, ``synchronous=FULL``). Writers
of all processes take turns by ``flock`` on a file beside the database: SQLite's own busy handler starves some of them,
and the lock also keeps writes and checkpoints apart, which SQLite before 3.51.3 needs (its WAL-reset race).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from counterfoil.schemas import AuditUnavailable, ConfigurationError, StoreCorrupt, StoreForeign, StoreMissing

from .tables import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION_ID: Final = 0x43544652
"""SQLite's ``application_id`` of a Counterfoil log: the letters CTFR."""

_POLL: Final = 0.00005  # seconds between two looks of the one process that is next
_QUEUE_POLL: Final = 0.0002  # of those that want to be next
_CROWDED: Final = 256  # turns for which a process that had to wait asks to be next, before it takes a turn

_JOURNAL: Final = bytes.fromhex("d9d505f920a163d7")
"""How a rollback journal begins; eight bytes later stands how many pages there were before."""

_WAL_KEPT: Final = 16 * 1024 * 1024
"""Bytes to which the -wal shrinks when it begins anew: above what it reaches while nobody reads for long."""

_ADVICE: Final = "Write sqlite:///audit.db or a plain path."


def path_of(address: str | os.PathLike[str]) -> Path:
    """Return the file that an address means: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, or a plain path.

    Raises ``ConfigurationError``.
    """
    text = os.fspath(address)
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    elif "://" in text:
        raise ConfigurationError("this address is not one of a SQLite file", advice=_ADVICE)
    if "\x00" in text or text in {"", ":memory:"}:
        raise ConfigurationError("the address names no file", advice=_ADVICE)
    try:
        path = Path(text).expanduser()
        os.fsencode(path)
        path.exists()
    except (RuntimeError, ValueError, OSError):  # no such user; a lone surrogate; too long
        raise ConfigurationError("the address names no file", advice=_ADVICE) from None
    return path


def connect(path: Path, *, deadline: float = 2.0) -> sqlite3.Connection:
    """Open for writing, with durability set and read back. ``deadline`` in seconds bounds SQLite's own waiting."""
    connection = _connect(path, "rw", deadline)
    try:
        _make_durable(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_durable(connection: sqlite3.Connection, path: Path) -> None:
    for pragma, value, expected in _SETTINGS:
        connection.execute(f"PRAGMA {pragma}={value}")
        (found,) = connection.execute(f"PRAGMA {pragma}").fetchone()
        if found != expected:
            raise AuditUnavailable(f"{path}: the database does not take {pragma}={value}, so nothing would be durable")


def connect_read_only(path: Path, *, deadline: float = 2.0, immutable: bool = False) -> sqlite3.Connection:
    """Open for reading. ``immutable`` is for a copy in a read-only folder: SQLite takes no lock and reads no -wal.

    Raises ``StoreMissing``, and ``ConfigurationError`` if ``immutable`` would overlook entries.
    """
    if not path.exists():
        raise StoreMissing(f"there is no log at {path}")
    if immutable:
        _require_whole(path)
    return _connect(path, "ro&immutable=1" if immutable else "ro", deadline)


def _require_whole(path: Path) -> None:
    for beside in (Path(f"{path}-wal"), Path(f"{path}-journal")):
        if beside.exists() and beside.stat().st_size > 0:
            raise ConfigurationError(
                f"{beside.name} lies beside the log, and may hold entries that an immutable copy would not show",
                advice="Read the log without --immutable where its folder can be written, or read a copy that "
                "`counterfoil db backup` made.",
            )


def identify(connection: sqlite3.Connection, path: Path) -> tuple[bytes, str]:
    """Return which log is open: its ``log_id`` and the id of its fingerprint key.

    Raises ``StoreForeign`` unless it is a log of a version that this release knows, ``StoreCorrupt`` if it is damaged.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID:
        raise StoreForeign(f"{path} is a SQLite database, but not a Counterfoil log")
    if version > SCHEMA_VERSION:
        raise StoreForeign(
            f"{path} has schema version {version}; this release knows {SCHEMA_VERSION}",
            advice="Install a newer release of counterfoil.",
        )
    if version < 1:
        raise StoreCorrupt(f"{path}: the number that says how its tables were made was damaged")
    match connection.execute("SELECT log_id, fingerprint_key_id FROM log").fetchall():
        case [(bytes() as log_id, str() as key_id)] if len(log_id) == 16:
            return log_id, key_id
        case _:
            raise StoreCorrupt(f"{path}: the row that says which log this is was damaged")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the open file has no tables and was never marked: a log can be made of it."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return (application_id, tables) == (0, 0)


def check_file(path: Path, *, deadline: float) -> None:
    """Raise ``StoreForeign`` for a file that is no log, before anything could change it: WAL mode rewrites a header."""
    connection = connect_read_only(path, deadline=deadline)
    try:
        if not is_empty(connection):
            identify(connection, path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK or not _was_empty(path):
            raise
    finally:
        connection.close()


def _was_empty(path: Path) -> bool:
    """Whether somebody died while making the very first page: what SQLite will roll back leaves an empty file."""
    try:
        head = Path(f"{path}-journal").read_bytes()[:20]
    except OSError:
        return False
    return head.startswith(_JOURNAL) and head[16:20] == bytes(4)


def make_file(path: Path) -> None:
    """Create an empty file that only its owner can read, if there is none."""
    try:
        os.close(_created(str(path)))
    except FileExistsError:
        pass
    except OSError as error:
        raise AuditUnavailable(f"{path} cannot be made ({os.strerror(error.errno or 0)})") from None


def _created(name: str) -> int:
    """Create an empty file for its owner alone, whatever the umask, and return it open."""
    file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    os.fchmod(file, 0o600)
    return file


class SharedLock:
    """The turn of one writer among all processes: ``flock`` on ``<database>.lock``.

    The kernel would let those who wait have it in order, but knows no deadline. So they look again and again; and since
    whoever gives a turn back is the quickest to take the next, a record lock on the same file says who is next: only
    that process takes a turn, and it looks often. A process alone needs none of this, and learns of others when it has
    to wait.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = f"{path}.lock"
        self._crowded = 0
        self._waited = False
        self._open()

    def _open(self) -> None:
        try:
            try:
                self._file = _created(self._name)
            except FileExistsError:
                self._file = os.open(self._name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AuditUnavailable(f"{self._name} cannot be opened ({os.strerror(error.errno or 0)})") from None
        self._opened = os.fstat(self._file)

    def _is_in_place(self) -> bool:
        """Whether the others take their turns by the same file: somebody may have deleted it."""
        try:
            found = os.stat(self._name)  # noqa: PTH116 -- once a commit; a Path costs three times that
        except OSError:
            return False
        return os.path.samestat(found, self._opened)

    def acquire(self, until: float) -> None:
        """Take the lock. Raises ``AuditUnavailable`` when it is not free by ``until`` (``time.monotonic``)."""
        self._take(until)
        while not self._is_in_place():
            self.release()
            gone = self._file
            self._open()
            os.close(gone)
            self._take(until)

    def _take(self, until: float) -> None:
        if not self._crowded and _taken(fcntl.flock, self._file):
            return
        if self._waited:  # who has just had a turn would be the quickest to ask for the next
            time.sleep(_QUEUE_POLL)
        self._waited, self._crowded = False, max(self._crowded - 1, 0)
        self._insist(fcntl.lockf, until, _QUEUE_POLL)
        try:
            self._insist(fcntl.flock, until, _POLL)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _insist(self, lock: Callable[[int, int], object], until: float, pause: float) -> None:
        while not _taken(lock, self._file):
            if time.monotonic() >= until:
                raise AuditUnavailable(f"{self._path} was locked by another process until the deadline")
            self._waited, self._crowded = True, _CROWDED
            time.sleep(pause)

    def release(self) -> None:
        """Give the turn to the next."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def held(self, until: float) -> Self:
        """Hold the lock, for a ``with``. Raises what ``acquire`` raises."""
        self.acquire(until)
        return self

    def __enter__(self) -> None:
        """Do nothing: ``held`` took the lock."""

    def __exit__(self, *_: object) -> None:
        self.release()

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def _taken(lock: Callable[[int, int], object], file: int) -> bool:
    try:
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


_SETTINGS: tuple[tuple[str, str, str | int], ...] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("secure_delete", "ON", 1),
    ("journal_size_limit", str(_WAL_KEPT), _WAL_KEPT),
)


def _connect(path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)

"""A PostgreSQL log as a writer's store: one transaction at a time, under an advisory lock that its writers share.

The lock is taken first and the head of the chain read inside it. The transaction is READ COMMITTED, in which each
statement sees what was committed before it began: with another isolation the head would be that of before the wait.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

import psycopg

from counterfoil.schemas import AuditTimeout, AuditUnavailable, EntryRefused, KeyMismatch, StoreCorrupt
from counterfoil.schemas.entry import GENESIS

from .chain import chained, settled, without_twins
from .postgres import Session, abandon, bounded, make_durable
from .postgres_faults import translated
from .postgres_tables import has_tables, identify, make_tables, migrate
from .store import SIGNED_NOTE, SavedCheckpoint
from .tables import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from psycopg.errors import Diagnostic

    from ..pending import Pending
    from .postgres import Connection, PostgresAddress
    from .store import Place

_CREATING: Final = int.from_bytes(b"CTFRmake", "big")
"""The advisory lock under which the tables of a log are made: it has no id of its own yet."""


class _End(NamedTuple):
    """The last entry of the chain."""

    seq: int
    chain_hash: bytes


class PostgresStore:
    """One PostgreSQL log, open for writing, on a connection of its own. One thread at a time may use it."""

    def __init__(self, address: PostgresAddress, *, deadline: float, fingerprint_key_id: str) -> None:
        """Open the log at ``address``, making its tables if there are none. ``deadline`` in seconds bounds every wait.

        Raises ``AuditUnavailable``, ``StoreMissing`` (no database or schema), ``StoreForeign`` or ``StoreCorrupt``.
        """
        self.name = address.name
        self.log_id = b""
        self.fingerprint_key_id = fingerprint_key_id
        self._deadline = deadline
        self._adopting = ""
        self._last = _End(0, GENESIS)
        self._warned = False
        self._session = Session(address, self._prepare)
        try:
            self.head()
        except BaseException:
            self.close()
            raise

    def _prepare(self, connection: Connection) -> None:
        """Make sure that this is the log that was opened first; make the tables if there are none."""
        connection.add_notice_handler(self._note_warning)
        make_durable(connection, self.name)
        if not self.log_id and not has_tables(connection):
            self._make_tables(connection)
        log_id, key_id, version = identify(connection, self.name)
        if version < SCHEMA_VERSION:
            self._migrate(connection)
        if not self.log_id:
            self.log_id, self.fingerprint_key_id = log_id, key_id
        elif log_id != self.log_id:
            raise AuditUnavailable(f"{self.name}: another log stands in its place")
        self._require_last(connection)

    def _make_tables(self, connection: Connection) -> None:
        """Make the tables in one transaction, unless another process was first."""
        _begin_under_lock(connection, _CREATING, connection.until)
        if not has_tables(connection):
            make_tables(connection, self.fingerprint_key_id)
        connection.execute("COMMIT")

    def _migrate(self, connection: Connection) -> None:
        """Bring the tables to the version of this release in one transaction, unless another process was first."""
        _begin_under_lock(connection, _CREATING, connection.until)
        try:
            migrate(connection, identify(connection, self.name)[2])
        except psycopg.errors.InsufficientPrivilege:
            raise AuditUnavailable(
                f"{self.name}: its tables are of an older version, and this user may not change them",
                advice="Let the tables' owner open the log for writing once with this release, and give this user "
                "SELECT on the new ones.",
            ) from None
        connection.execute("COMMIT")

    def _require_last(self, connection: Connection) -> None:
        """Require the last entry that was acknowledged here: a standby that took over may lack it."""
        if self._last.seq == 0:
            return
        found = connection.execute("SELECT chain_hash FROM entry WHERE seq = %s", (self._last.seq,)).fetchone()
        if found != (self._last.chain_hash,) and (found or _head(connection) < self._last.seq):
            raise self._acknowledged_are_gone()

    def _acknowledged_are_gone(self) -> StoreCorrupt:
        return StoreCorrupt(f"{self.name}: entries that were acknowledged are gone")

    def commit(self, batch: list[Pending], until: float, gather: Callable[[list[Pending]], None]) -> None:
        """Store ``batch`` in one transaction, under the lock."""
        with translated(self.name):
            try:
                with self._transaction(until) as connection:
                    gather(batch)
                    last = self._insert(connection, batch)
            except _REFUSED:
                with self._transaction(until) as connection:
                    last = self._insert_each(connection, batch)
        self._acknowledge(last)

    @contextmanager
    def _transaction(self, until: float) -> Generator[Connection]:
        connection = self._session.run(lambda connection: self._begin(connection, until), until)
        committing = self._warned = False
        try:
            with bounded(connection, until):
                yield connection
                committing = True
                self._confirm(connection.execute("COMMIT").statusmessage)
        except psycopg.Error as error:
            abandon(connection)
            if committing:
                raise AuditTimeout(f"{self.name}: the server did not answer whether it committed") from None
            raise error from None
        except BaseException:
            abandon(connection)
            raise

    def _confirm(self, answer: str | None) -> None:
        # A commit that waits for a standby and is told to stop reports success, with a warning.
        if answer != "COMMIT" or self._warned:
            raise AuditTimeout(f"{self.name}: the server does not confirm that the commit is durable")

    def _begin(self, connection: Connection, until: float) -> Connection:
        _begin_under_lock(connection, int.from_bytes(self.log_id[:8], "big", signed=True), until)
        return connection

    def _acknowledge(self, last: _End) -> None:
        self._last = last
        if self._adopting:
            self.fingerprint_key_id, self._adopting = self._adopting, ""

    def _insert(self, connection: Connection, batch: list[Pending]) -> _End:
        """Insert the entries behind the end of the chain, which only the lock keeps where it is."""
        end = self._end(connection)
        rows = chained(batch, self.log_id, *end)
        if not rows:
            return end
        connection.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
        if self._adopting:
            connection.execute("UPDATE log SET fingerprint_key_id = %s", (self._adopting,))
        return _End(rows[-1][0], rows[-1][3])

    def _end(self, connection: Connection) -> _End:
        """Return the end of the chain. What was acknowledged is to be before it, and the key is to be the same."""
        seq, chain_hash, key_id = connection.execute(_END).fetchone() or (0, GENESIS, self.fingerprint_key_id)
        if seq <= self._last.seq and (seq, chain_hash) != self._last:
            raise self._acknowledged_are_gone()
        if key_id != self.fingerprint_key_id:
            raise KeyMismatch(key_id, self.fingerprint_key_id)
        return _End(seq, chain_hash)

    def _insert_each(self, connection: Connection, batch: list[Pending]) -> _End:
        """Insert what is new, one by one, so that an entry which is refused costs none of the others its place."""
        firsts, twins = without_twins(batch)
        stored, last = _stored(connection, firsts), self._end(connection)
        for each in firsts:
            if not settled(each, stored.get(each.event_id)):
                last = self._insert_alone(connection, each) or last
        stored = _stored(connection, twins)
        for twin in twins:
            if not settled(twin, stored.get(twin.event_id)):
                twin.error = next(each.error for each in firsts if each.event_id == twin.event_id)
        return last

    def _insert_alone(self, connection: Connection, pending: Pending) -> _End | None:
        connection.execute("SAVEPOINT alone")
        try:
            last = self._insert(connection, [pending])
        except _REFUSED as error:
            if isinstance(error, psycopg.errors.UniqueViolation):  # not the entry's fault, but its place's
                raise
            connection.execute("ROLLBACK TO SAVEPOINT alone")
            pending.error, last = EntryRefused(f"SQLSTATE {error.sqlstate}"), None
        connection.execute("RELEASE SAVEPOINT alone")
        return last

    def _note_warning(self, notice: Diagnostic) -> None:
        self._warned = self._warned or notice.severity_nonlocalized == "WARNING"

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        return int(self._read(_HEAD)[0][0])

    def leaves_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return ``(seq, leaf_hash)`` of up to ``limit`` entries that follow ``seq``, in order, pruned or not."""
        return self._read(_LEAVES, {"seq": seq, "limit": limit})

    def last_checkpoint(self, *, signed: bool) -> SavedCheckpoint | None:
        """Return the checkpoint of the largest size, of all or of those with a signature."""
        found = self._read(_LAST_CHECKPOINT, {"note": SIGNED_NOTE if signed else "%"})
        return SavedCheckpoint(*found[0]) if found else None

    def save_checkpoint(self, checkpoint: SavedCheckpoint, until: float) -> None:
        """Store a checkpoint, with the signatures of one of the same size and root. No other root is stored."""
        with translated(self.name), self._transaction(until) as connection:
            if stored := connection.execute(_CHECKPOINT, (checkpoint.size,)).fetchone():
                checkpoint = checkpoint.with_signatures_of(stored[0])
            connection.execute(_SAVE_CHECKPOINT, checkpoint)

    def prune(self, pending: Pending, first: int, last: int, count: int, until: float) -> None:
        """Remove ``count`` bodies and store ``pending``, which tells of it, in one transaction."""
        with translated(self.name), self._transaction(until) as connection:
            for statement in (_KEEP_HASHES, _REMOVE_BODIES):
                if connection.execute(statement, (first, last)).rowcount != count:
                    raise AuditUnavailable(f"{self.name}: somebody else prunes these entries; nothing was removed")
            end = self._insert(connection, [pending])
        self._acknowledge(end)

    def erase(self, pending: Pending, places: Sequence[Place], until: float) -> None:
        """Remove the bodies of these entries and store ``pending``, which tells of it, in one transaction."""
        columns = [list(column) for column in zip(*places, strict=True)]
        with translated(self.name), self._transaction(until) as connection:
            end = self._insert(connection, [pending])
            kept = connection.execute(_KEEP_ERASED, (end.seq, *columns)).rowcount
            if kept != len(places) or connection.execute(_ERASE, columns).rowcount != kept:
                raise AuditUnavailable(f"{self.name}: one of the entries changed; nothing was erased")
        self._acknowledge(end)

    def rewrite(self, until: float) -> list[str]:
        """Write the table and its indexes anew, and what the server's planner had sampled of them.

        Old files are deleted, not overwritten; the server's own log (WAL), its archives and replicas keep what they do.
        """
        with translated(self.name):
            self._session.run(lambda connection: connection.execute(_LOCK_TIMEOUT % _left(until)), until)
            try:
                return [words for statement, words in _REWRITE.items() if not self._rewritten(statement)]
            finally:
                self._session.run(lambda connection: connection.execute("RESET lock_timeout"), math.inf)

    def _rewritten(self, statement: LiteralString) -> bool:
        """Run a statement, however long it takes. False if somebody else is in the way, or we may not."""
        self._warned = False
        try:
            self._session.run(lambda connection: connection.execute(statement), math.inf)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
            return False
        return not self._warned and (statement != _LAST_LOOK or self._read(_DEAD_ROWS) == [(0,)])

    def purge(self, until: float) -> bool:
        """Remove what still stands of pruned bodies beside the table. False if somebody reads it."""
        with translated(self.name):
            self._session.run(lambda connection: connection.execute("VACUUM entry"), until)
        return self._read(_DEAD_ROWS) == [(0,)]

    def adopt_key(self, fingerprint_key_id: str) -> None:
        """Make the log's fingerprints with another key from the next entry on, which tells of it."""
        self._adopting = fingerprint_key_id

    def _read(self, statement: LiteralString, given: dict[str, Any] | None = None) -> list[Any]:
        until = time.monotonic() + self._deadline
        with translated(self.name):
            return self._session.run(lambda connection: connection.execute(statement, given).fetchall(), until)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection alone; open another when there is need of one."""
        self._session.after_fork_in_child()


def _begin_under_lock(connection: Connection, key: int, until: float) -> None:
    """Begin a transaction, and take an advisory lock until its end. The server waits for it no longer than we do."""
    connection.execute(_BEGIN % (_left(until), key))


def _left(until: float) -> int:
    """Return the milliseconds until then; of less than one the server would make none at all."""
    return max(1, int((until - time.monotonic()) * 1000))


def _head(connection: Connection) -> int:
    (found,) = connection.execute(_HEAD).fetchone() or (0,)
    return int(found)


def _stored(connection: Connection, batch: list[Pending]) -> dict[str, tuple[int, str, bytes]]:
    if not batch:
        return {}
    found = connection.execute(_BY_EVENT_IDS, ([each.event_id for each in batch],)).fetchall()
    return {event_id: (seq, body, chain_hash) for event_id, seq, body, chain_hash in found}


# In one message to the server. A statement_timeout that the user has would also end the wait for a standby, in the
# middle of a commit.
_BEGIN = (
    b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = 0; "
    b"SELECT pg_advisory_xact_lock(%d)"
)
_INSERT = (
    "INSERT INTO entry (seq, body, leaf_hash, chain_hash) "
    "SELECT * FROM unnest(%b::bigint[], %b::text[], %b::bytea[], %b::bytea[])"
)
_HEAD: LiteralString = "SELECT coalesce(max(seq), 0) FROM entry"
_END = "SELECT seq, chain_hash, (SELECT fingerprint_key_id FROM log) FROM entry ORDER BY seq DESC LIMIT 1"
_REFUSED = (psycopg.errors.IntegrityError, psycopg.errors.DataError, psycopg.errors.ProgramLimitExceeded)
_KEEP_HASHES = (
    "INSERT INTO pruned (seq, leaf_hash, chain_hash) SELECT seq, leaf_hash, chain_hash FROM entry "
    "WHERE seq BETWEEN %s AND %s AND kind IS DISTINCT FROM 'log'"
)
_REMOVE_BODIES = "DELETE FROM entry WHERE seq BETWEEN %s AND %s AND kind IS DISTINCT FROM 'log'"
_KEEP_ERASED = (
    "INSERT INTO erased (seq, leaf_hash, chain_hash, erased_by) "
    "SELECT seq, leaf_hash, chain_hash, %s FROM entry "
    "JOIN unnest(%s::bigint[], %s::bytea[]) AS place (seq, chain_hash) USING (seq, chain_hash)"
)
_ERASE = (
    "DELETE FROM entry USING unnest(%s::bigint[], %s::bytea[]) AS place (seq, chain_hash) "
    "WHERE entry.seq = place.seq AND entry.chain_hash = place.chain_hash"
)
_DEAD_ROWS: LiteralString = "SELECT pg_stat_get_dead_tuples('entry'::regclass)"
_LOCK_TIMEOUT = b"SET lock_timeout = %d"
_LAST_LOOK: LiteralString = "VACUUM entry"
_REWRITE: Final[dict[LiteralString, str]] = {
    "VACUUM FULL entry": "the table's file, which somebody uses, or which only its owner may write anew",
    _LAST_LOOK: "rows that a transaction which began before can still see",
    "ANALYZE entry": "the planner's samples (pg_statistic), which only the table's owner may have made anew",
    "VACUUM FULL pg_catalog.pg_statistic": "old samples of the planner (pg_statistic), which the database's owner may "
    "have vacuumed",
}
"""What takes the last of a removed row out of the server's tables, and where that may stand if it fails."""
_BY_EVENT_IDS = "SELECT event_id, seq, body, chain_hash FROM entry WHERE event_id = ANY(%s)"
_LEAVES = (
    "SELECT seq, leaf_hash FROM entry WHERE seq > %(seq)s UNION ALL SELECT seq, leaf_hash FROM pruned "
    "WHERE seq > %(seq)s UNION ALL SELECT seq, leaf_hash FROM erased WHERE seq > %(seq)s ORDER BY seq LIMIT %(limit)s"
)
_LAST_CHECKPOINT: LiteralString = (
    "SELECT size, note, frontier FROM checkpoint WHERE note LIKE %(note)s ORDER BY size DESC LIMIT 1"
)
_CHECKPOINT = "SELECT note FROM checkpoint WHERE size = %s"
_SAVE_CHECKPOINT = (
    "INSERT INTO checkpoint (size, note, frontier) VALUES (%s, %s, %s) "
    "ON CONFLICT (size) DO UPDATE SET note = excluded.note, frontier = excluded.frontier"
)

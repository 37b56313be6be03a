"""A PostgreSQL database as the place of a log: its address, and a connection of the log's own.

The log's tables stand in the first schema of the ``search_path``, so several logs in one database are several schemas.
An address can hold a password; the name of a log, which errors and reports show, never does. Every wait of a connection
ends at its deadline, also when the server does not answer any more.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects.postgresql import psycopg as dialect_of_psycopg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from counterfoil.schemas import AuditUnavailable, ConfigurationError

from .forks import tell_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from psycopg.abc import PQGen

_Result = TypeVar("_Result")

_ADVICE: Final = "Write postgresql+psycopg://user@host/database; percent-encode what is special in a password."
_DIALECT: Final[Any] = dialect_of_psycopg.dialect()  # type: ignore[no-untyped-call]
_ROLLBACK: Final = 0.5


@dataclass(frozen=True)
class PostgresAddress:
    """Where a log is. ``name`` can be shown: it holds no user, no password and no option."""

    name: str
    parameters: dict[str, Any] = field(repr=False)


def postgres_address(address: str) -> PostgresAddress:
    """Read an address such as ``postgresql+psycopg://user:password@host/database``. Raises ``ConfigurationError``."""
    problem = ConfigurationError("this address of a PostgreSQL database cannot be read", advice=_ADVICE)
    if address.count("@") > 1:  # then part of a password would be taken for a host, and shown
        raise problem
    try:
        url = make_url(address)
        parameters: dict[str, Any] = _DIALECT.create_connect_args(url)[1]
        make_conninfo(**parameters)
    except (SQLAlchemyError, psycopg.Error, ValueError, TypeError):
        raise problem from None
    if url.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise problem
    where = ":".join(str(parameters[part]) for part in ("host", "port") if part in parameters)
    return PostgresAddress(f"postgresql://{where}/{parameters.get('dbname', '')}", parameters)


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which nothing takes longer than until ``until`` (``time.monotonic``), once that is set."""

    until: float = math.inf

    def wait(self, gen: PQGen[_Result], *options: Any, **named: Any) -> _Result:
        """Wait for the server. Raises ``psycopg.OperationalError`` at the deadline; then the connection is no more."""
        return super().wait(_bounded(gen, self), *options, **named)


def _bounded(steps: PQGen[_Result], connection: Connection) -> PQGen[_Result]:
    try:
        awaited = next(steps)
        while True:
            ready = yield awaited
            if not ready and time.monotonic() >= connection.until:
                connection.pgconn.finish()
                raise psycopg.OperationalError("the deadline passed")
            awaited = steps.send(ready)
    except StopIteration as end:
        result: _Result = end.value
        return result


class Session:
    """One connection to one database, opened when there is need of one: also after a fork, and after it was lost."""

    def __init__(self, address: PostgresAddress, prepare: Callable[[Connection], None]) -> None:
        """Use ``prepare`` on each new connection, before anybody else has it."""
        self._address = address
        self._prepare = prepare
        self._connection: Connection | None = None
        tell_after_fork(self)

    def run(self, work: Callable[[Connection], _Result], until: float) -> _Result:
        """Return what ``work`` does, within the time. It is done again if the server had ended the connection before.

        Raises ``psycopg.Error`` and what ``prepare`` raises; then nothing is left open that was begun.
        """
        was_open = self._is_open()
        connection = self._opened(until)
        try:
            return _run(work, connection, until)
        except psycopg.Error:
            if not was_open or not connection.closed or time.monotonic() >= until:
                raise
        return _run(work, self._opened(until), until)

    def _is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def _opened(self, until: float) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect(until)
        return self._connection

    def _connect(self, until: float) -> Connection:
        # libpq counts in whole seconds, two at the least.
        seconds = 2 if until == math.inf else max(2, math.ceil(until - time.monotonic()))
        options: dict[str, Any] = {
            "connect_timeout": seconds,
            "application_name": "counterfoil",
        } | self._address.parameters
        connection = Connection.connect(make_conninfo(**options), autocommit=True)
        try:
            _run(self._prepare, connection, until)
        except BaseException:
            connection.close()
            raise
        return connection

    def after_fork_in_child(self) -> None:
        """Leave the parent's connection alone: its socket is taken out of the child, so that only the parent has it."""
        if self._connection is not None and not self._connection.closed:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, self._connection.fileno(), inheritable=False)
            os.close(nowhere)
            _inherited.append(self._connection)
        self._connection = None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


@contextmanager
def bounded(connection: Connection, until: float) -> Generator[None]:
    """Let nothing on ``connection`` take longer than until ``until``."""
    connection.until = until
    try:
        yield
    finally:
        connection.until = math.inf


def _run(work: Callable[[Connection], _Result], connection: Connection, until: float) -> _Result:
    try:
        with bounded(connection, until):
            return work(connection)
    except BaseException:
        abandon(connection)
        raise


def abandon(connection: Connection) -> None:
    """Undo what was begun. Where the server does not say that it did, the connection is closed, which says it."""
    status = connection.info.transaction_status
    if status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
        try:
            with bounded(connection, time.monotonic() + _ROLLBACK):
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()
    elif status != TransactionStatus.IDLE:
        connection.close()


def make_durable(connection: Connection, name: str) -> None:
    """Set what durability rests on and read it back. Raises ``AuditUnavailable``.

    A process that stops in the middle of a commit holds the others up for 10 s at most; then the server ends it.
    """
    read = "SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('server_encoding')"
    connection.execute("SET idle_in_transaction_session_timeout = '10s'")
    if connection.execute("SELECT current_setting('synchronous_commit')").fetchone() != ("remote_apply",):
        connection.execute("SET synchronous_commit = on")
    match connection.execute(read).fetchone():
        case ("on" | "remote_apply", "on", "UTF8"):
            return
        case (_, _, "UTF8"):
            raise AuditUnavailable(f"{name}: with fsync or synchronous_commit off nothing would be durable")
        case _:
            raise AuditUnavailable(f"{name}: the encoding of the database is not UTF8, and entries are")


_inherited: list[Connection] = []

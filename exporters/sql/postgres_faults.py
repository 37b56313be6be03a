"""What PostgreSQL says, translated once into our own errors. Its messages quote values, so none is passed on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from counterfoil.schemas import AuditUnavailable, DiskFull, StoreCorrupt, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator

_FAULTS: dict[str, tuple[type[StoreError], str]] = {
    "08": (AuditUnavailable, "the connection to the server was lost"),
    "22": (StoreCorrupt, "its tables or entries are not as they were made"),
    "23": (AuditUnavailable, "another program writes into the log's tables"),
    "25": (AuditUnavailable, "the database, or the transaction, is read-only"),
    "42": (StoreCorrupt, "its tables or entries are not as they were made"),
    "42501": (AuditUnavailable, "this user may not do that with the log's tables"),
    "53": (AuditUnavailable, "the server has no room for it"),
    "53100": (DiskFull, "the server's disk is full"),
    "53300": (AuditUnavailable, "the server takes no more connections"),
    "55": (AuditUnavailable, "it is in use by another process"),
    "55P03": (AuditUnavailable, "it was locked by another process until the deadline"),
    "57": (AuditUnavailable, "the server is starting, stopping, or ended the connection"),
    "XX": (StoreCorrupt, "the server finds the database damaged"),
}
"""By SQLSTATE, or by its class: the first two characters."""

_NO_CONNECTION = "the server cannot be reached, does not let this user into this database, or did not answer in time"
_ADVICE = "Try the same address with psql, which shows what the server answers."


def fault_of(error: psycopg.Error, name: str) -> StoreError:
    """Return our error for one of the driver's, about the log ``name``."""
    state = error.sqlstate
    if state is None:
        return AuditUnavailable(f"{name}: {_NO_CONNECTION}", advice=_ADVICE)
    kind, sentence = _FAULTS.get(state) or _FAULTS.get(state[:2]) or (AuditUnavailable, "the server refuses")
    return kind(f"{name}: {sentence} (SQLSTATE {state})")


@contextmanager
def translated(name: str) -> Generator[None]:
    """Raise our errors about the log ``name`` in place of the driver's."""
    try:
        yield
    except psycopg.Error as error:
        raise fault_of(error, name) from None

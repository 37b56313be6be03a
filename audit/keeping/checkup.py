"""A check-up of a log: what it rests on, wherever it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.schemas import StoreMissing

from ..address import address_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from counterfoil.exporters.sql.check import Check


def check_up(address: str | os.PathLike[str] | None = None) -> Iterator[Check]:
    """Yield what is found of the log at ``address``, one thing after the other. Nothing is changed.

    Raises ``ConfigurationError``, ``MissingExtra``, ``StoreMissing``, ``StoreForeign``, and ``AuditUnavailable`` if it
    cannot be read now.
    """
    from counterfoil.exporters.sql import checkup, path_of
    from counterfoil.exporters.sql.opening import postgres_database

    named = address_of(address)
    if database := postgres_database(named):
        from counterfoil.exporters.sql import postgres_checkup

        yield from postgres_checkup.check_up(database)
        return
    path = path_of(named)
    if not path.exists():
        raise StoreMissing(f"there is no log at {path}")
    yield from checkup.check_up(path)

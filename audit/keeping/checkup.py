"""A check-up of a log: what it rests on, wherever it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.schemas import ConfigurationError, StoreMissing

from ..address import address_of, file_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from counterfoil.exporters.sql.checkup import Check


def check_up(address: str | os.PathLike[str] | None = None) -> Iterator[Check]:
    """Yield what is found of the log at ``address``, one thing after the other. Nothing is changed.

    Raises ``ConfigurationError``, ``StoreMissing`` and ``StoreForeign``, and ``AuditUnavailable`` if it cannot be read.
    """
    from counterfoil.exporters.sql import checkup

    path = file_of(address_of(address))
    if path is None:
        raise ConfigurationError("PostgreSQL")
    if not path.exists():
        raise StoreMissing(f"there is no log at {path}")
    yield from checkup.check_up(path)

"""Which log is meant."""

from __future__ import annotations

import os

from counterfoil.schemas import ConfigurationError


def address_of(address: str | os.PathLike[str] | None) -> str:
    """Return the address that was given, or that of ``COUNTERFOIL_DB``. Raises ``ConfigurationError`` for neither."""
    found = os.fspath(address) if address is not None else os.environ.get("COUNTERFOIL_DB", "")
    if not found:
        raise ConfigurationError("no log is named", advice="Give an address, or set COUNTERFOIL_DB=audit.db.")
    return found

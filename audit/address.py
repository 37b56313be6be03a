"""Which log is meant."""

from __future__ import annotations

import os
from pathlib import Path

from counterfoil.schemas import ConfigurationError


def address_of(address: str | os.PathLike[str] | None) -> str:
    """Return the address that was given, or that of ``COUNTERFOIL_DB``. Raises ``ConfigurationError`` for neither."""
    found = os.fspath(address) if address is not None else os.environ.get("COUNTERFOIL_DB", "")
    if not found:
        raise ConfigurationError("no log is named", advice="Give an address, or set COUNTERFOIL_DB=audit.db.")
    return found


def file_of(address: str) -> Path | None:
    """Return the file of a log, None for one on a server. Raises ``ConfigurationError``."""
    from counterfoil.exporters.sql import path_of

    return None if address.startswith("postgresql") else path_of(address)

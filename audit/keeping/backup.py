"""A copy of a log, made while it is in use, and verified before it has its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from counterfoil.schemas import ConfigurationError, StoreCorrupt

from ..address import address_of, file_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Backup:
    """What was copied: the log up to one moment."""

    path: str
    """Where the copy is."""
    log_id: str
    """Which log, 32 hex digits. The copy is the same log: go on with one of the two only."""
    entries: int
    """How far the copy goes."""
    chain_hash: str
    """The head of the chain there, 64 hex digits."""
    bytes: int
    """How large the copy is."""


def back_up(
    address: str | os.PathLike[str] | None,
    to: str | os.PathLike[str],
    *,
    compact: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Backup:
    """Copy the log at ``address`` to the new file ``to``, while it is in use, and verify the copy.

    ``compact`` leaves out pages that are free. Raises ``ConfigurationError`` if ``to`` is there already or the log is
    not in a file, ``StoreCorrupt`` if the copy does not verify, and other ``StoreError``; then no copy is left.
    """
    from counterfoil.exporters.sql.copying import copy_log, new_file

    from ..reader import AuditReader

    path, target = _file(address_of(address)), Path(to)
    with new_file(target) as draft:
        copy_log(path, draft, compact=compact, on_progress=on_progress)
        with AuditReader.open(draft) as copy:
            found = copy.verify()
        if not found.consistent:
            raise StoreCorrupt(
                f"{path}: entry {found.first_bad_seq} of the copy does not hold: {found.problem}",
                advice="Run `counterfoil verify` on the log. The copy was thrown away; to keep the log as it is, copy "
                "all its files while nobody writes.",
            )
        size = draft.stat().st_size
    return Backup(str(target), found.log_id, found.entries, found.chain_hash, size)


def _file(address: str) -> Path:
    path = file_of(address)
    if path is None:
        raise ConfigurationError(
            "a log on PostgreSQL is copied by PostgreSQL",
            advice="Run pg_dump --format=custom --file=audit.dump DATABASE, and pg_restore to go on with the copy.",
        )
    return path

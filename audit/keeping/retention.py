"""Removing the bodies of old entries. Their hashes stay, so that the chain and every checkpoint still verify.

The rules, each with what it is for:

1. What is removed is the beginning of the log, up to the first entry that was recorded at the given time or later. What
   the log tells of itself stays.
2. A batch of bodies goes in one transaction with the entry that tells of it: at every instant, and after a crash, the
   log verifies.
3. That entry holds a signed note: how many bodies, and the RFC 9162 root over their leaf hashes. Otherwise anybody who
   can write the file could take bodies away, or exchange them with their hashes, under the name of retention.
4. Before a body is removed, it must be the one that was sealed, and its place in the chain must hold: nothing that was
   altered is signed away.
5. A destination that has not received an entry yet keeps it from being removed, unless that is forced.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import AuditUnavailable, ConfigurationError, LogChange, LogEvent, StoreCorrupt
from counterfoil.schemas.entry import chain_hash, leaf_hash
from counterfoil.schemas.values import rfc3339

from ..address import address_of
from ..integrity.merkle import root_of
from ..integrity.note import Checkpoint, pruned_origin_of
from .signed_for import require_signing_key

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from counterfoil.exporters.sql import LogReader
    from counterfoil.schemas import Entry

    from ..integrity.signing_key import SigningKey
    from ..log import AuditLog

_BATCH: Final = 500  # a writer of another process waits for one batch: some 30 ms
_PAUSE: Final = 0.005  # seconds, in which it gets its turn
_PURGES: Final = 20


@dataclass(frozen=True, slots=True)
class Retention:
    """What was removed, or would be."""

    count: int
    """How many bodies."""
    first: int
    """The first entry that has none any more, 0 if there is none such."""
    last: int
    """The last one."""
    lagging: dict[str, int]
    """Destinations that had not received all of them, with the last entry that each has."""
    removed: bool
    """Whether they were removed."""
    purged: bool
    """Whether nothing of them is left in the database's own files. While somebody reads, -wal may still hold some."""


def retain(  # noqa: PLR0913 -- one keyword a choice
    address: str | os.PathLike[str] | None = None,
    *,
    before: datetime,
    signing_key: SigningKey | None = None,
    dry_run: bool = False,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Retention:
    """Remove the bodies of entries that were recorded before a moment, while the log may be in use.

    ``signing_key`` signs for it, else that of the environment. ``dry_run`` only looks. ``force`` removes what some
    destination has not received. ``on_progress`` gets (done, of how many) bodies.

    Raises ``ConfigurationError`` for a time to come or a destination that lags, ``SigningKeyError`` without a key,
    ``StoreCorrupt`` for an entry that does not hold, and other ``StoreError``. What was removed before stays so.
    """
    from counterfoil.exporters.sql import open_reader

    if before > datetime.now(UTC):
        raise ConfigurationError("that time is still to come", advice="Give a time in the past.")
    named = address_of(address)
    reader = open_reader(named)
    try:
        found = _prunable(reader, before)
        if dry_run:
            return found
        if not found.count:
            return replace(found, purged=not reader.last_pruned()[0] or _purge(named))
        key = require_signing_key(signing_key)
        if found.lagging and not force:
            raise _lagging(found)
        return _remove(named, reader, found, key, before, on_progress)
    finally:
        reader.close()


def _prunable(reader: LogReader, before: datetime) -> Retention:
    count, first, last = reader.prunable(rfc3339(before))
    lagging = {name: seq for name, seq in reader.cursors().items() if count and seq < last}
    return Retention(count, first, last, lagging, removed=False, purged=False)


def _lagging(found: Retention) -> ConfigurationError:
    behind = "; ".join(f"{name} has entries up to {seq}" for name, seq in found.lagging.items())
    return ConfigurationError(
        f"bodies up to entry {found.last} would be removed before every destination has them: {behind}",
        advice="Export first. With --force they are removed all the same, and that destination never has them.",
    )


def _remove(  # noqa: PLR0913, PLR0917 -- all that was decided before
    address: str,
    reader: LogReader,
    found: Retention,
    key: SigningKey,
    before: datetime,
    on_progress: Callable[[int, int], None],
) -> Retention:
    from ..log import AuditLog

    done, (after, head) = 0, reader.last_pruned()
    reason = f"recorded before {rfc3339(before)}"
    with AuditLog.open(address, signing_key=key) as log:
        while done < found.count:
            batch = [each for each in reader.entries_after(after, _BATCH) if each.seq <= found.last]
            if reader.last_pruned()[0] > after:
                raise AuditUnavailable("somebody else prunes this log", advice="Run this again when that has ended.")
            _require_sealed(batch, reader, after, head)
            if pruned := [entry for entry in batch if _kind(entry) != "log"]:
                _prune(log, pruned, key, reader.log_id, reason)
                done += len(pruned)
                on_progress(done, found.count)
                time.sleep(_PAUSE)
            after, head = batch[-1].seq, batch[-1].chain_hash
    return replace(found, removed=True, purged=_purge(address))


def _purge(address: str) -> bool:
    """Take what was removed, now or before, out of the database's own files, if readers let it be done."""
    from counterfoil.exporters.sql import open_writer

    with closing(open_writer(address, deadline=2.0, fingerprint_key_id="")) as writer:
        for _ in range(_PURGES):
            if writer.purge():
                return True
            time.sleep(0.1)
    return False


def _prune(log: AuditLog, pruned: list[Entry], key: SigningKey, log_id: str, reason: str) -> None:
    root = root_of([entry.leaf_hash for entry in pruned])
    note = Checkpoint(pruned_origin_of(log_id), len(pruned), root).signed(key)
    first, last, count = pruned[0].seq, pruned[-1].seq, len(pruned)
    told: dict[str, Any] = {"log_id": log_id, "count": count, "first": first, "last": last, "reason": reason}
    event = LogEvent(change=LogChange.PRUNED, note=str(note), verification_key=str(key.verifier_key), **told)
    log.remove(event, lambda writer, pending: writer.prune(pending, first, last, count))


def _require_sealed(batch: list[Entry], reader: LogReader, after: int, head: bytes) -> None:
    """Raise ``StoreCorrupt`` unless each is what was sealed at its place, and follows from the one before.

    Of those between them that were erased the hashes have to follow.
    """
    log_id, number = bytes.fromhex(reader.log_id), after
    last = batch[-1].seq if batch else after
    erased = {each.seq: each for each in reader.erased(after + 1, last)}
    for entry in batch:
        number += 1
        while number in erased:
            head = chain_hash(log_id, number, head, erased[number].leaf_hash)
            number += 1
        leaf = leaf_hash(entry.body.encode("utf-8", "surrogatepass"))
        head = chain_hash(log_id, number, head, leaf)
        if (entry.seq, entry.leaf_hash, entry.chain_hash) != (number, leaf, head):
            raise StoreCorrupt(
                f"entry {number} does not hold: from there on nothing was removed",
                advice="Run `counterfoil verify`, and keep the log as evidence.",
            )
    if not batch:
        raise StoreCorrupt(f"entry {after + 1} is missing: from there on nothing was removed")


def _kind(entry: Entry) -> str:
    body = json.loads(entry.body)
    return str(body.get("kind"))

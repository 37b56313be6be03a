"""Removing the bodies of single entries: for a secret that slipped in. Their hashes stay, and a key signs for it.

The rules, each with what it is for:

1. The body goes with its salt. Of 128 random bits that nobody has any more the hash tells nothing.
2. Some bodies go in one transaction with the entry that tells of it: which, what they hashed to, and why. At every
   instant, and after a crash, the log verifies; whoever runs it again completes it.
3. That entry holds a signed note over the chain hashes: it is about these entries, at these places, in this log.
4. Before a body is removed, it must be the one that was sealed, and its place in the chain must hold: nothing that was
   altered is signed away.
5. What verification rests on stays: the first entry, and those that hold a key or a signed note.
6. Then the database is written anew, without what was removed, and what was beside it emptied. What is out of reach is
   named: destinations that have entries already.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas import ConfigurationError, ErasedEntry, LogChange, LogEvent, StoreCorrupt
from counterfoil.schemas.entry import GENESIS, chain_hash, leaf_hash

from ..address import address_of, file_of
from ..integrity.merkle import root_of
from ..integrity.note import Checkpoint, erased_origin_of
from .signed_for import require_signing_key
from .sought import Sought

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from counterfoil.exporters.sql import LogReader
    from counterfoil.schemas import Entry

    from ..integrity.signing_key import SigningKey
    from ..log import AuditLog

_BATCH: Final = 200
_PAGE: Final = 500
_PURGES: Final = 20
_TELLING: Final = 16  # characters of a word that stands in a reason and in a body: fewer are no secret by themselves
_PRODUCER: Final = re.compile("[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, or would be."""

    seqs: tuple[int, ...]
    """Which entries."""
    already: tuple[int, ...]
    """Which of those that were asked for had been erased before."""
    kept: tuple[int, ...]
    """Which hold the secret and cannot be erased, because verification rests on them."""
    exported: dict[str, int]
    """Destinations that have some of them already, with the last entry that each has."""
    told_in: tuple[int, ...]
    """The entries that tell of it."""
    left: tuple[str, ...]
    """Where something of them may still stand in the database's own files, in words."""
    erased: bool
    """Whether they were erased."""


def erase(  # noqa: PLR0913 -- one keyword a choice
    address: str | os.PathLike[str] | None = None,
    *,
    seqs: Iterable[int] = (),
    secret: bytes | None = None,
    reason: str = "",
    signing_key: SigningKey | None = None,
    dry_run: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Erasure:
    """Erase the bodies of the entries ``seqs``, and of those that hold ``secret`` in some form.

    ``reason`` is told, redacted, in the log. ``signing_key`` signs for it, else that of the environment. ``dry_run``
    only looks. ``on_progress`` gets (done, of how many) entries that were searched.

    Erasing them again completes what was begun. Raises ``ConfigurationError`` for an entry that is not there or cannot
    be erased, and for a reason that says what is to be erased; ``SigningKeyError`` without a key; ``StoreCorrupt`` for
    an entry that does not hold; other ``StoreError``.
    """
    from counterfoil.exporters.sql import open_reader

    named = address_of(address)
    sought = None if secret is None else Sought(secret)
    with closing(open_reader(named)) as reader:
        found = _named(reader, set(seqs))
        if sought is not None:
            found = _with_finds(found, reader, sought, on_progress)
        found = replace(found, exported=_exported(reader, found))
        if dry_run:
            return found
        told_in: list[int] = []
        if found.seqs:
            _require_reason(reason, (_require(reader, seq) for seq in found.seqs), sought)
            told_in = _erase(named, reader, found.seqs, require_signing_key(signing_key), reason)
        left = _rewrite(named) if reader.erased_count() else []
    return replace(found, told_in=tuple(told_in), left=tuple(left), erased=True)


def _named(reader: LogReader, seqs: set[int]) -> Erasure:
    """Return which of the entries that were named are to be erased."""
    erased = {seq for seq in seqs if any(reader.erased(seq, seq))}
    for seq in sorted(seqs - erased):
        _require_erasable(reader, seq)
    return Erasure(tuple(sorted(seqs - erased)), tuple(sorted(erased)), (), {}, (), (), erased=False)


def _require_erasable(reader: LogReader, seq: int) -> None:
    entry = reader.entry(seq)
    if entry is None:
        pruned = reader.is_pruned(seq)
        raise ConfigurationError(
            f"entry {seq} was pruned: it has no body any more" if pruned else f"there is no entry {seq}"
        )
    if not _is_erasable(entry):
        raise ConfigurationError(
            f"entry {seq} cannot be erased: verification rests on it",
            advice="It begins the log, or holds a key or a signed note. Keep such a log from whoever must not read it, "
            "and begin another.",
        )


def _is_erasable(entry: Entry) -> bool:
    event = _members(entry)
    needed = {"note", "verification_key", "erased"} & event.keys() or event.get("change") == LogChange.CREATED
    return entry.seq > 1 and not (event.get("kind") == "log" and needed)


def _with_finds(found: Erasure, reader: LogReader, sought: Sought, on_progress: Callable[[int, int], None]) -> Erasure:
    seqs, kept = set(found.seqs), set[int]()
    head = reader.head()
    for entry in _entries(reader, head):
        if sought.stands_in(entry.body):
            (seqs if _is_erasable(entry) else kept).add(entry.seq)
        if not entry.seq % _PAGE:
            on_progress(entry.seq, head)
    return replace(found, seqs=tuple(sorted(seqs)), kept=tuple(sorted(kept)))


def _entries(reader: LogReader, head: int) -> Iterator[Entry]:
    after = 0
    while after < head and (page := reader.entries_after(after, _PAGE)):
        yield from page
        after = page[-1].seq


def _exported(reader: LogReader, found: Erasure) -> dict[str, int]:
    first = min([*found.seqs, *found.already], default=0)
    return {name: seq for name, seq in reader.cursors().items() if first and seq >= first}


def _require(reader: LogReader, seq: int) -> Entry:
    """Return an entry that is what was sealed at its place. Raises ``StoreCorrupt``."""
    entry, before = reader.entry(seq), reader.chain_hash(seq - 1) if seq > 1 else GENESIS
    if entry is not None and before is not None:
        leaf = leaf_hash(entry.body.encode("utf-8", "surrogatepass"))
        head = chain_hash(bytes.fromhex(reader.log_id), seq, before, leaf)
        if (entry.leaf_hash, entry.chain_hash) == (leaf, head):
            return entry
    raise StoreCorrupt(
        f"entry {seq} does not hold: it was not erased",
        advice="Run `counterfoil verify`, and keep the log as evidence.",
    )


def _require_reason(reason: str, entries: Iterable[Entry], sought: Sought | None) -> None:
    """Require a reason, and that it does not say what is to be erased: it stays. Each entry is looked at once."""
    if not reason.strip():
        raise ConfigurationError("an erasure has a reason", advice="Give it with --reason: what slipped in, and how.")
    words = [word for each in reason.split() if len(word := each.strip(".,;:!?()[]'\"")) >= _TELLING]
    repeated = [entry.seq for entry in entries if any(word in entry.body for word in words)]
    if repeated or (sought is not None and sought.stands_in(reason)):
        raise ConfigurationError(
            "the reason repeats something of what is to be erased, and it stays in the log",
            advice="Say what it was, such as an API key of the mail service, without a word of it.",
        )


def _erase(address: str, reader: LogReader, seqs: tuple[int, ...], key: SigningKey, reason: str) -> list[int]:
    from ..log import AuditLog

    told_in: list[int] = []
    with AuditLog.open(address, signing_key=key) as log:
        for at in range(0, len(seqs), _BATCH):
            batch = [_require(reader, seq) for seq in seqs[at : at + _BATCH]]
            told_in.append(_erase_batch(log, batch, key, reader.log_id, reason))
    return told_in


def _erase_batch(log: AuditLog, batch: list[Entry], key: SigningKey, log_id: str, reason: str) -> int:
    from counterfoil.exporters.sql.store import Place

    root = root_of([entry.chain_hash for entry in batch])
    note = Checkpoint(erased_origin_of(log_id), len(batch), root).signed(key)
    event = LogEvent(
        change=LogChange.ERASED,
        log_id=log_id,
        count=len(batch),
        first=batch[0].seq,
        last=batch[-1].seq,
        erased=tuple(map(_told, batch)),
        note=str(note),
        verification_key=str(key.verifier_key),
        reason=reason,
    )
    places = [Place(entry.seq, entry.chain_hash) for entry in batch]
    return log.remove(event, lambda writer, pending: writer.erase(pending, places)).seq


def _told(entry: Entry) -> ErasedEntry:
    """Return what stays known of an entry: nothing that a caller gave."""
    event = _members(entry)
    context = event.get("context")
    producer = cast("dict[str, Any]", context).get("producer") if isinstance(context, dict) else None
    told: dict[str, Any] = {"seq": entry.seq, "leaf_hash": entry.leaf_hash.hex()}
    match producer:
        case {"id": str() as name, "seq": int() as number} if _PRODUCER.fullmatch(name):
            told |= {"producer": name, "numbers": (*_numbers(cast("dict[str, Any]", producer).get("raised")), number)}
        case _:
            pass
    if event.get("kind") == "log" and event.get("change") in set(LogChange):
        told["change"] = LogChange(event["change"])
    return ErasedEntry(**told)


def _numbers(raised: object) -> Iterator[int]:
    yield from (each for each in cast("list[object]", raised if isinstance(raised, list) else []) if type(each) is int)


def _members(entry: Entry) -> dict[str, Any]:
    try:
        event = json.loads(entry.body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", event) if isinstance(event, dict) else {}


def _rewrite(address: str) -> list[str]:
    """Write the database anew without what was removed, now or before. Return where some of it may still stand."""
    from counterfoil.exporters.sql import open_writer

    with closing(open_writer(address, deadline=2.0, fingerprint_key_id="")) as writer:
        left = writer.rewrite()
        if file_of(address) is None:
            return left
        for _ in range(_PURGES if left else 0):  # a reader that looks for a moment only
            time.sleep(0.1)
            if writer.purge():
                return []
        return left

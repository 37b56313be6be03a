"""Reading a log: a smaller interface than writing, opened read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .address import address_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from types import TracebackType

    from counterfoil.exporters.filter import Filter
    from counterfoil.exporters.sql import LogReader
    from counterfoil.schemas import Entry

    from .integrity.commitment import Commitment
    from .integrity.verdict import Verification
    from .review.incident import Incident


class AuditReader:
    """An open log, for reading only."""

    def __init__(self, store: LogReader) -> None:
        """Use ``AuditReader.open``."""
        self._store = store

    @classmethod
    def open(cls, address: str | os.PathLike[str] | None = None, *, immutable: bool = False) -> Self:
        """Open the log at ``address``, else at ``COUNTERFOIL_DB``. Raises ``StoreError`` and ``ConfigurationError``.

        ``immutable`` is for a copy in a read-only folder; on a live log it would miss the newest entries.
        """
        from counterfoil.exporters.sql import open_reader

        return cls(open_reader(address_of(address), immutable=immutable))

    @property
    def log_id(self) -> str:
        """Which log, 32 hex digits."""
        return self._store.log_id

    @property
    def fingerprint_key_id(self) -> str:
        """Under which key the log's fingerprints are made."""
        return self._store.fingerprint_key_id

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        return self._store.head()

    def entry(self, seq: int) -> Entry | None:
        """Return one entry, or None."""
        return self._store.entry(seq)

    def pruned_to(self) -> int:
        """Return the last entry whose body was removed, 0 if none was: see ``keeping.retention``."""
        return self._store.last_pruned()[0]

    def is_pruned(self, seq: int) -> bool:
        """Whether the body of this entry was removed: see ``keeping.retention``."""
        return self._store.is_pruned(seq)

    def erased_by(self, seq: int) -> int | None:
        """Return the entry that tells why the body of this one was erased, None if it was not: ``keeping.erasure``."""
        return next((each.erased_by for each in self._store.erased(seq, seq)), None)

    def erased_count(self) -> int:
        """Return how many entries were erased: see ``keeping.erasure``."""
        return self._store.erased_count()

    def find(self, wanted: Filter, *, limit: int | None = None) -> Iterator[Entry]:
        """Yield the entries that match ``wanted``, in the order in which they were recorded."""
        return self._store.find(wanted, limit=limit)

    def incident(self, subject: str, *, since: datetime | None = None, until: datetime | None = None) -> Incident:
        """Gather what is known about a credential or key (its fingerprint or thumbprint), an approval, trace or task.

        The id of an event stands for the credential, key or approval that it names. ``since`` and ``until`` (not
        included) bound the time. Raises ``InvalidEvent`` for what the log does not know.
        """
        from .review.incident import gather_incident

        return gather_incident(self._store, subject, since=since, until=until)

    def verify(
        self,
        *,
        keys: Iterable[str | os.PathLike[str]] = (),
        witnesses: Iterable[str | os.PathLike[str]] = (),
        log_id: str | None = None,
        deep: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> Verification:
        """Check the whole log, streaming, and say what is proven: consistent, signed, witnessed, complete.

        ``keys`` are verifier keys (C2SP vkeys) or files of them, ``witnesses`` files of checkpoints, receipts, exported
        lines or spans; ``log_id`` says which log this must be. ``deep`` has the database examined, too. A verdict that
        failed is returned, not raised. Raises ``ConfigurationError`` for a key or witness that cannot be used.
        """
        from .integrity.anchors import is_running, read_keys, read_witnesses
        from .integrity.verify import verify_pages

        return verify_pages(
            self._store.stored_pages(),
            self.log_id,
            expected_log_id=log_id,
            checkpoints=self._store.checkpoints(),
            keys=read_keys(keys),
            witnesses=read_witnesses(witnesses, self.log_id),
            pruned_leaves=self._store.pruned_leaves,
            erased_rows=self._store.erased,
            is_running=is_running,
            deep=self._store.irregularities() if deep else None,
            on_progress=on_progress,
        )

    def commitment(
        self, *, earlier: Iterable[int] = (), on_progress: Callable[[int], None] = lambda _done: None
    ) -> Commitment:
        """Read the whole log, and return its checkpoint as it stands, unsigned, and its roots at ``earlier`` sizes.

        Raises ``WitnessRefused`` if entries are missing, or are not those of the checkpoints that the log itself keeps.
        """
        from .integrity.commitment import commit, readable

        kept = list(readable(self._store.checkpoints()))
        sizes = [*earlier, *(each.size for each in kept)]
        found = commit(self._store.stored(), self.log_id, earlier=sizes, on_progress=on_progress)
        for each in kept:
            found.require(each, f"the log's own checkpoint of {each.size:,} entries")
        return found

    def close(self) -> None:
        """Close."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

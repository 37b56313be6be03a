"""Reading a log: every question, page by page, so that a slow reader holds nothing up. It can change nothing."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Final

from counterfoil.schemas import Entry, LogEvent
from counterfoil.schemas.entry import GENESIS

from ..reach import Erased, Holder, Numbered
from .statements import (
    count_erased,
    select_about_others,
    select_checkpoints,
    select_cursors,
    select_entries,
    select_erased,
    select_first_recorded_since,
    select_head,
    select_holders,
    select_last_checkpoint,
    select_last_pruned,
    select_numbered,
    select_pruned,
    select_pruned_leaves,
    select_stored,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counterfoil.schemas import ErasedEntry

    from ..filter import Filter
    from .statements import Statement

_PAGE: Final = 500
_ROWS: Final = 500  # as many as verification looks at together: they stay in the processor's cache


class LogReader(ABC):
    """The reading end of one log. Threads may share it; they take turns. A database says how it runs a statement."""

    dialect: ClassVar[Any]
    """The statements' dialect."""
    log_id: str
    """Which log, 32 hex digits."""
    fingerprint_key_id: str
    """Under which key the log's fingerprints are made."""

    @property
    @abstractmethod
    def schema_version(self) -> int:
        """The version of the log's tables, as it stands."""

    @abstractmethod
    def irregularities(self) -> list[str]:
        """Return what is wrong with the database itself, in words, whatever the chain says of its entries."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def _rows(self, statement: Statement, given: dict[str, Any]) -> list[Any]:
        """Run a statement. None of the rows has what the database cannot store. Raises ``StoreError``."""

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        return int(self._rows(select_head(self.dialect), {})[0][0])

    def entry(self, seq: int) -> Entry | None:
        """Return one entry, or None."""
        found = self.entries_after(seq - 1, 1)
        return found[0] if found and found[0].seq == seq else None

    def by_event_id(self, event_id: str) -> Entry | None:
        """Return the entry of an event, or None."""
        found = self._entries({"event_id": event_id}, 0, 1)
        return found[0] if found else None

    def entries_after(self, seq: int, limit: int) -> list[Entry]:
        """Return up to ``limit`` entries that follow ``seq``, in order."""
        return self._entries({}, seq, limit)

    def find(self, wanted: Filter, *, limit: int | None = None) -> Iterator[Entry]:
        """Yield the entries that match, in order. Short transactions, so that a slow reader pins no WAL."""
        given = {name: value for name, value in asdict(wanted).items() if value is not None and value is not False}
        if "checks" in given:
            checks = [{"id": check, "outcome": outcome} for check, outcome in given["checks"].items()]
            given["checks"] = json.dumps(checks, ensure_ascii=False)
        last = 0
        while limit is None or limit > 0:
            size = _PAGE if limit is None else min(_PAGE, limit)
            page = self._entries(given, last, size)
            yield from page
            if len(page) < size:
                return
            last = page[-1].seq
            limit = None if limit is None else limit - size

    def stored(self) -> Iterator[tuple[int, bytes | None, bytes, bytes]]:
        """Yield ``(seq, body, leaf_hash, chain_hash)`` of every row as it stands, to the byte, for verification.

        Of a pruned entry there is no body, of an erased one an empty body.
        """
        for page in self.stored_pages():
            yield from page

    def stored_pages(self) -> Iterator[list[tuple[int, bytes | None, bytes, bytes]]]:
        """Yield what ``stored`` yields, in lists of some hundred."""
        start = -(2**63)  # a row may have been put in anywhere
        while True:
            statement = select_stored(self.dialect, self.schema_version)
            page = self._rows(statement, {"start": start, "size": _ROWS})
            yield page
            if len(page) < _ROWS:
                return
            start = page[-1][0] + 1

    def last_pruned(self) -> tuple[int, bytes]:
        """Return ``(seq, chain_hash)`` of the last entry whose body was removed, those before the first if none was."""
        found = self._rows(select_last_pruned(self.dialect), {}) if self.schema_version > 1 else []
        return (found[0][0], found[0][1]) if found else (0, GENESIS)

    def is_pruned(self, seq: int) -> bool:
        """Whether the body of this entry was removed."""
        return self.schema_version > 1 and bool(self._rows(select_pruned(self.dialect), {"seq": seq}))

    def erased_count(self) -> int:
        """Return how many entries were erased."""
        return int(self._rows(count_erased(self.dialect), {})[0][0]) if self.schema_version > 2 else 0

    def erased(self, first: int, last: int) -> Iterator[Erased]:
        """Yield what stayed of the erased entries from one number to another, in order."""
        while self.schema_version > 2 and (
            page := self._rows(select_erased(self.dialect), {"first": first, "last": last, "size": _ROWS})
        ):
            yield from (Erased(*row) for row in page)
            first = page[-1][0] + 1

    def chain_hash(self, seq: int) -> bytes | None:
        """Return the chain hash of an entry, whether its body is there or not; None if there is no such entry."""
        page = self._rows(select_stored(self.dialect, self.schema_version), {"start": seq, "size": 1})
        return page[0][3] if page and page[0][0] == seq else None

    def prunable(self, since: str) -> tuple[int, int, int]:
        """Return how many bodies can be removed, and the first and last of their entries.

        They are those before the first entry that was recorded at ``since`` (as the log writes times) or later, without
        what the log tells of itself.
        """
        after, _ = self.last_pruned()
        young = self._rows(select_first_recorded_since(self.dialect), {"since": since, "after": after})
        between = {"first": after + 1, "last": young[0][0] - 1 if young else self.head()}
        count, first, last = self._rows(select_about_others(self.dialect), between)[0]
        return count, first or 0, last or 0

    def cursors(self) -> dict[str, int]:
        """Return how far each export destination has come, by its name."""
        return dict(self._rows(select_cursors(self.dialect), {}))

    def checkpoints(self) -> Iterator[tuple[int, str | bytes]]:
        """Yield ``(size, note)`` of every checkpoint that is there when the first is asked for, in order of size."""
        start, last = -(2**63), self._rows(select_last_checkpoint(self.dialect), {})[0][0]
        while page := self._rows(select_checkpoints(self.dialect), {"start": start, "last": last, "size": _ROWS}):
            yield from page
            start = page[-1][0] + 1

    def pruned_leaves(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield ``(seq, leaf_hash)`` of every pruned entry from one number to another, in order."""
        while page := self._rows(select_pruned_leaves(self.dialect), {"first": first, "last": last, "size": _ROWS}):
            yield from page
            first = page[-1][0] + 1

    def holders(self, *, token: str | None = None, key: str | None = None) -> list[Holder]:
        """Return who used a credential, or else a key, by what agents recorded; in the order of their first use."""
        column, value = ("token_fingerprint", token) if token else ("key_thumbprint", key)
        return [Holder(*row) for row in self._rows(select_holders(self.dialect, column), {"value": value})]

    def numbered(self, producer: str, first: int, last: int) -> list[Numbered]:
        """Return how a producer counted its entries from ``first`` to ``last``, in order, those erased among them.

        None is from before the last pruned entry: there, numbers are missing that nobody can read any more.
        """
        first = max(first, self.last_pruned()[0] + 1)
        rows = self._rows(select_numbered(self.dialect), {"producer": producer, "first": first, "last": last})
        found = [Numbered(seq, number, tuple(json.loads(raised)), change) for seq, number, raised, change in rows]
        erased = [each for each in self._erased_entries(first, last) if each.producer == producer and each.numbers]
        found += [Numbered(each.seq, each.numbers[-1], each.numbers[:-1], each.change) for each in erased]
        return sorted(found, key=lambda each: each.seq) if erased else found

    def _erased_entries(self, first: int, last: int) -> Iterator[ErasedEntry]:
        """Yield what the log tells of the erased entries from ``first`` to ``last``."""
        for seq in {each.erased_by for each in self.erased(first, last)}:
            if (telling := self.entry(seq)) and isinstance(event := telling.event, LogEvent):
                yield from (each for each in event.erased if first <= each.seq <= last)

    def _entries(self, wanted: dict[str, Any], after: int, size: int) -> list[Entry]:
        statement = select_entries(self.dialect, *wanted)
        return [Entry(*row) for row in self._rows(statement, {**wanted, "after": after, "size": size})]

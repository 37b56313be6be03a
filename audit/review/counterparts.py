"""The other side of some entries: stubs that do not carry the name by which these were found.

A task, an approval, often a trace is known to the agent's side only. What the resource server saw of it is found by
credential and time, and by proof at any time; what belongs to others is left out again once everything is paired.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_core import from_json

from counterfoil.exporters.filter import Filter
from counterfoil.schemas import CredentialUse
from counterfoil.schemas.values import rfc3339

from .pairing import SLACK, Sighting, paired

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from counterfoil.schemas import Entry


class Finder(Protocol):
    """What stubs are found in."""

    def find(self, wanted: Filter, *, limit: int | None = None) -> Iterator[Entry]:
        """Yield the entries that match."""
        ...


def with_counterparts(store: Finder, entries: Iterable[Entry]) -> tuple[Sighting, ...]:
    """Pair entries with the other side's stubs. Returns these, their counterparts, and replays of their proofs."""
    own = {entry.seq: entry for entry in entries}
    uses = [event for entry in own.values() if isinstance(event := entry.event, CredentialUse)]
    proofs = {use.proof.proof_id for use in uses if use.proof.proof_id}
    around = dict(own)
    for entry in chain(_at_the_time(store, uses), *(store.find(Filter(proof_id=proof)) for proof in sorted(proofs))):
        around.setdefault(entry.seq, entry)
    return tuple(
        each
        for each in paired(around[seq] for seq in sorted(around))
        if each.entry.seq in own
        or each.counterpart in own
        or (each.repeats and each.use and each.use.proof.proof_id in proofs)
    )


def _at_the_time(store: Finder, uses: list[CredentialUse]) -> Iterator[Entry]:
    """Yield what was done with the same credentials while these uses lasted."""
    spans = _Spans([span for use in uses if (span := _span(use))])
    if spans.merged:
        since, until = spans.merged[0][0], spans.merged[-1][1]
        for fingerprint in sorted({use.token.fingerprint for use in uses if use.token.fingerprint}):
            found = store.find(Filter(token_fingerprint=fingerprint, since=since, until=until))
            yield from (entry for entry in found if spans.meet(entry))


def _span(use: CredentialUse) -> tuple[datetime, datetime] | None:
    moment = use.context.occurred_at or use.context.recorded_at
    return (use.action.started_at or moment, use.action.ended_at or moment) if moment else None


@dataclass(init=False)
class _Spans:
    """Times, as the log writes them, in which to look. A busy credential is used at many others."""

    merged: list[tuple[str, str]]

    def __init__(self, spans: list[tuple[datetime, datetime]]) -> None:
        self.merged = []
        for begin, end in sorted((rfc3339(begin - 2 * SLACK), rfc3339(end + 2 * SLACK)) for begin, end in spans):
            if self.merged and begin <= self.merged[-1][1]:
                self.merged[-1] = self.merged[-1][0], max(end, self.merged[-1][1])
            else:
                self.merged.append((begin, end))

    def meet(self, entry: Entry) -> bool:
        """Whether a use lasted into one of the times. Read from the body as JSON, since most entries are not wanted."""
        try:
            body: dict[str, Any] = from_json(entry.body)
            context, action = body.get("context", {}), body.get("action", {})
            moment = context.get("occurred_at") or context.get("recorded_at") or ""
            begin, end = action.get("started_at") or moment, action.get("ended_at") or moment
            before = bisect_right(self.merged, end, key=lambda span: span[0])
            return before > 0 and bool(self.merged[before - 1][1] >= begin)
        except (ValueError, TypeError, AttributeError):
            return True  # a damaged body: whoever reads its event says so

"""Moving entries from a log to a destination: from the cursor on, in order, at least once, none left out.

The rules, each of which a reviewer can check against the code below:

1. The cursor moves only when the exporter returned, so a crash repeats entries and never skips one. While a batch goes
   in parts it moves once a second: each move is a commit, for which a writer may have to wait.
2. A batch that fails is tried ``TRIES`` times. Then its first entry goes alone, and the rest in halves, until the part
   that does not pass is one entry.
3. Such an entry is refused, and not just unlucky, if its stub passes, the entry fails its remaining tries, and its
   stub passes again. Then the stub stands for it, and ``Forwarded.stubbed`` names it.
4. If a stub does not pass, the destination is down: ``ExportFailed``, and the cursor stays.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import ExportFailed, StoreCorrupt

from .diagnostics import diagnostics
from .stub import stub_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from counterfoil.schemas import Entry

    from .protocol import Exporter, Source

TRIES: Final = 3
"""How often a batch, or an entry that fails alone, is sent before it counts as refused."""

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
_KEEP_EVERY: Final = 1.0
_BREATH: Final = 0.01
"""Seconds after a refusal, so that taking a batch apart leaves the machine to those who record."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What was delivered."""

    sent: int
    """How many entries arrived whole."""
    stubbed: tuple[int, ...]
    """Sequence numbers of entries that the destination refused, and of which it has the stub only."""
    cursor: int
    """The last sequence number that the destination has."""
    pruned: int = 0
    """How many entries it will never have, because their bodies were pruned or erased before they were sent."""


def forward(
    source: Source,
    exporter: Exporter,
    *,
    batch: int = 512,
    on_progress: Callable[[int, int], None] | None = None,
) -> Forwarded:
    """Send what follows the cursor, up to the last entry there is now. ``on_progress`` gets (done, of how many).

    Raises ``ExportFailed`` when the destination is down; the cursor then counts what had arrived before. Raises
    ``StoreCorrupt`` when the destination has more entries than the log: its end is missing.
    """
    delivery = _Delivery(source, exporter, batch, pause=time.sleep)
    delivery.catch_up(on_progress)
    return delivery.result()


def follow(  # noqa: PLR0913 -- the last three are told apart by keyword
    source: Source,
    exporter: Exporter,
    stop: threading.Event,
    *,
    batch: int = 512,
    poll: float = 0.5,
    on_outage: Callable[[ExportFailed], None] | None = None,
) -> Forwarded:
    """Send entries as they come, until ``stop`` is set. ``poll`` is the pause between looks at the log, in seconds.

    An outage is waited out with growing pauses of up to 30 s; ``on_outage`` hears of each failure.
    """

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise _Stopped

    delivery, outages = _Delivery(source, exporter, batch, pause), 0
    try:
        while True:
            try:
                delivery.catch_up()
            except ExportFailed as failure:
                outages += 1
                if on_outage:
                    on_outage(failure)
                pause(_back_off(outages + 2))
            else:
                outages = 0
                pause(poll)
    except _Stopped:
        return delivery.result()


class _Stopped(Exception):
    """``stop`` was set while nothing was under way."""


@dataclass(slots=True)
class _Delivery:
    """From where to where, how a pause is made, and how far it has come."""

    source: Source
    exporter: Exporter
    batch: int
    pause: Callable[[float], None]
    sent: int = 0
    stubbed: list[int] = field(default_factory=list[int])
    cursor: int = 0
    kept: int = 0
    kept_at: float = 0.0
    pruned: int = 0

    def catch_up(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Send everything from the cursor up to the head as it is now."""
        start = self.cursor = self.kept = self.source.cursor(self.exporter.name)
        head = self.source.head()
        if head < start:
            raise StoreCorrupt(f"the log ends at entry {head}, but {self.exporter.name} already has entry {start}")
        while self.cursor < head:
            self.pause(0)  # between batches, too, a follower can be stopped
            entries = self.source.entries_after(self.cursor, min(self.batch, head - self.cursor))
            pruned = entries[-1].seq - self.cursor - len(entries)
            try:
                self._deliver(entries, TRIES)
            finally:  # what arrived before a failure counts
                self._keep()
            self.pruned += pruned
            if on_progress:
                on_progress(self.cursor - start, head - start)

    def result(self) -> Forwarded:
        """Return what was delivered so far."""
        return Forwarded(self.sent, tuple(self.stubbed), self.cursor, self.pruned)

    def _deliver(self, entries: Sequence[Entry], tries: int) -> None:
        """Send ``entries``; where they fail together, send them in parts."""
        try:
            self._attempt(entries, tries)
        except ExportFailed as failure:
            if len(entries) == 1:
                self._deliver_suspect(entries[0], failure)
                return
            self.pause(_BREATH)
            # The first one alone soon tells a destination that is down from one that refuses something.
            part = 1 if tries > 1 else len(entries) // 2
            self._deliver(entries[:part], 1)
            self._deliver(entries[part:], 1)
        else:
            self.sent += len(entries)
            self._arrived(entries[-1].seq)

    def _deliver_suspect(self, entry: Entry, failure: ExportFailed) -> None:
        """Find out whether the destination is down, which raises, or refuses this one entry."""
        stub = stub_of(entry)
        self.exporter.export([stub])
        try:
            self._attempt([entry], TRIES - 1)
            self.sent += 1
        except ExportFailed:
            self.exporter.export([stub])
            self.stubbed.append(entry.seq)
            diagnostics().warning(
                "the destination refuses an entry; it has its stub",
                seq=entry.seq,
                destination=self.exporter.name,
                reason=str(failure),
            )
        self._arrived(entry.seq)

    def _attempt(self, entries: Sequence[Entry], tries: int) -> None:
        for failures in range(1, tries + 1):
            try:
                self.exporter.export(entries)
            except ExportFailed as failure:
                diagnostics().info("an export failed", destination=self.exporter.name, reason=str(failure))
                if failures == tries:
                    raise
                self.pause(_back_off(failures))
            else:
                return

    def _arrived(self, seq: int) -> None:
        self.cursor = seq
        if time.monotonic() - self.kept_at > _KEEP_EVERY:
            self._keep()

    def _keep(self) -> None:
        if self.cursor > self.kept:
            self.source.move_cursor(self.exporter.name, self.cursor)
            self.kept, self.kept_at = self.cursor, time.monotonic()


def _back_off(failures: int) -> float:
    """Return the pause after so many failures, in seconds: doubling, up to 30."""
    return min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE)

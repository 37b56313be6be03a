"""Calls that went on without an entry, where the log was told to let them: ``when_unavailable="continue"``.

The rules, each with what it stops:

1. Such a call returns a receipt that says so, and is counted: a loss never looks like a success.
2. stderr says so at once, once a minute while it lasts, and when it is over: whoever runs this hears of it.
3. The number of the call stands in no entry. A gap entry tells of it when the store is back: first and last number, how
   many, and why.
4. While the store is known to be away a call waits a tenth of the deadline: an outage does not stop what goes on.
5. An entry of which nobody knows whether it was written is given to the store again: it is in the log once, or told.
6. What the caller gave wrong, and a log that was closed, raise as ever.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeGuard

from counterfoil.exporters.diagnostics import diagnostics, say
from counterfoil.schemas import AuditTimeout, ConfigurationError, CounterfoilError, LogClosed, StoreError

from .log_life import Loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterfoil.exporters.pending import Pending

WhenUnavailable: TypeAlias = Literal["raise", "continue"]
"""What a call does when the store cannot take its entry: raise, so that nothing happens, or go on without it."""

_EVERY: Final = 60.0  # seconds between two sentences on stderr
_BRIEFLY: Final = 0.1  # of the deadline: how long a call waits for a store that is known to be away
_UNSURE: Final = 64  # entries of unknown outcome that are kept; what is more counts as lost


@dataclass(frozen=True, slots=True)
class Health:
    """How a log does in this process."""

    lost: int
    """Calls that went on without an entry, since the log was opened."""
    untold: int
    """How many of them no entry tells of yet."""
    waiting: int
    """Entries that were accepted and are not written yet; with queued delivery only."""
    fault: str | None
    """Why the store takes nothing, as far as is known: the code of the error that it gave last."""


class Unrecorded:
    """What one log counts and tells. Safe from threads and signal handlers, and after a fork."""

    def __init__(self, deadline: float, when: WhenUnavailable) -> None:
        """``deadline`` in seconds is what a call waits for a store that is well. Raises ``ConfigurationError``."""
        if when not in ("raise", "continue"):
            raise ConfigurationError("when_unavailable is raise or continue")
        self.deadline = deadline
        self.goes_on = when == "continue"
        self.begin()

    def begin(self) -> None:
        """Begin without a loss: when the log is opened, and in a forked child."""
        self._counting = threading.RLock()  # reentrant, since a signal handler may record while its thread does
        self.lost = 0
        self.fault: str | None = None
        self._loss: Loss | None = None
        self._told_perhaps: list[Loss] = []
        self._unsure: list[Pending] = []
        self._since_said = self._in_outage = 0
        self._said = float("-inf")

    def until(self) -> float:
        """Return how long a call that begins now may wait, by ``time.monotonic``."""
        return time.monotonic() + self.deadline * (_BRIEFLY if self.fault else 1)

    def takes(self, error: BaseException) -> TypeGuard[StoreError]:
        """Whether a call that met ``error`` goes on."""
        return self.goes_on and isinstance(error, StoreError) and not isinstance(error, LogClosed)

    def count(self, number: int, error: StoreError, pending: Pending | None = None) -> None:
        """Count the call ``number``, which goes on. ``pending`` is its entry, if it may have been written after all."""
        with self._counting:
            self.lost += 1
            self._since_said += 1
            self._in_outage += 1
            self.fault = error.code
            if isinstance(error, AuditTimeout) and pending and len(self._unsure) < _UNSURE:
                self._unsure.append(pending)
            else:
                self._add(Loss(number, number, error.code))
            calls = self._due()
        if calls:
            say(f"{_calls(calls)} went on without a record: {error}")

    def _due(self) -> int:
        """Return how many calls stderr is to be told of now, if that is due."""
        now = time.monotonic()
        if now - self._said < _EVERY:
            return 0
        calls, self._since_said, self._said = self._since_said, 0, now
        return calls

    def _add(self, loss: Loss) -> None:
        self._loss = self._loss.with_another(loss) if self._loss else loss

    @property
    def untold(self) -> int:
        """How many calls no entry tells of yet."""
        losses = [*self._told_perhaps, *([self._loss] if self._loss else [])]
        return sum(loss.count for loss in losses) + len(self._unsure)

    def note(self, error: StoreError) -> None:
        """Say at once that something else did not happen, which no call waited for: opening, or the end of a queue."""
        self.fault = error.code
        say(f"going on without a record: {error}")

    def health(self, waiting: int) -> Health:
        """Return how the log does."""
        return Health(self.lost, self.untold, waiting, self.fault)

    def over(self) -> None:
        """Note that the store took an entry, or the queue: from now on calls wait as long as ever."""
        if self.fault is not None:
            with self._counting:
                calls, self._in_outage, self._since_said = self._in_outage, 0, 0
                self.fault, self._said = None, float("-inf")
            say(f"the store takes entries again; {_calls(calls)} went on without a record")

    def settle(
        self,
        append: Callable[[list[Pending], float | None], None],
        tell: Callable[[Loss, float | None], None],
        until: float | None,
    ) -> None:
        """Give the entries of unknown outcome to the store again, and write the gap entry. What fails is kept.

        A gap entry that failed is kept as it is, since it may have been written after all.
        """
        with self._counting:
            unsure, self._unsure = self._unsure, []
            loss, self._loss = self._loss, None
            told, self._told_perhaps = self._told_perhaps, []
        try:
            if unsure:
                append(unsure, until)
                loss = self._sorted(unsure, loss)
            while told or loss:
                if loss and not told:
                    told.append(replace(loss, reason=f"calls went on without a record: {loss.reason}"))
                    loss = None
                tell(told[0], until)
                del told[0]
        except CounterfoilError as error:  # the entry before it was written: its caller must not hear of this one
            diagnostics().warning("a gap was not recorded yet", code=error.code)
        finally:
            with self._counting:
                self._told_perhaps += told
                if loss:
                    self._add(loss)

    def _sorted(self, unsure: list[Pending], loss: Loss | None) -> Loss | None:
        """Return the loss with those entries that are certainly not in the log."""
        with self._counting:
            for pending in unsure:
                if pending.error is None:
                    self.lost -= 1
                elif isinstance(pending.error, StoreError):
                    self._unsure.append(pending)
                else:
                    refused = Loss(pending.numbers[-1], pending.numbers[-1], "timeout")
                    loss = loss.with_another(refused) if loss else refused
        return loss

    def leave(self) -> None:
        """Say at the end what no entry tells of."""
        if self.untold:
            say(f"the log was closed; {_calls(self.untold)} went on without a record, and no entry tells of it")


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"

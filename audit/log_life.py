"""What a log tells of itself: that it began, was opened and closed, has another key, and when it could not record."""

from __future__ import annotations

import contextvars
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from counterfoil.exporters.diagnostics import diagnostics
from counterfoil.schemas import Context, DiskFull, KeyMismatch, LogChange, LogEvent, StoreError
from counterfoil.schemas.values import new_event_id, rfc3339

from .outage import Outages

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Loss:
    """Calls that returned and whose entries are not in the log: between which numbers, why, and how many."""

    first: int
    last: int
    reason: str
    count: int = 1
    event_id: uuid.UUID = field(default_factory=new_event_id, compare=False)
    """Of the gap entry: one that may have been written is told again as it is, and then stands in the log once."""

    def with_another(self, other: Loss) -> Loss:
        """Return both as one."""
        known = other.reason in self.reason.split(", ")
        return Loss(
            min(self.first, other.first),
            max(self.last, other.last),
            self.reason if known else f"{self.reason}, {other.reason}",
            self.count + other.count,
        )


class KeyedStore(Protocol):
    """What the life of a log needs of its store."""

    @property
    def fingerprint_key_id(self) -> str:
        """Under which key the log's fingerprints are made."""
        ...

    def head(self) -> int:
        """Return the sequence number of the last entry, 0 for an empty log."""
        ...

    def adopt_key(self, fingerprint_key_id: str) -> None:
        """Make the log's fingerprints with another key from the next entry on, which tells of it."""
        ...


class Signing(Protocol):
    """What the life of a log tells of its signing key."""

    @property
    def verification_key(self) -> str | None:
        """The public half of the key, if there is one."""
        ...

    def is_signed_by_another(self) -> bool:
        """Whether the last checkpoint was signed, and not with this key."""
        ...


class LogLife:
    """The entries of one log about itself. They belong to no scope and no trace."""

    def __init__(self, log_id: str, record: Callable[[LogEvent, float | None], object]) -> None:
        """Tell of the log ``log_id`` (32 hex digits) through ``record``, which returns once the entry is durable.

        ``record`` waits until a moment by ``time.monotonic``, or as long as ever.
        """
        self._log_id = log_id
        self._record = record
        self.begin()

    def begin(self) -> None:
        """Begin without a loss: when the log is opened, and in a forked child."""
        self._counting = threading.RLock()  # reentrant, since a signal handler may record while its thread does
        self._lost_outcomes = 0
        self._outages = Outages()

    def opening(self, store: KeyedStore, key_id: str, signing: Signing, *, accept_new_key: bool) -> None:
        """Tell that the log was opened under these keys, and before that, if it is so, that it begins.

        A signing key other than the one that signed last is told of by an entry of its own. Raises ``KeyMismatch`` and
        ``StoreError``.
        """
        stored = store.fingerprint_key_id
        if key_id != stored and not accept_new_key:
            raise KeyMismatch(stored, key_id)
        if store.head() == 0:
            # Derived, so that of two processes that open a new log at once only one creates it.
            first = Context(event_id=uuid.uuid5(uuid.NAMESPACE_URL, f"counterfoil:{self._log_id}"))
            self._tell(
                LogEvent(context=first, change=LogChange.CREATED, log_id=self._log_id, fingerprint_key_id=stored)
            )
        if key_id != stored:
            store.adopt_key(key_id)
            self._tell(LogEvent(change=LogChange.KEY_ROTATED, log_id=self._log_id, fingerprint_key_id=key_id))
        key = signing.verification_key
        if signing.is_signed_by_another():
            self._tell(LogEvent(change=LogChange.SIGNING_KEY_ROTATED, log_id=self._log_id, verification_key=key))
        self._tell(
            LogEvent(change=LogChange.OPENED, log_id=self._log_id, fingerprint_key_id=key_id, verification_key=key)
        )

    def closing(self, until: float) -> None:
        """Tell that the log is closed, if that can be ``until`` then (``time.monotonic``)."""
        try:
            self._tell(LogEvent(change=LogChange.CLOSED, log_id=self._log_id or None), until)
        except StoreError as error:
            diagnostics().warning("the closing was not recorded", code=error.code)

    def loss(self, loss: Loss, until: float | None = None) -> None:
        """Tell of calls whose entries are missing. Raises ``StoreError``."""
        self._tell(
            LogEvent(
                context=Context(event_id=loss.event_id),
                change=LogChange.GAP,
                count=loss.count,
                first=loss.first,
                last=loss.last,
                reason=loss.reason,
            ),
            until,
        )

    def note_lost_outcome(self, error: Exception) -> None:
        """Remember that an outcome could not be written."""
        with self._counting:
            self._lost_outcomes += 1
        diagnostics().error("an outcome was not recorded", error=type(error).__name__)

    def note_refusal(self, error: BaseException, calls: int) -> None:
        """Remember that so many calls raised ``error``, if it is one that the log tells of."""
        if isinstance(error, DiskFull):
            self._outages.add(calls)

    def catch_up(self) -> None:
        """Tell what could not be told before: an entry has just been written."""
        self._disk_full()
        self._gap()

    def _disk_full(self) -> None:
        if not self._outages or not (outage := self._outages.take()):
            return
        event = LogEvent(
            context=Context(occurred_at=outage.since),
            change=LogChange.DISK_FULL,
            count=outage.refused,
            reason=f"no space was left from {rfc3339(outage.since)} to {rfc3339(datetime.now(UTC))}",
        )
        try:
            self._tell(event)
        except StoreError as error:  # the entry before it was written: its caller must not hear of this one
            self._outages.give_back(outage, beside=isinstance(error, DiskFull))
            diagnostics().warning("that the disk was full was not recorded yet", code=error.code)

    def _gap(self) -> None:
        if not self._lost_outcomes:
            return
        with self._counting:
            lost, self._lost_outcomes = self._lost_outcomes, 0
        if lost:
            reason = "outcomes could not be written; their intents stand"
            try:
                self._tell(LogEvent(change=LogChange.GAP, count=lost, reason=reason))
            except StoreError as error:  # the entry before it was written: its caller must not hear of this one
                with self._counting:
                    self._lost_outcomes += lost
                diagnostics().warning("a gap was not recorded yet", code=error.code)

    def _tell(self, event: LogEvent, until: float | None = None) -> None:
        contextvars.Context().run(self._record, event, until)

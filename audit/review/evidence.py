"""What remarks and verdicts are drawn from: entries that were gathered and paired, and sums that the store made."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import ApprovalEvent, BindingMethod, Observer, Outcome
from counterfoil.schemas.values import Thumbprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from counterfoil.exporters.reach import Holder
    from counterfoil.schemas import CredentialUse, Entry

    from .pairing import Sighting

BOUND: Final = frozenset({BindingMethod.DPOP, BindingMethod.MTLS, BindingMethod.HTTP_SIGNATURE, BindingMethod.WIT_WPT})
"""The methods that bind a credential to a key of its sender's."""


@dataclass(frozen=True, slots=True)
class Held:
    """A credential or a key, and who used it, as agents recorded it in the whole log."""

    value: str
    """The fingerprint or thumbprint."""
    holders: tuple[Holder, ...]

    @property
    def is_key(self) -> bool:
        """Whether it is a key rather than a credential."""
        return isinstance(self.value, Thumbprint)


@dataclass(frozen=True)
class Evidence:
    """What an incident gathered."""

    sightings: tuple[Sighting, ...]
    """The timeline."""
    approvals: tuple[Entry, ...] = ()
    """The approval events behind its uses."""
    held: tuple[Held, ...] = ()
    """Its credentials and keys."""
    whole: Mapping[int, bool | None] = field(default_factory=dict[int, "bool | None"])
    """Of uses that no agent recorded, whether those agents that hold the credential recorded everything around them:
    None where it cannot be told."""

    @cached_property
    def by_seq(self) -> dict[int, Sighting]:
        """The timeline by sequence number."""
        return {each.entry.seq: each for each in self.sightings}

    @cached_property
    def decisions(self) -> dict[str, list[ApprovalEvent]]:
        """The approval events by approval, in order."""
        events: dict[str, list[ApprovalEvent]] = defaultdict(list)
        for entry in self.approvals:
            if isinstance(entry.event, ApprovalEvent):
                events[entry.event.approval_id].append(entry.event)
        return events

    def seen_from(self, observer: Observer) -> Iterator[tuple[int, Sighting, CredentialUse]]:
        """Yield the uses that were seen from one side."""
        for each in self.sightings:
            if (use := each.use) and use.context.observer is observer:
                yield each.entry.seq, each, use

    def both(self, sighting: Sighting) -> tuple[int, ...]:
        """Return the sequence numbers of both stubs, as far as there are two."""
        return tuple(seq for seq in (sighting.entry.seq, sighting.counterpart) if seq is not None)

    def other_side(self, sighting: Sighting) -> CredentialUse | None:
        """Return what the other side says of the same use."""
        other = self.by_seq.get(sighting.counterpart or 0)
        return other.use if other else None


def executed(use: CredentialUse) -> bool:
    """Whether the action was done."""
    return use.action.outcome is Outcome.EXECUTED


def refused(use: CredentialUse) -> bool:
    """Whether the other side said no."""
    return use.action.outcome is Outcome.REFUSED


def host_of(peer: str | None) -> str | None:
    """Return the host of ``host:port``: the port is another for each connection."""
    if peer is None:
        return None
    host, colon, port = peer.rpartition(":")
    return host if colon and port.isdigit() and (":" not in host or host.endswith("]")) else peer

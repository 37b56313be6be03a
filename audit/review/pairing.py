"""Putting the two stubs of each use together: what the agent recorded, and what the resource server saw.

Rules:

1. The proof decides where both sides have one. It is signed, and its id is equal on both sides (``proof.proof_id``).
2. Otherwise credential, method, URI and time have to agree; what agrees without allowance for the clocks goes first. A
   trace id or a status that is equal too ranks the candidates, and matches nothing alone: the sender supplies the one,
   and the other says little.
3. A proof that the resource server saw again makes no second pair. Of several, the one that fits the agent's stub
   best is the counterpart, and the others repeat it: which of them was the agent's may stay open.
4. An attempt is an entry of its own, with its own proof, under the ``use_id`` of the whole.

Everything is grouped before it is compared, so that the effort grows with the number of entries and not its square.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from heapq import heappop, heappush
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from counterfoil.schemas import CredentialUse, Observer, Phase, TokenClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from counterfoil.schemas import Entry, Sha256

SLACK: Final = timedelta(seconds=1)
"""How far the clocks of the two sides may be apart, where nothing agrees without that."""


class Match(StrEnum):
    """By what two stubs were matched."""

    PROOF = "proof"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One entry of a timeline, and what the other side has to it."""

    entry: Entry
    counterpart: int | None = None
    """Sequence number of the other side's stub."""
    matched_by: Match | None = None
    """By what it was found."""
    alone: bool = False
    """Seen by a resource server, and no agent recorded it."""
    repeats: int | None = None
    """Sequence number of another use that the resource server saw with the very same proof."""

    @property
    def use(self) -> CredentialUse | None:
        """The event, if it is a use."""
        event = self.entry.event
        return event if isinstance(event, CredentialUse) else None


@dataclass(frozen=True, slots=True)
class _Stub:
    """One side of a use, in the terms that are compared."""

    seq: int
    proof: Sha256 | None
    request: tuple[Any, ...]
    trace: str | None
    status: int | None
    begin: datetime
    end: datetime


def paired(entries: Iterable[Entry]) -> tuple[Sighting, ...]:
    """Return a sighting for each entry, in order, but for intents whose outcome is there too."""
    told = list(_without_followed_intents(list(entries)))
    ours, theirs = _stubs(told, Observer.AGENT), _stubs(told, Observer.RESOURCE_SERVER)
    pairs, repeats = _by_proof(ours, theirs)
    others = _both_ways(pairs, Match.PROOF)
    for slack, key in product((timedelta(0), SLACK), (_with_trace_and_status, _with_status, _request)):
        for left, right in ((_unproven(ours), theirs), (ours, _unproven(theirs))):
            taken = others.keys() | repeats.keys()
            pairs = _by_request(_rest(left, taken), _rest(right, taken), key, slack)
            others |= _both_ways(pairs, Match.REQUEST)
    return tuple(_sighting(entry, others, repeats) for entry in told)


def _sighting(entry: Entry, others: dict[int, tuple[int, Match]], repeats: dict[int, int]) -> Sighting:
    event, seq = entry.event, entry.seq
    counterpart, match = others.get(seq, (None, None))
    presented = isinstance(event, CredentialUse) and event.token.token_class is not TokenClass.NONE
    alone = presented and event.context.observer is Observer.RESOURCE_SERVER and counterpart is None
    return Sighting(entry, counterpart, match, alone, repeats.get(seq))


def _both_ways(pairs: Iterable[tuple[int, int]], match: Match) -> dict[int, tuple[int, Match]]:
    return {seq: (other, match) for our, their in pairs for seq, other in ((our, their), (their, our))}


def _unproven(stubs: Sequence[_Stub]) -> list[_Stub]:
    return [stub for stub in stubs if stub.proof is None]


def _rest(stubs: Sequence[_Stub], taken: AbstractSet[int]) -> list[_Stub]:
    return [stub for stub in stubs if stub.seq not in taken]


def _by_proof(ours: Sequence[_Stub], theirs: Sequence[_Stub]) -> tuple[list[tuple[int, int]], dict[int, int]]:
    """Pair what has the same proof. Return the pairs, and each further use of a proof with the first or paired one."""
    sent, seen = _grouped(ours, _proof), _grouped(theirs, _proof)
    pairs: list[tuple[int, int]] = []
    repeats: dict[int, int] = {}
    for proof, stubs in seen.items():
        left = {stub.seq: stub for stub in stubs}
        found: list[int] = []
        for our in sent.get(proof, ())[: len(stubs)]:
            best = min(left.values(), key=partial(_distance, our))
            del left[best.seq]
            found.append(best.seq)
            pairs.append((our.seq, best.seq))
        original = found[0] if found else min(left)
        repeats |= {seq: original for seq in left if seq != original}
    return pairs, repeats


def _distance(our: _Stub, their: _Stub) -> tuple[bool, bool, bool, int]:
    """Say how badly two stubs with the same proof fit: another request, another status, outside the time; the later."""
    outside = not our.begin - SLACK <= their.begin <= our.end + SLACK
    return our.request != their.request, our.status != their.status, outside, their.seq


def _by_request(
    ours: Sequence[_Stub], theirs: Sequence[_Stub], key: Callable[[_Stub], tuple[Any, ...] | None], slack: timedelta
) -> list[tuple[int, int]]:
    """Pair what has the same key and fits in time: each server's moment with the agent's window that ends first."""
    windows, moments = _grouped(ours, key), _grouped(theirs, key)
    pairs: list[tuple[int, int]] = []
    for group in windows.keys() & moments.keys():
        waiting = sorted(windows[group], key=lambda stub: (stub.begin, stub.seq), reverse=True)
        begun: list[tuple[datetime, int]] = []
        for their in sorted(moments[group], key=lambda stub: (stub.begin, stub.seq)):
            while waiting and waiting[-1].begin - slack <= their.begin:
                our = waiting.pop()
                heappush(begun, (our.end + slack, our.seq))
            while begun and begun[0][0] < their.begin:
                heappop(begun)
            if begun:
                pairs.append((heappop(begun)[1], their.seq))
    return pairs


def _grouped(
    stubs: Sequence[_Stub], key: Callable[[_Stub], tuple[Any, ...] | None]
) -> dict[tuple[Any, ...], list[_Stub]]:
    groups: dict[tuple[Any, ...], list[_Stub]] = defaultdict(list)
    for stub in stubs:
        if group := key(stub):
            groups[group].append(stub)
    return groups


def _proof(stub: _Stub) -> tuple[Any, ...] | None:
    return (stub.proof,) if stub.proof else None


def _with_trace_and_status(stub: _Stub) -> tuple[Any, ...] | None:
    return (*stub.request, stub.trace, stub.status) if stub.trace and stub.status else None


def _with_status(stub: _Stub) -> tuple[Any, ...] | None:
    return (*stub.request, stub.status) if stub.status else None


def _request(stub: _Stub) -> tuple[Any, ...]:
    return stub.request


def _stubs(entries: Iterable[Entry], observer: Observer) -> list[_Stub]:
    return [
        stub
        for entry in entries
        if isinstance(use := entry.event, CredentialUse) and use.context.observer is observer
        if (stub := _stub(entry.seq, use))
    ]


def _stub(seq: int, use: CredentialUse) -> _Stub | None:
    """Return the terms of one side; None where no time is known, which only a damaged body has not."""
    context, action = use.context, use.action
    moment = context.occurred_at or context.recorded_at
    if moment is None:
        return None
    begin = action.started_at or moment
    return _Stub(
        seq=seq,
        proof=use.proof.proof_id,
        request=(use.token.fingerprint, action.method, use.resource.uri),
        trace=context.trace_id,
        status=action.status_code,
        begin=begin,
        end=max(begin, action.ended_at or moment),
    )


def _without_followed_intents(entries: list[Entry]) -> Iterator[Entry]:
    """Leave out intents whose outcome is told. Of several attempts under one ``use_id`` each has its own.

    Half of a log are such intents: they are read as JSON, which costs a tenth of reading them as events.
    """
    intents = {entry.seq: attempt for entry in entries if (attempt := _attempt_of_intent(entry))}
    ended = {
        (str(use.context.use_id), str(use.context.observer), str(use.action.attempt or 1))
        for entry in entries
        if entry.seq not in intents and isinstance(use := entry.event, CredentialUse)
        if use.action.phase is Phase.OUTCOME
    }
    return (entry for entry in entries if intents.get(entry.seq) not in ended)


def _attempt_of_intent(entry: Entry) -> tuple[str, str, str] | None:
    """Return which attempt of which use an intent is; None for every other entry, and for one that cannot be read."""
    if '"phase":"intent"' not in entry.body:
        return None
    try:
        body: dict[str, Any] = from_json(entry.body)
        context, action = body["context"], body["action"]
        intent = (str(context["use_id"]), str(context["observer"]), str(action.get("attempt", 1)))
        return intent if action["phase"] == Phase.INTENT else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None

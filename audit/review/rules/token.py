"""Rules about credentials and keys: for whom they are, how they were presented, and who shares them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import BindingMethod, CheckId, CheckOutcome, Observer
from counterfoil.schemas.vocabulary import Severity

from ..evidence import BOUND, Evidence, executed, refused
from ..remark import Remark, Rule, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from counterfoil.exporters.reach import Holder
    from counterfoil.schemas import CredentialUse

SENT_AS_BEARER: Final = Rule(
    "token.bound_as_bearer",
    "RFC 9449 §7.2, RFC 8705 §3",
    "a token that is bound to its sender was presented without proof of possession",
)
WRONG_AUDIENCE: Final = Rule(
    "token.wrong_audience", "RFC 9068 §4, RFC 9700 §2.3", "a token was sent to a server that it is not meant for"
)
PASSTHROUGH: Final = Rule(
    "token.passthrough", "MCP 2025-11-25, authorization", "the credential of the request being served was sent on"
)
SHARED_BY_TENANTS: Final = Rule(
    "token.several_tenants", "no specification", "one credential serves several tenants: if it leaks, it leaks for all"
)
KEY_SHARED_BY_TENANTS: Final = Rule(
    "key.several_tenants", "no specification", "one key signs for several tenants: who can sign for one can for all"
)
KEY_SHARED_BY_SIGNERS: Final = Rule(
    "key.several_signers", "no specification", "several processes sign with one key: it does not tell them apart"
)
_AT_ONCE: Final = 64  # requests with one credential that a server may have open at a time
RULES: Final = (
    SENT_AS_BEARER,
    WRONG_AUDIENCE,
    PASSTHROUGH,
    SHARED_BY_TENANTS,
    KEY_SHARED_BY_TENANTS,
    KEY_SHARED_BY_SIGNERS,
)


def token_remarks(evidence: Evidence) -> Iterator[Remark]:
    """Yield what stands out of the credentials and keys themselves."""
    yield from _sent_as_bearer(evidence)
    yield from _wrong_audience(evidence)
    yield from _passed_through(evidence)
    yield from _shared(evidence)


def _sent_as_bearer(evidence: Evidence) -> Iterator[Remark]:
    found = (
        ((use.binding.declared, executed(use)), evidence.both(sighting))
        for _, sighting, use in evidence.seen_from(Observer.RESOURCE_SERVER)
        if use.binding.declared in BOUND and use.binding.presented is BindingMethod.NONE
    )
    for (declared, done), seqs in grouped(found).items():
        sentence = (
            f"a token bound by {declared} came as a bearer token, and was {'accepted' if done else 'not accepted'}"
        )
        yield Remark(SENT_AS_BEARER, Severity.CRITICAL if done else Severity.HIGH, sentence, seqs)


def _wrong_audience(evidence: Evidence) -> Iterator[Remark]:
    found = (
        ((use.token.audience, use.resource.server or use.resource.uri, executed(use)), evidence.both(sighting))
        for _, sighting, use in evidence.seen_from(Observer.RESOURCE_SERVER)
        if _is_for_another(use)
    )
    for (audience, server, done), seqs in grouped(found).items():
        meant = f"a token for {' and '.join(audience)}" if audience else "a token for another server"
        ended = "executed what it came for" if done else "did not accept it"
        severity = Severity.CRITICAL if done else Severity.HIGH
        yield Remark(WRONG_AUDIENCE, severity, f"{meant} was sent to {server}, which {ended}", seqs)


def _is_for_another(use: CredentialUse) -> bool:
    """Whether the server found so, or the two lists of audiences say so where it did not look."""
    outcomes = {check.outcome for check in use.proof.checks if check.id is CheckId.TOKEN_AUDIENCE}
    if outcomes & {CheckOutcome.FAIL, CheckOutcome.PASS}:
        return CheckOutcome.FAIL in outcomes
    meant, accepted = set(use.token.audience), set(use.resource.accepted_audiences)
    return bool(meant and accepted) and meant.isdisjoint(accepted)


def _passed_through(evidence: Evidence) -> Iterator[Remark]:
    served = _Served(evidence)
    found = (
        ((use.resource.server or use.resource.uri, refused(use)), (*served.during(use), *evidence.both(sighting)))
        for sighting in evidence.sightings
        if (use := sighting.use) and use.token.fingerprint and use.token.fingerprint == use.context.inbound
    )
    for (server, said_no), seqs in grouped(found).items():
        ended = ", which refused it" if said_no else ""
        sentence = f"the credential that came in was sent on to {server}{ended}"
        yield Remark(PASSTHROUGH, Severity.HIGH if said_no else Severity.CRITICAL, sentence, seqs)


class _Served:
    """The requests that resource servers answered, by the moment at which they began."""

    def __init__(self, evidence: Evidence) -> None:
        self._begun = sorted(
            (begin, seq, use)
            for seq, _, use in evidence.seen_from(Observer.RESOURCE_SERVER)
            if (begin := use.action.started_at)
        )

    def during(self, sent: CredentialUse) -> Iterator[int]:
        """Yield those that were being served elsewhere, with the same credential, when it was sent on."""
        moment = sent.action.started_at
        if moment is None:
            return
        until = bisect_right(self._begun, moment, key=lambda each: each[0])
        for _, seq, use in self._begun[max(0, until - _AT_ONCE) : until]:
            elsewhere = use.resource.server != sent.resource.server
            open_still = (use.action.ended_at or moment) >= moment
            if elsewhere and open_still and use.token.fingerprint == sent.token.fingerprint:
                yield seq


def _shared(evidence: Evidence) -> Iterator[Remark]:
    for held in evidence.held:
        first = {holder.tenant: holder.first for holder in reversed(held.holders) if holder.tenant is not None}
        if len(first) > 1:
            rule, what = (KEY_SHARED_BY_TENANTS, "key") if held.is_key else (SHARED_BY_TENANTS, "credential")
            severity = Severity.HIGH if held.is_key else Severity.MEDIUM
            sentence = f"one {what} was used for {len(first)} tenants: {', '.join(sorted(first)[:8])}"
            yield Remark(rule, severity, sentence, tuple(sorted(first.values())))
        if held.is_key and len(apart := _at_once(held.holders)) > 1:
            sentence = f"{len(apart)} processes signed with one key at the same time"
            yield Remark(KEY_SHARED_BY_SIGNERS, Severity.MEDIUM, sentence, tuple(sorted(each.first for each in apart)))


def _at_once(holders: Sequence[Holder]) -> list[Holder]:
    """Return the processes whose uses are interleaved with another's. One after the other may be a restart."""
    spans: dict[tuple[object, ...], Holder] = {}
    for each in holders:
        process = (each.host, each.container, each.workload_id, each.pid)
        known = spans.get(process, each)
        spans[process] = replace(known, first=min(known.first, each.first), last=max(known.last, each.last))
    ordered = sorted((span for process, span in spans.items() if any(process)), key=lambda span: span.first)
    apart: dict[int, Holder] = {}
    longest: Holder | None = None
    for span in ordered:
        if longest and span.first < longest.last:
            apart |= {longest.first: longest, span.first: span}
        if longest is None or span.last > longest.last:
            longest = span
    return list(apart.values())

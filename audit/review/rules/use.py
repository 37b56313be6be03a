"""Rules about uses as such: seen from one side only, seen twice, or led elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from counterfoil.schemas import Fingerprint, Observer
from counterfoil.schemas.vocabulary import Severity

from ..evidence import Evidence, executed, host_of, refused
from ..remark import Remark, Rule, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counterfoil.schemas import CredentialUse

    from ..pairing import Sighting

UNACCOUNTED: Final = Rule(
    "use.unaccounted", "RFC 6750 §1.2", "a resource server saw a use of the credential that no agent recorded"
)
REPLAYED: Final = Rule("proof.replayed", "RFC 9449 §11.1", "a resource server saw the same proof more than once")
OTHER_ORIGIN: Final = Rule(
    "redirect.other_origin", "RFC 9110 §15.4", "a redirect led a credential to another origin than it was sent to"
)
RULES: Final = (UNACCOUNTED, REPLAYED, OTHER_ORIGIN)

RETRY_SECONDS: Final = 2.0
"""Within this time the same proof from the same peer may be a client's retry (RFC 9449 §7.3)."""


def use_remarks(evidence: Evidence) -> Iterator[Remark]:
    """Yield what stands out of uses."""
    yield from _unaccounted(evidence)
    yield from _replayed(evidence)
    yield from _redirected(evidence)


def _unaccounted(evidence: Evidence) -> Iterator[Remark]:
    found = ((_ended(use), (seq,)) for seq, each, use in evidence.seen_from(Observer.RESOURCE_SERVER) if each.alone)
    for ended, seqs in grouped(found).items():
        uses = "one use" if len(seqs) == 1 else f"{len(seqs)} uses"
        severity = Severity.MEDIUM if ended == "refused" else Severity.HIGH
        yield Remark(UNACCOUNTED, severity, f"a resource server {ended} {uses} that no agent recorded", seqs)


def _ended(use: CredentialUse) -> str:
    if executed(use):
        return "accepted"
    return "refused" if refused(use) else "saw"


def _replayed(evidence: Evidence) -> Iterator[Remark]:
    found = (
        (_likeness(earlier, each), (each.repeats, seq))
        for seq, each, _ in evidence.seen_from(Observer.RESOURCE_SERVER)
        if each.repeats and (earlier := evidence.by_seq.get(each.repeats))
    )
    for (severity, sentence), seqs in grouped(found).items():
        yield Remark(REPLAYED, severity, sentence, seqs)


def _likeness(earlier: Sighting, later: Sighting) -> tuple[Severity, str]:
    """Say what a repeated proof looks like: a client's retry, or somebody else's replay."""
    one, two = earlier.use, later.use
    if one is None or two is None:
        return Severity.HIGH, "the same proof came more than once"
    hosts = {host_of(one.context.peer), host_of(two.context.peer)}
    if executed(one) and executed(two):
        return Severity.CRITICAL, "the same proof was accepted more than once"
    if len(hosts - {None}) > 1:
        return Severity.CRITICAL, "the same proof came from two addresses"
    if is_retry(one, two):
        return Severity.LOW, "the same proof came twice from one address within two seconds, as when a client retries"
    return Severity.HIGH, "the same proof came more than once"


def is_retry(one: CredentialUse, two: CredentialUse) -> bool:
    """Whether the second looks like a client's own retry: the same bytes, from the same host, at once."""
    host = host_of(one.context.peer)
    same_bytes = one.proof.proof_digest is not None and one.proof.proof_digest == two.proof.proof_digest
    same_host = host is not None and host == host_of(two.context.peer)
    return same_bytes and same_host and _seconds_between(one, two) <= RETRY_SECONDS


def _seconds_between(one: CredentialUse, two: CredentialUse) -> float:
    moments = [use.action.started_at or use.context.occurred_at for use in (one, two)]
    if moments[0] is None or moments[1] is None:
        return float("inf")
    return abs((moments[1] - moments[0]).total_seconds())


def _redirected(evidence: Evidence) -> Iterator[Remark]:
    sent: set[tuple[Fingerprint, str]] = set()
    for each in evidence.sightings:
        if (use := each.use) and use.token.fingerprint:
            sent.add((use.token.fingerprint, _origin(use.resource.uri)))
    found = (
        ((_origin(source), _origin(use.resource.uri)), evidence.both(each))
        for each in evidence.sightings
        if (use := each.use)
        and (source := use.action.redirected_from)
        and _origin(source) != _origin(use.resource.uri)
        and (use.token.fingerprint, _origin(source)) in sent
    )
    for (source, target), seqs in grouped(found).items():
        sentence = f"a redirect by {source} led the credential to {target}"
        yield Remark(OTHER_ORIGIN, Severity.HIGH, sentence, seqs)


def _origin(uri: str) -> str:
    """Return scheme, host and port (RFC 6454 §4); what is no URL is an origin of its own."""
    try:
        parts = urlsplit(uri)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return uri
    return f"{parts.scheme}://{parts.hostname or ''}:{port}" if parts.scheme else uri

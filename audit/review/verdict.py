"""Who sent it: somebody else who replayed a credential, or the legitimate sender, who was induced to.

The stubs tell the two apart:

1. **Somebody else** is said of a use that a resource server saw and no agent recorded, if more speaks for it than the
   missing stub: its proof came twice; its key or its address is not the sender's; or every agent that holds the
   credential recorded everything around that time, through the same resource server, and not this use.
2. **Induced** is said of a use with both stubs whose proof is valid, or which needs none, and whose approval was
   required and is missing, denied, expired, for something else, or contradicted by what was recorded.
3. Everything else that stands out is **undetermined**, with what is missing. A trace id counts for nothing here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import BindingMethod, CheckId, CheckOutcome, Observer, ProofResult, Requirement

from .approvals import CONTRADICTING, WORDS, faults_of
from .evidence import BOUND, host_of, refused
from .remark import grouped, listed
from .rules.approval import last_attempts, ran
from .rules.check import failed_checks
from .rules.use import is_retry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counterfoil.schemas import CredentialUse, Fingerprint

    from .evidence import Evidence
    from .pairing import Sighting


class Sender(StrEnum):
    """Who sent a use that stands out."""

    SOMEBODY_ELSE = "somebody_else"
    INDUCED = "induced"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the stubs tell about some uses, and why."""

    sender: Sender
    sentence: str
    """The answer in words, with the entries."""
    reasons: tuple[str, ...]
    """What speaks for it, or what is missing."""
    seqs: tuple[int, ...]
    """The uses that it is about."""


_OTHER_KEY: Final = frozenset({CheckId.DPOP_JKT, CheckId.MTLS_X5T_MATCH})
_RENEWED: Final = ("another certificate, same key", "same subject", "claimed same subject")


def verdicts_on(evidence: Evidence) -> tuple[Verdict, ...]:
    """Return the verdicts: uses without an agent's stub first, then uses that an agent recorded and nobody approved."""
    return (*_unaccounted(evidence), *_unapproved(evidence))


def _unaccounted(evidence: Evidence) -> Iterator[Verdict]:
    senders = _Senders(evidence)
    found = (
        ((*senders.judge(seq, each, use), refused(use)), (seq,))
        for seq, each, use in evidence.seen_from(Observer.RESOURCE_SERVER)
        if each.alone
    )
    for (sender, reasons, said_no), seqs in grouped(found).items():
        stubs = f"{listed(seqs)} {'has' if len(seqs) == 1 else 'have'} no agent's stub"
        if sender is Sender.SOMEBODY_ELSE:
            what = "Tried by somebody else, and refused" if said_no else "Replayed by somebody else"
            yield Verdict(sender, f"{what}: {stubs}.", reasons, seqs)
        else:
            either = "somebody else's, or an agent's that does not record here"
            yield Verdict(sender, f"Undetermined: {stubs}: {either}.", reasons, seqs)


class _Senders:
    """What the uses that agents recorded show of whoever holds the credentials."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._recorded: set[Fingerprint | None] = set()
        self._through: set[tuple[Fingerprint | None, str | None]] = set()
        self._hosts: dict[tuple[Fingerprint | None, str | None], set[str]] = defaultdict(set)
        for _, _, use in evidence.seen_from(Observer.AGENT):
            self._recorded.add(use.token.fingerprint)
        for _, each, use in evidence.seen_from(Observer.RESOURCE_SERVER):
            if each.counterpart:
                where = use.token.fingerprint, use.resource.server
                self._through.add(where)
                if host := host_of(use.context.peer):
                    self._hosts[where].add(host)

    def judge(self, seq: int, sighting: Sighting, use: CredentialUse) -> tuple[Sender, tuple[str, ...]]:
        """Say who sent a use that no agent recorded, with the reasons."""
        if decisive := tuple(self._decisive(seq, sighting, use)):
            return Sender.SOMEBODY_ELSE, (*decisive, *_of_possession(use))
        return Sender.UNDETERMINED, (*self._missing(seq, sighting, use), *_of_possession(use))

    def _decisive(self, seq: int, sighting: Sighting, use: CredentialUse) -> Iterator[str]:
        where, host = (use.token.fingerprint, use.resource.server), host_of(use.context.peer)
        earlier = self._evidence.by_seq.get(sighting.repeats or 0)
        if earlier and earlier.use and not is_retry(earlier.use, use):
            yield f"its proof is the one of {listed([earlier.entry.seq])}, sent again"
        if _with_another_key(use):
            yield "the key that it shows is not the one that the token is bound to"
        if host and (known := self._hosts.get(where)) and host not in known:
            yield "it came from another address than the uses that agents recorded"
        if self._evidence.whole.get(seq) is True and where in self._through:
            yield "every agent that was seen with the credential recorded without a gap around then, and not this use"

    def _missing(self, seq: int, sighting: Sighting, use: CredentialUse) -> Iterator[str]:
        fingerprint = use.token.fingerprint
        if sighting.repeats:
            yield f"it looks like a client's retry of {listed([sighting.repeats])}"
        elif fingerprint not in self._recorded:
            yield "no agent recorded any use of this credential"
        elif (fingerprint, use.resource.server) not in self._through:
            yield "no agent recorded a use of this credential at this resource server"
        elif self._evidence.whole.get(seq) is False:
            yield "the record of the agents that hold the credential has a hole around that time"
        else:
            yield "whether the agents that hold the credential recorded everything around that time cannot be told"


def _with_another_key(use: CredentialUse) -> bool:
    """Whether the sender showed another key than the bound one, and not what looks like its own renewed certificate."""
    failed = (check for check in use.proof.checks if check.outcome is CheckOutcome.FAIL and check.id in _OTHER_KEY)
    return any(not (check.observed or "").startswith(_RENEWED) for check in failed)


def _of_possession(use: CredentialUse) -> Iterator[str]:
    """Say what the use tells of the key."""
    if not _bound(use):
        yield "nothing ties this credential to its sender"
    elif use.proof.result is ProofResult.PASS:
        yield "its proof is valid: whoever sent it can sign with the key"
    elif use.binding.presented is BindingMethod.NONE:
        yield "it came without proof of the key that the token is bound to"


def _bound(use: CredentialUse) -> bool:
    return use.binding.declared in BOUND or use.proof.mechanism in BOUND


def _unapproved(evidence: Evidence) -> Iterator[Verdict]:
    found = (
        (judged, evidence.both(sighting))
        for sighting, use in last_attempts(evidence)
        if (judged := _judge_approval(evidence, sighting, use))
    )
    for (sender, how, why, reasons), seqs in grouped(found).items():
        told = f"{how}, but {why}"
        if sender is Sender.INDUCED:
            yield Verdict(sender, f"{told}: induced ({listed(seqs)}).", reasons, seqs)
        else:
            yield Verdict(sender, f"Undetermined: {told} ({listed(seqs)}).", reasons, seqs)


def _judge_approval(
    evidence: Evidence, sighting: Sighting, use: CredentialUse
) -> tuple[Sender, str, str, tuple[str, ...]] | None:
    """Say who sent a use that was not approved; None where it was, needed none, or did not happen."""
    events = evidence.decisions.get(use.approval.approval_id or "", [])
    wrong = [fault for fault in faults_of(use, events) if fault in CONTRADICTING]
    theirs = evidence.other_side(sighting)
    harmless = not ran(use) or use.approval.requirement is Requirement.NOT_REQUIRED or (theirs and refused(theirs))
    if not wrong or harmless:
        return None
    sender, how, reasons = _sent_by(sighting, theirs)
    return sender, how, " and ".join(WORDS[fault] for fault in wrong), reasons


def _sent_by(sighting: Sighting, theirs: CredentialUse | None) -> tuple[Sender, str, tuple[str, ...]]:
    """Say who sent a use that an agent recorded, by what the resource server says of it."""
    if theirs is None:
        return Sender.UNDETERMINED, "an agent recorded it", ("no resource server recorded this use",)
    matched = f"the stubs were matched by {sighting.matched_by}"
    by = f", checked by {theirs.proof.checked_by}" if theirs.proof.checked_by else ""
    if failed := failed_checks(theirs):
        return Sender.UNDETERMINED, "both stubs", (matched, f"{', '.join(failed)} failed{by}")
    if not _bound(theirs):
        reason = "nothing ties this credential to its sender; the agent's own stub says that it sent it"
        return Sender.INDUCED, "Sent by the legitimate sender: both stubs, no proof needed", (matched, reason)
    if theirs.proof.result is not ProofResult.PASS:
        return Sender.UNDETERMINED, "both stubs", (matched, "whether its proof is valid was not recorded")
    return (
        Sender.INDUCED,
        "Signed by the legitimate sender: both stubs, proof valid",
        (matched, f"its proof is valid{by}"),
    )

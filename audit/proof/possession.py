"""Whether the sender of a token showed what the token is bound to, and what to answer if not.

A token that is bound to a key needs a DPoP proof by that key, under the scheme ``DPoP``; one that is bound to a
certificate needs the connection to have that certificate; one that is bound to both needs both.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from counterfoil.schemas import BindingMethod, Check, CheckId, CheckOutcome, Proof, ProofResult

from .challenges import INVALID_DPOP_PROOF, INVALID_TOKEN, UNAVAILABLE, USE_DPOP_NONCE
from .dpop import inspect_dpop
from .inspection import INFORMATION, Inspection, result_of, worst
from .mtls import inspect_mtls
from .policy import DpopPolicy
from .presented import TokenMethod
from .replay import MemoryReplayStore, ReplayStore

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from counterfoil.schemas import HtuSource

    from ..capture import HttpRequest
    from .token_claims import TokenInspection

_NONCE: Final = frozenset({CheckId.DPOP_NONCE, CheckId.DPOP_NONCE_DOWNGRADE})
_OF_TOKEN: Final = frozenset({CheckId.DPOP_JKT, *(each for each in CheckId if each.startswith("mtls."))})


class Nonces(Protocol):
    """Makes the nonces of a server, and knows those that it accepts (RFC 9449 §9)."""

    def issue(self, now: datetime) -> str:
        """Return the nonce to give out."""
        ...

    def accepted(self, now: datetime) -> Collection[str]:
        """Return those that are good now."""
        ...


@dataclass(frozen=True, slots=True)
class Dpop:
    """How a server takes DPoP proofs."""

    policy: DpopPolicy = field(default_factory=DpopPolicy)
    """The limits of a proof."""
    replay: ReplayStore | None = field(default_factory=MemoryReplayStore)
    """Where used proofs are remembered. Several processes need one that they share; None: nowhere."""
    nonces: Nonces | None = None
    """Where nonces come from; None: the server asks for none."""


@dataclass(frozen=True, slots=True)
class Presented:
    """One request with one token."""

    request: HttpRequest
    method: TokenMethod
    now: datetime
    certificate: bytes | None
    trusted_hop: bool
    htu_source: HtuSource


async def inspect_possession(
    presented: Presented, token: TokenInspection, dpop: Dpop, demands: frozenset[BindingMethod]
) -> list[Inspection]:
    """Return an inspection for each means by which the token needs its sender to show possession."""
    found: list[Inspection] = []
    if presented.method is TokenMethod.DPOP or token.jkt:
        # A store that is shared may have to wait for others; the loop must not.
        waits = dpop.replay is not None and not isinstance(dpop.replay, MemoryReplayStore)
        found.append(await asyncio.to_thread(_dpop, presented, token, dpop) if waits else _dpop(presented, token, dpop))
    if token.x5t_s256:
        found.append(
            inspect_mtls(
                presented.request,
                now=presented.now,
                certificate=presented.certificate,
                trusted_hop=presented.trusted_hop,
                bound_x5t_s256=token.x5t_s256,
            )
        )
    if demands and token.trusted and demands.isdisjoint(each.mechanism for each in found):
        found.append(_unmet(demands))
    return found


def _dpop(presented: Presented, token: TokenInspection, dpop: Dpop) -> Inspection:
    return inspect_dpop(
        presented.request,
        now=presented.now,
        bound_jkt=token.jkt,
        token_verified=token.trusted,
        nonces=dpop.nonces.accepted(presented.now) if dpop.nonces else (),
        policy=dpop.policy,
        replay=dpop.replay,
        htu_source=presented.htu_source,
    )


def _unmet(demands: frozenset[BindingMethod]) -> Inspection:
    """Say that the token is bound to nothing that the server demands."""
    failed = CheckId.DPOP_SCHEME if BindingMethod.DPOP in demands else CheckId.MTLS_CNF_PRESENT
    expected = f"a token bound by {' or '.join(sorted(demands))}"
    check = Check(id=failed, outcome=CheckOutcome.FAIL, expected=expected, observed="none")
    return Inspection(BindingMethod.NONE, (check,), ProofResult.FAIL)


def possession_error(found: Sequence[Inspection]) -> str | None:
    """Return the error code of what was not shown; None if all was.

    Where the key or certificate is not the token's, the token is what is wrong (RFC 9449 Figure 16, RFC 8705 §3); where
    a proof is bad in itself, the proof (RFC 9449 §7.1); where only the nonce is, a new one helps (§9).
    """
    failed = {check_id for each in found for check_id in each.failed} - INFORMATION
    if CheckId.DPOP_SCHEME in failed:
        return INVALID_TOKEN
    if failed:
        if failed <= _NONCE:
            return USE_DPOP_NONCE
        return INVALID_TOKEN if failed - _NONCE <= _OF_TOKEN else INVALID_DPOP_PROOF
    results = {each.result for each in found}
    if ProofResult.ERROR in results:
        return UNAVAILABLE
    return None if results <= {ProofResult.PASS} else INVALID_TOKEN


def possession_proof(token: TokenInspection, found: Sequence[Inspection], checked_by: str) -> Proof:
    """Return the part of the record: the checks of the token, then those of each proof."""
    if not found:
        result = worst((ProofResult.NOT_APPLICABLE, result_of(token.checks)))
        return Proof(mechanism=BindingMethod.NONE, result=result, checks=token.checks, checked_by=checked_by)
    proof = found[0].proof(checked_by, *token.checks)
    if len(found) == 1:
        return proof
    more = [each.proof(checked_by) for each in found[1:]]
    return proof.model_copy(
        update={
            "checks": (*proof.checks, *(check for each in more for check in each.checks)),
            "result": worst((proof.result, *(each.result for each in more))),
            "certificate_source": more[0].certificate_source,
        }
    )


def shown_by(found: Sequence[Inspection]) -> BindingMethod:
    """Return by what means possession was shown, all of it having passed: a proof before a certificate."""
    return found[0].mechanism if found else BindingMethod.NONE

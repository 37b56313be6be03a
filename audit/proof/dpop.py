"""Inspecting a DPoP proof: all checks of RFC 9449 §4.3 and around them, none of them stopping the others.

Rules beyond those of ``inspection``:

1. The members that §4.2 asks for always are ``03``; those it asks for sometimes fail where they belong: ``ath`` at
   ``12a``, ``nonce`` at ``10`` and ``16``. A member that stands twice is not missing: what needs it is not performed.
2. A proof that was due and is absent fails ``02``. It was due if the token came under ``DPoP``, or is bound to a key.
3. The signature is checked with whatever key the proof carries; that this key is the token's is ``12b``.
4. The replay store is asked last, and only about a proof that passed everything else with a token that was verified:
   otherwise anybody could fill it, or use up a ``jti`` that is not theirs.
5. Of ``ath`` and nonce no value is kept. Of what else a failed check shows, only short names, URIs without query,
   thumbprints and seconds.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from counterfoil.schemas import (
    BindingMethod,
    CheckId,
    CheckOutcome,
    ConfigurationError,
    HtuSource,
    ProofResult,
    ReplayScope,
    Sha256,
    Thumbprint,
)

from ..capture.proofs import digest_of, proof_id
from .claims import judge_ath, judge_nonce, judge_request, judge_required, judge_time
from .inspection import Inspection, Outcomes, plain_check, result_of
from .jws import read_jws
from .keys import judge_signature, private_members, read_key
from .policy import DpopPolicy
from .presented import TokenMethod, presented_tokens
from .shown import shown

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from ..capture.request import HttpRequest
    from .jws import Jws
    from .keys import ProofKey
    from .presented import PresentedToken
    from .replay import ReplayStore

DPOP_CHECKS: Final = tuple(each for each in CheckId if each.startswith(("dpop.", "jose.")))
"""Every check that ``inspect_dpop`` considers, in the order in which it returns them."""

_OF_TOKEN: Final = (CheckId.DPOP_ATH, CheckId.DPOP_JKT, CheckId.DPOP_SCHEME, CheckId.DPOP_SINGLE_TOKEN_METHOD)
_OF_NONCE: Final = (CheckId.DPOP_NONCE, CheckId.DPOP_NONCE_DOWNGRADE)
_REPLAY_ALONE: Final = [CheckId.DPOP_JTI_REPLAY]
_TYP: Final = "dpop+jwt"
_DEFAULT_POLICY: Final = DpopPolicy()


class _Facts(NamedTuple):
    """What the server knows, beside the request."""

    now: float
    bound_jkt: Thumbprint | None
    token_verified: bool
    nonces: Collection[str]
    policy: DpopPolicy

    def __repr__(self) -> str:
        return f"<_Facts, {len(self.nonces)} nonces>"


def inspect_dpop(  # noqa: PLR0913 -- each is a fact of its own
    request: HttpRequest,
    *,
    now: datetime,
    bound_jkt: Thumbprint | None = None,
    token_verified: bool = False,
    nonces: Collection[str] = (),
    policy: DpopPolicy = _DEFAULT_POLICY,
    replay: ReplayStore | None = None,
    htu_source: HtuSource = HtuSource.UNKNOWN,
) -> Inspection:
    """Check the DPoP proof of a request (RFC 9449 §4.3, §7). Whatever a client sends ends in an outcome.

    ``now`` is the time of the check. ``bound_jkt`` is the key that the access token, or at a token endpoint the grant,
    is bound to. ``token_verified`` says that somebody verified that token or grant: until then it is not known whether
    a token without ``bound_jkt`` is bound, and the ``replay`` store is not asked. ``nonces`` are those that the server
    accepts now; empty, if it gave none. Without a store ``13`` is not performed, which the result allows: neither
    checking what one sends nor reading what was sent may use a proof up.

    A request that DPoP does not concern (no proof, no token under ``DPoP``, no ``bound_jkt``) is ``not_applicable``.
    Raises ``MissingExtra``, and ``ConfigurationError`` if ``now`` has no zone.
    """
    if now.utcoffset() is None:
        raise ConfigurationError("now has no time zone")
    proofs, tokens = request.values("dpop"), presented_tokens(request)
    if not proofs and bound_jkt is None and not (tokens and tokens[0].method is TokenMethod.DPOP):
        return _NOT_CONCERNED
    facts = _Facts(now.timestamp(), bound_jkt, token_verified, nonces, policy)
    outcomes = Outcomes(DPOP_CHECKS)
    _judge_presentation(tokens, facts, outcomes)
    jws = _read_proof(proofs, policy, outcomes)
    key = _judge_proof(request, tokens, jws, facts, outcomes) if jws else None
    marked = _proof_id(jws, key)
    scope = _judge_replay(marked, replay, facts, outcomes)
    return Inspection(
        mechanism=BindingMethod.DPOP,
        checks=outcomes.checks,
        result=_result(outcomes, must_be_new=replay is not None),
        key=key.thumbprint if key else None,
        proof_digest=digest_of(*proofs) if proofs else None,
        proof_id=marked,
        replay_scope=scope,
        htu_source=htu_source,
    )


_NOT_CONCERNED: Final = Inspection(
    BindingMethod.NONE,
    tuple(plain_check(each, CheckOutcome.NOT_APPLICABLE) for each in DPOP_CHECKS),
    ProofResult.NOT_APPLICABLE,
)


def _judge_presentation(tokens: tuple[PresentedToken, ...], facts: _Facts, outcomes: Outcomes) -> None:
    """Judge ``14`` and ``15``, and say which checks do not concern this request."""
    if not facts.nonces:
        for each in _OF_NONCE:
            outcomes.settle(each, CheckOutcome.NOT_APPLICABLE)
    if not tokens:
        for each in _OF_TOKEN:
            outcomes.settle(each, CheckOutcome.NOT_APPLICABLE)
        return
    method = tokens[0].method
    outcomes.compare(CheckId.DPOP_SINGLE_TOKEN_METHOD, "1", f"{len(tokens)}")
    if method is TokenMethod.DPOP or facts.bound_jkt is not None:
        outcomes.judge(CheckId.DPOP_SCHEME, method is TokenMethod.DPOP, expected="DPoP", observed=method.value)
    elif facts.token_verified:
        outcomes.settle(CheckId.DPOP_SCHEME, CheckOutcome.NOT_APPLICABLE)


def _read_proof(proofs: tuple[str, ...], policy: DpopPolicy, outcomes: Outcomes) -> Jws | None:
    """Read the one proof there is. One that was due and is absent is not well-formed (§4.3 item 2)."""
    if len(proofs) > 1:
        outcomes.compare(CheckId.DPOP_SINGLE_HEADER, "1", f"{len(proofs)}")
        return None
    outcomes.settle(CheckId.DPOP_SINGLE_HEADER, CheckOutcome.PASS)
    if not proofs:
        outcomes.judge(CheckId.DPOP_WELL_FORMED, good=False, expected="a proof", observed="none")
        return None
    jws = read_jws(proofs[0], outcomes, CheckId.DPOP_WELL_FORMED, max_size=policy.max_proof)
    jti = jws.claims.get("jti") if jws else None
    if isinstance(jti, str) and len(jti) > policy.max_jti:
        expected = f"a jti of at most {policy.max_jti:,} characters"
        outcomes.judge(CheckId.JOSE_SIZE, good=False, expected=expected, observed=f"{len(jti):,}")
    return jws


def _judge_proof(
    request: HttpRequest, tokens: tuple[PresentedToken, ...], jws: Jws, facts: _Facts, outcomes: Outcomes
) -> ProofKey | None:
    """Judge what the proof says, and return its key."""
    judge_required(jws, outcomes)
    key = _judge_header(jws, facts.policy, outcomes)
    judge_request(request, jws, outcomes)
    judge_nonce(facts.nonces, jws, outcomes)
    judge_time(facts.now, facts.policy, jws, outcomes)
    if len(tokens) == 1:  # of several, which one was meant would be a guess
        judge_ath(tokens[0].token, jws, outcomes)
    _judge_binding(tokens, key, facts, outcomes)
    return key


def _judge_header(jws: Jws, policy: DpopPolicy, outcomes: Outcomes) -> ProofKey | None:
    """Judge ``typ``, ``alg``, the key, and the signature with that key."""
    typ, alg, jwk = jws.header.get("typ"), jws.header.get("alg"), jws.header.get("jwk")
    if typ is not None or not jws.ambiguous:
        outcomes.compare(CheckId.DPOP_TYP, _TYP, typ)
    if isinstance(alg, str) and alg in policy.algorithms:
        outcomes.settle(CheckId.DPOP_ALG, CheckOutcome.PASS)
    elif alg is not None or not jws.ambiguous:
        expected = " ".join(sorted(policy.algorithms))
        outcomes.judge(CheckId.DPOP_ALG, good=False, expected=expected, observed=shown(alg))
    if not isinstance(jwk, dict):
        if jwk is not None or not jws.ambiguous:
            outcomes.judge(CheckId.JOSE_KEY, good=False, expected="a jwk", observed=shown(jwk))
        return None
    members = cast("dict[str, Any]", jwk)
    private = private_members(members)
    outcomes.judge(CheckId.DPOP_NO_PRIVATE_KEY, not private, observed=", ".join(private) or None)
    key = read_key(members, alg, outcomes)
    if key and key.verification and isinstance(alg, str) and outcomes.passed(CheckId.JOSE_CRIT):
        judge_signature(CheckId.DPOP_SIGNATURE, key.verification, alg, jws, outcomes)
    return key


def _judge_binding(tokens: tuple[PresentedToken, ...], key: ProofKey | None, facts: _Facts, outcomes: Outcomes) -> None:
    """Judge ``12b``: the proof's key is the token's. A token that is known to be bound to none has no key to match."""
    if facts.bound_jkt is not None and key is None:
        outcomes.settle(CheckId.DPOP_JKT, CheckOutcome.NOT_PERFORMED)
    elif facts.bound_jkt is not None and key is not None:
        good = hmac.compare_digest(facts.bound_jkt, key.thumbprint)
        outcomes.judge(CheckId.DPOP_JKT, good, expected=facts.bound_jkt, observed=key.thumbprint)
    elif tokens and facts.token_verified and tokens[0].method is TokenMethod.DPOP:
        outcomes.judge(CheckId.DPOP_JKT, good=False, expected="a token bound to a key", observed="none")
    elif facts.token_verified:
        outcomes.settle(CheckId.DPOP_JKT, CheckOutcome.NOT_APPLICABLE)


def _proof_id(jws: Jws | None, key: ProofKey | None) -> Sha256 | None:
    jti = jws.claims.get("jti") if jws else None
    return proof_id(key.thumbprint, jti) if key and isinstance(jti, str) else None


def _judge_replay(marked: Sha256 | None, replay: ReplayStore | None, facts: _Facts, outcomes: Outcomes) -> ReplayScope:
    """Judge ``13`` if nothing else is amiss: otherwise anybody could fill the store, or use up a ``jti`` of others."""
    if replay is None or marked is None or not facts.token_verified or outcomes.open != _REPLAY_ALONE:
        return ReplayScope.NONE
    expires = facts.now + facts.policy.retention
    try:
        new = replay.add(marked, expires)
    except Exception:  # noqa: BLE001 -- whatever kept the store from telling, nothing is known of the proof
        outcomes.settle(CheckId.DPOP_JTI_REPLAY, CheckOutcome.ERROR)
        return ReplayScope.NONE
    outcomes.judge(CheckId.DPOP_JTI_REPLAY, new)
    return ReplayScope.KEY


def _result(outcomes: Outcomes, *, must_be_new: bool) -> ProofResult:
    """Return the whole: a pass only if all that concerns the request passed, ``13`` where there is a store to ask."""
    still_open = outcomes.open
    if not still_open or (still_open == _REPLAY_ALONE and not must_be_new):
        return ProofResult.PASS
    found = result_of(outcomes.checks)
    return ProofResult.NOT_PERFORMED if found is ProofResult.PASS else found

"""Checking a JWT access token: who signed it, for whom, for how long, for what (RFC 9068 §4, RFC 6750 §3.1).

Rules:

1. The token is read strictly (``jws``); what breaks a rule there fails ``token.signature``, which names the rule.
2. The keys are those of the issuer that the token names, if it is one that is trusted. Of any other issuer there are no
   keys, so ``token.issuer`` fails and the signature is not checked.
3. An algorithm is one of the policy's: asymmetric, never ``none``, whatever the header says.
4. Claims are only looked at once the signature was good. Before that, every other check is ``not_performed``.
5. Nothing raises over what a token holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from counterfoil.schemas import CheckId, CheckOutcome

from ..capture.claims import name_of
from ..capture.facts import TokenFacts
from .inspection import Outcomes
from .jws import JWS_CHECKS, read_jws
from .shown import shown
from .token_claims import TokenInspection, TokenPolicy, judge_audience, judge_confirmation, judge_scope, judge_time

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from .issuer_keys import IssuerKeys
    from .jws import Jws

ACCESS_TOKEN_CHECKS: Final = (
    CheckId.CNF_AMBIGUOUS,
    CheckId.TOKEN_SIGNATURE,
    CheckId.TOKEN_ISSUER,
    CheckId.TOKEN_AUDIENCE,
    CheckId.TOKEN_TIME,
    CheckId.TOKEN_TYP,
    CheckId.TOKEN_SCOPE,
)
"""The checks that ``inspect_access_token`` considers."""

_PROFILED: Final = "at+jwt"
_DEFAULT_POLICY: Final = TokenPolicy()
_SIGNATURE: Final = CheckId.TOKEN_SIGNATURE


def inspect_access_token(  # noqa: PLR0913 -- one keyword a demand
    token: str,
    keys: IssuerKeys | None,
    *,
    issuer: str,
    audiences: Collection[str],
    now: datetime,
    scopes: Collection[str] = (),
    policy: TokenPolicy = _DEFAULT_POLICY,
) -> TokenInspection:
    """Check a JWT access token. ``keys`` are those of ``issuer``; None where they cannot be had, which is an ``error``.

    ``audiences`` are all the identifiers that the server takes for its own; ``scopes`` those that the request needs.
    ``now`` needs a zone.
    """
    outcomes = Outcomes(ACCESS_TOKEN_CHECKS)
    jws = _read(token, policy, outcomes)
    if jws is None:
        return TokenInspection(outcomes.checks, {}, None)
    claims = jws.claims
    if claims.get("iss") != issuer:
        outcomes.judge(CheckId.TOKEN_ISSUER, good=False, expected=name_of(issuer), observed=_told(claims.get("iss")))
        return TokenInspection(outcomes.checks, {}, None)
    if not _judge_signature(jws, keys, policy, outcomes):
        return TokenInspection(outcomes.checks, {}, None)
    outcomes.judge(CheckId.TOKEN_ISSUER, good=True)
    _judge_typ(jws.header.get("typ"), policy, outcomes)
    judge_audience(claims.get("aud"), audiences, outcomes)
    judge_time(claims, now, policy.leeway, outcomes, exp_required=True)
    judge_scope(claims, scopes, outcomes)
    judge_confirmation(claims, outcomes)
    return TokenInspection.of(outcomes, TokenFacts.verified(claims), claims)


def _told(value: object) -> str:
    """Return an issuer as it stands: it is a name, and which one it was is the point."""
    return name_of(value) or shown(value)


def _read(token: str, policy: TokenPolicy, outcomes: Outcomes) -> Jws | None:
    """Read the token. The rules of ``jws`` are checks of a proof's; of a token they are one, and named in it."""
    of_rules = Outcomes((*JWS_CHECKS, _SIGNATURE))
    jws = read_jws(token, of_rules, _SIGNATURE, max_size=policy.max_token)
    broken = [check.id for check in of_rules.checks if check.outcome is CheckOutcome.FAIL]
    if jws is None or broken:
        rule = next((each for each in broken if each is not _SIGNATURE), None)
        outcomes.judge(_SIGNATURE, good=False, expected="a JWT", observed=rule or "no JWT")
        return None
    return jws


def _judge_signature(jws: Jws, keys: IssuerKeys | None, policy: TokenPolicy, outcomes: Outcomes) -> bool:
    alg, kid = jws.header.get("alg"), jws.header.get("kid")
    if not isinstance(alg, str) or alg not in policy.algorithms:
        allowed = " ".join(sorted(policy.algorithms))
        return outcomes.judge(_SIGNATURE, good=False, expected=allowed, observed=f"alg {shown(alg)}")
    if keys is None:
        outcomes.settle(_SIGNATURE, CheckOutcome.ERROR)
        return False
    candidates = keys.candidates(alg, kid) if kid is None or isinstance(kid, str) else []
    if not candidates:
        return outcomes.judge(_SIGNATURE, good=False, expected="a key of the issuer", observed="no such key")
    from .signatures import verifies

    try:
        good = any(verifies(key, alg, jws.signing_input, jws.signature) for key in candidates)
    except Exception:  # noqa: BLE001 -- a library out of order: nothing is known of the signature
        outcomes.settle(_SIGNATURE, CheckOutcome.ERROR)
        return False
    return outcomes.judge(_SIGNATURE, good)


def _judge_typ(typ: object, policy: TokenPolicy, outcomes: Outcomes) -> None:
    """Judge ``token.typ``, by media type, so in any case, with or without ``application/`` (RFC 7515 §4.1.9)."""
    given = typ.lower().removeprefix("application/") if isinstance(typ, str) else typ
    if policy.unprofiled and (given is None or given == "jwt"):
        outcomes.settle(CheckId.TOKEN_TYP, CheckOutcome.NOT_APPLICABLE, observed=shown(typ))
    else:
        outcomes.judge(CheckId.TOKEN_TYP, given == _PROFILED, expected=_PROFILED, observed=shown(typ))

"""Checking an access token by what its authorization server says of it (RFC 7662 §2.2).

The token itself is not read. An inactive token fails ``token.active``, and no reason is known. What the response leaves
out is not known either. Without ``exp`` the server vouches for the time by ``active``, and without ``iss`` for itself.
Without ``aud`` the token may be meant for anybody, which fails, unless the server is trusted to answer for this one
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas import CheckId, CheckOutcome

from ..capture.claims import name_of
from ..capture.facts import TokenFacts
from .inspection import Outcomes
from .shown import shown
from .token_claims import TokenInspection, TokenPolicy, judge_audience, judge_confirmation, judge_scope, judge_time

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

INTROSPECTION_CHECKS: Final = (
    CheckId.CNF_AMBIGUOUS,
    CheckId.TOKEN_ISSUER,
    CheckId.TOKEN_AUDIENCE,
    CheckId.TOKEN_TIME,
    CheckId.TOKEN_SCOPE,
    CheckId.TOKEN_ACTIVE,
)
"""The checks that ``inspect_introspection`` considers."""

_DEFAULT_POLICY: Final = TokenPolicy()


def inspect_introspection(  # noqa: PLR0913 -- one keyword a demand
    response: object,
    *,
    issuers: Collection[str],
    audiences: Collection[str],
    now: datetime,
    scopes: Collection[str] = (),
    audience_required: bool = True,
    policy: TokenPolicy = _DEFAULT_POLICY,
) -> TokenInspection:
    """Check an introspection response, as parsed JSON; None where there is none, which is an ``error``.

    ``issuers`` are those that are trusted; none given, whatever ``iss`` says is as good as the server that says it.
    """
    outcomes = Outcomes(INTROSPECTION_CHECKS)
    if not isinstance(response, Mapping):
        outcomes.settle(CheckId.TOKEN_ACTIVE, CheckOutcome.ERROR)
        return TokenInspection(outcomes.checks, {}, None)
    claims = cast("Mapping[str, Any]", response)
    if not outcomes.judge(CheckId.TOKEN_ACTIVE, claims.get("active") is True):
        return TokenInspection(outcomes.checks, {}, None)
    issuer = claims.get("iss")
    if issuer is None or not issuers:
        outcomes.settle(CheckId.TOKEN_ISSUER, CheckOutcome.NOT_APPLICABLE)
    else:
        told = name_of(issuer) or shown(issuer)
        trusted = any(issuer == each for each in issuers)
        outcomes.judge(CheckId.TOKEN_ISSUER, trusted, expected=name_of(", ".join(issuers)), observed=told)
    if claims.get("aud") is None and not audience_required:
        outcomes.settle(CheckId.TOKEN_AUDIENCE, CheckOutcome.NOT_APPLICABLE)
    else:
        judge_audience(claims.get("aud"), audiences, outcomes)
    judge_time(claims, now, policy.leeway, outcomes, exp_required=False)
    judge_scope(claims, scopes, outcomes)
    _judge_binding(claims, outcomes)
    return TokenInspection.of(outcomes, TokenFacts.introspected(claims), claims)


def _judge_binding(claims: Mapping[str, Any], outcomes: Outcomes) -> None:
    """Judge ``cnf.ambiguous``. ``token_type``, where it is given, is ``DPoP`` of a token bound so (RFC 9449 §6.2)."""
    cnf, token_type = claims.get("cnf"), claims.get("token_type")
    members = cast("dict[str, object]", cnf) if isinstance(cnf, dict) else {}
    named = token_type.lower() if isinstance(token_type, str) else None
    if named is not None and (named == "dpop") != ("jkt" in members):
        told = "jkt" if "jkt" in members else "no jkt"
        outcomes.judge(CheckId.CNF_AMBIGUOUS, good=False, expected=f"as token_type {shown(token_type)}", observed=told)
    else:
        judge_confirmation(claims, outcomes)

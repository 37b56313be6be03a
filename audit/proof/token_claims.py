"""The checks of what a token says, in its own claims or in an introspection response (RFC 9068 §4, RFC 7662 §2.2).

They are made of claims that somebody vouches for: a signature that was verified, or the authorization server itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas import Check, CheckId, CheckOutcome, ConfigurationError, ProofResult, Thumbprint

from ..capture.claims import name_of, names_of, scopes_of, thumbprint_of
from ..capture.facts import TokenFacts
from .challenges import INVALID_TOKEN, UNAVAILABLE
from .inspection import result_of
from .keys import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from .inspection import Outcomes

_CNF_KEYS: Final = frozenset({"jwk", "jwe", "jku", "jkt", "x5t#S256"})
_CHECKABLE: Final = frozenset({"jkt", "x5t#S256"})
_LAST: Final = 2**53
_GOOD: Final = frozenset({CheckOutcome.PASS, CheckOutcome.NOT_APPLICABLE})


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What an access token has to be. Raises ``ConfigurationError`` for limits that nothing could keep to."""

    algorithms: frozenset[str] = frozenset(ALGORITHMS)
    """The signature algorithms that are accepted, of the asymmetric ones (RFC 9068 §4: never ``none``)."""
    leeway: timedelta = timedelta(seconds=30)
    """How far clocks may differ for ``exp`` and ``nbf``: at most a few minutes (RFC 9068 §4)."""
    unprofiled: bool = False
    """Whether a JWT with ``typ`` ``JWT``, or none, is taken for an access token: some issuers do not follow RFC 9068.
    The check ``token.typ`` is then ``not_applicable`` to it."""
    max_token: int = 16 * 1024
    """The longest token that is read, in characters."""

    def __post_init__(self) -> None:
        """Check that each limit has a meaning."""
        if not self.algorithms or not self.algorithms <= ALGORITHMS.keys():
            raise ConfigurationError(f"a token policy allows some of these algorithms: {', '.join(ALGORITHMS)}")
        if self.leeway < timedelta() or self.max_token < 1:
            raise ConfigurationError("leeway is not less than zero, and max_token at least 1")


@dataclass(frozen=True, slots=True, repr=False)
class TokenInspection:
    """How the checks of a token ended. Its ``repr`` shows no claim."""

    checks: tuple[Check, ...]
    """Every check that was considered."""
    claims: Mapping[str, Any]
    """What the token says; empty unless it is to be trusted."""
    facts: TokenFacts | None
    """The same for the record; None unless it is to be trusted."""
    audience: str | None = None
    """By which of the accepted identifiers it names this server."""
    jkt: Thumbprint | None = None
    """The key it is bound to (RFC 9449 §6), if it is to be trusted."""
    x5t_s256: Thumbprint | None = None
    """The certificate it is bound to (RFC 8705 §3.1), likewise."""

    @classmethod
    def of(cls, outcomes: Outcomes, facts: TokenFacts, claims: Mapping[str, Any]) -> TokenInspection:
        """Return what the checks come to: the claims are trusted if none but the scope is amiss."""
        checks = outcomes.checks
        if any(each.outcome not in _GOOD for each in checks if each.id is not CheckId.TOKEN_SCOPE):
            return cls(checks, {}, None)
        found = next(each for each in checks if each.id is CheckId.TOKEN_AUDIENCE)
        bound = facts.token.confirmation
        return cls(checks, claims, facts, found.observed, bound.jkt, bound.x5t_s256)

    @property
    def trusted(self) -> bool:
        """Whether the claims may be used. A missing scope does not make a token a bad one (RFC 6750 §3.1)."""
        return self.facts is not None

    @property
    def error(self) -> str | None:
        """The error code, if the token is not to be trusted: bad, or not to be told."""
        if self.trusted:
            return None
        return UNAVAILABLE if result_of(self.checks) is ProofResult.ERROR else INVALID_TOKEN

    @property
    def in_scope(self) -> bool:
        """Whether it has the scope that was asked for."""
        return all(each.outcome in _GOOD for each in self.checks if each.id is CheckId.TOKEN_SCOPE)

    def __repr__(self) -> str:
        return f"<TokenInspection, {'trusted' if self.trusted else 'not trusted'}>"


def judge_audience(stated: object, accepted: Collection[str], outcomes: Outcomes) -> None:
    """Judge ``token.audience``: ``aud``, a string or an array, names this server exactly (RFC 7519 §4.1.3).

    A passing check shows by which identifier, since an authorization server may use another one than asked for
    (RFC 8707 §2).
    """
    values = cast("list[object]", stated) if isinstance(stated, list) else [stated]
    named = next((each for each in accepted if each in values), None)
    if named is not None:
        outcomes.settle(CheckId.TOKEN_AUDIENCE, CheckOutcome.PASS, observed=name_of(named))
        return
    told = name_of(", ".join(names_of(values))) or "none"
    outcomes.judge(CheckId.TOKEN_AUDIENCE, good=False, expected=name_of(", ".join(accepted)), observed=told)


def judge_time(
    claims: Mapping[str, Any], now: datetime, leeway: timedelta, outcomes: Outcomes, *, exp_required: bool
) -> None:
    """Judge ``token.time``: before ``exp``, and not before ``nbf``, which both are numbers (RFC 7519 §2)."""
    moment, slack = now.timestamp(), leeway.total_seconds()
    expires, begins = claims.get("exp"), claims.get("nbf")
    amiss = None
    if expires is None:
        amiss = "no exp" if exp_required else None
    elif not _is_date(expires):
        amiss = "exp is no time"
    elif moment >= expires + slack:
        amiss = "expired"
    if begins is not None and not amiss:
        amiss = "nbf is no time" if not _is_date(begins) else "not valid yet" if moment < begins - slack else None
    outcomes.judge(CheckId.TOKEN_TIME, amiss is None, observed=amiss)


def _is_date(value: Any) -> bool:
    """Whether it is a NumericDate that can be one (RFC 7519 §2)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LAST


def judge_scope(claims: Mapping[str, Any], required: Collection[str], outcomes: Outcomes) -> None:
    """Judge ``token.scope``: every scope that the request needs was granted (RFC 6750 §3.1)."""
    if not required:
        outcomes.settle(CheckId.TOKEN_SCOPE, CheckOutcome.NOT_APPLICABLE)
        return
    granted = scopes_of(claims.get("scope", claims.get("scp")))
    outcomes.judge(
        CheckId.TOKEN_SCOPE,
        set(required) <= set(granted),
        expected=name_of(" ".join(required)),
        observed=name_of(" ".join(granted)) or "none",
    )


def judge_confirmation(claims: Mapping[str, Any], outcomes: Outcomes) -> None:
    """Judge ``cnf.ambiguous``: it names one key (RFC 7800 §3), in a way that can be checked here.

    A key and a certificate together are no ambiguity: both are required. A binding that nobody can check is not taken
    for none.
    """
    cnf = claims.get("cnf")
    if cnf is None:
        outcomes.settle(CheckId.CNF_AMBIGUOUS, CheckOutcome.NOT_APPLICABLE)
        return
    members = cast("dict[str, object]", cnf) if isinstance(cnf, dict) else {}
    keys = _CNF_KEYS.intersection(members)
    outcomes.judge(
        CheckId.CNF_AMBIGUOUS,
        bool(keys) and keys <= _CHECKABLE and all(thumbprint_of(members[each]) for each in keys),
        expected="jkt or x5t#S256",
        observed=", ".join(sorted(keys)) or "no key",
    )

"""What somebody verified or was told about a token. It replaces what the token says of itself; ``basis`` says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Self

from counterfoil.schemas import Basis, BindingMethod, Check, CheckId, CheckOutcome, Thumbprint, Token

from .claims import LAST_SECOND, actors_of, bound_key_of, declared_by, lifetime_between, scopes_of, token_fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """Facts about one token, with how they are known. None of the constructors keeps the token, or raises over it."""

    token: Token
    """The facts; ``token.basis`` says how they are known."""
    declared: BindingMethod = BindingMethod.UNKNOWN
    """The binding they state; unknown where they say nothing of it."""
    bound_key: Thumbprint | None = None
    """The key or certificate they bind the token to."""
    checks: tuple[Check, ...] = ()
    """The checks they amount to."""
    actors: tuple[str, ...] = field(default=(), repr=False)
    """``act``: the current actor first (RFC 8693 §4.1)."""

    @classmethod
    def verified(cls, claims: Mapping[str, Any]) -> Self:
        """Take the claims of a JWT whose signature, issuer, audience and time the caller has checked (RFC 9068 §4)."""
        return cls._stated(claims, Basis.VERIFIED_JWT)

    @classmethod
    def introspected(cls, response: Mapping[str, Any]) -> Self:
        """Take an introspection response (RFC 7662 §2.2). An inactive token fails ``token.active``; no reason is given.

        A token with ``token_type`` DPoP is bound (RFC 9449 §6.2), also where the response leaves ``cnf`` out.
        """
        if response.get("active") is not True:
            return cls(Token(basis=Basis.INTROSPECTION), checks=(_active(CheckOutcome.FAIL),))
        facts = cls._stated(response, Basis.INTROSPECTION)
        declared = BindingMethod.DPOP if _is_dpop(response) else facts.declared
        return cls(facts.token, declared, facts.bound_key, (_active(CheckOutcome.PASS),), facts.actors)

    @classmethod
    def token_response(cls, response: Mapping[str, Any], now: datetime) -> Self:
        """Take the response of the token endpoint (RFC 6749 §5.1), received at ``now``, which needs a zone.

        ``token_type`` DPoP declares the binding (RFC 9449 §5). Bearer does not exclude mutual TLS, so it states none.
        """
        token = Token(
            scopes=scopes_of(response.get("scope")),
            lifetime=lifetime_between(now, _later(now, response.get("expires_in"))),
            basis=Basis.TOKEN_RESPONSE,
        )
        return cls(token, BindingMethod.DPOP if _is_dpop(response) else BindingMethod.UNKNOWN)

    @classmethod
    def configured(cls, token: Token) -> Self:
        """Take what the configuration says, such as the class ``environment_credential`` and the variable's name."""
        confirmation = token.confirmation
        if confirmation.jkt:
            declared = BindingMethod.DPOP
        else:
            declared = BindingMethod.MTLS if confirmation.x5t_s256 else BindingMethod.UNKNOWN
        configured = token.model_copy(update={"basis": Basis.CONFIGURATION})
        return cls(configured, declared, confirmation.jkt or confirmation.x5t_s256)

    @classmethod
    def _stated(cls, claims: Mapping[str, Any], basis: Basis) -> Self:
        token = Token(**token_fields(claims), basis=basis)
        return cls(token, declared_by(claims), bound_key_of(claims), actors=actors_of(claims))


def _active(outcome: CheckOutcome) -> Check:
    return Check(id=CheckId.TOKEN_ACTIVE, outcome=outcome)


def _is_dpop(response: Mapping[str, Any]) -> bool:
    token_type = response.get("token_type")
    return isinstance(token_type, str) and token_type.lower() == "dpop"


def _later(now: datetime, seconds: object) -> datetime | None:
    """Return ``now`` plus ``expires_in``, which some servers write as a string of digits."""
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
        seconds = int(seconds[:18])
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not 0 <= seconds <= LAST_SECOND - now.timestamp():
        return None
    return now.astimezone(UTC) + timedelta(seconds=seconds)

"""Checking an access token, and saying how each check ended (RFC 9068 §4, RFC 6750 §3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from joserfc import jwt
from joserfc.errors import JoseError

from counterfoil.schemas import Check, CheckId, CheckOutcome

if TYPE_CHECKING:
    from datetime import datetime

    from joserfc.jwk import KeySet

_OF_CLAIMS: Final = (
    CheckId.TOKEN_TYP,
    CheckId.TOKEN_ISSUER,
    CheckId.TOKEN_AUDIENCE,
    CheckId.TOKEN_TIME,
    CheckId.TOKEN_SCOPE,
)


def check_access_token(  # noqa: PLR0913 -- one keyword a check
    token: str, keys: KeySet, *, issuer: str, audience: str, scope: str, now: datetime
) -> tuple[dict[str, Any] | None, tuple[Check, ...]]:
    """Return the claims, or None where they are not to be trusted, and the outcome of every check."""
    try:
        decoded = jwt.decode(token, keys, algorithms=["ES256"])
    except (JoseError, ValueError):
        refused = tuple(Check(id=each, outcome=CheckOutcome.NOT_PERFORMED) for each in _OF_CLAIMS)
        return None, (_check(CheckId.TOKEN_SIGNATURE, good=False), *refused)
    claims = decoded.claims
    expires_at = claims.get("exp")
    checks = (
        _check(CheckId.TOKEN_SIGNATURE, good=True),
        _check(CheckId.TOKEN_TYP, good=decoded.header.get("typ") == "at+jwt"),
        _check(CheckId.TOKEN_ISSUER, good=claims.get("iss") == issuer),
        _check(CheckId.TOKEN_AUDIENCE, good=_names(claims.get("aud"), audience)),
        _check(CheckId.TOKEN_TIME, good=isinstance(expires_at, int) and now.timestamp() < expires_at),
    )
    trusted = all(check.outcome is CheckOutcome.PASS for check in checks)
    in_scope = _check(CheckId.TOKEN_SCOPE, good=scope in str(claims.get("scope", "")).split())
    return claims if trusted else None, (*checks, in_scope)


def _names(stated: object, audience: str) -> bool:
    """Whether ``aud``, a string or an array of strings, names us (RFC 7519 §4.1.3)."""
    return stated == audience or (isinstance(stated, list) and audience in stated)


def _check(check_id: CheckId, *, good: bool) -> Check:
    return Check(id=check_id, outcome=CheckOutcome.PASS if good else CheckOutcome.FAIL)

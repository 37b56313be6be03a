"""A token verifier for an MCP server whose tokens are JWTs: every check of RFC 9068 §4, each with its outcome.

::

    verifier = AuditTokenVerifier(JwtTokenVerifier("https://as.example", jwks), auth, basis=Basis.VERIFIED_JWT)
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import MissingExtra

from ..capture.claims import name_of, scopes_of
from ..capture.jose import read_compact
from ..proof.access_token import inspect_access_token
from ..proof.issuer_keys import KeySource
from ..proof.token_claims import TokenPolicy

try:
    from mcp.server.auth.provider import AccessToken
except ImportError:
    raise MissingExtra("mcp") from None

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from counterfoil.schemas import Check

    from ..proof.issuer_keys import Fetch

_AS_THE_SDK: Final = TokenPolicy(leeway=timedelta())  # which takes no token a second longer


class JwtTokenVerifier:
    """Checks JWT access tokens of one issuer; a ``CheckingVerifier``, to be put into an ``AuditTokenVerifier``.

    ``issuer`` is its exact ``iss``. ``keys`` are its JWK Set, a function that fetches it, or a ``KeySource``. Without a
    ``policy`` clocks may not differ, since the SDK allows no leeway either. Raises ``ConfigurationError`` for a set
    without a usable key.
    """

    def __init__(
        self, issuer: str, keys: Mapping[str, Any] | Fetch | KeySource, *, policy: TokenPolicy | None = None
    ) -> None:
        self._issuer = issuer
        self._keys = keys if isinstance(keys, KeySource) else KeySource(keys)
        self._policy = policy or _AS_THE_SDK

    async def check_token(
        self, token: str, *, audiences: tuple[str, ...], scopes: tuple[str, ...], now: datetime
    ) -> tuple[AccessToken | None, tuple[Check, ...]]:
        """Check one token. Raises nothing over what it holds; keys that cannot be had are an ``error``."""
        jose = read_compact(token)
        keys = await self._keys.keys(name_of(jose.header.get("kid")) if jose else None)
        found = inspect_access_token(
            token, keys, issuer=self._issuer, audiences=audiences, now=now, scopes=scopes, policy=self._policy
        )
        if not found.trusted:
            return None, found.checks
        return _access(token, found.claims, audiences), found.checks


def _access(token: str, claims: Mapping[str, Any], audiences: tuple[str, ...]) -> AccessToken:
    """Return what the SDK wants to know. It was for us, under whichever name: the SDK knows the first only."""
    client_id, subject = name_of(claims.get("client_id")), name_of(claims.get("sub"))
    return AccessToken(
        token=token,
        client_id=client_id or subject or "unknown",
        scopes=list(scopes_of(claims.get("scope"))),
        expires_at=int(claims["exp"]),
        resource=next(iter(audiences), None),
        subject=subject,
        claims=dict(claims),
    )

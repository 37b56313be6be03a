"""What the API demands of a request, and what it then knows: every check, with how it ended."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx2
from joserfc.jwk import KeySet
from starlette.responses import Response

from counterfoil.schemas import Check, CheckId, CheckOutcome, Token

from ..capture import TokenFacts
from .access_token import check_access_token

if TYPE_CHECKING:
    from starlette.requests import Request

SCOPES: Final = {"/mail": "mail:read", "/contacts": "contacts:read", "/payments": "payments:write"}
"""The scope that an access token needs, by path. Elsewhere an API key or a session serves."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks came to."""

    refusal: Response | None
    """The answer to give instead of the application's, if any."""
    checks: tuple[Check, ...] = ()
    facts: TokenFacts | None = None
    """What is known of the credential once it was checked."""


def _refuse(status: int, challenge: str) -> Response:
    return Response(status_code=status, headers={"WWW-Authenticate": challenge})


SEVERAL: Final = Verdict(_refuse(400, 'Bearer error="invalid_request"'))
"""Of two credentials, which one a check was about would be a guess (RFC 6750 §2)."""


class Guard:
    """Decides about each request: an access token with the right scope, a known API key, or a known session."""

    def __init__(self, brief: dict[str, Any]) -> None:
        self._issuer: str = brief["issuer"]
        self._audience: str = brief["audience"]
        self._api_keys: dict[str, str] = brief["api_keys"]
        self._sessions: dict[str, str] = brief["sessions"]
        self._keys: KeySet | None = None

    async def decide(self, request: Request) -> Verdict:
        """Check the credential that the path asks for."""
        path: str = request.scope["path"]
        scope = SCOPES.get(path)
        if scope:
            return await self._decide_on_token(request.headers.get("authorization", ""), scope)
        if path == "/calendar":
            return _decide_on_known(request.cookies.get("session"), self._sessions)
        return _decide_on_known(request.headers.get("x-api-key"), self._api_keys)

    async def _decide_on_token(self, authorization: str, scope: str) -> Verdict:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return Verdict(_refuse(401, "Bearer"))
        try:
            keys = await self._published_keys()
        except httpx2.HTTPError:
            unchecked = Check(id=CheckId.TOKEN_SIGNATURE, outcome=CheckOutcome.ERROR)
            return Verdict(Response(status_code=503), (unchecked,))
        claims, checks = check_access_token(
            token,
            keys,
            issuer=self._issuer,
            audience=self._audience,
            scope=scope,
            now=datetime.now(UTC),
        )
        if claims is None:
            return Verdict(_refuse(401, 'Bearer error="invalid_token"'), checks)
        facts = TokenFacts.verified(claims)
        if checks[-1].outcome is CheckOutcome.FAIL:
            return Verdict(_refuse(403, f'Bearer error="insufficient_scope", scope="{scope}"'), checks, facts)
        return Verdict(None, checks, facts)

    async def _published_keys(self) -> KeySet:
        """Return the keys of the authorization server, asked for once (RFC 7517 §5)."""
        if self._keys is None:
            async with httpx2.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"{self._issuer}/jwks")
            self._keys = KeySet.import_key_set(answer.raise_for_status().json())
        return self._keys


def _decide_on_known(presented: str | None, known: dict[str, str]) -> Verdict:
    """Look a key or a session up. Every one is compared, so that the time taken tells nothing."""
    if presented is None:
        return Verdict(_refuse(401, "Bearer"))
    owners = [owner for secret, owner in known.items() if hmac.compare_digest(secret.encode(), presented.encode())]
    if not owners:
        return Verdict(_refuse(401, "Bearer"), (Check(id=CheckId.TOKEN_ACTIVE, outcome=CheckOutcome.FAIL),))
    active = Check(id=CheckId.TOKEN_ACTIVE, outcome=CheckOutcome.PASS)
    return Verdict(None, (active,), TokenFacts.configured(Token(client_id=owners[0])))

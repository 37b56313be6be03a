"""An authorization server: client credentials in, a signed access token out (RFC 6749 §4.4, RFC 9068).

It records each token that it issues, as the fingerprint that the agent and the API will record too.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote_plus

from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from counterfoil.schemas import Change, Context, CredentialChange, Observer, TokenClass, TokenFormat

from ..capture import TokenFacts
from ..log import AuditLog
from .role import read_brief, serve

if TYPE_CHECKING:
    from starlette.requests import Request

_LIFETIME: Final = 300
_NO_STORE: Final = {"Cache-Control": "no-store"}


class AuthorizationServer:
    """Issues access tokens of five minutes for one API. The signing key never leaves this process."""

    def __init__(self, log: AuditLog, brief: dict[str, Any]) -> None:
        self._log = log
        self._issuer: str = brief["issuer"]
        self._audience: str = brief["audience"]
        self._clients: dict[str, dict[str, str]] = brief["clients"]
        self._key = ECKey.generate_key("P-256", auto_kid=True)
        self.app = Starlette(
            routes=[
                Route("/token", self.issue, methods=["POST"]),
                Route("/jwks", self.publish_keys),
            ]
        )

    async def issue(self, request: Request) -> JSONResponse:
        """Answer a token request (RFC 6749 §4.4.2)."""
        client_id = self._authenticated(request.headers.get("authorization", ""))
        if client_id is None:
            return JSONResponse({"error": "invalid_client"}, 401, {"WWW-Authenticate": "Basic"})
        form = parse_qs((await request.body()).decode("ascii", "replace"))
        if form.get("grant_type") != ["client_credentials"]:
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        if form.get("resource", [self._audience]) != [self._audience]:  # RFC 8707 §2
            return JSONResponse({"error": "invalid_target"}, 400)
        claims = self._claims(client_id)
        token = jwt.encode({"typ": "at+jwt", "alg": "ES256", "kid": self._key.kid}, claims, self._key)
        await self._log.arecord(self._issued(token, claims))
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": _LIFETIME, "scope": claims["scope"]}
        return JSONResponse(answer, headers=_NO_STORE)

    async def publish_keys(self, _request: Request) -> JSONResponse:
        """Publish the public half of the signing key (RFC 7517 §5)."""
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    def _authenticated(self, authorization: str) -> str | None:
        """Return the client that ``client_secret_basic`` proves (RFC 6749 §2.3.1)."""
        try:
            decoded = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
        except ValueError:
            return None
        client_id, _, secret = map(unquote_plus, decoded.partition(":"))
        known = self._clients.get(client_id)
        return client_id if known and hmac.compare_digest(known["secret"].encode(), secret.encode()) else None

    def _claims(self, client_id: str) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": client_id,  # no person delegates here: the client acts for itself (RFC 9068 §2.2)
            "client_id": client_id,
            "scope": self._clients[client_id]["scope"],
            "iat": now,
            "exp": now + _LIFETIME,
            "jti": secrets.token_urlsafe(12),
        }

    def _issued(self, token: str, claims: dict[str, Any]) -> CredentialChange:
        facts = TokenFacts.verified(claims).token.model_copy(
            update={
                "token_class": TokenClass.BEARER_JWT_AT,
                "format": TokenFormat.JWT,
                "fingerprint": self._log.fingerprint(token),
            }
        )
        context = Context(observer=Observer.AUTHORIZATION_SERVER)
        return CredentialChange(context=context, change=Change.ISSUED, token=facts)


def main() -> None:
    """Play the authorization server."""
    brief = read_brief()
    with AuditLog.open(brief["db"]) as log:
        serve(AuthorizationServer(log, brief).app, brief)


if __name__ == "__main__":
    main()

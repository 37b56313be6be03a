"""An authorization server: client credentials in, a signed access token out (RFC 6749 §4.4, RFC 9068).

It binds the token to whatever the client proves: the key of a DPoP proof (RFC 9449 §5), or else its certificate
(RFC 8705 §3). Without either it is a bearer token. It records each token that it issues, as the fingerprint that the
agent and the resource server will record too.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote_plus

from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from counterfoil.schemas import (
    Binding,
    BindingMethod,
    Change,
    Context,
    CredentialChange,
    Fingerprint,
    Observer,
    ProofResult,
    Thumbprint,
    TokenClass,
    TokenFormat,
)

from ..capture import TokenFacts
from ..instrument.asgi_scope import Surroundings
from ..proof.dpop import inspect_dpop
from .certificates import Identity
from .receipts import WitnessedLog
from .role import read_brief, serve

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..log import AuditLog

_LIFETIME: Final = 300
_NO_STORE: Final = {"Cache-Control": "no-store"}

_CLASSES: Final = {
    BindingMethod.NONE: TokenClass.BEARER_JWT_AT,
    BindingMethod.DPOP: TokenClass.DPOP_BOUND_ACCESS,
    BindingMethod.MTLS: TokenClass.MTLS_BOUND_ACCESS,
}
_MEMBERS: Final = {BindingMethod.DPOP: "jkt", BindingMethod.MTLS: "x5t#S256"}


class InvalidProof(Exception):
    """The proof is no good (RFC 9449 §5)."""


class AuthorizationServer:
    """Issues access tokens of five minutes, each for one resource. The signing key never leaves this process."""

    def __init__(self, log: AuditLog, brief: dict[str, Any]) -> None:
        self._log = log
        self._issuer: str = brief["issuer"]
        self._clients: dict[str, dict[str, Any]] = brief["clients"]
        self._surroundings = Surroundings(self._issuer, trusted_hops=())
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
        resource = form.get("resource", [""])[0]
        scope = self._clients[client_id]["scopes"].get(resource)
        if scope is None:  # RFC 8707 §2
            return JSONResponse({"error": "invalid_target"}, 400)
        try:
            method, key = self._binding_of(request)
        except InvalidProof:
            return JSONResponse({"error": "invalid_dpop_proof"}, 400)
        claims = self._claims(client_id, resource, scope)
        if key:
            claims["cnf"] = {_MEMBERS[method]: key}
        token = jwt.encode({"typ": "at+jwt", "alg": "ES256", "kid": self._key.kid}, claims, self._key)
        await self._log.arecord(_issued(self._log.fingerprint(token), claims, method, key))
        token_type = "DPoP" if method is BindingMethod.DPOP else "Bearer"
        answer = {"access_token": token, "token_type": token_type, "expires_in": _LIFETIME, "scope": scope}
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

    def _binding_of(self, request: Request) -> tuple[BindingMethod, Thumbprint | None]:
        """Return what the token is to be bound to. Raises ``InvalidProof``."""
        received = self._surroundings.read(request.scope)
        if "dpop" in request.headers:
            inspection = inspect_dpop(received.request, now=datetime.now(UTC))
            if inspection.result is not ProofResult.PASS:
                raise InvalidProof
            return BindingMethod.DPOP, inspection.key
        if received.certificate:
            return BindingMethod.MTLS, Thumbprint.of_certificate(received.certificate)
        return BindingMethod.NONE, None

    def _claims(self, client_id: str, resource: str, scope: str) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self._issuer,
            "aud": resource,
            "sub": client_id,  # no person delegates here: the client acts for itself (RFC 9068 §2.2)
            "client_id": client_id,
            "scope": scope,
            "iat": now,
            "exp": now + _LIFETIME,
            "jti": secrets.token_urlsafe(12),
        }


def _issued(
    fingerprint: Fingerprint, claims: dict[str, Any], method: BindingMethod, key: Thumbprint | None
) -> CredentialChange:
    known = {"token_class": _CLASSES[method], "format": TokenFormat.JWT, "fingerprint": fingerprint}
    return CredentialChange(
        context=Context(observer=Observer.AUTHORIZATION_SERVER),
        change=Change.ISSUED,
        token=TokenFacts.verified(claims).token.model_copy(update=known),
        binding=Binding(declared=method, method=method, key_thumbprint=key),
    )


def main() -> None:
    """Play the authorization server."""
    brief = read_brief()
    with WitnessedLog.open_for(brief) as log:
        serve(AuthorizationServer(log, brief).app, brief, Identity.of(brief))


if __name__ == "__main__":
    main()

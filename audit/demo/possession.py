"""How the demo's clients prove possession of a key: a fresh DPoP proof for every request (RFC 9449 §4.1)."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from counterfoil.schemas.values import b64url

if TYPE_CHECKING:
    from collections.abc import Generator


class ProofKey:
    """A key pair that never leaves its process."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256")

    def thumbprint(self) -> str:
        """Return ``jkt`` of the key (RFC 7638)."""
        return self._key.thumbprint()

    def prove(self, method: str, url: str, *, token: str | None = None, nonce: str | None = None) -> str:
        """Return a proof for one request (RFC 9449 §4.2), bound to ``token`` where there is one."""
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url.partition("?")[0],
            "iat": int(time.time()),
        }
        if token is not None:
            claims["ath"] = b64url(hashlib.sha256(token.encode("ascii")).digest())
        if nonce is not None:
            claims["nonce"] = nonce
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self._key.as_dict(private=False)}
        return jwt.encode(header, claims, self._key)


class DpopAuth(httpx2.Auth):
    """Sends a token with a proof, and answers a demand for a nonce once, with a fresh proof (RFC 9449 §9)."""

    def __init__(self, key: ProofKey, token: str | None = None) -> None:
        self._key = key
        self._token = token
        self._nonce: str | None = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Sign, send, and sign again if the server gave a nonce with its refusal."""
        self._sign(request)
        answer = yield request
        given = answer.headers.get("DPoP-Nonce")
        if given and given != self._nonce:
            self._nonce = given
            if answer.status_code in {400, 401}:
                self._sign(request)
                yield request

    def _sign(self, request: httpx2.Request) -> None:
        if self._token:
            request.headers["Authorization"] = f"DPoP {self._token}"
        request.headers["DPoP"] = self._key.prove(
            request.method, str(request.url), token=self._token, nonce=self._nonce
        )

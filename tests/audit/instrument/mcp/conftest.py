"""What the tests of the MCP instruments share: real tokens, a real server on the loopback, and the SDK's own client."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import uvicorn
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl

from counterfoil.audit.instrument.httpx2 import AsyncAuditTransport
from counterfoil.schemas import CredentialUse, Observer, Phase

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from counterfoil.audit import AuditLog
    from counterfoil.schemas import Entry

ISSUER = "http://as.example"


class World:
    """An issuer of tokens, a place on the loopback where a server can stand, and a log that both sides write to."""

    def __init__(self, log: AuditLog, entries: Callable[[], list[Entry]]) -> None:
        self.log = log
        self._entries = entries
        self._key = ECKey.generate_key("P-256")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"
        self.auth = AuthSettings(
            issuer_url=AnyHttpUrl(ISSUER),
            resource_server_url=AnyHttpUrl(self.url),
            required_scopes=["mail"],
            validate_token_resource=True,
        )
        self.asked = 0
        """How often a token was verified."""

    @property
    def jwks(self) -> dict[str, Any]:
        """The issuer's public keys."""
        return {"keys": [self._key.as_dict(private=False)]}

    def token(self, **changes: Any) -> str:
        """Return an access token for the server that is good but for the changes."""
        claims = {"iss": ISSUER, "aud": self.url, "sub": "alice", "client_id": "mail-agent", "scope": "mail"}
        claims |= {"iat": int(time.time()), "exp": int(time.time()) + 60, **changes}
        return jwt.encode({"typ": "at+jwt", "alg": "ES256"}, claims, self._key)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Check the signature, as a ``TokenVerifier`` of the SDK. Time, audience and scope are left to others."""
        self.asked += 1
        try:
            claims = jwt.decode(token, self._key, algorithms=["ES256"]).claims
        except (JoseError, ValueError):
            return None
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims["scope"].split(),
            expires_at=claims["exp"],
            resource=claims["aud"],
            subject=claims["sub"],
            claims=claims,
        )

    @contextmanager
    def serve(self, app: Any) -> Generator[None]:
        """Serve an application as long as the block lasts."""
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [self._socket]})
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()

    @asynccontextmanager
    async def connect(
        self, mode: str = "auto", token: str | None = None, *, ends_session: bool = True, **options: Any
    ) -> AsyncGenerator[Client]:
        """Connect the SDK's client, with the HTTP instrument in it, and a good token unless one is given."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        transport = AsyncAuditTransport(self.log)
        async with (
            httpx2.AsyncClient(transport=transport, headers=headers, trust_env=False) as http,
            Client(
                streamable_http_client(self.url, http_client=http, terminate_on_close=ends_session),
                mode=mode,
                **options,
            ) as client,
        ):
            yield client

    def told(self, observer: Observer, phase: Phase = Phase.OUTCOME, tool: str | None = None) -> list[CredentialUse]:
        """Return the uses that one side recorded; with a tool, those in whose surroundings it was called."""
        uses = [entry.event for entry in self._entries() if isinstance(entry.event, CredentialUse)]
        seen = [use for use in uses if use.context.observer is observer and use.action.phase is phase]
        return [use for use in seen if tool is None or (use.context.tool and use.context.tool.name == tool)]

    def close(self) -> None:
        """Leave the place."""
        self._socket.close()


@pytest.fixture
def world(log: AuditLog, entries: Callable[[], list[Entry]]) -> Generator[World]:
    """Give a world of its own."""
    made = World(log, entries)
    yield made
    made.close()

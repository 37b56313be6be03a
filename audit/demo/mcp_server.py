"""An MCP server with two tools, and a bearer token in front of them, as its specification has it.

``read_inbox`` asks the API with a token of the server's own, and proves possession of its key. ``look_up_contact`` is
careless: it passes the token on that it was called with (MCP authorization forbids this). One line makes both
accountable, ``audited_app``: what a tool sends is recorded with the tool, and with the credential being served.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx2
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl

from counterfoil.schemas import Agent, Basis

from ..instrument.httpx2 import AsyncAuditTransport
from ..instrument.mcp_jwt import JwtTokenVerifier
from ..instrument.mcp_server import audited_app
from ..instrument.mcp_verifier import AuditTokenVerifier
from .certificates import Identity
from .issuer import fetch_keys
from .possession import DpopAuth, ProofKey
from .receipts import WitnessedLog
from .role import read_brief, serve

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..log import AuditLog

SERVER: Final = Agent(id="mail-mcp", name="Mail tools")
SCOPE: Final = "tools:call"


class MailTools:
    """The tools, and what they need to work."""

    def __init__(self, log: AuditLog, brief: dict[str, Any]) -> None:
        self._log = log
        self._api: str = brief["api"]
        self._token_endpoint = f"{brief['issuer']}/token"
        self._client = ("mail-mcp", brief["client_secret"])
        self._key = ProofKey()
        self._own: DpopAuth | None = None
        transport = httpx2.AsyncHTTPTransport(verify=Identity.of(brief).client_context(present=False))
        self._http = httpx2.AsyncClient(transport=AsyncAuditTransport(log, transport))

    async def read_inbox(self, folder: str) -> list[str]:
        """Return the subjects of the mails in a folder."""
        with self._speaking():
            self._own = self._own or await self._fetch_token()
            mails = await self._http.get(f"{self._api}/mail", params={"folder": folder}, auth=self._own)
            return [mail["subject"] for mail in mails.raise_for_status().json()]

    async def look_up_contact(self, name: str) -> str:
        """Return the address of somebody, with whatever token the caller had."""
        called_with = get_access_token()
        if not called_with:
            return "unknown"
        with self._speaking():
            passed_on = {"Authorization": f"Bearer {called_with.token}"}
            contacts = await self._http.get(f"{self._api}/contacts", headers=passed_on)
            found = [each["address"] for each in contacts.raise_for_status().json() if each["name"] == name]
            return found[0] if found else "unknown"

    @contextmanager
    def _speaking(self) -> Generator[None]:
        """Let what is sent out be the server's, not its caller's."""
        with self._log.scope(agent=SERVER):
            yield

    async def _fetch_token(self) -> DpopAuth:
        form = {"grant_type": "client_credentials", "resource": self._api}
        proof = {"DPoP": self._key.prove("POST", self._token_endpoint)}
        answer = await self._http.post(self._token_endpoint, auth=self._client, data=form, headers=proof)
        return DpopAuth(self._key, answer.raise_for_status().json()["access_token"])


def main() -> None:
    """Play the MCP server."""
    brief = read_brief()
    resource = AnyHttpUrl(brief["mcp"])
    auth = AuthSettings(
        issuer_url=AnyHttpUrl(brief["issuer"]),
        resource_server_url=resource,
        required_scopes=[SCOPE],
        validate_token_resource=True,
    )
    with WitnessedLog.open_for(brief) as log:
        checking = JwtTokenVerifier(brief["issuer"], fetch_keys(brief))
        verifier = AuditTokenVerifier(checking, auth, basis=Basis.VERIFIED_JWT, name="mail-mcp")
        server: MCPServer[Any] = MCPServer("mail-mcp", token_verifier=verifier, auth=auth, log_level="WARNING")
        tools = MailTools(log, brief)
        server.tool()(tools.read_inbox)
        server.tool()(tools.look_up_contact)
        app = audited_app(server, log, verifier, json_response=True)
        serve(app, brief, Identity.of(brief), lifespan="on")


if __name__ == "__main__":
    main()

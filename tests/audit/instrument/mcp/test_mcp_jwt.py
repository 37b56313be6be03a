"""The verifier of JWTs for an MCP server: each check of RFC 9068 by itself, and the right answer for the SDK."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.instrument.mcp_jwt import JwtTokenVerifier
from counterfoil.audit.instrument.mcp_server import audited_app
from counterfoil.audit.instrument.mcp_verifier import AuditTokenVerifier
from counterfoil.schemas import Basis, ConfigurationError, MissingExtra, Observer

if TYPE_CHECKING:
    from conftest import World

    from counterfoil.audit.proof.verdict import Verdict

RESOURCE, ISSUER = "https://mcp.example/mcp", "https://as.example"
KEY = ECKey.generate_key("P-256", {"kid": "k-1", "alg": "ES256"})
JWKS = KeySet([KEY]).as_dict(private=False)
AUTH = AuthSettings(
    issuer_url=AnyHttpUrl(ISSUER),
    resource_server_url=AnyHttpUrl(RESOURCE),
    required_scopes=["mail"],
    validate_token_resource=True,
)
ALL = ("signature", "issuer", "audience", "time", "typ", "scope")


def token(*, key: ECKey = KEY, typ: str = "at+jwt", **changes: Any) -> str:
    """Return an access token that is good but for the changes."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": RESOURCE, "sub": "alice", "client_id": "a", "scope": "mail", "iat": now, "jti": "1"}
    return jwt.encode({"typ": typ, "alg": "ES256", "kid": "k-1"}, {**claims, "exp": now + 60, **changes}, key)


def decided(presented: str, keys: Any = JWKS, **options: Any) -> tuple[Verdict, Any]:
    """Return what is recorded of a token, and what the SDK is told."""
    made = AuditTokenVerifier(JwtTokenVerifier(ISSUER, keys), AUTH, basis=Basis.VERIFIED_JWT, **options)

    async def both() -> tuple[Verdict, Any]:
        request = HttpRequest("POST", RESOURCE, (("Authorization", f"Bearer {presented}"),))
        return await made.decide(request, now=datetime.now(UTC)), await made.verify_token(presented)

    return asyncio.run(both())


def outcomes(verdict: Verdict) -> dict[str, str]:
    """Return how each check of the token ended."""
    checks = verdict.proof.checks if verdict.proof else ()
    return {check.id.value: check.outcome.value for check in checks}


def test_a_good_token() -> None:
    """Every check passes, and the SDK gets the facts that it asks for."""
    verdict, access = decided(token(aud=["https://other.example", RESOURCE]))
    assert {f"token.{name}": "pass" for name in ALL}.items() <= outcomes(verdict).items()
    assert "token.active" not in outcomes(verdict)
    assert (access.client_id, access.subject, access.scopes, access.resource) == ("a", "alice", ["mail"], RESOURCE)
    assert verdict.facts
    assert (verdict.facts.token.issuer, verdict.facts.token.jti) == (ISSUER, "1")


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"key": ECKey.generate_key("P-256")}, "token.signature"),
        ({"iss": "https://other.example"}, "token.issuer"),
        ({"aud": "https://other.example"}, "token.audience"),
        ({"exp": int(time.time()) - 1}, "token.time"),
        ({"nbf": int(time.time()) + 600}, "token.time"),
        ({"typ": "JWT"}, "token.typ"),
        ({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, "dpop.14_scheme"),
    ],
)
def test_a_bad_token(changes: dict[str, Any], check: str) -> None:
    """The check that failed is named, and the SDK is told no."""
    verdict, access = decided(token(**changes))
    assert access is None
    assert [name for name, outcome in outcomes(verdict).items() if outcome == "fail"] == [check]


def test_a_scope_that_is_missing() -> None:
    """The SDK is told yes all the same: it answers 403 itself."""
    verdict, access = decided(token(scope="calendar"))
    assert access.scopes == ["calendar"]
    assert outcomes(verdict)["token.scope"] == "fail"


def test_another_name_of_the_server() -> None:
    """A token for an identifier that was configured is for us, and the SDK hears the name that it knows."""
    verdict, access = decided(token(aud="mail-api"), accepted_audiences=["mail-api"])
    assert outcomes(verdict)["token.audience"] == "pass"
    assert access.resource == RESOURCE


def test_keys_that_cannot_be_had() -> None:
    """Nothing is known of the signature, and the token is refused."""

    async def nowhere() -> dict[str, Any]:
        raise OSError

    verdict, access = decided(token(), nowhere)
    assert access is None
    assert outcomes(verdict)["token.signature"] == "error"
    with pytest.raises(ConfigurationError):
        JwtTokenVerifier(ISSUER, {"keys": []})


@pytest.mark.parametrize("presented", ["x", "a.b.c", "..", "é" * 10, "a" * 100_000])
def test_what_is_no_token(presented: str) -> None:
    """It fails the signature, whatever it is."""
    verdict, access = decided(presented)
    assert access is None
    assert outcomes(verdict)["token.signature"] == "fail"


def test_at_a_server(world: World) -> None:
    """Over the wire the SDK accepts what this verifier accepts, and the server's stub has all the checks."""

    async def read_mail() -> str:
        """Return nothing."""
        return ""

    inner = JwtTokenVerifier("http://as.example", world.jwks)
    verifier = AuditTokenVerifier(inner, world.auth, basis=Basis.VERIFIED_JWT)
    server = MCPServer("post office", token_verifier=verifier, auth=world.auth, log_level="CRITICAL")
    server.add_tool(read_mail)

    async def agent() -> None:
        async with world.connect() as client:
            await client.call_tool("read_mail")

    with world.serve(audited_app(server, world.log, verifier)):
        asyncio.run(agent())
    (use,) = world.told(Observer.RESOURCE_SERVER, tool="read_mail")
    assert use.proof.checked_by == "JwtTokenVerifier"
    assert {f"token.{name}" for name in ALL} <= {check.id for check in use.proof.checks if check.outcome == "pass"}
    assert (use.action.outcome, use.token.basis) == ("executed", "verified_jwt")


def test_the_sdk_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrument says which extra it needs, and how to install it."""
    for module in [each for each in sys.modules if each.split(".")[0] == "mcp"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "counterfoil.audit.instrument.mcp_jwt")
    with pytest.raises(MissingExtra) as caught:
        importlib.import_module("counterfoil.audit.instrument.mcp_jwt")
    assert caught.value.advice == "pip install 'counterfoil[mcp]'"

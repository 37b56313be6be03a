"""The verifier around an MCP server's own: what it refuses, what it says of that, and what it leaves to the SDK."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.instrument.mcp_verifier import AuditTokenVerifier
from counterfoil.schemas import Basis, BindingMethod, Check, CheckId, CheckOutcome, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import World

    from counterfoil.audit.proof.verdict import Verdict

RESOURCE = "https://mcp.example/mcp"
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


class Inner:
    """A verifier that answers what it is told to."""

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.asked = 0

    async def verify_token(self, token: str) -> AccessToken | None:
        """Answer."""
        self.asked += 1
        known: dict[str, Any] = {"client_id": "c", "scopes": ["mail"], "resource": RESOURCE, **self.facts}
        return AccessToken(token=token, **known)


class No:
    """A verifier that knows no token."""

    async def verify_token(self, token: str) -> AccessToken | None:
        """Refuse."""
        assert token


class Broken:
    """A verifier that shows the token in its error."""

    async def verify_token(self, token: str) -> AccessToken | None:
        """Break off."""
        raise RuntimeError(token)


class Checking:
    """A verifier that says how each of its checks ended."""

    async def check_token(
        self, token: str, *, audiences: tuple[str, ...], scopes: tuple[str, ...], now: datetime
    ) -> tuple[AccessToken | None, tuple[Check, ...]]:
        """Refuse over the issuer."""
        assert (audiences, scopes) == ((RESOURCE,), ("mail",))
        assert token
        assert now.tzinfo
        return None, (
            Check(id=CheckId.TOKEN_SIGNATURE, outcome=CheckOutcome.PASS),
            Check(id=CheckId.TOKEN_ISSUER, outcome=CheckOutcome.FAIL),
        )


def settings(**changes: Any) -> AuthSettings:
    """Return the settings of a server."""
    given: dict[str, Any] = {
        "issuer_url": AnyHttpUrl("https://as.example"),
        "resource_server_url": AnyHttpUrl(RESOURCE),
        "required_scopes": ["mail"],
        "validate_token_resource": True,
    }
    return AuthSettings(**given | changes)


def verifier(inner: Any, auth: AuthSettings | None = None, **options: Any) -> AuditTokenVerifier:
    """Return the verifier around another."""
    return AuditTokenVerifier(inner, auth or settings(), basis=Basis.INTROSPECTION, **options)


def decided(made: AuditTokenVerifier, authorization: str | None = None) -> tuple[Verdict, bool]:
    """Return what the outer layer and the SDK are told about a request."""
    token = secrets.token_urlsafe(32)
    value = authorization or f"Bearer {token}"

    async def both() -> tuple[Verdict, bool]:
        verdict = await made.decide(HttpRequest("POST", RESOURCE, (("Authorization", value),)), now=datetime.now(UTC))
        return verdict, await made.verify_token(value.removeprefix("Bearer ")) is not None

    return asyncio.run(both())


def outcomes(verdict: Verdict) -> dict[str, str]:
    """Return how each check ended."""
    return {check.id.value: check.outcome.value for check in verdict.proof.checks} if verdict.proof else {}


def test_a_good_token() -> None:
    """The SDK gets what the inner verifier answered; it is asked once for both, and the record says who."""
    inner = Inner(expires_at=int(time.time()) + 60, subject="alice")
    verdict, accepted = decided(verifier(inner, name="post office"))
    assert accepted
    assert inner.asked == 1
    assert outcomes(verdict) == dict.fromkeys(("token.active", "token.audience", "token.time", "token.scope"), "pass")
    assert verdict.proof
    assert (verdict.proof.checked_by, verdict.proof.result) == ("post office", "not_applicable")
    assert verdict.facts
    assert (verdict.facts.token.subject, verdict.facts.token.basis) == ("alice", "introspection")
    assert verdict.refusal is None


def test_the_sdk_alone() -> None:
    """Without an outer layer it decides the same, each time that the SDK asks."""
    inner = Inner()
    made = verifier(inner)
    token = secrets.token_urlsafe(32)
    first, second = (asyncio.run(made.verify_token(token)) for _ in range(2))
    assert first == second
    assert inner.asked == 2
    assert asyncio.run(verifier(Inner(resource="https://other.example")).verify_token(token)) is None


@pytest.mark.parametrize(
    ("facts", "options", "outcome", "accepted"),
    [
        ({"resource": "https://MCP.example:443/mcp/"}, {}, "pass", True),
        ({"resource": "https://mcp.example/mcp2"}, {}, "fail", False),
        ({"resource": "https://mcp.example"}, {}, "fail", False),
        ({"resource": None}, {}, "fail", False),
        ({"resource": None, "claims": {"aud": [RESOURCE, "x"]}}, {}, "pass", True),
        ({"claims": {"aud": "https://other.example"}}, {}, "fail", False),
        ({"resource": "mail-api"}, {"accepted_audiences": ["mail-api"]}, "pass", True),
        ({"resource": None}, {"auth": settings(validate_token_resource=False)}, "not_performed", True),
        ({"resource": "x"}, {"auth": settings(validate_token_resource=False)}, "fail", False),
    ],
)
def test_the_audience(facts: dict[str, Any], options: dict[str, Any], outcome: str, *, accepted: bool) -> None:
    """A token is for us if its audience, by the token's own word before the verifier's, is one of our identifiers."""
    verdict, taken = decided(verifier(Inner(**facts), **options))
    assert (outcomes(verdict)["token.audience"], taken) == (outcome, accepted)


def test_a_server_without_a_resource() -> None:
    """Where nobody says who the server is, the audience was not checked, and the record says so."""
    bare = settings(resource_server_url=None, validate_token_resource=None, required_scopes=None)
    made = verifier(Inner(), bare)
    verdict, taken = decided(made)
    assert taken
    assert (made.accepted_audiences, made.metadata_url) == ((), None)
    assert outcomes(verdict) == {
        "token.active": "pass",
        "token.audience": "not_performed",
        "token.time": "not_performed",
        "token.scope": "not_applicable",
    }


@pytest.mark.parametrize(
    ("facts", "check", "given"),
    [({"expires_at": 1_700_000_000}, "token.time", False), ({"scopes": ["calendar"]}, "token.scope", True)],
)
def test_time_and_scope(facts: dict[str, Any], check: str, *, given: bool) -> None:
    """The check has failed. Over a missing scope it is the SDK that refuses, since that is a 403."""
    verdict, accepted = decided(verifier(Inner(**facts)))
    assert accepted is given
    assert [name for name, outcome in outcomes(verdict).items() if outcome == "fail"] == [check]


@pytest.mark.parametrize(
    ("cnf", "declared", "check", "result"),
    [
        ({"jkt": JKT}, BindingMethod.DPOP, ("dpop.14_scheme", "fail"), "fail"),
        ({"x5t#S256": JKT}, BindingMethod.MTLS, ("mtls.03_x5t_match", "not_performed"), "not_performed"),
        ({"kid": "k-1"}, BindingMethod.UNKNOWN, None, "not_performed"),
    ],
)
def test_a_bound_token(
    cnf: dict[str, str], declared: BindingMethod, check: tuple[str, str] | None, result: str
) -> None:
    """It is refused unless told otherwise, and either way the record says what was not shown."""
    for accept in (False, True):
        verdict, accepted = decided(verifier(Inner(claims={"cnf": cnf}), accept_bound=accept))
        assert accepted is accept
        assert verdict.proof
        assert verdict.facts
        assert (verdict.facts.declared, verdict.proof.result) == (declared, result)
        assert check is None or check in outcomes(verdict).items()


def test_a_bound_token_that_the_verifier_does_not_name(world: World) -> None:
    """A verifier that hands out no claims does not hide the binding that the token itself declares."""
    token = world.token(cnf={"jkt": JKT})
    verdict, accepted = decided(verifier(Inner()), f"Bearer {token}")
    assert not accepted
    assert outcomes(verdict)["dpop.14_scheme"] == "fail"


def test_a_verifier_without_claims() -> None:
    """Then nobody said that the token is not bound: what it declares is unknown, not none."""
    silent, _ = decided(verifier(Inner()))
    said, _ = decided(verifier(Inner(claims={})))
    assert silent.facts
    assert said.facts
    assert (silent.facts.declared, said.facts.declared) == (BindingMethod.UNKNOWN, BindingMethod.NONE)


@pytest.mark.parametrize(("inner", "outcome"), [(No(), "fail"), (Broken(), "error")])
def test_a_refusal(
    inner: Any,
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    leaks: Callable[..., list[str]],
) -> None:
    """A no and a break-off refuse alike; the record tells them apart, and the error's text is said nowhere."""
    from counterfoil.exporters.diagnostics import diagnostics

    monkeypatch.setenv("COUNTERFOIL_LOG", "debug")
    diagnostics.cache_clear()
    token = secrets.token_urlsafe(32)
    verdict, accepted = decided(verifier(inner), f"Bearer {token}")
    diagnostics.cache_clear()
    assert not accepted
    assert verdict.proof
    assert (outcomes(verdict)["token.active"], verdict.proof.result) == (outcome, outcome)
    assert verdict.facts is None
    said = capsys.readouterr().err
    assert ("RuntimeError" in said) is (outcome == "error")
    assert leaks(token, said, repr(verdict)) == []


def test_a_verifier_that_says_more() -> None:
    """Its own checks are recorded instead of a bare yes or no."""
    verdict, accepted = decided(verifier(Checking()))
    assert not accepted
    assert outcomes(verdict) == {"token.signature": "pass", "token.issuer": "fail"}


@pytest.mark.parametrize("authorization", ["Basic dTpw", "DPoP abc", "Bearer", "bearertoken", "Token x"])
def test_what_is_no_bearer_token(authorization: str) -> None:
    """Nothing is asked and nothing said about it; the SDK does not take it."""
    inner = Inner()
    request = HttpRequest("POST", RESOURCE, (("Authorization", authorization),))
    verdict = asyncio.run(verifier(inner).decide(request, now=datetime.now(UTC)))
    assert (verdict.proof, verdict.facts, verdict.refusal, inner.asked) == (None, None, None, 0)


@pytest.mark.parametrize("name", ["mcp_server", "mcp_verifier"])
def test_the_sdk_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrument says which extra it needs, and how to install it."""
    importlib.import_module(f"counterfoil.audit.instrument.{name}")
    for module in [each for each in sys.modules if each.split(".")[0] == "mcp"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"counterfoil.audit.instrument.{name}")
    with pytest.raises(MissingExtra) as caught:
        importlib.import_module(f"counterfoil.audit.instrument.{name}")
    assert caught.value.advice == "pip install 'counterfoil[mcp]'"

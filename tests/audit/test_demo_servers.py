"""The demo's servers, asked in their own process: what they refuse, and that each refusal is recorded."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from counterfoil.audit import AuditReader
from counterfoil.audit.demo import api
from counterfoil.audit.demo.access_token import check_access_token
from counterfoil.audit.demo.authorization_server import AuthorizationServer
from counterfoil.audit.demo.guard import Guard
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import CheckOutcome, CredentialChange, CredentialUse

if TYPE_CHECKING:
    from pathlib import Path

    from counterfoil.audit import AuditLog

ISSUER, AUDIENCE = "http://as.example", "http://api.example"
KEY = ECKey.generate_key("P-256", auto_kid=True)
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "client_id": "a", "scope": "mail:read"}


def sign(*, key: ECKey = KEY, typ: str = "at+jwt", **changes: Any) -> str:
    """Return an access token that is good but for the changes."""
    claims = {**CLAIMS, "iat": int(time.time()), "exp": int(time.time()) + 60, **changes}
    return jwt.encode({"typ": typ, "alg": "ES256", "kid": KEY.kid}, claims, key)


def failed(token: str) -> tuple[bool, list[str]]:
    """Return whether the claims are trusted, and which checks did not pass."""
    claims, checks = check_access_token(
        token, KeySet([KEY]), issuer=ISSUER, audience=AUDIENCE, scope="mail:read", now=datetime.now(UTC)
    )
    assert len(checks) == 6
    return claims is not None, [
        f"{check.id} {check.outcome}" for check in checks if check.outcome is not CheckOutcome.PASS
    ]


def test_a_good_token_passes_every_check() -> None:
    """All six checks run, and pass; an audience may be an array (RFC 7519 §4.1.3)."""
    assert failed(sign()) == (True, [])
    assert failed(sign(aud=["http://other.example", AUDIENCE])) == (True, [])


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"iss": "http://other.example"}, "token.issuer"),
        ({"aud": "http://other.example"}, "token.audience"),
        ({"aud": f"{AUDIENCE}.evil.example"}, "token.audience"),
        ({"exp": 1}, "token.time"),
        ({"exp": "never"}, "token.time"),
        ({"typ": "JWT"}, "token.typ"),
    ],
)
def test_a_claim_that_is_wrong_is_named(changes: dict[str, Any], check: str) -> None:
    """One wrong claim fails one check, and the claims are not trusted."""
    assert failed(sign(**changes)) == (False, [f"{check} fail"])


def test_a_missing_scope_leaves_the_claims_trusted() -> None:
    """A token for something else is a good token all the same (RFC 6750 §3.1)."""
    assert failed(sign(scope="mail:write")) == (True, ["token.scope fail"])


@pytest.mark.parametrize("token", [sign(key=ECKey.generate_key("P-256")), "a.b.c", "opaque", ""])
def test_without_a_signature_nothing_else_is_checked(token: str) -> None:
    """A check whose input another check refused is not performed."""
    trusted, checks = failed(token)
    assert not trusted
    assert checks[0] == "token.signature fail"
    assert {check.split()[1] for check in checks[1:]} == {"not_performed"}


def ask(log: AuditLog, path: str, headers: dict[str, str], *, keys: bool = True) -> int:
    """Send one request to the API, and return the status."""
    brief = {
        "issuer": "http://127.0.0.1:9",
        "audience": AUDIENCE,
        "api_keys": {"k" * 24: "a"},
        "sessions": {"s" * 24: "a"},
    }
    app = api.build(log, brief)

    async def send() -> int:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as client:
            answer = await client.get(f"http://wrong-host.example{path}", headers=headers)
            return answer.status_code

    with pytest.MonkeyPatch.context() as patch:
        if keys:
            patch.setattr(Guard, "_published_keys", published)
        return asyncio.run(send())


async def published(_guard: Guard) -> KeySet:
    """Stand in for the authorization server."""
    return KeySet([KEY])


def recorded(address: Path) -> list[CredentialUse]:
    """Return the uses that ended."""
    with AuditReader.open(address) as reader:
        events = [entry.event for entry in reader.find(Filter(kind="credential_use", phase="outcome"))]
    return [event for event in events if isinstance(event, CredentialUse)]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/mail", {"Authorization": f"Bearer {sign(exp=1)}"}, 401),
        ("/mail", {"Authorization": "Basic YTpi"}, 401),
        ("/invoices", {"X-API-Key": "x" * 24}, 401),
        ("/calendar", {"Cookie": "session=forged"}, 401),
        ("/calendar", {"Cookie": "other=cookie"}, 401),
    ],
)
def test_what_is_refused_is_recorded(
    log: AuditLog, address: Path, path: str, headers: dict[str, str], status: int
) -> None:
    """A credential that is not good is refused, and its use stands in the log as refused."""
    assert ask(log, path, headers) == status
    (use,) = recorded(address)
    assert (use.action.outcome, use.action.status_code) == ("refused", status)
    assert use.context.observer == "resource_server"


def test_a_known_key_is_accepted_under_our_own_name(log: AuditLog, address: Path) -> None:
    """What is known of a key is configuration; the resource has the API's own name, whatever Host says."""
    assert ask(log, "/invoices?month=5", {"X-API-Key": "k" * 24}) == 200
    (use,) = recorded(address)
    assert (use.token.token_class, use.token.client_id, use.token.basis) == ("api_key", "a", "configuration")
    assert use.resource.uri.startswith(f"{AUDIENCE}/invoices")
    assert [(check.id, check.outcome) for check in use.proof.checks] == [("token.active", "pass")]


def test_two_credentials_are_one_too_many(log: AuditLog, address: Path) -> None:
    """With two credentials nothing is checked, since nobody could say which; both are recorded."""
    assert ask(log, "/calendar", {"Cookie": f"session={'s' * 24}", "X-API-Key": "k" * 24}) == 400
    uses = recorded(address)
    assert {use.token.token_class for use in uses} == {"api_key", "cookie_session"}
    assert all(use.proof.checks == () and use.action.outcome == "failed" for use in uses)


def test_a_check_that_cannot_be_made_is_an_error_of_its_own(log: AuditLog, address: Path) -> None:
    """Without the keys of the authorization server the token is neither good nor bad."""
    assert ask(log, "/mail", {"Authorization": f"Bearer {sign()}"}, keys=False) == 503
    (use,) = recorded(address)
    assert (use.proof.result, use.token.basis) == ("error", "unverified_claims")


def test_a_request_without_a_credential_is_no_use(log: AuditLog, address: Path) -> None:
    """It is refused, and there is nothing to record."""
    assert ask(log, "/mail", {}) == 401
    assert recorded(address) == []


def token_request(log: AuditLog, *, secret: str = "s" * 24, **form: str) -> httpx2.Response:
    """Ask the authorization server for a token."""
    clients = {"a": {"secret": "s" * 24, "scope": "mail:read"}}
    server = AuthorizationServer(log, {"issuer": ISSUER, "audience": AUDIENCE, "clients": clients})

    async def send() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(server.app)) as client:
            data = {"grant_type": "client_credentials", **form}
            return await client.post(f"{ISSUER}/token", auth=("a", secret), data=data)

    return asyncio.run(send())


def issued(address: Path) -> list[CredentialChange]:
    """Return what the log says was issued."""
    with AuditReader.open(address) as reader:
        events = [entry.event for entry in reader.find(Filter(kind="credential_change"))]
    return [event for event in events if isinstance(event, CredentialChange)]


def test_an_issued_token_is_recorded(log: AuditLog, address: Path) -> None:
    """The log has the fingerprint of what was issued, with its facts."""
    token = token_request(log, resource=AUDIENCE).json()["access_token"]
    (change,) = issued(address)
    assert change.token.fingerprint == log.fingerprint(token)
    assert (change.change, change.token.token_class, change.token.scopes) == ("issued", "bearer_jwt_at", ("mail:read",))
    assert change.token.lifetime.seconds == 300


@pytest.mark.parametrize(
    ("request_of", "status", "error"),
    [
        ({"secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"resource": "http://other.example"}, 400, "invalid_target"),
    ],
)
def test_a_bad_token_request_gets_nothing(
    log: AuditLog, address: Path, request_of: dict[str, str], status: int, error: str
) -> None:
    """Wrong secret, other grant, other audience: the error of RFC 6749 §5.2 or RFC 8707 §2, and nothing issued."""
    answer = token_request(log, **request_of)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert issued(address) == []

"""The demo's servers, asked in their own process: what they refuse, and that each refusal is recorded."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from counterfoil.audit import AuditReader
from counterfoil.audit.capture.jose import read_compact
from counterfoil.audit.demo import api
from counterfoil.audit.demo.authorization_server import AuthorizationServer
from counterfoil.audit.demo.certificates import Authority, Identity
from counterfoil.audit.demo.possession import DpopAuth, ProofKey
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import CheckOutcome, CredentialChange, CredentialUse, Phase, Thumbprint, TokenClass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from counterfoil.audit import AuditLog

ISSUER, API, MCP = "https://as.example", "https://api.example", "https://mcp.example/mcp"
KEY = ECKey.generate_key("P-256", auto_kid=True)
ALICE = Authority().issue("alice")


def sign(*, key: ECKey = KEY, typ: str = "at+jwt", **changes: Any) -> str:
    """Return an access token that is good but for the changes."""
    now = int(time.time())
    claims: dict[str, Any] = {"iss": ISSUER, "aud": API, "sub": "a", "client_id": "a", "scope": "mail:read", "jti": "j"}
    return jwt.encode(
        {"typ": typ, "alg": "ES256", "kid": KEY.kid}, {**claims, "iat": now, "exp": now + 60, **changes}, key
    )


def presenting(app: Any, identity: Identity | None) -> Any:
    """Return an application as it is served on a connection with this client certificate."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        chain = [identity.certificate] if identity else []
        await app({**scope, "extensions": {"tls": {"client_cert_chain": chain}}}, receive, send)

    return served


def published(_brief: dict[str, Any]) -> Callable[[], Any]:
    """Stand in for fetching the keys of the authorization server."""

    async def fetch() -> dict[str, Any]:
        return {"keys": [KEY.as_dict(private=False)]}

    return fetch


@pytest.fixture
def ask(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> Callable[..., httpx2.Response]:
    """Give a way to send one request to the API."""
    monkeypatch.setattr(api, "fetch_keys", published)
    brief = {"issuer": ISSUER, "api": API, "mcp": MCP, "api_keys": {"k" * 24: "a"}, "sessions": {"s" * 24: "a"}}
    app = api.build(log, brief)

    def asking(
        method: str, path: str, headers: dict[str, str], auth: httpx2.Auth | None = None, cert: Identity | None = None
    ) -> httpx2.Response:
        async def send() -> httpx2.Response:
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(presenting(app, cert))) as client:
                content = '{"invoice": "1"}' if method == "POST" else None
                url = f"https://api.example{path}"
                return await client.request(method, url, headers=headers, content=content, auth=auth)

        return asyncio.run(send())

    return asking


def recorded(address: Path) -> list[CredentialUse]:
    """Return the uses that ended."""
    with AuditReader.open(address) as reader:
        events = [entry.event for entry in reader.find(Filter(kind="credential_use"))]
    return [event for event in events if isinstance(event, CredentialUse) and event.action.phase is not Phase.INTENT]


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token that is sent as a bearer token."""
    return {"Authorization": f"Bearer {token}"}


def test_a_proof_opens_the_mail_after_a_nonce(ask: Callable[..., httpx2.Response], address: Path) -> None:
    """The first proof has no nonce and is refused with one; the second passes every check that was made."""
    key = ProofKey()
    jkt = key.thumbprint()
    assert ask("GET", "/mail", {}, DpopAuth(key, sign(cnf={"jkt": jkt}))).status_code == 200
    first, second = recorded(address)
    assert [check.id for check in first.proof.checks if check.outcome is CheckOutcome.FAIL] == [
        "dpop.10_nonce",
        "dpop.16_nonce_downgrade",
    ]
    assert (first.action.error_type, second.proof.result, second.binding.verified) == ("use_dpop_nonce", "pass", "dpop")
    assert (second.binding.key_thumbprint, second.proof.checked_by) == (jkt, "demo-api")
    assert second.action.name == "GET /mail"


def test_a_certificate_opens_the_payments(ask: Callable[..., httpx2.Response], address: Path) -> None:
    """A token bound to the certificate of the connection is accepted with it, and refused with another or none."""
    token = sign(scope="payments:write", cnf={"x5t#S256": Thumbprint.of_certificate(ALICE.der())})
    certificates = (ALICE, Authority().issue("mallory"), None)
    answers = [ask("POST", "/payments", bearer(token), cert=each).status_code for each in certificates]
    assert answers == [201, 401, 401]
    uses = [use for use in recorded(address) if use.token.token_class is TokenClass.MTLS_BOUND_ACCESS]
    failed = [[check.id for check in use.proof.checks if check.outcome is CheckOutcome.FAIL] for use in uses]
    assert failed == [[], ["mtls.03_x5t_match"], ["mtls.01_cert_present"]]
    assert uses[0].binding.verified == "mtls"


@pytest.mark.parametrize(
    ("path", "headers", "check"),
    [
        ("/mail", bearer(sign(exp=1)), "token.time"),
        ("/mail", bearer(sign(aud=MCP)), "token.audience"),
        ("/mail", bearer(sign(key=ECKey.generate_key("P-256"))), "token.signature"),
        ("/contacts", bearer(sign()), "token.scope"),
        ("/invoices", {"X-API-Key": "x" * 24}, "token.active"),
        ("/calendar", {"Cookie": "session=forged"}, "token.active"),
    ],
)
def test_what_is_refused_is_recorded(
    ask: Callable[..., httpx2.Response], address: Path, path: str, headers: dict[str, str], check: str
) -> None:
    """A credential that is not good is refused, and its use stands in the log with the check that failed."""
    status = ask("GET", path, headers).status_code
    (use,) = recorded(address)
    assert (use.action.outcome, use.action.status_code) == ("refused", status)
    assert use.context.observer == "resource_server"
    assert check in [each.id for each in use.proof.checks if each.outcome is CheckOutcome.FAIL]


def test_an_unbound_token_does_not_read_mail(ask: Callable[..., httpx2.Response], address: Path) -> None:
    """Mail and payments demand that the sender shows possession; a good bearer token is not enough."""
    answer = ask("GET", "/mail", bearer(sign()))
    assert answer.status_code == 401
    assert "DPoP" in answer.headers["WWW-Authenticate"]
    (use,) = recorded(address)
    assert use.binding.verified == "none"


def test_contacts_take_a_token_of_the_mcp_server(ask: Callable[..., httpx2.Response], address: Path) -> None:
    """The convenient alias lets a token for another server in: this is what passing on lives on."""
    assert ask("GET", "/contacts", bearer(sign(aud=MCP, scope="contacts:read"))).status_code == 200
    (use,) = recorded(address)
    assert use.resource.accepted_audiences == (API, MCP)


def test_a_known_key_is_accepted_under_our_own_name(ask: Callable[..., httpx2.Response], address: Path) -> None:
    """What is known of a key is configuration; the resource has the API's own name, whatever Host says."""
    assert ask("GET", "/invoices?month=5", {"X-API-Key": "k" * 24, "Host": "wrong.example"}).status_code == 200
    (use,) = recorded(address)
    assert (use.token.token_class, use.token.client_id, use.token.basis) == ("api_key", "a", "configuration")
    assert use.resource.uri.startswith(f"{API}/invoices")
    assert [(check.id, check.outcome) for check in use.proof.checks] == [("token.active", "pass")]
    assert use.proof.checked_by == "demo-api"


def token_request(
    log: AuditLog, *, secret: str = "s" * 24, auth: Any = None, cert: Identity | None = None, **form: str
) -> httpx2.Response:
    """Ask the authorization server for a token."""
    clients = {"a": {"secret": "s" * 24, "scopes": {API: "mail:read"}}}
    server = AuthorizationServer(log, {"issuer": ISSUER, "clients": clients})

    async def send() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(presenting(server.app, cert))) as client:
            data = {"grant_type": "client_credentials", "resource": API, **form}
            headers = {"DPoP": auth} if auth else {}
            return await client.post(f"{ISSUER}/token", auth=("a", secret), data=data, headers=headers)

    return asyncio.run(send())


def issued(address: Path) -> list[CredentialChange]:
    """Return what the log says was issued."""
    with AuditReader.open(address) as reader:
        events = [entry.event for entry in reader.find(Filter(kind="credential_change"))]
    return [event for event in events if isinstance(event, CredentialChange)]


@pytest.mark.parametrize("bound", ["nothing", "key", "certificate"])
def test_an_issued_token_is_recorded_with_what_it_is_bound_to(log: AuditLog, address: Path, bound: str) -> None:
    """The log has the fingerprint of what was issued; ``cnf`` names the key of the proof, or else the certificate."""
    key = ProofKey()
    proof = key.prove("POST", f"{ISSUER}/token") if bound == "key" else None
    answer = token_request(log, auth=proof, cert=ALICE if bound == "certificate" else None).json()
    jose = read_compact(answer["access_token"])
    assert jose
    assert jose.claims
    expected: dict[str, Any] = {
        "nothing": ("Bearer", "bearer_jwt_at", None),
        "key": ("DPoP", "dpop_bound_access", {"jkt": key.thumbprint()}),
        "certificate": ("Bearer", "mtls_bound_access", {"x5t#S256": Thumbprint.of_certificate(ALICE.der())}),
    }
    (change,) = issued(address)
    seen = (answer["token_type"], change.token.token_class, jose.claims.get("cnf"))
    assert seen == expected[bound]
    assert change.token.fingerprint == log.fingerprint(answer["access_token"])
    assert (change.change, change.token.scopes, change.token.lifetime.seconds) == ("issued", ("mail:read",), 300)
    confirmation = expected[bound][2] or {"": None}
    assert change.binding.key_thumbprint in confirmation.values()


@pytest.mark.parametrize(
    ("request_of", "status", "error"),
    [
        ({"secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"resource": "https://other.example"}, 400, "invalid_target"),
        ({"auth": "not a proof"}, 400, "invalid_dpop_proof"),
        ({"auth": ProofKey().prove("POST", "https://other.example/token")}, 400, "invalid_dpop_proof"),
    ],
)
def test_a_bad_token_request_gets_nothing(
    log: AuditLog, address: Path, request_of: dict[str, Any], status: int, error: str
) -> None:
    """Wrong secret, other grant, other audience, no good proof: the error of its RFC, and nothing issued."""
    answer = token_request(log, **request_of)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert issued(address) == []

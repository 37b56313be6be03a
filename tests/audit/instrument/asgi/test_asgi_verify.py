"""The ASGI instrument with a resource server that decides: real keys, TLS and client certificates, thieves included."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import fastapi
import httpx2
import pytest
from joserfc.jwk import ECKey

from counterfoil.audit import AuditLog
from counterfoil.audit.instrument.asgi import AuditMiddleware
from counterfoil.audit.instrument.uvicorn_tls import TlsProtocol
from counterfoil.audit.proof.nonce import ServerNonces
from counterfoil.audit.proof.possession import Dpop
from counterfoil.audit.proof.resource_server import ResourceServer
from counterfoil.schemas import CheckOutcome, CredentialUse, Thumbprint, TokenClass

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Authority, Side

Client: TypeAlias = Callable[..., Any]

ROUTES = {"GET /mail/{number}": "mail:read", "/open": None}


def mail_app() -> fastapi.FastAPI:
    """Build an API that shows what its handlers are told."""
    app = fastapi.FastAPI()

    def mail(number: int, request: fastapi.Request) -> dict[str, Any]:
        known = request.state.counterfoil
        return {"number": number, "sub": known.claims.get("sub"), "verified": str(known.binding.verified)}

    app.add_api_route("/mail/{number}", mail)
    app.add_api_route("/open", mail_open)
    return app


def mail_open(request: fastapi.Request) -> str:
    """Answer anybody."""
    return str(request.state.counterfoil.token.token_class)


class Api:
    """An API behind the instrument: over plain HTTP, or over TLS that asks for a certificate."""

    def __init__(self, side: Side, issuer: Any, authority: Authority) -> None:
        self.side = side
        self._issuer = issuer
        self._authority = authority
        self.url = ""

    def serve(self, *, tls: bool = False, log: AuditLog | None = None, **options: Any) -> str:
        """Serve it, and return its base URL, which is its audience too."""
        app = fastapi.FastAPI()
        settings = {"http": TlsProtocol, **self._authority.server_options()} if tls else {}
        self.url = self.side.serve(app, **settings)
        given: dict[str, Any] = {"issuers": {self._issuer.url: self._issuer.jwks}, "scopes": ROUTES, "name": "the-api"}
        given |= {"dpop": Dpop(), **options}
        server = ResourceServer(self.url, **given)
        app.mount("/", mail_app())
        app.add_middleware(AuditMiddleware, log=log or self.side.log, verify=server)
        return self.url

    def token(self, **claims: Any) -> str:
        """Return a token for this API that is good now, but for what is given."""
        now = int(time.time())
        return self._issuer.token(**{"aud": self.url, "iat": now, "exp": now + 60, **claims})

    def proof(self, sender: Any, **claims: Any) -> str:
        """Return a proof for the mail that is good now, but for what is given."""
        return sender.proof(**{"htu": f"{self.url}/mail/7", "iat": int(time.time()), **claims})


@pytest.fixture
def api(side: Side, issuer: Any, authority: Authority) -> Api:
    """Give the API."""
    return Api(side, issuer, authority)


@pytest.fixture
def client(make_sender: Any) -> Client:
    """Give clients with keys of their own, for a token."""
    keys = {name: ECKey.generate_key("P-256") for name in ("own", "thief")}

    def make(token: str = "", name: str = "own") -> Any:
        return make_sender(keys[name], "ES256", token=token)

    return make


def failed(use: CredentialUse) -> list[str]:
    """Return the checks of a record that failed or could not be finished."""
    bad = {CheckOutcome.FAIL, CheckOutcome.ERROR}
    return [check.id.value for check in use.proof.checks if check.outcome in bad]


def test_a_bearer_token(api: Api, side: Side, leaks: Callable[..., list[str]], address: Path) -> None:
    """The handler gets verified claims, and both entries say who checked what; the token is written nowhere."""
    token = api.serve() and api.token()
    answer = side.get(f"{api.url}/mail/7", token)
    assert answer.json() == {"number": 7, "sub": "dana", "verified": "none"}
    intent, outcome = side.stubs()
    for each in (intent, outcome):
        assert (each.token.basis, each.token.subject, each.binding.verified) == ("verified_jwt", "dana", "none")
        assert (each.proof.checked_by, each.proof.result, failed(each)) == ("the-api", "not_applicable", [])
        assert len(each.proof.checks) == 7
        assert each.resource.accepted_audiences == (api.url,)
        assert each.resource.uri == f"{api.url}/mail/7"
    assert (outcome.action.name, outcome.action.outcome) == ("GET /mail/{number}", "executed")
    assert leaks(token.rpartition(".")[2], *address.parent.glob("audit.db*")) == []


def test_dpop_with_a_nonce(api: Api, side: Side, client: Client) -> None:
    """The first proof is answered with a nonce and recorded as refused; the second passes, and says so."""
    api.serve(dpop=Dpop(nonces=ServerNonces("x")))
    own = client(api.token(cnf={"jkt": client().jkt}))
    nonce: dict[str, str] = {}
    answers: list[httpx2.Response] = []
    for _ in range(2):
        headers = {"Authorization": f"DPoP {own.token}", "DPoP": api.proof(own, **nonce)}
        answers.append(side.get(f"{api.url}/mail/7", headers=headers))
        nonce = {"nonce": answers[-1].headers["dpop-nonce"]}
    assert [answer.status_code for answer in answers] == [401, 200]
    assert answers[0].content == b""
    assert 'error="use_dpop_nonce"' in answers[0].headers["www-authenticate"]
    assert answers[1].json()["verified"] == "dpop"
    refused, accepted = side.uses()
    assert (refused.action.phase, refused.action.outcome, refused.action.error_type) == (
        "complete",
        "refused",
        "use_dpop_nonce",
    )
    assert failed(refused) == ["dpop.10_nonce", "dpop.16_nonce_downgrade"]
    assert (accepted.binding.verified, accepted.proof.result, failed(accepted)) == ("dpop", "pass", [])
    assert (accepted.proof.htu_source, accepted.proof.replay_scope) == ("configured", "key")
    assert accepted.proof.proof_id is not None
    assert accepted.token.token_class == "dpop_bound_access"


def test_a_stolen_bound_token(api: Api, side: Side, client: Client) -> None:
    """Each way of using it without the key is refused, and the record tells which way it was."""
    api.serve()
    own = client(api.token(cnf={"jkt": client().jkt}))
    thief = client(own.token, "thief")
    captured = api.proof(own)
    ways: dict[str, tuple[dict[str, str], str]] = {
        "bearer": ({"Authorization": f"Bearer {own.token}"}, "dpop.14_scheme"),
        "no proof": ({"Authorization": f"DPoP {own.token}"}, "dpop.02_well_formed"),
        "a key of the thief's": ({"Authorization": f"DPoP {own.token}", "DPoP": api.proof(thief)}, "dpop.12b_jkt"),
        "a captured proof": ({"Authorization": f"DPoP {own.token}", "DPoP": captured}, "dpop.13_jti_replay"),
    }
    headers = {"Authorization": f"DPoP {own.token}", "DPoP": captured}
    assert side.get(f"{api.url}/mail/7", headers=headers).status_code == 200
    for headers, _ in ways.values():
        assert side.get(f"{api.url}/mail/7", headers=headers).status_code == 401
    used, *stolen = side.uses()
    for use, (_, check) in zip(stolen, ways.values(), strict=True):
        assert check in failed(use)
        assert (use.action.outcome, use.binding.verified, use.token.basis) == ("refused", "none", "verified_jwt")
    assert stolen[-1].proof.proof_id == used.proof.proof_id


def test_the_name_is_not_the_senders(api: Api, side: Side, client: Client) -> None:
    """A proof that was captured at another server does not pass by a Host header that names that one."""
    api.serve()
    own = client(api.token(cnf={"jkt": client().jkt}))
    proof = api.proof(own, htu="http://other.example/mail/7")
    headers = {
        "Authorization": f"DPoP {own.token}",
        "DPoP": proof,
        "Host": "other.example",
        "X-Forwarded-Host": "other.example",
    }
    assert side.get(f"{api.url}/mail/7", headers=headers).status_code == 401
    (use,) = side.uses()
    assert failed(use) == ["dpop.09_htu"]
    assert use.resource.uri == f"{api.url}/mail/7"


def test_a_certificate(api: Api, side: Side, authority: Authority) -> None:
    """The bound certificate passes; another one of the same authority, and none, are refused."""
    api.serve(tls=True)
    own, foreign = authority.issue("agent"), authority.issue("thief")
    token = api.token(cnf={"x5t#S256": Thumbprint.of_certificate(authority.der(own))})
    answers: list[httpx2.Response] = []
    for certificate in (own, foreign, None):
        with authority.client(certificate) as sending:
            answers.append(sending.get(f"{api.url}/mail/7", headers={"Authorization": f"Bearer {token}"}))
    assert [answer.status_code for answer in answers] == [200, 401, 401]
    assert answers[0].json()["verified"] == "mtls"
    tokens = [use for use in side.uses() if use.token.token_class is TokenClass.MTLS_BOUND_ACCESS]
    assert [failed(use) for use in tokens] == [[], ["mtls.03_x5t_match"], ["mtls.01_cert_present"]]
    assert [str(use.proof.certificate_source) for use in tokens] == ["tls_layer", "tls_layer", "unknown"]


def test_the_wrong_audience(api: Api, side: Side) -> None:
    """A token for somebody else is refused, and the record shows for whom it was."""
    api.serve()
    answer = side.get(f"{api.url}/mail/7", api.token(aud="https://other.example"))
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    (use,) = side.uses()
    assert failed(use) == ["token.audience"]
    assert use.token.audience == ("https://other.example",)
    assert use.resource.accepted_audiences == (api.url,)


def test_who_presents_nothing(api: Api, side: Side) -> None:
    """A protected path asks for a credential, and that is recorded; an open one asks nothing, and nothing is."""
    api.serve(serve_metadata=True)
    assert side.get(f"{api.url}/open").json() == "none"
    asked = side.get(f"{api.url}/mail/7")
    location = asked.headers["www-authenticate"].partition('resource_metadata="')[2].partition('"')[0]
    assert side.get(location).json()["resource"] == api.url
    (use,) = side.uses()
    assert (use.token.token_class, use.action.outcome, use.action.error_type) == ("none", "refused", None)
    assert use.resource.metadata == location


def test_keys_that_cannot_be_had(api: Api, side: Side, issuer: Any) -> None:
    """The door stays closed, and the record says that it was the checking that failed."""
    secret = secrets.token_urlsafe(16)

    async def fetch() -> dict[str, Any]:
        raise OSError(secret)

    api.serve(issuers={issuer.url: fetch})
    answer = side.get(f"{api.url}/mail/7", api.token())
    assert (answer.status_code, answer.content, "www-authenticate" in answer.headers) == (503, b"", False)
    (use,) = side.uses()
    assert (use.action.outcome, use.proof.result, failed(use)) == ("failed", "error", ["token.signature"])
    assert (use.token.basis, use.action.error_type) == ("unverified_claims", "temporarily_unavailable")


def test_a_refusal_that_cannot_be_recorded(
    side: Side, issuer: Any, authority: Authority, address: Path, busy: Callable[[], Any]
) -> None:
    """It is refused all the same, as unavailable: nothing is answered that the log does not know of."""
    api = Api(side, issuer, authority)
    with AuditLog.open(address, deadline=0.05, fingerprint_key=side.log.fingerprint_key) as hasty:
        api.serve(log=hasty)
        with busy():
            assert side.get(f"{api.url}/mail/7", api.token(aud="x")).status_code == 503
        assert side.get(f"{api.url}/mail/7", api.token(aud="x")).status_code == 401

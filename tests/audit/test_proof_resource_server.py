"""What a resource server decides: about bearer tokens, bound ones, stolen ones, and everything that is none."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.capture.challenge import parse_challenges
from counterfoil.audit.proof.nonce import ServerNonces
from counterfoil.audit.proof.policy import DpopPolicy
from counterfoil.audit.proof.possession import Dpop
from counterfoil.audit.proof.replay import MemoryReplayStore
from counterfoil.audit.proof.replay_sqlite import SqliteReplayStore
from counterfoil.audit.proof.resource_server import ResourceServer
from counterfoil.audit.proof.verdict import Verdict
from counterfoil.schemas import BindingMethod, ConfigurationError, Thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import DpopSender, Issue, TokenIssuer

URL = "https://api.example/mail"


@pytest.fixture
def decide(issuer: TokenIssuer) -> Callable[..., Verdict]:
    """Give a server that takes bearer, DPoP and certificate-bound tokens for mail, and what it decides."""

    def run(request: HttpRequest, *, certificate: bytes | None = None, now: Any = None, **options: Any) -> Verdict:
        server = options.pop("server", None) or server_of(issuer, **options)
        decision = server.decide(request, now=now or issuer.now, certificate=certificate, trusted_hop=False)
        verdict: Verdict = asyncio.run(decision)
        return verdict

    return run


def server_of(issuer: TokenIssuer, **options: Any) -> ResourceServer:
    """Set up a server."""
    clock = issuer.now.timestamp
    given: dict[str, Any] = {"issuers": {issuer.url: issuer.jwks}, "scopes": "mail:read", "name": "the-api"}
    given["dpop"] = Dpop(replay=MemoryReplayStore(clock=clock), policy=DpopPolicy(algorithms=frozenset({"ES256"})))
    return ResourceServer(issuer.audience, **(given | options))


def bearer(token: str, *fields: tuple[str, str], url: str = URL) -> HttpRequest:
    """Return a request with a bearer token."""
    return HttpRequest("GET", url, (("Authorization", f"Bearer {token}"), *fields))


def bound(sender: DpopSender, token: str) -> DpopSender:
    """Return a client with the same key and another token."""
    return type(sender)(sender.key, sender.alg, token=token)


def refused(verdict: Verdict) -> tuple[int, str | None, dict[str, str | None]]:
    """Return the status, the code, and the error on each scheme of the challenge."""
    assert verdict.refusal
    assert verdict.claims == {}
    fields = [value for name, value in verdict.refusal.headers if name == "WWW-Authenticate"]
    codes = {each.scheme: each.parameters.get("error") for each in parse_challenges(fields)}
    return verdict.refusal.status, verdict.refusal.error, codes


def amiss(verdict: Verdict) -> dict[str, str]:
    """Return the checks that failed or could not be finished."""
    assert verdict.proof
    return {check.id.value: check.outcome.value for check in verdict.proof.checks if check.outcome in {"fail", "error"}}


def test_a_bearer_token(decide: Callable[..., Verdict], issuer: TokenIssuer) -> None:
    """A good token passes: the handler gets its claims, the record every check and who made it."""
    verdict = decide(bearer(issuer.token()))
    assert verdict.refusal is None
    assert verdict.claims["sub"] == "dana"
    assert verdict.facts
    assert verdict.facts.token.basis == "verified_jwt"
    assert verdict.proof
    assert (verdict.proof.checked_by, verdict.proof.result) == ("the-api", "not_applicable")
    assert (verdict.proof.mechanism, verdict.verified) == ("none", "none")
    assert amiss(verdict) == {}
    assert "dana" not in repr(verdict)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ((), URL),
        ((("Authorization", "Basic YTpi"),), URL),
        ((("Authorization", "Bearer"),), URL),
        ((("Authorization", "Bearer "),), URL),
        ((("Cookie", "session=x"),), URL),
        ((), f"{URL}?access_token=TOKEN"),
    ],
)
def test_nothing_presented(fields: Any, url: str, decide: Callable[..., Verdict], issuer: TokenIssuer) -> None:
    """Without an access token in its place the server challenges, and names no error (RFC 6750 §3.1)."""
    verdict = decide(HttpRequest("GET", url.replace("TOKEN", issuer.token()), fields))
    assert refused(verdict) == (401, None, {"bearer": None, "dpop": None})
    assert verdict.proof is None
    assert verdict.refusal
    assert 'scope="mail:read"' in verdict.refusal.headers[0][1]
    assert 'algs="ES256"' in verdict.refusal.headers[1][1]


@pytest.mark.parametrize("count", [2, 3])
def test_several_methods(count: int, decide: Callable[..., Verdict], issuer: TokenIssuer) -> None:
    """Of several tokens none is taken, however good: which one was meant would be a guess (RFC 6750 §2)."""
    token = issuer.token()
    form = (("Content-Type", "application/x-www-form-urlencoded"),)
    requests = [
        bearer(token, url=f"{URL}?access_token={token}"),
        bearer(token, ("Authorization", f"DPoP {token}")),
        bearer(token, ("Authorization", f"Bearer {token}")),
        bearer(token, ("Authorization", "Basic YTpi")),
        HttpRequest("GET", URL, (("Authorization", ", ".join([f"Bearer {token}"] * count)),)),
        HttpRequest("POST", URL, (("Authorization", f"Bearer {token}"), *form), f"access_token={token}".encode()),
    ]
    for request in requests:
        verdict = decide(request)
        assert refused(verdict) == (400, "invalid_request", {"bearer": "invalid_request", "dpop": "invalid_request"})
        assert amiss(verdict) == {"dpop.15_single_token_method": "fail"}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"aud": "https://other.example"}, "token.audience"),
        ({"iss": "https://other.example"}, "token.issuer"),
        ({"exp": 1}, "token.time"),
        ({"cnf": {"jwk": {}}}, "cnf.ambiguous"),
    ],
)
def test_a_bad_token(changes: Any, check: str, decide: Callable[..., Verdict], issuer: TokenIssuer) -> None:
    """The error is on the scheme that was used; nothing that the token says is taken for a fact."""
    verdict = decide(bearer(issuer.token(**changes)))
    assert refused(verdict) == (401, "invalid_token", {"bearer": "invalid_token", "dpop": None})
    assert amiss(verdict) == {check: "fail"}
    assert verdict.facts is None
    assert verdict.proof
    assert verdict.proof.result == "fail"


def test_a_missing_scope(decide: Callable[..., Verdict], issuer: TokenIssuer) -> None:
    """A good token for something else: 403, and the scope that is needed (RFC 6750 §3.1)."""
    verdict = decide(bearer(issuer.token(scope="mail:send")))
    assert refused(verdict) == (403, "insufficient_scope", {"bearer": "insufficient_scope", "dpop": None})
    assert amiss(verdict) == {"token.scope": "fail"}
    assert verdict.facts
    assert verdict.refusal
    assert 'scope="mail:read"' in verdict.refusal.headers[0][1]


def test_a_path_that_nobody_listed(decide: Callable[..., Verdict], issuer: TokenIssuer) -> None:
    """It is closed to everybody, and the challenge names no scope that would open it; an open path asks nothing."""
    routes: dict[str, Any] = {"/mail": "mail:read", "/health": None}
    verdict = decide(bearer(issuer.token(), url="https://api.example/Mail"), scopes=routes)
    assert refused(verdict)[:2] == (403, "insufficient_scope")
    assert verdict.refusal
    assert "scope=" not in verdict.refusal.headers[0][1]
    passed = decide(HttpRequest("GET", "https://api.example/health"), scopes=routes)
    assert (passed.refusal, passed.proof) == (None, None)


def test_a_bound_token_with_its_proof(decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender) -> None:
    """The proof of the bound key, under DPoP, passes: that is what was verified."""
    client = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    verdict = decide(client.request())
    assert verdict.refusal is None
    assert verdict.proof
    assert (verdict.proof.mechanism, verdict.proof.result, verdict.verified) == ("dpop", "pass", "dpop")
    ids = [check.id for check in verdict.proof.checks]
    assert len(ids) == len(set(ids))
    assert {"token.signature", "dpop.12b_jkt", "dpop.13_jti_replay"} <= set(ids)


def test_a_bound_token_as_bearer(decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender) -> None:
    """A stolen bound token under Bearer is refused, with or without a proof beside it (RFC 9449 §7.2)."""
    client = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    for fields in ((), (("DPoP", client.proof()),)):
        verdict = decide(bearer(client.token, *fields))
        assert refused(verdict) == (401, "invalid_token", {"bearer": "invalid_token", "dpop": None})
        assert amiss(verdict)["dpop.14_scheme"] == "fail"
        assert verdict.facts
        assert verdict.verified == "none"


def test_stolen_with_and_without_a_proof(
    decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender, stranger: DpopSender
) -> None:
    """Without the key a thief has no proof, one of another key, one of another request, or one that was used."""
    token = issuer.token(cnf={"jkt": sender.jkt})
    owner, thief = bound(sender, token), bound(stranger, token)
    no_proof = HttpRequest("GET", URL, (("Authorization", f"DPoP {token}"),))
    cases: dict[str, tuple[HttpRequest, str, str]] = {
        "no proof": (no_proof, "invalid_dpop_proof", "dpop.02_well_formed"),
        "another key": (thief.request(), "invalid_token", "dpop.12b_jkt"),
        "another request": (owner.request(url=f"{URL}/all"), "invalid_dpop_proof", "dpop.09_htu"),
        "another token": (owner.request(owner.proof(ath=owner.ath("x"))), "invalid_dpop_proof", "dpop.12a_ath"),
    }
    for request, code, check in cases.values():
        verdict = decide(request)
        assert refused(verdict) == (401, code, {"bearer": None, "dpop": code})
        assert amiss(verdict)[check] == "fail"
    server, request = server_of(issuer), owner.request()
    assert decide(request, server=server).refusal is None
    replayed = decide(request, server=server)
    assert refused(replayed)[1] == "invalid_dpop_proof"
    assert amiss(replayed) == {"dpop.13_jti_replay": "fail"}


def test_a_bad_token_does_not_use_up_a_proof(
    decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender
) -> None:
    """The store of proofs is only asked about a token that was verified."""
    server = server_of(issuer)
    expired = bound(sender, issuer.token(cnf={"jkt": sender.jkt}, exp=1))
    for _ in range(2):
        verdict = decide(expired.request(expired.proof(jti="one")), server=server)
        assert refused(verdict) == (401, "invalid_token", {"bearer": None, "dpop": "invalid_token"})
        assert amiss(verdict) == {"token.time": "fail"}
    good = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    assert decide(good.request(good.proof(jti="one")), server=server).refusal is None


def test_an_unbound_token_under_dpop(decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender) -> None:
    """Any key would do for it, so it proves nothing (RFC 9449 §7.1)."""
    verdict = decide(bound(sender, issuer.token()).request())
    assert refused(verdict)[1] == "invalid_token"
    assert amiss(verdict) == {"dpop.12b_jkt": "fail"}


def test_nonces(decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender) -> None:
    """A proof without the server's nonce is answered with one; with it the request passes, and one comes along."""
    nonces = ServerNonces("https://api.example")
    server = server_of(issuer, dpop=Dpop(nonces=nonces, replay=MemoryReplayStore(clock=issuer.now.timestamp)))
    client = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    for proof in (client.proof(), client.proof(nonce="stale")):
        verdict = decide(client.request(proof), server=server)
        assert refused(verdict) == (401, "use_dpop_nonce", {"bearer": None, "dpop": "use_dpop_nonce"})
    nonce = dict(verdict.refusal.headers if verdict.refusal else ())["DPoP-Nonce"]
    passed = decide(client.request(client.proof(nonce=nonce)), server=server)
    assert passed.refusal is None
    assert passed.headers == (("DPoP-Nonce", nonce),)
    later = issuer.now + timedelta(seconds=120)
    renewed = decide(client.request(client.proof(nonce=nonce, iat=int(later.timestamp()))), server=server, now=later)
    assert refused(renewed)[1] == "use_dpop_nonce"
    wrong_in_more = decide(client.request(client.proof(htm="POST")), server=server)
    assert refused(wrong_in_more)[1] == "invalid_dpop_proof"
    assert decide(bearer(issuer.token()), server=server).headers == ()


def test_a_certificate(decide: Callable[..., Verdict], issuer: TokenIssuer, issue: Issue) -> None:
    """A certificate-bound token needs its certificate on the connection; another one, and none, are refused."""
    from cryptography.hazmat.primitives.asymmetric import ec

    own, other = (issue(ec.generate_private_key(ec.SECP256R1()), since=issuer.now) for _ in range(2))
    request = bearer(issuer.token(cnf={"x5t#S256": Thumbprint.of_certificate(own)}))
    passed = decide(request, certificate=own)
    assert passed.refusal is None
    assert passed.proof
    assert (passed.proof.mechanism, passed.proof.result, passed.verified) == ("mtls", "pass", "mtls")
    assert passed.proof.certificate_source == "tls_layer"
    for shown, check in ((other, "mtls.03_x5t_match"), (None, "mtls.01_cert_present")):
        verdict = decide(request, certificate=shown)
        assert refused(verdict) == (401, "invalid_token", {"bearer": "invalid_token", "dpop": None})
        assert amiss(verdict)[check] == "fail"


def test_a_certificate_that_anybody_could_have_sent(
    decide: Callable[..., Verdict], issuer: TokenIssuer, issue: Issue
) -> None:
    """``Client-Cert`` from an untrusted hop is no certificate, and from a trusted one it is (RFC 9440 §4)."""
    from base64 import b64encode

    from cryptography.hazmat.primitives.asymmetric import ec

    own = issue(ec.generate_private_key(ec.SECP256R1()), since=issuer.now)
    token = issuer.token(cnf={"x5t#S256": Thumbprint.of_certificate(own)})
    request = bearer(token, ("Client-Cert", f":{b64encode(own).decode()}:"))
    verdict = decide(request)
    assert refused(verdict)[1] == "invalid_token"
    assert amiss(verdict)["mtls.04_cert_source_trusted"] == "fail"
    trusted = asyncio.run(server_of(issuer).decide(request, now=issuer.now, trusted_hop=True))
    assert (trusted.refusal, trusted.verified) == (None, "mtls")


def test_a_token_that_is_bound_to_both(
    decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender, issue: Issue
) -> None:
    """Both are required: either alone is refused."""
    from cryptography.hazmat.primitives.asymmetric import ec

    own = issue(ec.generate_private_key(ec.SECP256R1()), since=issuer.now)
    token = issuer.token(cnf={"jkt": sender.jkt, "x5t#S256": Thumbprint.of_certificate(own)})
    client = bound(sender, token)
    passed = decide(client.request(), certificate=own)
    assert (passed.refusal, passed.verified) == (None, "dpop")
    assert passed.proof
    assert passed.proof.certificate_source == "tls_layer"
    without_certificate = decide(client.request())
    assert amiss(without_certificate)["mtls.01_cert_present"] == "fail"
    assert refused(without_certificate)[1] == "invalid_token"
    without_proof = decide(bearer(token), certificate=own)
    assert amiss(without_proof)["dpop.14_scheme"] == "fail"
    assert without_proof.proof
    assert without_proof.proof.result == "fail"


@pytest.mark.parametrize(
    ("demands", "schemes", "check"),
    [
        ({BindingMethod.DPOP}, {"dpop"}, "dpop.14_scheme"),
        ({BindingMethod.MTLS}, {"bearer", "dpop"}, "mtls.02_cnf_present"),
        ({BindingMethod.DPOP, BindingMethod.MTLS}, {"bearer", "dpop"}, "dpop.14_scheme"),
    ],
)
def test_a_server_that_demands_a_binding(
    demands: Any, schemes: set[str], check: str, decide: Callable[..., Verdict], issuer: TokenIssuer
) -> None:
    """A bearer token is not good enough for it, and the challenge offers what is."""
    verdict = decide(bearer(issuer.token()), demands=demands)
    status, code, challenges = refused(verdict)
    assert (status, code, set(challenges)) == (401, "invalid_token", schemes)
    assert amiss(verdict) == {check: "fail"}


def test_what_is_demanded_is_enough(decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender) -> None:
    """A token that is bound in one of the ways that are demanded passes; in another way it does not."""
    client = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    for demands in ({BindingMethod.DPOP}, {BindingMethod.DPOP, BindingMethod.MTLS}):
        assert decide(client.request(), demands=demands).refusal is None
    assert refused(decide(client.request(), demands={BindingMethod.MTLS}))[1] == "invalid_token"


def test_a_server_without_dpop(decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender) -> None:
    """It does not offer the scheme, takes nothing under it, and still refuses a bound token as bearer."""
    client = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    assert refused(decide(client.request(), dpop=None)) == (401, None, {"bearer": None})
    assert refused(decide(bearer(client.token), dpop=None)) == (401, "invalid_token", {"bearer": "invalid_token"})
    assert decide(bearer(issuer.token()), dpop=None).refusal is None


def failing(*_: Any) -> Any:
    """Raise, as functions of a caller's do."""
    raise OSError("a secret")


async def afailing(*_: Any) -> Any:
    """Raise, as functions of a caller's do."""
    raise OSError("a secret")


class FullStore:
    """A store of proofs that cannot take more."""

    def add(self, key: str, expires: float) -> bool:
        """Raise."""
        del key, expires
        raise RuntimeError("a secret")


@pytest.mark.parametrize(
    ("options", "check"),
    [
        ({"issuers": {"https://as.example": afailing}}, "token.signature"),
        ({"issuers": None, "introspect": afailing}, "token.active"),
        ({"dpop": Dpop(replay=FullStore())}, "dpop.13_jti_replay"),
        ({"scopes": failing}, None),
    ],
)
def test_what_cannot_be_checked_is_refused(
    options: Any, check: str | None, decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender
) -> None:
    """Keys, an authorization server or a store that fail close the door: 503, no challenge, and the check says so."""
    client = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    verdict = decide(client.request(), **options)
    assert refused(verdict) == (503, "temporarily_unavailable", {})
    if check:
        assert amiss(verdict) == {check: "error"}
    assert verdict.refusal
    assert "secret" not in f"{verdict.refusal!r}{verdict.proof!r}"


def test_opaque_tokens(decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender) -> None:
    """A token that is no JWT of a trusted issuer is asked for; what the server says of its binding is demanded."""
    asked: list[str] = []
    own, plain = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    answers = {own: {"cnf": {"jkt": sender.jkt}, "token_type": "DPoP"}, plain: {}}

    async def introspect(token: str) -> dict[str, Any]:
        asked.append(token)
        known = {"active": True, "aud": issuer.audience, "scope": "mail:read", "sub": "dana"}
        return {**known, **answers[token]} if token in answers else {"active": False}

    assert decide(bearer(plain), introspect=introspect).claims["sub"] == "dana"
    assert decide(bound(sender, own).request(), introspect=introspect).verified == "dpop"
    assert refused(decide(bearer(own), introspect=introspect))[1] == "invalid_token"
    assert amiss(decide(bearer("unknown"), introspect=introspect)) == {"token.active": "fail"}
    assert decide(bearer(issuer.token()), introspect=introspect).refusal is None
    assert asked == [plain, own, own, "unknown"]
    foreign = issuer.token(iss="https://other.example")
    decide(bearer(foreign), introspect=introspect)
    assert asked[-1] == foreign
    for odd in ("a b", "a,b", "\udcff", "x" * 20_000):
        assert amiss(decide(bearer(odd), introspect=introspect)) == {"token.active": "fail"}
    assert len(asked) == 5  # what is no token is not asked about


def test_a_shared_store_of_proofs(
    decide: Callable[..., Verdict], issuer: TokenIssuer, sender: DpopSender, tmp_path: Path
) -> None:
    """Two servers with one store take a proof once between them."""
    client = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    request = client.request()
    outcomes: list[bool] = []
    for _ in range(2):
        store = SqliteReplayStore(tmp_path / "replay.db", clock=issuer.now.timestamp)
        outcomes.append(decide(request, dpop=Dpop(replay=store)).refusal is None)
        store.close()
    assert outcomes == [True, False]


def test_metadata(issuer: TokenIssuer, decide: Callable[..., Verdict]) -> None:
    """The document stands where RFC 9728 §3.1 puts it, is open to all, and challenges point to it."""
    server = server_of(issuer, serve_metadata=True, audiences=["urn:mail"])
    assert server.metadata_url == "https://api.example/.well-known/oauth-protected-resource"
    verdict = decide(HttpRequest("GET", server.metadata_url), server=server)
    assert verdict.document
    assert json.loads(verdict.document) == {
        "resource": "https://api.example",
        "authorization_servers": ["https://as.example"],
        "scopes_supported": ["mail:read"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256"],
    }
    challenged = decide(HttpRequest("GET", URL), server=server)
    assert challenged.refusal
    assert all(f'resource_metadata="{server.metadata_url}"' in value for _, value in challenged.refusal.headers)
    assert decide(HttpRequest("POST", server.metadata_url), server=server).refusal
    assert server.accepted_audiences == ("https://api.example", "urn:mail")
    below = ResourceServer("https://h:8443/mcp/", issuers={issuer.url: issuer.jwks}, serve_metadata=True)
    assert below.metadata_url == "https://h:8443/.well-known/oauth-protected-resource/mcp"


@pytest.mark.parametrize(
    "options",
    [
        {"issuers": None},
        {"issuers": {"https://as.example": {"keys": []}}},
        {"dpop": None, "demands": {BindingMethod.DPOP}},
        {"demands": {BindingMethod.WIT_WPT}},
        {"scopes": ['a"b']},
        {"resource": "urn:api", "serve_metadata": True},
    ],
)
def test_what_cannot_be_set_up(options: Any, issuer: TokenIssuer) -> None:
    """Demands that nothing could meet are refused at once."""
    resource = options.pop("resource", issuer.audience)
    given: dict[str, Any] = {"issuers": {issuer.url: issuer.jwks}, "dpop": Dpop(), **options}
    with pytest.raises(ConfigurationError):
        ResourceServer(resource, **given)


def test_now_needs_a_zone(issuer: TokenIssuer, sender: DpopSender) -> None:
    """A time without a zone could mean any: that is the caller's fault, and is told."""
    client = bound(sender, issuer.token(cnf={"jkt": sender.jkt}))
    with pytest.raises(ConfigurationError):
        asyncio.run(server_of(issuer).decide(client.request(), now=datetime(2026, 9, 1)))  # noqa: DTZ001

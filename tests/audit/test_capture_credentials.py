"""Which credentials a request shows: every class of the catalogue that the wire can show, and where it stood."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from counterfoil.audit.capture import Credential, HttpRequest, TokenFacts, capture_credentials
from counterfoil.schemas import Fingerprint, FingerprintKey, Token

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "specs.json").read_text("utf-8"))
RFC9449 = VECTORS["rfc9449"]
KEY = FingerprintKey(secrets.token_bytes(32))
SECRET = secrets.token_urlsafe(32)
URN = "urn:ietf:params:oauth:grant-type:"
API = "https://api.example/mail"


def _part(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def _jwt(typ: str | None = None, /, alg: str = "ES256", **claims: object) -> str:
    header = {"alg": alg, "kid": "k-1"} | ({"typ": typ} if typ else {})
    return f"{_part(header)}.{_part(claims)}.{secrets.token_urlsafe(64)[:86].rstrip('_-')[:84]}"


def _get(*headers: tuple[str, str], url: str = API) -> HttpRequest:
    return HttpRequest("GET", url, headers)


def _bearer(token: str) -> HttpRequest:
    return _get(("Authorization", f"Bearer {token}"))


def _post(*headers: tuple[str, str], **form: str) -> HttpRequest:
    content_type = ("Content-Type", "application/x-www-form-urlencoded")
    return HttpRequest("POST", "https://as.example/token", (content_type, *headers), urlencode(form).encode())


def _basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _capture(request: HttpRequest, **given: Any) -> tuple[Credential, ...]:
    return capture_credentials(request, KEY, **given)


def _only(request: HttpRequest, **given: Any) -> Token:
    (credential,) = _capture(request, **given)
    return credential.token


ID_TOKEN = _jwt("JWT", iss="https://as.example", aud="client-1", nonce="n-1", sub="alice")
SVID = _jwt("JWT", sub="spiffe://example.org/agent", aud=["https://api.example"])
AT = _jwt("at+jwt", iss="https://as.example", sub="alice")
JWE = f"{_part({'alg': 'dir', 'enc': 'A256GCM'})}..aXY.dGV4dA.dGFn"
SIGV4 = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
GITHUB_KEY = "ghp_" + secrets.token_hex(18)

SHOWN = {
    "opaque": (_bearer(SECRET), "bearer_opaque", "authorization_header"),
    "opaque in three parts": (_bearer(RFC9449["access_token"]), "bearer_opaque", "authorization_header"),
    "scheme in any case": (_get(("authorization", f"bEARER  {SECRET}")), "bearer_opaque", "authorization_header"),
    "at+jwt": (_bearer(AT), "bearer_jwt_at", "authorization_header"),
    "AT+JWT": (_bearer(_jwt("application/AT+JWT")), "bearer_jwt_at", "authorization_header"),
    "JWT without typ": (_bearer(_jwt(sub="alice")), "jwt_unprofiled", "authorization_header"),
    "JWE": (_bearer(JWE), "jwt_unprofiled", "authorization_header"),
    "a proof as a token": (_bearer(RFC9449["fig2_proof_token_request"]), "jwt_unprofiled", "authorization_header"),
    "DPoP scheme": (_get(("Authorization", f"DPoP {SECRET}")), "dpop_bound_access", "authorization_header"),
    "cnf.jkt": (_bearer(RFC9449["fig8_bound_jwt_at"]), "dpop_bound_access", "authorization_header"),
    "cnf.x5t": (
        _bearer(_jwt("at+jwt", cnf={"x5t#S256": VECTORS["rfc8705"]["x5t#S256"]})),
        "mtls_bound_access",
        "authorization_header",
    ),
    "both in cnf": (
        _bearer(_jwt(cnf={"x5t#S256": VECTORS["rfc8705"]["x5t#S256"], "jkt": RFC9449["jkt"]})),
        "dual_bound_access",
        "authorization_header",
    ),
    "transaction token": (_bearer(_jwt("txntoken+jwt")), "txn_token", "authorization_header"),
    "Txn-Token": (_get(("Txn-Token", _jwt("txntoken+jwt"))), "txn_token", "custom_header"),
    "ID token": (_bearer(ID_TOKEN), "id_token", "authorization_header"),
    "OIDC, yet scoped": (_bearer(_jwt(nonce="n-1", scope="read")), "jwt_unprofiled", "authorization_header"),
    "JWT-SVID": (_bearer(SVID), "jwt_svid", "authorization_header"),
    "WIT as bearer": (_bearer(VECTORS["wimse_draft"]["wit"]), "wit_wpt", "authorization_header"),
    "WIT": (_get(("Workload-Identity-Token", VECTORS["wimse_draft"]["wit"])), "wit_wpt", "custom_header"),
    "access token in a form": (_post(access_token=SECRET), "bearer_opaque", "form_body"),
    "access token in the query": (_get(url=f"{API}?access_token={SECRET}"), "bearer_opaque", "query"),
    "refresh token": (_post(grant_type="refresh_token", refresh_token=SECRET), "refresh_token", "form_body"),
    "code": (_post(grant_type="authorization_code", code=SECRET), "authorization_code", "form_body"),
    "exchange": (_post(grant_type=f"{URN}token-exchange", subject_token=SECRET), "token_exchange", "form_body"),
    "device code": (_post(grant_type=f"{URN}device_code", device_code=SECRET), "device_code", "form_body"),
    "SAML grant": (_post(grant_type=f"{URN}saml2-bearer", assertion=SECRET), "saml_assertion", "form_body"),
    "SAMLResponse": (_post(SAMLResponse=SECRET, RelayState="x"), "saml_assertion", "form_body"),
    "SAML client assertion": (
        _post(
            client_assertion=SECRET, client_assertion_type="urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
        ),
        "saml_assertion",
        "form_body",
    ),
    "JWT grant": (_post(grant_type=f"{URN}jwt-bearer", assertion=_jwt()), "jwt_unprofiled", "form_body"),
    "password grant": (_post(grant_type="password", username="alice", password=SECRET), "unknown", "form_body"),
    "client secret by Basic": (
        _post(_basic("client-1", SECRET), grant_type="client_credentials"),
        "client_secret",
        "authorization_header",
    ),
    "client secret by form": (_post(client_id="client-1", client_secret=SECRET), "client_secret", "form_body"),
    "client assertion": (_post(client_assertion=_jwt(sub="client-1")), "client_assertion", "form_body"),
    "client attestation": (_get(("OAuth-Client-Attestation", _jwt())), "client_attestation", "custom_header"),
    "Basic": (_get(_basic("alice", SECRET)), "basic_password", "authorization_header"),
    "Basic, unreadable": (_get(("Authorization", "Basic %%%")), "basic_password", "authorization_header"),
    "proxy": (_get(("Proxy-Authorization", _basic("alice", SECRET)[1])), "basic_password", "custom_header"),
    "vendor key as bearer": (_bearer(GITHUB_KEY), "api_key", "authorization_header"),
    "vendor key as user": (_get(_basic(f"sk_live_{secrets.token_hex(12)}", "")), "api_key", "authorization_header"),
    "vendor key as password": (_get(_basic("alice", GITHUB_KEY)), "api_key", "authorization_header"),
    "vendor key without scheme": (_get(("Authorization", GITHUB_KEY)), "api_key", "authorization_header"),
    "token scheme": (_get(("Authorization", f"Token {SECRET}")), "api_key", "authorization_header"),
    "an OAuth token with a prefix": (
        _bearer(f"sk-ant-oat01-{secrets.token_hex(20)}"),
        "bearer_opaque",
        "authorization_header",
    ),
    **{
        header: (_get((header, SECRET)), "api_key", "custom_header")
        for header in (
            "X-API-Key", "Api-Key", "x-goog-api-key", "Ocp-Apim-Subscription-Key", "X-Vault-Token", "Private-Token",
            "X-GitHub-Token", "X-Auth-Token",
        )
    },
    "api_key in the query": (_get(url=f"{API}?api_key={SECRET}"), "api_key", "query"),
    "key in the query": (_get(url=f"{API}?key={secrets.token_hex(16)}1"), "api_key", "query"),
    "cookie": (_get(("Cookie", f"sid={SECRET}")), "cookie_session", "cookie"),
    "AWS URL": (_get(url=f"{API}?X-Amz-Credential=AKIA/20130524/eu/s3/aws4_request&X-Amz-Signature={SECRET}"),
                "signed_url", "query"),
    "Google URL": (_get(url=f"{API}?X-Goog-Signature={SECRET}"), "signed_url", "query"),
    "Azure URL": (_get(url=f"{API}?sv=2024-05-04&sig={SECRET}"), "signed_url", "query"),
    "SigV4": (_get(("Authorization", f"{SIGV4}SignedHeaders=host, Signature={SECRET}")),
              "sigv4_request", "authorization_header"),
    "message signature": (
        _get(("Signature-Input", 'sig1=("@method");keyid="k"'), ("Signature", "sig1=:c2ln:")),
        "http_message_signature", "signature",
    ),
    "metadata server": (_get(("X-aws-ec2-metadata-token", SECRET)), "cloud_identity", "custom_header"),
    "another scheme": (_get(("Authorization", f"Negotiate {SECRET}")), "unknown", "authorization_header"),
    "no scheme": (_get(("Authorization", SECRET)), "unknown", "authorization_header"),
    "a JWT without scheme": (_get(("Authorization", AT)), "bearer_jwt_at", "authorization_header"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "token_class", "presentation"), SHOWN.values(), ids=SHOWN)
def test_a_credential_is_recognised(request_: HttpRequest, token_class: str, presentation: str) -> None:
    """Each way of presenting a credential gives exactly one, of its class, where it stood."""
    token = _only(request_)
    assert (token.token_class, token.presentation) == (token_class, presentation)
    assert token.methods == ()


@pytest.mark.parametrize(
    "request_",
    [
        _get(),
        _get(("Authorization", "")),
        _get(("Authorization", "Bearer")),
        _get(("Cookie", " ; ")),
        _get(("X-API-Key", "")),
        _get(url=f"{API}?access_token=&api_key=&sig={SECRET}&key=inbox&token=x"),
        _get(("Signature-Input", 'sig1=("@method")')),
        _get(("DPoP", RFC9449["fig2_proof_token_request"])),
        _post(grant_type="client_credentials", refresh_token=SECRET, code=SECRET),
        _post(code=SECRET, password=SECRET, client_secret=""),
    ],
)
def test_a_request_without_a_credential_shows_none(request_: HttpRequest) -> None:
    """Empty values, parameters out of their context, and a proof alone are no credential."""
    assert _capture(request_) == ()


FINGERPRINTED = {
    "bearer": (_bearer(SECRET), SECRET),
    "form": (_post(access_token=SECRET), SECRET),
    "query": (_get(url=f"{API}?access_token={quote(SECRET)}"), SECRET),
    "key in Basic": (_get(_basic("alice", GITHUB_KEY)), GITHUB_KEY),
    "password": (_get(_basic("alice", "pass:word")), "alice:pass:word"),
    "client secret by Basic": (_post(_basic("client%3A1", quote("a/b+c")), grant_type="x"), "a/b+c"),
    "client secret by form": (_post(client_secret="a/b+c"), "a/b+c"),
    "one cookie": (_get(("Cookie", f"theme=dark; session_id={SECRET}; csrftoken=1")), SECRET),
    "only cookie": (_get(("Cookie", f'theme="{SECRET}"')), SECRET),
    "several cookies": (_get(("Cookie", "sid=2"), ("Cookie", "auth=1; theme=dark")), "auth=1; sid=2"),
    "SigV4": (_get(("Authorization", f"{SIGV4}Signature=1")), "AKIAIOSFODNN7EXAMPLE"),
    "signed URL": (_get(url=f"{API}?X-Amz-Credential=AKIA/1&X-Amz-Signature={SECRET}"), SECRET),
    "bytes": (HttpRequest("POST", API, (("Content-Type", "application/x-www-form-urlencoded"),), b"access_token=\xff"),
              b"\xff"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "secret"), FINGERPRINTED.values(), ids=FINGERPRINTED)
def test_a_fingerprint_is_that_of_the_credential(request_: HttpRequest, secret: str | bytes) -> None:
    """The fingerprint is made of the credential alone, decoded, so that it joins wherever it was presented."""
    assert _only(request_).fingerprint == Fingerprint.of(secret, KEY)


def test_a_text_that_is_no_unicode_has_a_fingerprint() -> None:
    """A lone surrogate that stands for no byte does not keep a credential from being told apart."""
    tokens = [_only(_bearer(f"{SECRET}{surrogate}")) for surrogate in ("\ud800", "\ud801")]
    assert tokens[0].fingerprint != tokens[1].fingerprint


def test_the_claims_of_an_access_token_are_read() -> None:
    """An RFC 9068 token shows its claims; that nobody checked them is said by the basis."""
    claims: dict[str, Any] = {
        "iss": "https://as.example", "sub": "alice", "aud": ["https://api.example", "mail"], "client_id": "client-1",
        "scope": "read write", "iat": 1760000000, "nbf": 1760000001.5, "exp": 1760003600, "jti": "j-1",
        "act": {"sub": "agent", "act": {"sub": "orchestrator"}},
    }  # fmt: skip
    (credential,) = _capture(_bearer(_jwt("at+jwt", **claims)))
    shown = credential.token.model_dump(mode="json", exclude_defaults=True, exclude={"fingerprint"})
    assert shown == {
        "token_class": "bearer_jwt_at",
        "format": "jwt",
        "issuer": "https://as.example",
        "subject": "alice",
        "client_id": "client-1",
        "audience": ["https://api.example", "mail"],
        "scopes": ["read", "write"],
        "lifetime": {
            "issued_at": "2025-10-09T08:53:20.000000Z",
            "not_before": "2025-10-09T08:53:21.500000Z",
            "expires_at": "2025-10-09T09:53:20.000000Z",
            "seconds": 3600,
        },
        "presentation": "authorization_header",
        "basis": "unverified_claims",
        "typ": "at+jwt",
        "alg": "ES256",
        "key_id": "k-1",
        "jti": "j-1",
    }
    assert credential.actors == ("agent", "orchestrator")


def test_an_encrypted_token_shows_its_header() -> None:
    """Of a JWE only the header is known, and that is no basis for anything else."""
    token = _only(_bearer(JWE))
    assert (token.format, token.alg, token.basis) == ("jwe", "dir", "unknown")


def test_an_opaque_token_shows_nothing() -> None:
    """Nothing is known of an opaque token."""
    token = _only(_bearer(SECRET))
    assert (token.format, token.basis, token.issuer) == ("opaque", "unknown", None)


def test_the_jti_of_a_proof_is_not_kept() -> None:
    """A `jti` is kept of access tokens only: in an assertion it is what makes the proof unique."""
    assert _only(_bearer(_jwt(jti="j-1"))).jti == "j-1"
    assert _only(_post(client_assertion=_jwt(jti="j-1"))).jti is None


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        (GITHUB_KEY, "ghp_"),
        (f"github_pat_{secrets.token_hex(20)}", "github_p"),
        (f"sk-ant-api03-{secrets.token_hex(20)}", "sk-ant-"),
        (f"sk-{secrets.token_hex(20)}", "sk-"),
        (SECRET, None),
        ("ghp_short", None),
    ],
)
def test_a_key_shows_its_public_prefix(key: str, prefix: str | None) -> None:
    """The vendor's prefix is kept, cut to 8 characters; of a key too short to have both nothing is."""
    assert _only(_get(("X-API-Key", key))).prefix == prefix


@pytest.mark.parametrize(
    ("request_", "client_id", "method"),
    [
        (_post(_basic("client%3A1", SECRET), grant_type="client_credentials"), "client:1", "client_secret_basic"),
        (_post(client_id="client-1", client_secret=SECRET), "client-1", "client_secret_post"),
        (_post(client_assertion=_jwt(sub="client-1")), "client-1", "private_key_jwt"),
        (_post(client_assertion=_jwt(None, "HS256"), client_id="client-1"), "client-1", "client_secret_jwt"),
    ],
)
def test_the_client_and_its_method_are_told(request_: HttpRequest, client_id: str, method: str) -> None:
    """Client authentication shows the client and how it authenticates (OpenID Connect Core §9)."""
    token = _only(request_)
    assert (token.client_id, token.client_auth_method) == (client_id, method)


def test_the_user_of_a_password_is_not_kept() -> None:
    """Some services take a key as the user name, so that it is never recorded."""
    assert SECRET not in _only(_get(_basic(SECRET, "x"))).model_dump_json()


def test_an_exchange_shows_both_tokens() -> None:
    """Subject and actor token are a credential each, with the types that the request states."""
    access, jwt = "urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"
    request = _post(
        grant_type=f"{URN}token-exchange", client_id="client-1",
        subject_token=SECRET, subject_token_type=access, actor_token=_jwt(sub="agent"), actor_token_type=jwt,
    )  # fmt: skip
    subject, actor = (credential.token for credential in _capture(request))
    assert subject.names == ("subject_token", access)
    assert actor.names == ("actor_token", jwt)
    assert actor.subject == "agent"
    assert subject.client_id == "client-1"
    assert subject.methods == ("form_body", "form_body")


@pytest.mark.parametrize(("verifier", "names"), [("v" * 43, ("code_verifier",)), ("", ())])
def test_a_code_shows_whether_pkce_was_used(verifier: str, names: tuple[str, ...]) -> None:
    """The name of the verifier is kept, its value is not."""
    assert _only(_post(grant_type="authorization_code", code=SECRET, code_verifier=verifier)).names == names


def test_cookies_show_their_names() -> None:
    """The names of all cookies are kept, sorted; what has no name is a value and is not."""
    request = _get(("Cookie", f"theme=dark; sid={SECRET}; {SECRET}"), ("Cookie", "a=1"))
    assert _only(request).names == ("a", "sid", "theme")


def test_sigv4_shows_key_scope_and_headers() -> None:
    """Key id, credential scope and signed headers are public; the signature is not kept."""
    request = _get(("Authorization", f"{SIGV4}SignedHeaders=host;x-amz-date, Signature={SECRET}"))
    (credential,) = _capture(request)
    token = credential.token
    assert (token.key_id, token.scopes) == ("AKIAIOSFODNN7EXAMPLE", ("20130524/us-east-1/s3/aws4_request",))
    assert token.names == ("host", "x-amz-date")
    assert (credential.binding.presented, credential.proof.mechanism) == ("sigv4_hmac", "sigv4_hmac")


@pytest.mark.parametrize("style", ["Amz", "Goog"])
def test_a_signed_url_shows_signer_and_expiry(style: str) -> None:
    """A signed URL shows who signed, within which scope, and how long it is good. It counts as bearer."""
    query = urlencode(
        {
            f"X-{style}-Credential": "signer@example/20130524/auto/storage/request",
            f"X-{style}-Date": "20130524T000000Z",
            f"X-{style}-Expires": "900",
            f"X-{style}-SignedHeaders": "host",
            f"X-{style}-Signature": SECRET,
        }
    )
    (credential,) = _capture(_get(url=f"{API}?{query}"))
    token = credential.token
    assert (token.key_id, token.names) == ("signer@example", ("host",))
    assert token.lifetime.seconds == 900
    assert (credential.binding.presented, credential.proof.result) == ("none", "not_applicable")


@pytest.mark.parametrize(
    ("expiry", "shown"),
    [("2026-01-31T08:00:00Z", "2026-01-31T08:00:00"), ("2026-01-31", "2026-01-31T00:00:00"), ("soon", None)],
)
def test_a_shared_access_signature_shows_expiry_and_permissions(expiry: str, shown: str | None) -> None:
    """Of an Azure SAS the permissions and the expiry are kept."""
    token = _only(_get(url=f"{API}?sv=2024-05-04&sp=rl&se={quote(expiry)}&sig={SECRET}"))
    expires_at = token.lifetime.expires_at
    assert token.scopes == ("rl",)
    assert (expires_at.isoformat()[:19] if expires_at else None) == shown


def test_message_signatures_show_label_components_and_key() -> None:
    """Each label is a signature of its own, with what it covers, its key and its times (RFC 9421 §4.1)."""
    components = '("@method" "@query-param";name="a,b)" "content-digest")'
    times = "created=1618884473;expires=1618884773"
    request = _get(
        ("Signature-Input", f'sig-1={components};{times};keyid="test-key";alg="ed25519"'),
        ("Signature-Input", 'content-digest=( );keyid="other"'),
        ("Signature", "content-digest=:b3RoZXI=:, sig-1=:c2lnbmF0dXJl:"),
    )
    first, second = _capture(request)
    assert first.token.names == ("label=sig-1", "@method", '@query-param;name="a,b)"', "content-digest")
    assert (first.token.key_id, first.token.alg, first.token.lifetime.seconds) == ("test-key", "ed25519", 300)
    assert second.token.names == ("label=content-digest",)
    assert "content-digest" not in second.token.names
    assert first.proof.proof_digest != second.proof.proof_digest
    assert first.token.fingerprint == Fingerprint.of("test-key", KEY)


def test_several_credentials_list_every_presentation() -> None:
    """With several credentials, each lists where all of them stood: an access token sent twice is visible."""
    request = _get(
        ("Cookie", f"sid={SECRET}"), ("Authorization", f"Bearer {AT}"), url=f"{API}?access_token={quote(AT)}"
    )
    header, query, cookie = (credential.token for credential in _capture(request))
    assert header.methods == query.methods == cookie.methods == ("authorization_header", "query", "cookie")
    assert header.fingerprint == query.fingerprint != cookie.fingerprint
    assert (header.token_class, query.token_class) == ("bearer_jwt_at", "bearer_jwt_at")


def test_two_authorization_headers_are_noted() -> None:
    """Two Authorization headers are two credentials, and the presentation stands twice."""
    first, second = _capture(_get(("Authorization", f"Bearer {AT}"), ("Authorization", _basic("alice", "x")[1])))
    assert (first.token.token_class, second.token.token_class) == ("bearer_jwt_at", "basic_password")
    assert first.token.methods == ("authorization_header", "authorization_header")


def test_a_flood_of_credentials_is_cut() -> None:
    """However many headers a request has, at most 32 credentials are returned."""
    assert len(_capture(_get(*[("Authorization", f"Bearer {n}") for n in range(100)]))) == 32


def test_another_key_gives_another_fingerprint() -> None:
    """Fingerprints are keyed: without the key of the deployment they do not join."""
    other = FingerprintKey(secrets.token_bytes(32))
    (credential,) = capture_credentials(_bearer(SECRET), other)
    assert credential.token.fingerprint != _only(_bearer(SECRET)).fingerprint


def test_facts_replace_the_claims() -> None:
    """What somebody verified stands instead of what the token says of itself."""
    token = _only(_bearer(AT), facts=TokenFacts.verified({"iss": "https://verified.example"}))
    assert (token.issuer, token.subject, token.basis) == ("https://verified.example", None, "verified_jwt")
    assert (token.token_class, token.typ, token.format) == ("bearer_jwt_at", "at+jwt", "jwt")


def test_facts_are_about_the_access_token() -> None:
    """Facts go to the first access token, not to the key or cookie beside it."""
    request = _post(_basic("alice", SECRET), ("Cookie", "sid=1"), access_token=SECRET)
    password, token, cookie = (
        credential.token for credential in _capture(request, facts=TokenFacts.verified({"iss": "as"}))
    )
    assert (password.basis, token.basis, cookie.basis) == ("unknown", "verified_jwt", "unknown")


def test_configured_facts_name_the_class() -> None:
    """What only the configuration knows, such as the variable a key came from, is taken from it."""
    configured = Token(
        token_class="environment_credential", names=("MAIL_API_KEY",), presentation="environment", methods=("query",),
        fingerprint=Fingerprint.of("another", KEY),
    )  # fmt: skip
    token = _only(_get(("X-API-Key", SECRET)), facts=TokenFacts.configured(configured))
    assert (token.token_class, token.names, token.basis) == (
        "environment_credential",
        ("MAIL_API_KEY",),
        "configuration",
    )
    assert (token.presentation, token.fingerprint) == ("custom_header", Fingerprint.of(SECRET, KEY))

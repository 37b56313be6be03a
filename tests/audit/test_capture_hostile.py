"""Capture against hostile input: it never raises, and what it returns never holds the credential."""

from __future__ import annotations

import json
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit.capture import Credential, HttpRequest, TokenFacts, capture_credentials
from counterfoil.audit.capture.api_keys import KEY_HEADERS
from counterfoil.schemas import FingerprintKey, canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = FingerprintKey(secrets.token_bytes(32))
FORM = ("Content-Type", "application/x-www-form-urlencoded")
HEADERS = (
    "authorization", "proxy-authorization", "dpop", "cookie", "signature", "signature-input", "txn-token",
    "workload-identity-token", "workload-proof-token", "oauth-client-attestation", "oauth-client-attestation-pop",
    "client-cert", "content-type", "host", *KEY_HEADERS,
)  # fmt: skip
SCHEMES = ("", "Bearer ", "DPoP ", "Basic ", "AWS4-HMAC-SHA256 ", "Token ", "Other ")
PARAMETERS = (
    "grant_type", "access_token", "refresh_token", "code", "client_secret", "client_assertion", "assertion", "sig",
    "sv", "se", "api_key", "key", "SAMLResponse", "X-Amz-Signature", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Credential",
)  # fmt: skip
GRANTS = ("refresh_token", "authorization_code", "password", "urn:ietf:params:oauth:grant-type:token-exchange")

any_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(any_text, children, max_size=3),
    max_leaves=8,
)
claim_names = st.sampled_from(
    ["iss", "sub", "aud", "exp", "iat", "scope", "cnf", "act", "jti", "nonce", "typ", "kid", "jwk"]
)
members = st.dictionaries(claim_names | any_text, any_json, max_size=6)


def _part(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def _unsigned(parts: tuple[dict[str, Any], dict[str, Any]]) -> str:
    return f"{_part(parts[0])}.{_part(parts[1])}."


structured = st.sampled_from(
    ['sig1=("@method" "a";b);keyid="k"', "sig1=:c2ln:", "Credential=a/b, Signature=c", "a=1; b=2"]
)
encoded = st.binary(max_size=40).map(lambda raw: b64encode(raw).decode())
values = any_text | st.tuples(members, members).map(_unsigned) | structured | encoded
lines = st.tuples(st.sampled_from(HEADERS) | any_text, st.tuples(st.sampled_from(SCHEMES), values).map("".join))
headers = st.lists(lines, max_size=6)
parameters = st.dictionaries(st.sampled_from(PARAMETERS), values | st.sampled_from(GRANTS), max_size=5)


def _urlencoded(pairs: dict[str, str]) -> str:
    return urlencode(pairs, errors="surrogatepass")


def _stored(credentials: tuple[Credential, ...]) -> str:
    """Everything that leaves the capture, as repr and as the bytes that would be sealed."""
    parts = [part for found in credentials for part in (found.token, found.binding, found.proof)]
    sealed = [canonical_bytes(part.model_dump(mode="json", exclude_none=True)).decode() for part in parts]
    return "\n".join([repr(credentials), *sealed, *(actor for found in credentials for actor in found.actors)])


def _request(
    method: str, url: str, given_headers: list[tuple[str, str]], query: dict[str, str], form: dict[str, str]
) -> HttpRequest:
    return HttpRequest(method, f"{url}?{_urlencoded(query)}", (*given_headers, FORM), _urlencoded(form).encode())


@given(st.builds(_request, any_text, any_text, headers, parameters, parameters), st.none() | st.binary(max_size=40))
def test_capture_never_raises(request_: HttpRequest, certificate: bytes | None) -> None:
    """Any method, URL, headers, form and certificate give credentials that can be sealed."""
    _stored(capture_credentials(request_, KEY, certificate=certificate))


@given(headers, members, st.binary(max_size=200))
def test_capture_never_raises_over_facts(
    given_headers: list[tuple[str, str]], claims: dict[str, Any], body: bytes
) -> None:
    """Facts from a hostile server change nothing in that, nor does a body of any bytes."""
    request = HttpRequest("POST", "https://api.example/", (*given_headers, FORM), body)
    for facts in (TokenFacts.verified(claims), TokenFacts.introspected(claims | {"active": True})):
        _stored(capture_credentials(request, KEY, facts=facts))


def _get(*lines: tuple[str, str]) -> HttpRequest:
    return HttpRequest("GET", "https://api.example/mail", lines)


def _query(**given: str) -> HttpRequest:
    return HttpRequest("GET", f"https://api.example/mail?{urlencode(given)}")


def _post(**given: str) -> HttpRequest:
    return HttpRequest("POST", "https://as.example/token", (FORM,), urlencode(given).encode())


def _basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode()


URN = "urn:ietf:params:oauth:grant-type:"
POSITIONS: dict[str, Callable[[str], HttpRequest]] = {
    **{f"scheme {scheme!r}": lambda s, scheme=scheme: _get(("Authorization", scheme + s)) for scheme in SCHEMES},
    **{
        header: lambda s, header=header: _get((header, s))
        for header in HEADERS
        if header not in {"host", "content-type"}
    },
    "Basic password": lambda s: _get(_basic("alice", s)),
    "Basic user": lambda s: _get(_basic(s, "")),
    "client secret by Basic": lambda s: HttpRequest(
        "POST", "https://as.example/token", (FORM, _basic("client-1", s)), b"grant_type=client_credentials"
    ),
    "proof": lambda s: _get(("Authorization", "DPoP token"), ("DPoP", s)),
    "cookie": lambda s: _get(("Cookie", f"sid={s}; theme={s}")),
    "cookie without a name": lambda s: _get(("Cookie", f"{s}; ={s}")),
    "SigV4": lambda s: _get(("Authorization", f"AWS4-HMAC-SHA256 Credential=A/b, SignedHeaders=h, Signature={s}")),
    "message signature": lambda s: _get(
        ("Signature-Input", 'sig1=("@method");keyid="k"'), ("Signature", f"sig1=:{b64encode(s.encode()).decode()}:")
    ),
    "message signature nonce": lambda s: _get(
        ("Signature-Input", f'sig1=("@method");nonce="{s}"'), ("Signature", "sig1=:c2ln:")
    ),
    "JWT signature": lambda s: _get(("Authorization", f"Bearer {_part({'alg': 'HS256'})}.{_part({'sub': 'a'})}.{s}")),
    "cnf.jwk": lambda s: _get(("Authorization", f"Bearer {_part({})}.{_part({'cnf': {'jwk': {'k': s}, 'jwe': s}})}.")),
    "claim that is not ours": lambda s: _get(("Authorization", f"Bearer {_part({})}.{_part({'nonce': s, 'x': s})}.")),
    **{
        f"query {name}": lambda s, name=name: _query(**{name: s, "sv": "1"})
        for name in ("access_token", "api_key", "key", "X-Amz-Signature", "X-Goog-Signature", "sig")
    },
    "refresh token": lambda s: _post(grant_type="refresh_token", refresh_token=s),
    "code and verifier": lambda s: _post(grant_type="authorization_code", code=s, code_verifier=s),
    "exchange": lambda s: _post(grant_type=f"{URN}token-exchange", subject_token=s, actor_token=s),
    "device code": lambda s: _post(grant_type=f"{URN}device_code", device_code=s),
    "assertion": lambda s: _post(grant_type=f"{URN}jwt-bearer", assertion=s),
    "SAML": lambda s: _post(grant_type=f"{URN}saml2-bearer", assertion=s, SAMLResponse=s),
    "password": lambda s: _post(grant_type="password", username="alice", password=s),
    "client secret": lambda s: _post(client_secret=s, client_assertion=s),
    "form access token": lambda s: _post(access_token=s),
}

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
PREFIXES = ("", "ghp_", "sk-", "eyJ", "AKIA")
HEAD, TAIL = secrets.token_hex(6), secrets.token_hex(6)  # hypothesis would find words of ours to put there
long_secrets = st.tuples(st.sampled_from(PREFIXES), st.text(ALPHABET, max_size=80)).map(
    lambda parts: f"{parts[0]}{HEAD}{parts[1]}{TAIL}"
)


@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
@given(secret=long_secrets)
@settings(max_examples=20)
def test_capture_never_leaks(position: Callable[[str], HttpRequest], secret: str) -> None:
    """Wherever a secret stands, neither its head nor its tail nor its base64 is in what capture returns."""
    request = position(secret)
    stored = _stored(capture_credentials(request, KEY))
    basic = b64encode(f"alice:{secret}".encode()).decode()
    for form in (HEAD, TAIL, b64encode(secret.encode()).decode().rstrip("="), basic):
        assert form not in stored
    assert HEAD not in repr(request)


@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
def test_each_position_is_one_that_capture_sees(position: Callable[[str], HttpRequest]) -> None:
    """The positions of the test above are real: all but proof and certificate headers give a credential there."""
    alone = position is POSITIONS["dpop"] or position is POSITIONS["client-cert"]
    alone |= any(position is POSITIONS[name] for name in HEADERS if name.endswith(("-pop", "proof-token")))
    alone |= any(position is POSITIONS[name] for name in ("signature", "signature-input"))
    assert bool(capture_credentials(position("1" + secrets.token_urlsafe(24)), KEY)) is not alone


@pytest.mark.parametrize(
    "lines",
    [
        [("Authorization", "Bearer " + "." * 65536)],
        [("Authorization", "Bearer " + "A" * 10_000_000)],
        [("Signature-Input", "sig1=(" + '"a" ' * 20000), ("Signature", "sig1=:a:")],
        [("Signature-Input", "sig1=()" + ";a" * 30000 + "!"), ("Signature", "sig1=:a:")],
        [("Signature-Input", 'sig1=("' + "\\\\" * 30000), ("Signature", "sig1=:" + "A" * 60000)],
        [("Cookie", "a=1;" * 16000)],
        [("Authorization", "AWS4-HMAC-SHA256 " + "a=b," * 16000)],
        [("Authorization", "Basic " + ":" * 65536)],
    ],
)
def test_capture_is_quick_on_hostile_input(lines: list[tuple[str, str]]) -> None:
    """No header, however long and whatever it repeats, takes longer than half a second."""
    started = time.perf_counter()
    capture_credentials(_get(*lines), KEY)
    assert time.perf_counter() - started < 0.5

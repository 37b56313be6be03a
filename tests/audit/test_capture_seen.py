"""What capture has seen is known to redaction: each credential of a request and of an answer, in both of its forms."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import pytest

from counterfoil.audit.capture import HttpRequest, capture_credentials
from counterfoil.audit.capture.seen import remember_answer, remember_set_cookies
from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.known import KNOWN
from counterfoil.schemas import FingerprintKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from counterfoil.audit import AuditLog

KEY = FingerprintKey(secrets.token_bytes(32))
API = "https://api.example/mail"
URN = "urn:ietf:params:oauth:grant-type:"


def _headers(name: str, value: str = "{}") -> Callable[[str], HttpRequest]:
    return lambda secret: HttpRequest("GET", API, ((name, value.format(secret)),))


def _form(**parameters: str) -> Callable[[str], HttpRequest]:
    def request(secret: str) -> HttpRequest:
        body = urlencode({name: value.format(secret) for name, value in parameters.items()}).encode()
        return HttpRequest("POST", API, (("Content-Type", "application/x-www-form-urlencoded"),), body)

    return request


def _basic(secret: str) -> HttpRequest:
    return HttpRequest("GET", API, (("Authorization", f"Basic {b64encode(f'me:{secret}'.encode()).decode()}"),))


PLACES: Final[dict[str, Callable[[str], HttpRequest]]] = {
    "Bearer": _headers("Authorization", "Bearer {}"),
    "DPoP": _headers("Authorization", "DPoP {}"),
    "no scheme": _headers("authorization"),
    "another scheme": _headers("Authorization", "Negotiate {}"),
    "proxy": _headers("Proxy-Authorization", "Bearer {}"),
    "Basic": _basic,
    "API key": _headers("X-API-Key"),
    "Vault": _headers("X-Vault-Token"),
    "session of MCP": _headers("Mcp-Session-Id"),
    "proof": lambda secret: HttpRequest("GET", API, (("Authorization", "Bearer abc"), ("DPoP", secret))),
    "proof alone": _headers("DPoP"),
    "workload proof": _headers("Workload-Proof-Token"),
    "attestation proof": _headers("OAuth-Client-Attestation-PoP"),
    "session cookie": _headers("Cookie", "theme=dark; sid={}; lang=en"),
    "another cookie": _headers("Cookie", "sid=1; x={}"),
    "cookie beside others": _headers("Cookie", 'session=1; auth="{}"'),
    "refresh token": _form(grant_type="refresh_token", refresh_token="{}", client_id="me"),
    "code": _form(grant_type="authorization_code", code="{}", redirect_uri=API),
    "PKCE": _form(grant_type="authorization_code", code="1", code_verifier="{}"),
    "client secret": _form(grant_type="client_credentials", client_secret="{}"),
    "password": _form(grant_type="password", username="me", password="{}"),
    "exchange": _form(grant_type=f"{URN}token-exchange", subject_token="{}", subject_token_type="x"),
    "actor": _form(grant_type=f"{URN}token-exchange", subject_token="1", actor_token="{}"),
    "assertion": _form(grant_type=f"{URN}jwt-bearer", assertion="{}"),
    "client assertion": _form(client_assertion="{}"),
    "introspection": _form(token="{}", token_type_hint="access_token"),
    "login": _form(user="me", password="{}"),
    "query": lambda secret: HttpRequest("GET", f"{API}?access_token={secret}"),
    "key in the query": lambda secret: HttpRequest("GET", f"{API}?api_key={secret}"),
    "signature": lambda secret: HttpRequest("GET", f"{API}?sv=1&sig={secret}"),
    "callback": lambda secret: HttpRequest("GET", f"{API}?code={secret}&state=1"),
    "user information": lambda secret: HttpRequest("GET", f"https://me:{secret}@api.example/"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_credential_that_was_seen_is_found_elsewhere(place: str) -> None:
    """Wherever a request shows it, it is gone from what a tool says afterwards, and not before."""
    secret = f"{secrets.token_hex(6)}-{secrets.token_urlsafe(18)}7a"
    said = f"the tool printed {secret}"
    assert Redactor().text(said) == (said, [])
    capture_credentials(PLACES[place](secret), KEY)
    assert Redactor().text(said)[0] == "the tool printed [redacted:known]"
    assert secret not in repr(KNOWN)


def test_the_basic_form_of_a_password_is_known_too() -> None:
    """As it stood on the wire: without the scheme nothing else would tell what it is."""
    password = "".join(secrets.choice("aB3$x-") for _ in range(8)) + "Qz7"
    sent = b64encode(f"{password}".encode()).decode()
    request = HttpRequest("GET", API, (("Authorization", f"Basic {sent}"),))
    assert sent in Redactor().text(f"got {sent} here")[0]
    capture_credentials(request, KEY)
    assert sent not in Redactor().text(f"got {sent} here")[0]


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", f"{API}?key=ISSUE-12345&code=shirt-4711&state=open&page_size=12345678"),
        HttpRequest("GET", API, (("Cookie", "theme=dark-mode-2; lang=de_DE.UTF-8; next=/mail/inbox-2"),)),
        HttpRequest("GET", API, (("Authorization", "Bearer anonymous"), ("X-API-Key", "development"))),
        _headers("Idempotency-Key")("0b7f53c1-1d77-4a4c-9d6b-2f9a1b1f7a11"),
        _headers("Authorization", "AWS4-HMAC-SHA256 Credential={}/2026/eu/s3, Signature=")("AKIAEXAMPLE12345"),
        HttpRequest("GET", f"{API}/users/8f14e45fceea167a", (("Traceparent", "00-8f14e45fceea167a-1"),)),
    ],
    ids=["query", "cookies", "words", "other headers", "public id of a key", "path"],
)  # fmt: skip
def test_what_is_no_secret_stays_in_records(request_: HttpRequest) -> None:
    """Neither words nor names nor ids that a request shows are taken out of records from then on."""
    words = "ISSUE-12345 shirt-4711 12345678 dark-mode-2 de_DE.UTF-8 /mail/inbox-2 anonymous development a/1.2b3"
    ids = "0b7f53c1-1d77-4a4c-9d6b-2f9a1b1f7a11 AKIA_EXAMPLE12345 8f14e45fceea167a"
    capture_credentials(request_, KEY)
    assert KNOWN.spans(f"{words} {ids} AKIAEXAMPLE12345") == []
    capture_credentials(HttpRequest("GET", API, (("X-API-Key", "8f14e45fceea167a"),)), KEY)
    assert KNOWN.spans(ids)


def test_a_request_cannot_push_out_what_was_known() -> None:
    """Of one request at most 64 secrets are remembered, its credential among them."""
    token = secrets.token_urlsafe(24)
    cookies = "; ".join(f"sid{number}={secrets.token_hex(12)}" for number in range(2000))
    request = HttpRequest("GET", API, (("Cookie", cookies), ("Authorization", f"Bearer {token}")))
    capture_credentials(request, KEY)
    assert 60 <= len(KNOWN) <= 64
    assert KNOWN.spans(token)


def test_the_tokens_of_an_answer_are_known() -> None:
    """All that RFC 6749 §5.1 and its relatives give, one level down too; what is no JSON object gives none."""
    given = {name: secrets.token_urlsafe(24) for name in ("access_token", "refresh_token", "id_token", "device_code")}
    inner = secrets.token_urlsafe(24)
    answer = {
        **given,
        "expires_in": 3600,
        "token_type": "Bearer-4-all",
        "scope": "mail.read-1x",
        "user": {"token": inner},
    }
    remember_answer(json.dumps(answer).encode())
    assert all(KNOWN.spans(secret) for secret in (*given.values(), inner))
    assert not KNOWN.spans("Bearer-4-all mail.read-1x")
    count = len(KNOWN)
    for broken in (b"", b"[1]", b'"x"', b"\xff", b"{" * 100_000, b'{"access_token": 5}'):
        remember_answer(broken)
    assert len(KNOWN) == count


def test_the_cookies_of_an_answer_are_known() -> None:
    """Their values; not their attributes."""
    value = secrets.token_urlsafe(24)
    remember_set_cookies([f"sid={value}; Path=/mail/in-1x; HttpOnly", "lang=en-1x-gb"])
    assert KNOWN.spans(value)
    assert not KNOWN.spans("/mail/in-1x en-1x-gb")


def test_what_a_log_is_given_to_fingerprint_is_known(log: AuditLog, secret: str) -> None:
    """It is a credential, whoever captured it."""
    assert not KNOWN.spans(secret)
    log.fingerprint(secret)
    assert KNOWN.spans(secret)

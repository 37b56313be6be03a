"""The URI rule: where a request went, and not with what."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.redaction import Redactor

JWT = "eyJhbGciOiJub25lIiwiaSI6MH0.eyJzdWIiOiJub2JvZHkifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("uri", "expected", "rules"),
    [
        ("https://api.example/mail", "https://api.example/mail", []),
        ("https://api.example:8443/a?folder=inbox&n=", "https://api.example:8443/a?folder=REDACTED&n=", ["uri.query"]),
        ("https://me:pw@api.example/", "https://api.example/", ["uri.userinfo"]),
        ("https://me@evil@api.example/", "https://api.example/", ["uri.userinfo"]),
        ("https://me:p/w@api.example/", "https://REDACTED", ["uri.authority"]),
        ("https://api.example/#section", "https://api.example/", ["uri.fragment"]),
        ("https://c.example/cb#access_token=abc&state=x", "https://c.example/cb", ["uri.fragment"]),
        ("/cb?code=abc&state=x", "/cb?code=REDACTED&state=REDACTED", ["uri.query", "uri.query"]),
        ("?abc", "?REDACTED", ["uri.query"]),
        ("/a?flag&x=1", "/a?REDACTED&x=REDACTED", ["uri.query", "uri.query"]),
        ("/a?dGhpcyBpcyBhIHRva2Vu==", "/a?REDACTED", ["uri.query"]),
        ("/a?filter[name]=x&a.b-c=1", "/a?filter[name]=REDACTED&a.b-c=REDACTED", ["uri.query", "uri.query"]),
        ("//me:pw@api.example/a", "//api.example/a", ["uri.userinfo"]),
        ("sqlite:///audit.db", "sqlite:///audit.db", []),
        ("postgresql://u:p@a:1,b:2/db", "postgresql://a:1,b:2/db", ["uri.userinfo"]),
        ("http://[::1]:80/a", "http://[::1]:80/a", []),
        ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:jwt", []),
        (f"https://api.example/reset/{JWT}/x", "https://api.example/reset/REDACTED/x", ["jwt_jwe"]),
        (f"/a?{JWT}=1", "/a?REDACTED=REDACTED", ["uri.query", "jwt_jwe"]),
        (f"/a?Bearer%20{JWT}=1", "/a?REDACTED", ["uri.query"]),
        ("/a?x=1&x=2", "/a?x=REDACTED&x=REDACTED", ["uri.query", "uri.query"]),
        ("not a uri?really=secret", "not a uri?really=REDACTED", ["uri.query"]),
        (
            "/a;jsessionid=5F/b;v=1.1?x=1",
            "/a;jsessionid=REDACTED/b;v=REDACTED?x=REDACTED",
            ["uri.path", "uri.path", "uri.query"],
        ),
        ("https://api.example/password/hunter2/x", "https://api.example/password/REDACTED/x", ["uri.path"]),
        (
            "https://api.example/api-key/A1b2/password/reset",
            "https://api.example/api-key/REDACTED/password/reset",
            ["uri.path"],
        ),
        ("/oauth/token/introspect", "/oauth/token/introspect", []),
        ("/token/a1b2c3d4e5f6a7b8/x", "/token/REDACTED/x", ["uri.path"]),
        ("/secrets/db-1/versions/12", "/secrets/db-1/versions/12", []),
        ("/v1/mail;/x", "/v1/mail;/x", []),
        ("", "", []),
    ],
)
def test_parts_of_a_uri(uri: str, expected: str, rules: list[str]) -> None:
    """Path and plain names stay; userinfo, values and fragment go, each with its receipt."""
    redacted, receipts = Redactor().uri(uri)
    assert redacted == expected
    assert [receipt["rule"] for receipt in receipts] == rules
    assert Redactor().uri(redacted) == (redacted, [])


def test_a_kept_parameter_stays_unless_it_looks_like_a_secret() -> None:
    """The list of parameters to keep opens no door for credentials, neither by value nor by name."""
    redactor = Redactor(keep_query=["folder", "page", "access_token"])
    assert redactor.uri("/a?folder=in%20box&page=2&q=x")[0] == "/a?folder=in%20box&page=2&q=REDACTED"
    assert redactor.uri("/a;folder=inbox;q=x")[0] == "/a;folder=inbox;q=REDACTED"
    assert redactor.uri(f"/a?folder={JWT}")[0] == "/a?folder=REDACTED"
    assert redactor.uri("/a?access_token=abc")[0] == "/a?access_token=REDACTED"


@given(st.text(), st.text(), st.text())
def test_no_value_survives_in_any_text(path: str, name: str, rest: str) -> None:
    """Whatever surrounds it, a value in a query does not stay."""
    secret = secrets.token_hex(16)
    redacted, _ = Redactor().uri(f"{path}?{name}={secret}{rest}")
    assert secret not in redacted


def test_what_is_left_can_be_parsed() -> None:
    """The markers are made of letters, so that every reader of URIs takes them."""
    parts = urlsplit(Redactor().uri(f"https://u:p@api.example:443/{JWT}?a=1&b=2#f")[0])
    assert (parts.netloc, parts.path, parts.query) == ("api.example:443", "/REDACTED", "a=REDACTED&b=REDACTED")

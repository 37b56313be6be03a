"""Redaction by position: names of members, headers, parameters and options, with the context that some need."""

from __future__ import annotations

import secrets
from base64 import b64encode
from typing import Any

import pytest

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.positions import looks_opaque, position_of, spellings

SECRET = "correct horse"
"""No pattern knows it: only its position gives it away."""


def _redacted(value: Any) -> Any:
    return Redactor().value(value)[0]


def _rules(value: Any) -> list[str]:
    return [receipt["rule"] for receipt in Redactor().value(value)[1]]


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Client-Secret",
        "clientSecret",
        "ACCESS_TOKEN",
        "x-api-key",
        "SAMLResponse",
        "GITHUB_TOKEN",
        "dbPassword",
        "secret_key",
        "stripeSecretKey",
    ],
)
def test_names_are_compared_without_case_hyphens_and_humps(name: str) -> None:
    """A name of a secret is recognised however it is written."""
    assert _redacted({name: SECRET}) == {name: "[redacted:member]"} or _rules({name: SECRET}) == ["header"]


@pytest.mark.parametrize(
    "name",
    ["code_challenge", "dpop_jkt", "resource", "scope", "kid", "jti", "aud", "token_type", "max_tokens", "public_key"],
)
def test_public_names_stay(name: str) -> None:
    """What is safe to keep is kept."""
    assert _redacted({name: SECRET}) == {name: SECRET}


def test_containers_are_kept_and_every_scalar_below_a_secret_name_goes() -> None:
    """What was there can still be seen, but no value; what holds no secret stays."""
    found = _redacted({"secrets": {"list": [SECRET, 5, 2.5, True, None, ""], "inner": {"note": SECRET}}})
    gone = "[redacted:member]"
    assert found == {"secrets": {"list": [gone, gone, gone, True, None, ""], "inner": {"note": gone}}}


@pytest.mark.parametrize(
    "name", ["token", "code", "key", "state", "d", "p", "k", "nonce", "sig", "request", "assertion"]
)
def test_ambiguous_names_need_a_context(name: str) -> None:
    """By itself such a name is no reason to remove an ordinary word."""
    assert _redacted({name: "ordinary"}) == {name: "ordinary"}


@pytest.mark.parametrize("sibling", ["grant_type", "client_id", "redirect_uri", "token_type", "expires_in"])
@pytest.mark.parametrize("name", ["token", "code", "state", "nonce", "request", "assertion"])
def test_beside_oauth_members_they_are_secrets(name: str, sibling: str) -> None:
    """The members of an OAuth message tell each other's meaning; their order does not matter."""
    assert _redacted({name: SECRET, sibling: "x"})[name] == "[redacted:oauth]"
    assert _redacted({sibling: "x", name: SECRET})[name] == "[redacted:oauth]"


def test_the_private_members_of_a_jwk_go_and_the_public_stay() -> None:
    """RFC 7518 §6: ``kty`` makes the short names those of a key."""
    key = {"kty": "RSA", "n": "public", "e": "AQAB", "kid": "k1"}
    private = {"d": SECRET, "p": SECRET, "q": SECRET, "dp": SECRET, "dq": SECRET, "qi": SECRET, "oth": [{"r": SECRET}]}
    found = _redacted({"keys": [key | private]})["keys"][0]
    assert found == key | dict.fromkeys(private, "[redacted:jwk]") | {"oth": [{"r": "[redacted:jwk]"}]}
    assert _redacted({"kty": "oct", "k": SECRET}) == {"kty": "oct", "k": "[redacted:jwk]"}


@pytest.mark.parametrize("parent", ["query", "queryParams", "form", "headers", "request-headers"])
def test_in_a_form_a_query_or_headers_they_are_secrets(parent: str) -> None:
    """What holds them tells their meaning, in an object as in a list of pairs."""
    assert _redacted({parent: {"token": SECRET, "page": "1"}})[parent]["page"] == "1"
    assert SECRET not in str(_redacted({parent: {"token": SECRET}}))
    assert SECRET not in str(_redacted({parent: [["token", SECRET]]}))
    assert SECRET not in str(_redacted({parent: [{"name": "token", "value": SECRET}]}))


def test_an_ambiguous_name_does_not_empty_an_object() -> None:
    """``request`` beside ``client_id`` may be the HTTP request itself; its own members are looked at."""
    found = _redacted({"client_id": "me", "request": {"method": "GET", "password": SECRET}})
    assert found == {"client_id": "me", "request": {"method": "GET", "password": "[redacted:member]"}}


def test_without_context_only_what_looks_random_goes() -> None:
    """``token`` with a random string is a token; with a word or a number it is not."""
    opaque = secrets.token_hex(16) + "0a"
    assert _redacted({"token": opaque, "tokens": [opaque, 512]}) == {
        "token": "[redacted:opaque]",
        "tokens": ["[redacted:opaque]", 512],
    }
    assert _redacted({"token": "bearer_opaque", "key": opaque}) == {"token": "bearer_opaque", "key": opaque}
    assert looks_opaque(opaque)
    assert not looks_opaque("internationalization")
    assert not looks_opaque("hmac:0a1b2c3d:AAAAAAAAAAAAAAAAAAAAAA")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Authorization", f"Bearer {SECRET}", "Bearer [redacted:authorization]"),
        ("proxy-authorization", f"basic  {SECRET}", "basic  [redacted:authorization]"),
        ("AUTHORIZATION", SECRET, "[redacted:authorization]"),
        ("Authorization", f"Unheard {SECRET}", "[redacted:authorization]"),
        ("Cookie", f"a={SECRET}; b=x=y", "a=[redacted:cookie]; b=[redacted:cookie]"),
        ("Cookie", SECRET, "[redacted:cookie]"),
        (
            "Set-Cookie",
            f"sid={SECRET}; Path=/; HttpOnly; Max-Age=5",
            "sid=[redacted:set_cookie]; Path=/; HttpOnly; Max-Age=5",
        ),
        ("Set-Cookie", f"a=1; Path=/, b={SECRET}", "a=[redacted:set_cookie]; Path=[redacted:set_cookie]"),
        ("X-Vault-Token", SECRET, "[redacted:header]"),
        ("Mcp-Session-Id", SECRET, "[redacted:header]"),
    ],
)
def test_headers_keep_what_is_public(name: str, value: str, expected: str) -> None:
    """Of credentials the known scheme stays, of cookies the names, of anything else nothing."""
    assert _redacted({name: value}) == {name: expected}
    assert _redacted([[name, value], ["Accept", "*/*"]]) == [[name, expected], ["Accept", "*/*"]]
    assert _redacted([{"name": name, "value": value}]) == [{"name": name, "value": expected}]
    assert _redacted({name: [value]}) == {name: [expected]}


def test_among_headers_endings_tell() -> None:
    """Any ``*-key`` and ``*-signature`` is a secret in a header map, and nothing of the kind elsewhere."""
    assert _redacted({"Cookie": "a=b", "Foo-Key": SECRET, "Signature": SECRET, "DPoP": SECRET}) == {
        "Cookie": "a=[redacted:cookie]",
        "Foo-Key": "[redacted:header]",
        "Signature": "[redacted:header]",
        "DPoP": "[redacted:header]",
    }
    assert _redacted({"primary_key": "id", "signature": "valid"}) == {"primary_key": "id", "signature": "valid"}


def test_a_cookie_name_that_is_a_secret_is_not_kept() -> None:
    """Names of cookies are public, except where they are none."""
    found = _redacted({"Cookie": "ghp_0123456789012345678901234567abcdefgh=1"})
    assert found == {"Cookie": "[redacted:cookie]"}


def test_an_object_in_place_of_a_header_value_keeps_nothing() -> None:
    """What a header's text would keep is kept of text only."""
    assert _redacted({"cookie": {"sid": f"name={SECRET}"}}) == {"cookie": {"sid": "[redacted:header]"}}


def test_arguments_after_an_option_for_a_secret_go() -> None:
    """A command line as a list: the option stays, what follows it goes."""
    assert _redacted(["run", f"--password={SECRET} and {SECRET}", "--page=2"]) == [
        "run",
        "--password=[redacted:argv]",
        "--page=2",
    ]
    found = _redacted({"argv": ["run", "--token", SECRET, "-u", f"me:{SECRET}", "--out", "file", "-v"]})
    assert found == {"argv": ["run", "--token", "[redacted:argv]", "-u", "[redacted:argv]", "--out", "file", "-v"]}


def test_raw_headers_are_names_and_values_by_turns() -> None:
    """As Node gives them out."""
    found = _redacted({"rawHeaders": ["Host", "a", "Authorization", f"Bearer {SECRET}", "Signature", SECRET]})
    gone = ["Bearer [redacted:authorization]", "Signature", "[redacted:header]"]
    assert found == {"rawHeaders": ["Host", "a", "Authorization", *gone]}


def test_a_pin_is_some_digits_and_an_auth_a_pair() -> None:
    """Names that mean many things count where the value looks the part, as a number as well as a text."""
    pair = b64encode(b"me:pw123").decode()
    assert _redacted({"pin": 1234, "user_pin": "001234", "auth": pair, "_auth": pair}) == {
        "pin": "[redacted:digits]",
        "user_pin": "[redacted:digits]",
        "auth": "[redacted:basic]",
        "_auth": "[redacted:basic]",
    }
    assert _redacted({"pin": 7, "auth": ["me", SECRET]}) == {"pin": 7, "auth": ["me", "[redacted:member]"]}
    assert _redacted({"auth": "none", "pin": True}) == {"auth": "none", "pin": True}


def test_bytes_are_text() -> None:
    """What is no JSON at all is made JSON, and searched."""
    assert _redacted({"password": b"x", "note": b"Bearer abcdefgh12345678\xff"}) == {
        "password": "[redacted:member]",
        "note": "Bearer [redacted:scheme_cred]\\xff",
    }


def test_a_list_of_two_words_is_no_pair() -> None:
    """Pairs are recognised only where all items of a list are pairs."""
    assert _redacted({"fields": ["password", "email"]}) == {"fields": ["password", "email"]}
    assert _redacted([["password", SECRET], "other"]) == [["password", SECRET], "other"]


def test_a_position_has_one_of_three_forms() -> None:
    """A rule, the contexts that decide, or nothing."""
    assert position_of("password") == "member"
    assert position_of("code") == frozenset({"oauth", "form"})
    assert position_of("folder") is None
    assert spellings("X-Api-Key") == ("x_api_key", "x_api_key")
    assert spellings("DPoP") == ("dpop", "dpo_p")

"""The table of patterns: each finds what it is for, leaves prose alone, and survives hostile text."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil.audit.redaction.pattern import Pattern
from counterfoil.audit.redaction.patterns import PATTERNS
from counterfoil.audit.redaction.search import suspects, without_secrets

by_rule = pytest.mark.parametrize("pattern", PATTERNS, ids=[pattern.rule for pattern in PATTERNS])
MARKED = [pattern for pattern in PATTERNS if pattern.marked]
UNMARKED = [pattern for pattern in PATTERNS if not pattern.marked]

PROSE = [
    "token revocation failed, so the access token stays good until it expires",
    "Basic authentication, Bearer authentication and DPoP proof-of-possession are compared",
    "The risk-assessment-of-the-weekly-report task-42-of-the-mail-agent ran",
    "exit code=404 state=running, see https://docs.example/errors?page=2",
    "scopes secret:read password:write urn:ietf:params:oauth:token-type:access_token",
    "client_secret_basic, private_key_jwt and code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "if password == confirmation: return",
    "alice@example.com wrote to bob@example.com at 10:15 about 3 / 4 of it",
    "hmac:0a1b2c3d:AAAAAAAAAAAAAAAAAAAAAA sha256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
]


def _searched(text: str) -> tuple[str, list[str]]:
    for patterns in suspects([text]).values():
        text, removed = without_secrets(text, patterns)
        return text, [rule for rule, _ in removed]
    return text, []


@by_rule
def test_each_pattern_finds_its_example(pattern: Pattern) -> None:
    """The example is found, through the keyword gate, and nothing of its secret stays."""
    found = pattern.regex.search(pattern.example)
    assert found is not None
    secret = found[found.lastindex or 0]
    text, rules = _searched(f"before {pattern.example} after")
    assert secret not in text
    assert text.startswith("before ")
    assert rules


@by_rule
def test_the_pattern_names_what_it_alone_finds(pattern: Pattern) -> None:
    """By itself each pattern replaces just the secret with its own marker."""
    found = pattern.regex.search(pattern.example)
    assert found is not None
    start, end = found.span(found.lastindex or 0)
    text, removed = without_secrets(pattern.example, [pattern])
    assert (pattern.rule, end - start) in removed
    assert text.startswith(f"{pattern.example[:start]}[redacted:{pattern.rule}]")


@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@pytest.mark.parametrize("pattern", UNMARKED, ids=[pattern.rule for pattern in UNMARKED])
def test_whatever_an_expression_matches_passes_its_gate(pattern: Pattern, data: st.DataObject) -> None:
    """No match is without a keyword, and one of a ``long`` pattern is the long word that the gate looks for."""
    found = pattern.regex.search(data.draw(st.from_regex(pattern.regex)))
    assert found is not None
    assert any(keyword in found.string.lower() for keyword in pattern.keywords)
    assert not pattern.long or len(found[0].split()[0]) == len(found[0]) >= 16


@given(st.data())
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@pytest.mark.parametrize("pattern", MARKED, ids=[pattern.rule for pattern in MARKED])
def test_what_is_marked_begins_with_its_mark(pattern: Pattern, data: st.DataObject) -> None:
    """Every match begins with a keyword at the beginning of a word, where the gate looks for it, and is long."""
    found = pattern.regex.search(data.draw(st.from_regex(pattern.regex)))
    assert found is not None
    assert found[0].lower().startswith(pattern.keywords)
    assert re.search(rf"\b{re.escape(found[0])}", found.string, re.ASCII)
    assert pattern.long
    assert len(found[0].split()[0]) == len(found[0]) >= 16


@pytest.mark.parametrize("prose", PROSE)
def test_prose_stays_as_it_is(prose: str) -> None:
    """Words of ordinary language beside the words of the field are no credentials."""
    assert _searched(prose) == (prose, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("令牌ghp_0123456789012345678901234567abcdefgh结束", "令牌[redacted:github]结束"),
        ("Authorization: Bearer hunter2 more", "Authorization: Bearer [redacted:header]"),
        (
            '{"Authorization": "Bearer hunter2", "Accept": "*/*"}',
            '{"Authorization": "Bearer [redacted:header]", "Accept": "*/*"}',
        ),
        (
            "curl -H 'X-Api-Key: hunter2' -u me:hunter2 x",
            "curl -H 'X-Api-Key: [redacted:header]' -u me:[redacted:option] x",
        ),
        ("GET / HTTP/1.1\nCookie: a=1; b=2\nHost: x", "GET / HTTP/1.1\nCookie: [redacted:header]\nHost: x"),
        ('"Set-Cookie": ["a=1"], "Age": "3"', '"Set-Cookie": ["[redacted:header]"], "Age": "3"'),
        (
            "grant_type=refresh_token&refresh_token=hunter2",
            "grant_type=refresh_token&refresh_token=[redacted:query_param]",
        ),
        ("token=hunter2", "token=[redacted:query_param]"),
        ("code=hunter2&state=x", "code=[redacted:query_param]&state=[redacted:query_param]"),
        ("export DB_PASSWORD=hunter2", "export DB_PASSWORD=[redacted:named_value]"),
        ("npmrc:_authToken=hunter2", "npmrc:_authToken=[redacted:named_value]"),
        ("password: 'correct horse' ok", "password: '[redacted:named_value]' ok"),
        ('{"otp": 123456, "n": 1}', '{"otp": [redacted:named_value], "n": 1}'),
        ("run --api-key hunter2 --dry-run", "run --api-key [redacted:option] --dry-run"),
        ("http://proxy:hunter2@proxy.example:3128/", "http://[redacted:userinfo]@proxy.example:3128/"),
    ],
)
def test_positions_within_text(text: str, expected: str) -> None:
    """Header lines, form fields, settings, options and JSON are recognised inside a text, whatever the value."""
    assert _searched(text)[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=Bearer%20abcdefgh12345678&y=%20", "x=Bearer%20[redacted:scheme_cred]&y=%20"),
        ("Bearer%20%61bcdefgh1234567%38%0Anext", "Bearer%20[redacted:scheme_cred]%0Anext"),
        (r"body: {\"password\": \"hunter2\"}", r"body: {\"password\": \"[redacted:named_value]\"}"),
        (r"line\nghp_0123456789012345678901234567abcdefgh\n", r"line\n[redacted:github]\n"),
        (
            r"\u0022client_secret\u0022: \u0022hunter2\u0022",
            r"\u0022client_secret\u0022: \u0022[redacted:named_value]\u0022",
        ),
        ("100% of 5%zz and C:\\new\\table stay", "100% of 5%zz and C:\\new\\table stay"),
    ],
)
def test_escaped_text_is_read_decoded_and_kept_byte_for_byte(text: str, expected: str) -> None:
    """What is found in the decoded text is cut out of the text as it stands."""
    assert _searched(text)[0] == expected


def test_overlapping_findings_are_one() -> None:
    """A token inside a password inside a URL leaves one marker and nothing of itself."""
    text, rules = _searched("see https://api.example/?password=xx-ghp_0123456789012345678901234567abcdefgh-yy")
    assert text == "see https://api.example/?password=[redacted:query_param]"
    assert rules == ["query_param"]


def test_secrets_that_hide_each_other_are_found_one_after_the_other() -> None:
    """Each removal can uncover the next; a text made to go on like that is replaced as a whole."""
    link = f"abc8Q~{'Example0' * 4}Ab"
    assert _searched(link * 3) == ("[redacted:azure_ad_secret]" * 3, ["azure_ad_secret"] * 3)
    text, rules = _searched(f"it was {link * 9}")
    assert text == "[redacted:entangled]"
    assert rules[-1] == "entangled"

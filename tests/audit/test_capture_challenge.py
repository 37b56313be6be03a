"""What a refusal says: challenges as they are sent, malformed and hostile ones, and the errors of a token endpoint."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.capture.challenge import (
    ERROR_CODES,
    MAX_ANSWER,
    OTHER,
    challenge_error,
    parse_challenges,
    token_error,
)

_WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


_WRITTEN: list[tuple[tuple[str, ...], list[tuple[str, dict[str, str]]]]] = [
    ((), []),
    (("Bearer",), [("bearer", {})]),
    (('Bearer, DPoP algs="ES256 PS256"',), [("bearer", {}), ("dpop", {"algs": "ES256 PS256"})]),
    (
        ('DPoP realm="a, b=\\"c\\"", ERROR=invalid_token', "Basic"),
        [("dpop", {"realm": 'a, b="c"', "error": "invalid_token"}), ("basic", {})],
    ),
    (
        ('Negotiate YII=, Basic a+/==, Bearer error = "x"',),
        [("negotiate", {}), ("basic", {}), ("bearer", {"error": "x"})],
    ),
    (('NTLM, , ,Bearer error="x", error="y"',), [("ntlm", {}), ("bearer", {"error": "x"})]),
    (('error="x", Bearer',), [("bearer", {})]),
    (('Bearer realm="unended, error="x"', 'DPoP error="y"'), [("bearer", {}), ("dpop", {"error": "y"})]),
    (("=;=,Bearer a=1",), [("bearer", {"a": "1"})]),
]


@pytest.mark.parametrize(("lines", "found"), _WRITTEN)
def test_challenges(lines: tuple[str, ...], found: list[tuple[str, dict[str, str]]]) -> None:
    """Schemes and their parameters are told apart, however many stand in a line (RFC 9110 §11.6.1)."""
    assert [(each.scheme, each.parameters) for each in parse_challenges(lines)] == found


@given(st.lists(st.tuples(_WORDS, st.dictionaries(_WORDS, _VALUES, max_size=3)), max_size=5))
def test_whatever_is_written_is_read(written: list[tuple[str, dict[str, str]]]) -> None:
    """Challenges written by the rules, in one line, are read as they were meant."""
    quoted = {ord("\\"): "\\\\", ord('"'): '\\"'}
    line = ", ".join(
        " ".join([scheme, ", ".join(f'{name}="{value.translate(quoted)}"' for name, value in parameters.items())])
        for scheme, parameters in written
    )
    meant: list[tuple[str, dict[str, str]]] = []
    for scheme, parameters in written:
        first: dict[str, str] = {}
        for name, value in parameters.items():
            first.setdefault(name.lower(), value)
        meant.append((scheme.lower(), first))
    assert [(each.scheme, each.parameters) for each in parse_challenges([line])] == meant


@pytest.mark.parametrize(
    ("scheme", "line", "code"),
    [
        ("DPoP", 'Bearer error="invalid_token", DPoP error="use_dpop_nonce"', "use_dpop_nonce"),
        ("dpop", 'DPoP error="invalid_dpop_proof", Bearer error="invalid_token"', "invalid_dpop_proof"),
        ("Bearer", 'DPoP algs="ES256", Bearer error="insufficient_scope"', "insufficient_scope"),
        ("Bearer", 'DPoP error="invalid_token"', "invalid_token"),
        ("", 'Bearer error="invalid_token"', "invalid_token"),
        ("Bearer", "Bearer", None),
        ("Bearer", 'Bearer error=""', None),
        ("Bearer", 'Bearer error="teapot"', OTHER),
    ],
)
def test_the_error_of_the_scheme_that_was_used(scheme: str, line: str, code: str | None) -> None:
    """The error of the used scheme counts before any other's (RFC 9449 §7.2)."""
    assert challenge_error([line], scheme) == code


def test_a_code_that_is_no_code(secret: str) -> None:
    """A server that answers with what it was sent leaves no trace of it: only codes of documents are kept."""
    assert challenge_error([f'Bearer error="{secret}"'], "Bearer") == OTHER
    assert token_error(json.dumps({"error": secret}).encode()) == OTHER
    assert secret not in repr(parse_challenges([f'{secret} error="{secret}"']))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"error": "use_dpop_nonce", "error_description": "x"}', "use_dpop_nonce"),
        (b'{"error": "invalid_grant"}', "invalid_grant"),
        *(
            (content, None)
            for content in (b"", b"no JSON", b"[]", b'"error"', b'{"error": 1}', b'{"error": ""}', b"{}")
        ),
        (b"\xff\xfe", None),
        (b"[" * MAX_ANSWER, None),
        (b'{"error": "invalid_grant"}' + b" " * MAX_ANSWER, None),
    ],
)
def test_the_error_of_a_token_endpoint(content: bytes, code: str | None) -> None:
    """The member ``error`` of a JSON object (RFC 6749 §5.2), and nothing else, of a bounded answer."""
    assert token_error(content) == code


@pytest.mark.parametrize(
    "line",
    [
        *(part * 100_000 for part in ('Bearer a="', '\\"', "a=b,", '"', " \t")),
        *(
            start + part * 100_000
            for start, part in (("Bearer ", "a "), ('x a="', "\\a"), ("a\t=", " \t"), ("x ", "a="))
        ),
    ],
)
def test_hostile_lines_are_bounded(line: str) -> None:
    """Nothing that a server can send takes longer than 50 ms."""
    started = time.perf_counter()
    assert len(parse_challenges([line, line])) <= 128
    assert time.perf_counter() - started < 0.05


@given(st.lists(st.text(max_size=60), max_size=4))
def test_nothing_is_raised(lines: list[str]) -> None:
    """Any text at all has an answer, and it is a known code."""
    assert challenge_error(lines, "Bearer") in {None, OTHER, *ERROR_CODES}

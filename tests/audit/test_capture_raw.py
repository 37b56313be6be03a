"""Reading a pasted request: what is accepted, and refusals that name the line and never its content."""

from __future__ import annotations

import secrets
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.capture import HttpRequest, parse_raw_request
from counterfoil.audit.capture.raw import MAX_LINE, MAX_LINES
from counterfoil.schemas import InvalidRequest

HEAD = "POST /token?a=1 HTTP/1.1\nHost: as.example\nContent-Type: application/x-www-form-urlencoded\n"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_request_is_parsed(line_end: str) -> None:
    """Request line, fields and body are read, with LF and with CRLF."""
    raw = f"{HEAD}X-Empty:\n\ngrant_type=password".replace("\n", line_end).encode()
    request = parse_raw_request(raw)
    assert (request.method, request.url) == ("POST", "https://as.example/token?a=1")
    assert request.values("x-empty") == ("",)
    assert request.form == {"grant_type": "password"}


@pytest.mark.parametrize(
    ("head", "base_url", "url"),
    [
        ("GET /a HTTP/1.1\nHost: api.example:8443", None, "https://api.example:8443/a"),
        ("GET /a HTTP/1.1\nHost: [::1]:80", None, "https://[::1]:80/a"),
        ("GET /a HTTP/1.1\nHost: api.example", "http://other.example/v1/", "http://other.example/v1/a"),
        ("GET /a HTTP/1.0", "http://other.example", "http://other.example/a"),
        ("GET http://proxy.example/a HTTP/1.1", None, "http://proxy.example/a"),
        ("GET http://proxy.example/a HTTP/1.1\nHost: api.example", "https://other.example", "http://proxy.example/a"),
        ("GET /a HTTP/2\nhost: api.example", None, "https://api.example/a"),
        ("\r\n\nGET /a HTTP/1.1\nHost: api.example", None, "https://api.example/a"),
    ],
)
def test_the_url_comes_from_target_host_and_base(head: str, base_url: str | None, url: str) -> None:
    """An absolute target stands for itself; a path goes after the base URL, or after https and the host."""
    assert parse_raw_request(head.encode(), base_url).url == url


@pytest.mark.parametrize(
    ("tail", "body"),
    [
        ("\n", None),
        ("\nabc", b"abc"),
        ("\nabc\r\n", b"abc"),
        ("Content-Length: 2\n\nabc", b"ab"),
        ("Content-Length: 9\n\nabc\n", b"abc\n"),
        ("Content-Length: 0\n\nabc", None),
        ("Content-Length: many\n\nabc", b"abc"),
        ("\n\nabc", b"\nabc"),
    ],
)
def test_the_body_goes_as_far_as_its_length(tail: str, body: bytes | None) -> None:
    """Content-Length ends the body; without it the last line ends, which a shell adds, are cut off."""
    assert parse_raw_request((HEAD + tail).encode()).body == body


SECRET = secrets.token_urlsafe(24)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "there is no request"),
        (b"\r\n\n", "there is no request"),
        (SECRET.encode(), "line 1: this is not a request line, `METHOD /target HTTP/1.1`"),
        (f"GET  /{SECRET} HTTP/1.1\n\n".encode(), "line 1: this is not a request line, `METHOD /target HTTP/1.1`"),
        (
            f"GET {SECRET} HTTP/1.1\n\n".encode(),
            "line 1: the target is neither a path nor an absolute http or https URL",
        ),
        (b"GET /a HTTP/1.1\n\n", "line 1: Host is missing; give it, or a base URL"),
        (f"GET /a HTTP/1.1\nHost: a/{SECRET}\n\n".encode(), "line 2: this is not a host"),
        (f"GET /a HTTP/1.1\nHost: a\nHost: {SECRET}\n\n".encode(), "line 3: there is more than one Host"),
        (
            f"\nGET /a HTTP/1.1\nHost: a\nA: b\n {SECRET}\n\n".encode(),
            "line 5: the line continues the one before it; write the field on one line",
        ),
        (f"GET /a HTTP/1.1\nA : {SECRET}\n\n".encode(), "line 2: this is not a field line, `Name: value`"),
        (f"GET /a HTTP/1.1\n{SECRET}\n\n".encode(), "line 2: this is not a field line, `Name: value`"),
        (f"GET /a HTTP/1.1\nA: {SECRET}\0\n\n".encode(), "line 2: the line contains a control character"),
        (f"GET /a HTTP/1.1\nA: {SECRET}\rb\n\n".encode(), "line 2: the line contains a control character"),
        (
            b"GET /a HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n",
            "line 3: a transfer coding is not undone here; give the content itself, with Content-Length",
        ),
        (b"GET /a HTTP/1.1\nA: " + b"a" * MAX_LINE + b"\n\n", f"line 2: the line is longer than {MAX_LINE:,} bytes"),
        (b"GET /a HTTP/1.1\nA: " + b"a" * MAX_LINE, f"line 2: the line is longer than {MAX_LINE:,} bytes"),
        (
            b"GET /a HTTP/1.1\n" + b"A: b\n" * MAX_LINES,
            f"line {MAX_LINES + 1}: there are too many lines before the body",
        ),
    ],
)
def test_a_refusal_names_the_line(raw: bytes, sentence: str) -> None:
    """Each refusal says which line is wrong and how, and shows nothing of it."""
    with pytest.raises(InvalidRequest) as caught:
        parse_raw_request(raw)
    assert str(caught.value) == sentence


def test_a_base_url_is_checked() -> None:
    """A base URL that is none is refused without being shown."""
    with pytest.raises(InvalidRequest) as caught:
        parse_raw_request(b"GET /a HTTP/1.1\n\n", SECRET)
    assert str(caught.value) == "the base URL is not an absolute http or https URL"


def test_bytes_beyond_utf8_survive_in_a_field() -> None:
    """A byte that is no UTF-8 is kept as a surrogate escape."""
    request = parse_raw_request(b"GET /a HTTP/1.1\nHost: a\nA: \xff\n\n")
    assert request.values("a") == ("\udcff",)


@given(st.sampled_from([b"", HEAD.encode()]), st.binary(max_size=300))
def test_any_bytes_give_a_request_or_our_error(head: bytes, raw: bytes) -> None:
    """Whatever is pasted ends in a request, or in InvalidRequest."""
    with suppress(InvalidRequest):
        assert isinstance(parse_raw_request(head + raw), HttpRequest)

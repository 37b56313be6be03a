"""Redacting a stream: text, JSON lines, a document over several lines, keys over several lines, any bytes."""

from __future__ import annotations

import io
import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.stream import redact_stream

KEY = ("ghp_" + secrets.token_hex(18)).encode()


def _redacted(raw: bytes, *, text_only: bool = False) -> bytes:
    return b"".join(piece.content for piece in redact_stream(io.BytesIO(raw), Redactor(), text_only=text_only))


def test_text_and_json_lines_can_be_mixed() -> None:
    """Each line is taken for what it is; line endings stay."""
    raw = b'start\r\n{"password": "x", "n": 1.5}\r\nused ' + KEY + b'\n[["Cookie","a=b"]]\n[not json]\nend'
    assert _redacted(raw) == (
        b'start\r\n{"password": "[redacted:member]", "n": 1.5}\r\nused [redacted:github]\n'
        b'[["Cookie","a=[redacted:cookie]"]]\n[not json]\nend'
    )


def test_json_in_which_nothing_is_found_is_passed_on_as_it_came() -> None:
    """White space, escapes and the spelling of numbers stay."""
    raw = b'{ "a" :1.50,  "b":"\\u00e9", "c": 1e2}\n{\n  "a": [1.0]\n}\n'
    assert _redacted(raw) == raw
    assert _redacted(b'\n\n{\n  "a": [1.0]\n}\n') == b'\n\n{\n  "a": [1.0]\n}\n'


def test_a_document_over_several_lines_is_one() -> None:
    """Its positions are seen as a whole, and it is written with an indent."""
    raw = b'{\n  "kty": "oct",\n  "k": "x"\n}\n'
    piece, _ = redact_stream(io.BytesIO(raw), Redactor())
    assert piece == (
        b'{\n  "kty": "oct",\n  "k": "[redacted:jwk]"\n}',
        len(raw) - 1,
        [(1, {"path": "k", "rule": "jwk", "length": "1-16"})],
    )


def test_what_begins_like_a_document_and_is_none_is_text() -> None:
    """Nothing is lost on the way back."""
    raw = b'{\n  "password": "x",\n  broken\nused ' + KEY + b"\n"
    assert _redacted(raw) == b'{\n  "password": "[redacted:named_value]",\n  broken\nused [redacted:github]\n'


def test_as_text_json_is_text() -> None:
    """``text_only`` takes a line for a string, in which JSON is found all the same."""
    assert _redacted(b'{"kty":"oct","k":"x"}\n', text_only=True) == b'{"kty":"oct","k":"[redacted:jwk]"}\n'
    assert _redacted(b'{\n"password": "x"\n}\n', text_only=True) == b'{\n"password": "[redacted:named_value]"\n}\n'


def test_documents_can_follow_each_other() -> None:
    """Each is one, and what comes after them is lines."""
    raw = b'{\n "password": "x"\n}\n[\n {"a": 1}]\n\n{"b": 2}\nused ' + KEY + b"\n"
    assert _redacted(raw) == (
        b'{\n  "password": "[redacted:member]"\n}\n[\n {"a": 1}]\n\n{"b": 2}\nused [redacted:github]\n'
    )


def test_a_line_is_yielded_before_the_next_is_read() -> None:
    """A log can be followed."""

    class Followed(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(size) or pytest.fail("read on")

    first = next(redact_stream(Followed(b"[2026-11-23] first\n"), Redactor()))
    assert first == (b"[2026-11-23] first\n", 19, [])


def test_receipts_tell_the_line() -> None:
    """Counted from 1, whatever is searched together; a line of a key that went counts too."""
    raw = b"one\nused " + KEY + b"\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nused " + KEY
    lines = [line for piece in redact_stream(io.BytesIO(raw), Redactor()) for line, _ in piece.receipts]
    assert lines == [2, 3, 6]


def test_a_private_key_over_several_lines_goes_as_a_whole() -> None:
    """Only the marker stays of it; what surrounds it stays; a key without an end is not waited for forever."""
    body = b"".join(b"MIIEv" + secrets.token_hex(28).encode() + b"\n" for _ in range(20))
    pem = b"-----BEGIN RSA PRIVATE KEY-----\n" + body + b"-----END RSA PRIVATE KEY-----"
    assert _redacted(b"key: " + pem + b"\nafter\n") == b"key: [redacted:pem]\nafter\n"
    assert _redacted(b"a" + pem + b" tail " + pem + b"\nafter") == b"a[redacted:pem]\n tail [redacted:pem]\nafter"
    one_line = pem.replace(b"\n", b" ")
    assert _redacted(one_line + b"\nafter\n") == b"[redacted:pem]\nafter\n"
    endless = b"-----BEGIN PRIVATE KEY-----\n" + b"MIIEv\n" * 255 + b"after\n"
    assert _redacted(endless) == b"[redacted:pem]\nafter\n"
    in_json = json.dumps({"note": pem.decode()}).encode() + b"\nafter\n"
    assert _redacted(in_json) == b'{"note": "[redacted:pem]"}\nafter\n'


def test_a_repeated_member_does_not_slip_through() -> None:
    """A reader takes the last one; the first is not printed beside it."""
    assert _redacted(b'{"note":"' + KEY + b'","note":"x"}\n') == b'{"note":"x"}\n'


def test_bytes_that_are_not_utf8_survive() -> None:
    """Such a line is text, and keeps its bytes; a lone surrogate in JSON stays an escape."""
    assert _redacted(b"\xff\xfe " + KEY + b" \x80\n") == b"\xff\xfe [redacted:github] \x80\n"
    assert _redacted(b'{"a": "\xff", "password": "x"}\n') == b'{"a": "\xff", "password": "[redacted:member]"}\n'
    assert _redacted(b'{"a": "\\udc80", "password": "x"}') == b'{"a": "\\udc80", "password": "[redacted:member]"}'


@pytest.mark.parametrize(
    "raw", [b'{"password": NaN}', b'{"password": 1e999}', b"[" * 5000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_what_json_cannot_express_is_text(raw: bytes) -> None:
    """Values that would not be written as they were read, and nesting without end, raise nothing."""
    assert b"NaN" not in _redacted(raw)
    assert b"1e999" not in _redacted(raw)


@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(raw: bytes) -> None:
    """Nothing raises, and a second time changes nothing."""
    once = _redacted(raw)
    assert _redacted(once) == once

"""Streams that are longer than what is looked at as a whole: nothing is cut in two, and memory stays flat."""

from __future__ import annotations

import io
import json
import secrets
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.incoming import BOUNDS, Bounds
from counterfoil.audit.redaction.stream import redact_stream

KEY = "ghp_" + secrets.token_hex(18)
WORD = secrets.token_hex(8)
SMALL = Bounds(longest=400, edge=160, batch=64)
PROSE = "Der Bericht über die nördliche Region ist fertig \N{SNOWMAN} und "
SECRETS = (
    KEY,
    f'Authorization: Bearer {WORD}"',
    f'password="correct {WORD} staple"',
    f"https://client.invalid/cb?code={WORD}&page=1",
    f"next=Bearer%20{WORD}",
    f'{{"note": "{KEY}"}}',
    rf"{{\"password\": \"{WORD}\"}}",
    f"Cookie: sid={WORD}; theme=dark",
)


def _redacted(raw: bytes, bounds: Bounds = BOUNDS, *, text_only: bool = False) -> tuple[bytes, list[Any]]:
    pieces = list(redact_stream(io.BytesIO(raw), Redactor(), text_only=text_only, bounds=bounds))
    assert sum(piece.read for piece in pieces) == len(raw)
    return b"".join(piece.content for piece in pieces), [each for piece in pieces for each in piece.receipts]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_long_line_comes_to_what_it_comes_to_as_a_whole(secret: str) -> None:
    """A secret is found wherever the edge of a piece would cut it, at each offset, and what surrounds it stays."""
    prose = PROSE * 20
    for offset in range(280, 480):
        raw = f"{prose[:offset]} {secret} {prose}\nused {KEY}\n".encode()
        content, receipts = _redacted(raw, SMALL)
        whole, of_whole = _redacted(raw)
        assert content == whole
        assert [(line, receipt["rule"]) for line, receipt in receipts] == [
            (line, receipt["rule"]) for line, receipt in of_whole
        ]


@pytest.mark.parametrize("filler", ["x", "ab;", "\\n", "\\u00e9", "=", "\x00", "é"])
def test_text_without_a_space_is_cut_all_the_same(filler: str) -> None:
    """Binary data, escapes, base64: a key in it is found."""
    for offset in range(300, 420, 7):
        raw = f"{filler * offset} {KEY} {filler * 900}\n".encode()
        assert _redacted(raw, SMALL)[0] == raw.replace(KEY.encode(), b"[redacted:github]")


def test_what_has_no_place_to_cut_goes_to_the_end_of_its_line() -> None:
    """A cookie without end, a key without end: the marker stays, and the next line."""
    cookie = f"Cookie: {'; '.join(f'a{number}={WORD}' for number in range(200))}\nnext\n".encode()
    assert _redacted(cookie, SMALL)[0] == b"Cookie: [redacted:header]\nnext\n"
    token = b"seen ghp_" + b"x" * 5000 + b" on\nnext\n"
    assert _redacted(token, SMALL)[0] == b"seen [redacted:github]\nnext\n"


def test_a_key_that_begins_at_the_end_of_a_long_line_goes() -> None:
    """Its other lines go too."""
    raw = PROSE.encode() * 20 + b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nnext\n"
    assert _redacted(raw, SMALL)[0] == PROSE.encode() * 20 + b"[redacted:pem]\nnext\n"


def _no_pair(items: list[Any]) -> bool:
    return len(items) != 2 or not isinstance(items[0], str)


_NAMES = st.sampled_from(["Cookie", "Authorization", "api_key", "items", "note", "password", "user", "über"])
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from(["", "plain", "--token", WORD, f"used {KEY} here", "a=b"])
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=6).filter(_no_pair) | st.dictionaries(_NAMES, inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=50)
@given(st.lists(_JSON, min_size=1) | st.dictionaries(_NAMES, _JSON, min_size=1), st.sampled_from([None, 1]))
def test_a_long_document_comes_to_what_it_comes_to_as_a_whole(document: Any, indent: int | None) -> None:
    """The same values go, from the same places."""
    raw = f"{json.dumps(document, indent=indent)}\nused {KEY}\n".encode()
    content, receipts = _redacted(raw, Bounds(longest=80, edge=40, batch=30))
    whole, of_whole = _redacted(raw)
    assert _read(content) == _read(whole)
    assert sorted(map(_place, receipts)) == sorted(map(_place, of_whole))


def test_pairs_and_siblings_count_in_a_long_document() -> None:
    """Of a HAR the headers, of a list of pairs the values, whatever piece they come in."""
    headers = [{"name": "Accept", "value": "a" * 40}, {"name": "Cookie", "value": f"sid={WORD}"}] * 5
    pairs = [["Accept", "b" * 40], ["X-Api-Key", WORD]] * 5
    document = {
        "log": {
            "entries": [{"request": {"headers": headers}}, pairs, {"name": "Cookie", "x": "c" * 200, "value": WORD}]
        }
    }
    content, receipts = _redacted(json.dumps(document, indent=2).encode(), Bounds(longest=300, edge=80, batch=100))
    assert _read(content) == _read(_redacted(json.dumps(document, indent=2).encode())[0])
    assert WORD.encode() not in content
    assert receipts[-1][1]["path"] == "log.entries.2.value"


@pytest.mark.parametrize("name", ["password", "note"])
def test_a_long_string_in_a_document_goes_by_its_position_or_is_searched(name: str) -> None:
    """Below the name of a secret nothing of it is shown; elsewhere a key in it is found, and the rest stays."""
    for length in range(1, 300, 7):
        text = rf'{PROSE * 10}{"q" * length}" {KEY} \ {PROSE * 10}'
        raw = json.dumps({"a": 1, name: text, "user": "me", "note2": KEY}).encode()
        content, _ = _redacted(raw, Bounds(longest=200, edge=80, batch=60))
        expected = "[redacted:member]" if name == "password" else text.replace(KEY, "[redacted:github]")
        assert json.loads(content) == {"a": 1, name: expected, "user": "me", "note2": "[redacted:github]"}


@pytest.mark.parametrize("rest", [b"", b", broken", b', "a": NaN}', b"}}", b', "a": "\xff"}', b"]"])
def test_where_a_long_document_breaks_off_the_rest_is_text(rest: bytes) -> None:
    """Nothing is lost, and what comes after it is searched."""
    raw = json.dumps({f"m{number}": "x" * 20 for number in range(30)}, indent=1).encode()[:-2] + rest
    raw += f"\nused {KEY}\n".encode()
    assert _redacted(raw, SMALL)[0] == raw.replace(KEY.encode(), b"[redacted:github]")


def test_a_document_without_a_bottom_ends_as_text() -> None:
    """Nesting does not add up to anything."""
    raw = b"[\n" + b"[" * 5000 + KEY.encode() + b"\n"
    assert _redacted(raw, SMALL)[0] == raw.replace(KEY.encode(), b"[redacted:github]")


def _read(raw: bytes) -> tuple[Any, str]:
    """Return the document, and what follows it."""
    text = raw.decode()
    document, end = json.JSONDecoder().raw_decode(text)
    return document, text[end:]


def _place(receipt: tuple[int, dict[str, str]]) -> tuple[str, str]:
    return receipt[1]["path"], receipt[1]["rule"]

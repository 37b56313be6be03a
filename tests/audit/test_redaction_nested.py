"""What is written inside a string: JSON, forms, settings, in each other, read by position and written back."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.nested import DEEPEST

SECRET = "correct horse"
"""No pattern knows it: only its position gives it away."""


def _redacted(value: Any) -> Any:
    redacted, _ = Redactor().value(value)
    assert Redactor().value(redacted) == (redacted, [])
    return redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"kty":"oct","k":"x"}', '{"kty":"oct","k":"[redacted:jwk]"}'),
        ('{"code": "abc", "client_id": "me"}', '{"code": "[redacted:oauth]", "client_id": "me"}'),
        (' [{"pin_code": 1234}] \n', ' [{"pin_code": "[redacted:member]"}] \n'),
        ('{"password": null, "n": 1.50}', '{"password": null, "n": 1.50}'),
        ('{\n  "password": "x"\n}', '{\n  "password": "[redacted:member]"\n}'),
        ('"{\\"password\\": \\"x\\"}"', '"{\\"password\\": \\"[redacted:member]\\"}"'),
        ('{"é":"x","password":"x"}', '{"é":"x","password":"[redacted:member]"}'),
        ('{"\\u00e9":1,"password":"x"}', '{"\\u00e9":1,"password":"[redacted:member]"}'),
        ('sent {"kty":"oct","k":"x"} and {"a":1}', 'sent {"kty":"oct","k":"[redacted:jwk]"} and {"a":1}'),
        ('data: {"code":"x","client_id":"y"}', 'data: {"code":"[redacted:oauth]","client_id":"y"}'),
        ('[["Cookie","sid=1"],["Age","3"]]', '[["Cookie","sid=[redacted:cookie]"],["Age","3"]]'),
        ('{"password":"a","password":"b"}', '{"password":"[redacted:member]"}'),
    ],
)
def test_json_in_a_string_is_redacted_as_json(text: str, expected: str) -> None:
    """Its names count, in their context; what is written anew keeps its style, and the text around it stays."""
    assert _redacted({"body": text}) == {"body": expected}


def test_a_repeated_member_leaves_a_receipt() -> None:
    """Reading JSON loses all but the last, so that the text is written anew even where that one hides nothing."""
    redacted, receipts = Redactor().text('{"kty":"oct","k":"hidden","k":""}')
    assert redacted == '{"kty":"oct","k":""}'
    assert [receipt["rule"] for receipt in receipts] == ["repeated"]


def test_a_receipt_names_the_path_inside() -> None:
    """The path goes on within the string."""
    _, receipts = Redactor().value({"body": json.dumps({"arguments": json.dumps({"password": SECRET})})})
    assert receipts == [{"path": "body.arguments.password", "rule": "member", "length": "1-16"}]
    _, receipts = Redactor().value({"body": f"a=1&code={SECRET.split(maxsplit=1)[0]}"})
    assert receipts == [{"path": "body.code", "rule": "form", "length": "1-16"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("code=x&page=2", "code=[redacted:form]&page=2"),
        ("?state=x%20y&page=%32", "?state=[redacted:form]&page=%32"),
        ("a=b&payload=%7B%22k%22%3A%22x%22%2C%22kty%22%3A%22oct%22%7D", None),
        ('payload={"kty":"oct","k":"x"}&a=b', None),
        ("note=Bearer+abcdefgh12345678&x=1", "note=Bearer+[redacted:scheme_cred]&x=1"),
        ("a=1&b=%zz&=c&d", "a=1&b=%zz&=c&d"),
    ],
)
def test_a_form_is_redacted_as_a_form(text: str, expected: str | None) -> None:
    """Names and values are read decoded; the values that change are written encoded, the others stay as they are."""
    redacted = _redacted(text)
    if expected is None:
        assert "[redacted:jwk]" in redacted
        assert "a=b" in redacted
    else:
        assert redacted == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PATH=/bin\nDB_PASSWORD=correct horse\n", "PATH=/bin\nDB_PASSWORD=[redacted:member]\n"),
        (
            "export A='b c'\nexport API_KEY='correct horse'; \n",
            "export A='b c'\nexport API_KEY='[redacted:header]'; \n",
        ),
        ("A=1\0DB_PASSWORD=correct horse\0B=2", "A=1\0DB_PASSWORD=[redacted:member]\0B=2"),
        ("[a]\n# b\nuser = me\npassword = correct horse", "[a]\n# b\nuser = me\npassword = [redacted:member]"),
        ("- name: me\n  password: correct horse\n", "- name: me\n  password: [redacted:member]\n"),
        (
            "user: me\r\npassword: |\r\n  correct\r\n  horse\r\nurl: x",
            "user: me\r\npassword: |\r\n  [redacted:member]\r\n  [redacted:member]\r\nurl: x",
        ),
        ("kty: oct\nk: correct horse\n", "kty: oct\nk: [redacted:jwk]\n"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer correct horse\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer [redacted:authorization]\r\n\r\n",
        ),
        ('CONFIG={"kty": "oct", "k": "x y"}\nA=1', 'CONFIG={"kty": "oct", "k": "[redacted:jwk]"}\nA=1'),
    ],
)
def test_settings_reach_to_the_end_of_their_line(text: str, expected: str) -> None:
    """Environments, dotenv, ini, YAML and header blocks; comments, sections and quotes stay."""
    assert _redacted({"dump": text}) == {"dump": expected}


@pytest.mark.parametrize("name", ["X-Auth-Token: ", "Authorization: Bearer ", "private_key: ", "PRIVATE_KEY='"])
def test_a_key_of_several_lines_goes_with_its_setting(name: str) -> None:
    """The marker in its first line would leave the others of a key in PEM, and nothing that tells them."""
    lines = [secrets.token_hex(32) for _ in range(4)]
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"])
    redacted, _ = Redactor().text(f"Accept: */*\n{name}{key}\npage: 2\n")
    assert [line for line in lines if line in redacted] == []
    assert redacted.endswith("\npage: 2\n")


_MARKED = st.text("@/&?#=+%:.", min_size=1, max_size=6)


@settings(deadline=None)
@given(_MARKED, _MARKED, st.sampled_from(["{}", "HTTPS_PROXY={}", "went by {} twice", "a=1&proxy={}&b=2", "to={}"]))
def test_a_password_in_a_url_goes_as_a_whole(first: str, last: str, around: str) -> None:
    """Whatever it holds, percent-encoded once or once more: what it decodes to is not taken for the end of it."""
    head, tail = secrets.token_hex(4), secrets.token_hex(4)
    url = f"http://user:{quote(f'{head}{first}x{last}{tail}', safe='')}@proxy.example:3128"
    for text in (around.format(url), around.format(quote(url, safe=""))):
        redacted, _ = Redactor().text(text)
        assert head not in redacted
        assert tail not in redacted


def test_prose_is_no_settings() -> None:
    """A colon at the end of a word, or an equals sign, makes no settings of a page of text."""
    prose = "Dear all:\nthe password is kept\nin the safe, as ever.\nNote: it was\nchanged in May,\nby Dana.\nYours: me"
    assert _redacted(prose) == prose


def test_the_deepest_json_goes_as_a_whole() -> None:
    """So many strings in strings are read; JSON below that is replaced."""
    text = json.dumps({"password": SECRET})
    for level in range(1, DEEPEST + 3):
        redacted = _redacted(text)
        assert SECRET not in redacted
        assert ("[redacted:depth]" in redacted) == (level > DEEPEST)
        text = json.dumps({"a": text})


def test_bottomless_json_goes_as_a_whole() -> None:
    """More brackets than can be read are no reason to let a text through."""
    text = f'{"[" * 100_000} "{SECRET}"'
    assert _redacted(text) == "[redacted:depth]"


HOSTILE = [
    "[[",
    '{"a":',
    '[{"',
    '{"a":1}',
    "a=1&",
    "a=%",
    "a: b\n",
    "A=1\n",
    "[]",
    '"\\"',
    '["",',
    "- ",
    "a=",
    '{"":[',
    "{}",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_no_text_makes_it_slow(unit: str) -> None:
    """Twelve times the text takes about twelve times as long."""

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        started = time.thread_time()
        Redactor().text(text + secrets.token_hex(2))
        return time.thread_time() - started

    assert min(seconds(96_000) for _ in range(2)) < 40 * min(seconds(8_000) for _ in range(3)) + 0.05

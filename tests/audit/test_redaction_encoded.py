"""What is written in base64 or in hex: read as text, and hidden where that holds a secret."""

from __future__ import annotations

import json
import secrets
import uuid
from base64 import b64encode, encodebytes, urlsafe_b64encode

import pytest

from counterfoil.audit.redaction import Redactor

SECRET = "correct horse"
GONE = "[redacted:encoded]"


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _redacted(text: str) -> str:
    redacted, _ = Redactor().text(text)
    assert Redactor().text(redacted) == (redacted, [])
    return redacted


@pytest.mark.parametrize(
    "said",
    [
        "mail-agent:hunter2",
        "me@acme.example:päss wörd"[:22] + "ö",
        json.dumps({"kty": "oct", "k": SECRET}),
        json.dumps({"a": json.dumps({"password": SECRET})}),
        json.dumps({"a": _base64("agent:hunter22")}),
        _base64(json.dumps({"password": SECRET})),
        "grant_type=x&code=correcthorse",
        f"A=1\nDB_PASSWORD={SECRET}\n",
        "Authorization: Bearer correct-horse",
    ],
)
def test_what_hides_a_secret_goes(said: str) -> None:
    """In base64 of either alphabet, with padding or without, and in hex; the text around it stays."""
    for run in (
        _base64(said),
        _base64(said).rstrip("="),
        urlsafe_b64encode(said.encode()).decode(),
        b64encode(said.encode("utf-16-le")).decode(),
        said.encode().hex(),
    ):
        assert _redacted(f"sent {run}, and") == f"sent {GONE}, and"
        assert _redacted(f"data:x;base64,{run}") == f"data:x;base64,{GONE}"


def test_lines_of_base64_are_one() -> None:
    """As in MIME."""
    lines = encodebytes(json.dumps({"note": "x" * 200, "kty": "oct", "k": SECRET}).encode()).decode()
    assert _redacted(f"body:\n\n{lines}.") == f"body:\n\n{GONE}\n."


def test_in_a_path_the_part_counts() -> None:
    """A slash is of the alphabet."""
    assert _redacted(f"/login/{_base64('mail-agent:hunter2')}") == f"/login/{GONE}"
    assert Redactor().uri(f"https://a.example/b/{_base64('mail-agent:hunter2')}")[0] == "https://a.example/b/REDACTED"


@pytest.mark.parametrize(
    "text",
    [
        str(uuid.UUID(int=2**90 + 3)),
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        _base64("User:1234567890"),
        _base64("User:00000000-0000-4000-8000-000000000000"),
        _base64("010:Repository2325298"),
        _base64("https://api.example/mail"),
        _base64("urn:ietf:params:oauth:token-type:jwt"),
        _base64("plain words that say nothing"),
        _base64('{"folder": "inbox", "page": 2}'),
        _base64("\x89PNG\r\n\x1a\n" + "\0" * 20),
        "Donaudampfschifffahrtsgesellschaftskapitaen",
        "com.example.internationalization.MessageFormatter",
    ],
)
def test_what_hides_nothing_stays(text: str) -> None:
    """Digests, ids, links and pictures, and words that happen to be of the alphabet."""
    assert _redacted(f"({text})") == f"({text})"


def test_random_strings_are_no_text() -> None:
    """None of them is taken for something encoded."""
    for _ in range(2000):
        text = f"x {secrets.token_urlsafe(24)} {secrets.token_hex(16)} {b64encode(secrets.token_bytes(20)).decode()}"
        assert Redactor().text(text) == (text, [])

"""Looking for a secret: in every form in which it may stand in a body, and in nothing else."""

from __future__ import annotations

import base64
import html
import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from counterfoil.audit.keeping.sought import LONGEST, SHORTEST, Sought
from counterfoil.schemas import ConfigurationError, canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

SPECIAL = 'p"ä\\s/s&%+w=d\n😀 '
"""What each of the escapes escapes, in front of something that is random."""

_FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda it: it,
    "within a word": lambda it: f"x{it}y",
    "JSON in a string": lambda it: json.dumps({"a": it}),
    "JSON in JSON in a string": lambda it: json.dumps({"a": json.dumps([it])}, ensure_ascii=False),
    "percent-encoded": quote,
    "percent-encoded, every byte": lambda it: "".join(f"%{byte:02x}" for byte in it.encode()),
    "percent-encoded twice": lambda it: quote(quote(it, safe="")),
    "a form": lambda it: f"a=b&password={quote_plus(it)}&c=d",
    "JSON of a form": lambda it: json.dumps({"body": f"p={quote_plus(it)}"}),
    "HTML": html.escape,
    "hex": lambda it: it.encode().hex().upper(),
    "base64": lambda it: base64.b64encode(it.encode()).decode(),
    "base64 of user and password": lambda it: base64.b64encode(f"user:{it}:".encode()).decode(),
    "base64 at the third offset": lambda it: base64.b64encode(f"ab{it}c".encode()).decode(),
    "base64url": lambda it: base64.urlsafe_b64encode(f"?{it}".encode()).rstrip(b"=").decode(),
    "base64 in a query": lambda it: quote(base64.b64encode(it.encode()).decode(), safe=""),
    "base64 in lines": lambda it: base64.encodebytes(
        f"{it} and {it}, so that there are some lines of it".encode()
    ).decode(),
    "base64 of UTF-16": lambda it: base64.b64encode(f"x{it}".encode("utf-16-le")).decode(),
}


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("prefix", ["", SPECIAL])
def test_it_is_found(form: str, prefix: str) -> None:
    """In a body that holds it in this form, and not in the same body with another secret."""
    secret, other = (f"{prefix}{secrets.token_urlsafe(15)}" for _ in range(2))

    def body(of: str) -> str:
        return canonical_bytes({"context": {"attributes": {"note": _FORMS[form](of)}}}).decode()

    sought = Sought(secret.encode())
    assert sought.stands_in(body(secret))
    assert not sought.stands_in(body(other))


@pytest.mark.parametrize("length", [4, 5, 6, 7, 8, 9, 31, 32, 33])
def test_base64_at_every_length_and_offset(length: int) -> None:
    """Of a secret that is long enough, just what is its own is looked for; a short one is found as it is."""
    secret = secrets.token_bytes(length)
    for before in range(3):
        for after in range(3):
            coded = base64.b64encode(secrets.token_bytes(before) + secret + secrets.token_bytes(after)).decode()
            assert Sought(secret).stands_in(f'{{"a":"{coded}"}}') or length < 8
    text = secrets.token_hex(length)[:length]
    assert Sought(text.encode()).stands_in(f"x{text}")


@pytest.mark.parametrize("size", [0, SHORTEST - 1, LONGEST + 1])
def test_what_cannot_be_looked_for(size: int) -> None:
    """Too short, it would stand everywhere; the error does not show it."""
    with pytest.raises(ConfigurationError) as caught:
        Sought(b"q" * size)
    assert "qq" not in str(caught.value)


def test_it_shows_nothing() -> None:
    """Not in its representation."""
    secret = secrets.token_hex(16)
    assert secret not in repr(Sought(secret.encode()))


def test_hostile_text_ends() -> None:
    """However deep the escapes, few readings are made."""
    for text in ("%25" * 20_000, "\\\\" * 40_000, "&amp;" * 20_000, "\\u005c" * 10_000 + "%5c&\n"):
        assert not Sought(b"hunter22").stands_in(text)

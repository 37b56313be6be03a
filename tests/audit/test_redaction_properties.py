"""What holds for any value: nothing known survives, twice is once, order is nothing, the rest stays."""

from __future__ import annotations

import json
import random
import secrets
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.patterns import PATTERNS
from counterfoil.audit.redaction.positions import (
    AMBIGUOUS,
    AUTHORIZATION,
    COOKIES,
    FORMS,
    OAUTH_SIBLINGS,
    SECRET_HEADERS,
    SECRET_MEMBERS,
)
from counterfoil.audit.redaction.search import suspects, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = Any

NAMES = sorted(
    SECRET_MEMBERS | SECRET_HEADERS | AMBIGUOUS.keys() | AUTHORIZATION | COOKIES.keys() | FORMS | OAUTH_SIBLINGS
)
FRAGMENTS = [
    *[pattern.example for pattern in PATTERNS],
    *NAMES,
    *[name.upper().replace("_", "-") for name in NAMES],
    *"=:&?;#@\"'\\/%+ \n\t-_.,[]{}()",
    *("[redacted:header]", "[redacted:", "REDACTED", "://", "--", "-u ", "%20", "%3D", "%22", "\\n", '\\"', "\\u0022"),
    *("Bearer ", "Basic ", "token ", "hunter2", "0123456789abcdef", "é", "令牌", "\ud800", "\x00"),
]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=7).map("".join) | st.text(max_size=40)
names = st.sampled_from([*NAMES, "kty", "cnf", "headers", "name", "key", "value", "note"]) | texts
scalars = texts | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(names, inner, max_size=5)
        | st.lists(st.tuples(names, inner).map(list), max_size=3)
        | st.fixed_dictionaries({"name": names, "value": inner})
    ),
    max_leaves=12,
)


def _shuffled(value: Json, order: random.Random) -> Json:
    if isinstance(value, dict):
        members = list(cast("dict[str, Json]", value).items())
        order.shuffle(members)
        return {name: _shuffled(member, order) for name, member in members}
    return [_shuffled(item, order) for item in cast("list[Json]", value)] if isinstance(value, list) else value


@given(texts)
@settings(max_examples=1000, deadline=None)
def test_a_redacted_text_has_nothing_to_redact(text: str) -> None:
    """Twice is once, for text and for URIs."""
    redactor = Redactor(keep_query=["page"])
    for redact in (redactor.text, redactor.uri):
        redacted, _ = redact(text)
        assert redact(redacted) == (redacted, [])


@given(st.lists(texts, max_size=3))
@settings(max_examples=500, deadline=None)
def test_the_gate_hides_nothing(searched: list[str]) -> None:
    """Asking many texts for keywords first finds what trying every pattern on each would find."""
    found = suspects(searched)
    for place, text in enumerate(searched):
        gated, removed = without_secrets(text, found.get(place, []))
        while removed:  # what was removed may have stood before the next one
            gated, removed = without_secrets(gated, suspects([gated]).get(0, []))
        assert gated == without_secrets(text, PATTERNS)[0]


@given(values, st.randoms(use_true_random=False))
@settings(max_examples=500, deadline=None)
def test_a_redacted_value_has_nothing_to_redact_in_any_order(value: Json, order: random.Random) -> None:
    """Twice is once for JSON, and the order of members changes neither the result nor the receipts."""
    redacted, receipts = Redactor().value(value)
    assert Redactor().value(redacted) == (redacted, [])
    other, others = Redactor().value(_shuffled(value, order))
    assert other == redacted
    assert sorted(map(json.dumps, others)) == sorted(map(json.dumps, receipts))


@given(st.text(alphabet="abcdefgh \n.,é令", max_size=200))
def test_text_without_secrets_stays_byte_for_byte(text: str) -> None:
    """Nothing is normalised on the way."""
    assert Redactor().text(text) == (text, [])


KINDS: dict[str, Callable[[], str]] = {
    "github": lambda: "ghp_" + secrets.token_hex(18),
    "openai": lambda: "sk-proj-" + secrets.token_urlsafe(30),
    "slack": lambda: "xoxb-" + secrets.token_hex(12),
    "stripe": lambda: "sk_live_" + secrets.token_hex(12),
    "google": lambda: "ya29." + secrets.token_urlsafe(30),
    "vault": lambda: "hvs." + secrets.token_urlsafe(20),
    "jwt": lambda: f"eyJ{secrets.token_hex(12)}.{secrets.token_urlsafe(20)}.{secrets.token_urlsafe(20)}",
}
ROUTES: dict[str, Callable[[str], Json]] = {
    "a string": lambda secret: secret,
    "within prose": lambda secret: f"it said ({secret}), then stopped",
    "a member": lambda secret: {"note": secret},
    "deep": lambda secret: {"a": [[{"b": {"c": [secret]}}]]},
    "a name": lambda secret: {secret: 1},
    "a name below a name": lambda secret: {"a": {f"x={secret}": {}}},
    "a path": lambda secret: {"url": f"https://api.example/{secret}/x"},
    "a query": lambda secret: f"https://api.example/?q={quote(secret)}&n=1",
    "userinfo": lambda secret: f"https://{secret}@api.example/",
    "a header line": lambda secret: f"GET / HTTP/1.1\r\nAuthorization: Bearer {secret}\r\n\r\n",
    "headers": lambda secret: {"headers": {"Authorization": f"Bearer {secret}"}},
    "pairs": lambda secret: [["X-Api-Key", secret], ["Accept", "*/*"]],
    "JSON in a string": lambda secret: json.dumps({"arguments": json.dumps({"note": secret})}),
    "percent-encoded": lambda secret: f"next=Bearer%20{quote(secret)}%0A",
    "a form": lambda secret: f"grant_type=refresh_token&refresh_token={secret}",
    "an option": lambda secret: ["run", "--token", secret],
    "a command": lambda secret: f"curl -H 'Authorization: token {secret}' https://api.example/",
    "an assignment": lambda secret: f"export GITHUB_TOKEN='{secret}'",
    "a cookie": lambda secret: {"Cookie": f"sid={secret}; theme=dark"},
    "an OAuth answer": lambda secret: {"access_token": secret, "token_type": "Bearer", "expires_in": 60},
    "a traceback": lambda secret: f'  File "x.py", line 3\n    login("{secret}")\nValueError: bad {secret!r}',
    "between ideographs": lambda secret: f"令牌{secret}结束",
}
POSITIONS: dict[str, Callable[[str], Json]] = {
    "a header line": lambda secret: f"X-Api-Key: {secret}\r\n",
    "a bare header": lambda secret: {"Authorization": secret},
    "basic": lambda secret: f"Authorization: Basic {b64encode(f'me:{secret}'.encode()).decode()}",
    "a member": lambda secret: {"outer": [{"clientSecret": secret}]},
    "a number below": lambda secret: {"secrets": [{"x": secret}]},
    "JSON in a string": lambda secret: json.dumps({"arguments": json.dumps({"password": secret})}),
    "a form": lambda secret: f"code={secret}&client_id=me",
    "a query": lambda secret: f"see https://api.example/?code={secret}",
    "an assignment": lambda secret: f"DB_PASSWORD={secret}",
    "an environment": lambda secret: {"env": {"AWS_SECRET_ACCESS_KEY": secret}},
    "userinfo": lambda secret: f"HTTPS_PROXY=http://me:{secret}@proxy.example:3128",
    "an option": lambda secret: ["mysql", "--password", secret],
    "a JWK": lambda secret: {"kty": "oct", "k": secret},
    "a JWK in a string": lambda secret: json.dumps({"jwk": {"kty": "oct", "k": secret}}),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_with_a_pattern_survives_on_no_route(kind: str, route: str) -> None:
    """Wherever it stands, a credential of a known form goes, and leaves a receipt that does not hold it."""
    for _ in range(5):
        secret = KINDS[kind]()
        redacted, receipts = Redactor().value(ROUTES[route](secret))
        assert secret not in json.dumps([redacted, receipts])
        assert receipts


@pytest.mark.parametrize("route", POSITIONS)
def test_a_secret_without_a_pattern_survives_in_no_known_position(route: str) -> None:
    """A random string goes by where it stands, raw and as base64."""
    for _ in range(5):
        secret = secrets.token_urlsafe(24)
        redacted, receipts = Redactor().value(POSITIONS[route](secret))
        assert secret not in json.dumps([redacted, receipts])
        assert b64encode(f"me:{secret}".encode()).decode() not in json.dumps(redacted)
        assert receipts


ENVELOPES: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "JSON": (lambda text: json.dumps({"a": 1, "b": text}), lambda text: json.loads(text)["b"]),
    "compact JSON": (lambda text: json.dumps([text], separators=(",", ":")), lambda text: json.loads(text)[0]),
    "a JSON string": (json.dumps, json.loads),
    "a form": (lambda text: f"a=1&b={quote_plus(text)}", lambda text: unquote_plus(text.partition("b=")[2])),
    "percent-encoding": (lambda text: quote(text, safe=""), unquote),
    "base64": (lambda text: b64encode(text.encode()).decode(), lambda text: b64decode(text).decode()),
    "base64url": (
        lambda text: urlsafe_b64encode(text.encode()).decode().rstrip("="),
        lambda text: urlsafe_b64decode(text + "==").decode(),
    ),
    "hex": (lambda text: text.encode().hex(), lambda text: bytes.fromhex(text).decode()),
}
"""How to write a text inside another, and how to read it there."""
CONTENTS: dict[str, Callable[[str], str]] = {
    "a member": lambda secret: json.dumps({"user": "me", "password": secret}),
    "a JWK": lambda secret: json.dumps({"kty": "oct", "k": secret}),
    "a number": lambda secret: json.dumps({"user": "me", "otp": int(secret, 16)}),
    "an OAuth answer": lambda secret: json.dumps({"code": secret, "client_id": "me"}),
    "headers": lambda secret: json.dumps([["Authorization", f"Bearer {secret}"], ["Accept", "*/*"]]),
    "a form": lambda secret: f"grant_type=authorization_code&code={secret}&x=1",
    "an environment": lambda secret: f"PATH=/bin\nDB_PASSWORD={secret} {secret}\n",
    "a dict": lambda secret: f"{{'user': 'me', 'password': '{secret}'}}",
}


@pytest.mark.parametrize("content", CONTENTS)
@given(st.lists(st.sampled_from(sorted(ENVELOPES)), min_size=1, max_size=3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_secret_survives_in_no_envelope(content: str, layers: list[str], within: bool) -> None:  # noqa: FBT001
    """However it is written inside a text inside a text, up to three times: it is found by its position."""
    secret = f"{secrets.randbits(96):024x}"
    told = str(int(secret, 16)) if content == "a number" else secret
    text = CONTENTS[content](secret)
    for layer in layers:
        text = ENVELOPES[layer][0](text)
    value: Json = {"note": text} if within else text
    redacted, receipts = Redactor().value(value)
    assert receipts
    assert Redactor().value(redacted) == (redacted, [])
    left = cast("str", cast("dict[str, Json]", redacted)["note"] if within else redacted)
    for layer in reversed(layers):
        assert told not in left
        try:
            left = ENVELOPES[layer][1](left)
        except (ValueError, LookupError):  # it was replaced as a whole
            assert "[redacted:" in left
            return
    assert told not in left

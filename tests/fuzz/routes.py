"""The routes of a secret into an event's free form and texts, and random nesting around them.

``NAMED`` routes put a secret, as it is, where its place tells what it is: a header, a member, an option. ``BARE``
routes put a text into which a secret was written without any such place: prose, tool output, an exception.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

Json: TypeAlias = Any
Route: TypeAlias = "Callable[[random.Random, str], Json]"

_MEMBERS = (
    "password", "passwd", "client_secret", "clientSecret", "access_token", "refreshToken", "apiKey", "api_key",
    "api-key", "private_key", "passphrase", "secret", "secret_access_key", "session_state", "code_verifier",
    "GITHUB_TOKEN", "db_password", "stripeSecretKey", "X-Vault-Token", "Mcp-Session-Id", "signing_key",
    "device_code", "id_token",
)  # fmt: skip
_VARIABLES = ("DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "STRIPE_API_KEY", "CLIENT_SECRET", "NPM_TOKEN")
_HEADERS = ("X-Api-Key", "X-Auth-Token", "X-Vault-Token", "Api-Key", "DPoP-Nonce", "Mcp-Session-Id", "PRIVATE-TOKEN")
_OPTIONS = ("--token", "--password", "--api-key", "--client-secret", "--access-token")
_SCHEMES = ("Bearer", "DPoP", "Token", "GNAP", "ApiKey")


def _basic(secret: str) -> str:
    return "Basic " + b64encode(f"user:{secret}".encode()).decode()


def _authorization(rng: random.Random, secret: str) -> str:
    return _basic(secret) if rng.random() < 0.3 else f"{rng.choice(_SCHEMES)} {secret}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


NAMED: Final[dict[str, Route]] = {
    "Authorization in headers": lambda r, s: {"headers": {"Authorization": _authorization(r, s), "Accept": "*/*"}},
    "Proxy-Authorization in headers": lambda r, s: {"headers": {"proxy-authorization": _authorization(r, s)}},
    "a header of its own": lambda r, s: {"headers": {r.choice(_HEADERS): s}},
    "headers as pairs": lambda r, s: {"headers": [["Accept", "*/*"], [r.choice(_HEADERS), s]]},
    "headers as objects": lambda r, s: {"headers": [{"name": r.choice(_HEADERS), "value": s}]},
    "Cookie": lambda _, s: {"headers": {"Cookie": f"theme=dark; sid={quote(s)}; lang=en"}},
    "Set-Cookie": lambda _, s: {"response_headers": {"Set-Cookie": f"sid={quote(s)}; Path=/; HttpOnly; SameSite=Lax"}},
    "an Authorization line": lambda r, s: f"GET / HTTP/1.1\r\nAuthorization: {_authorization(r, s)}\r\n\r\n",
    "a header line": lambda r, s: f"POST /x HTTP/1.1\r\n{r.choice(_HEADERS)}: {s}\r\nAccept: */*\r\n",
    "a Cookie line": lambda _, s: f"GET / HTTP/1.1\r\nCookie: theme=dark; sid={quote(s)}\r\nAccept: */*\r\n",
    "a member": lambda r, s: {"user": "someone", r.choice(_MEMBERS): s},
    "a member that is a list": lambda r, s: {"passwords": ["", s], "count": r.randint(0, 9)},
    "below a member": lambda r, s: {"secrets": {"first": {"x": s}, "second": r.randint(0, 9)}},
    "an OAuth answer": lambda _, s: {"access_token": s, "token_type": "Bearer", "expires_in": 60, "scope": "mail"},
    "an OAuth code": lambda _, s: {"code": s, "redirect_uri": "https://client.example/cb", "client_id": "agent"},
    "token in OAuth": lambda _, s: {"token": s, "token_type_hint": "refresh_token", "client_id": "agent"},
    "a form": lambda _, s: "grant_type=refresh_token&" + urlencode({"refresh_token": s, "client_id": "agent"}),
    "a form, secret first": lambda _, s: urlencode({"client_secret": s, "grant_type": "client_credentials"}),
    "a form in JSON": lambda r, s: {"body": urlencode({"username": "me", r.choice(("password", "otp")): s})},
    "a form, parsed": lambda _, s: {"form": {"code": s, "state": s, "client_id": "agent"}},
    "a query in a text": lambda _, s: f"see https://api.example/cb?page=2&{urlencode({'access_token': s})} for more",
    "a fragment in a text": lambda _, s: f"Location: https://c.example/#{urlencode({'id_token': s, 'state': 'x'})}",
    "user information in a text": lambda _, s: f"cloning https://user:{quote(s, safe='')}@git.example/repo.git failed",
    "a database URL": lambda _, s: {"dsn": f"postgresql+psycopg://app:{quote(s, safe='')}@db.example:5432/app"},
    "a proxy": lambda _, s: {"env": {"HTTPS_PROXY": f"http://me:{quote(s, safe='')}@proxy.example:3128"}},
    "JSON in a string": lambda r, s: {"arguments": json.dumps({"user": "me", r.choice(_MEMBERS[:12]): s})},
    "JSON in JSON in a string": lambda _, s: json.dumps({"arguments": json.dumps({"password": s, "n": 1})}),
    "an environment": lambda r, s: {"env": {"PATH": "/bin", r.choice(_VARIABLES): s}},
    "an environment as lines": lambda r, s: f"PATH=/bin\n{r.choice(_VARIABLES)}={_quoted(s)}\nHOME=/root\n",
    "an assignment": lambda r, s: f"export {r.choice(_VARIABLES)}={_quoted(s)}",
    "an argument after its option": lambda r, s: {"argv": ["deploy", r.choice(_OPTIONS), s, "--region", "south"]},
    "an option with its argument": lambda r, s: {"argv": ["deploy", f"{r.choice(_OPTIONS)}={s}", "--verbose"]},
    "curl -u": lambda _, s: {"argv": ["curl", "-u", f"me:{s}", "https://a.example/"]},
    "curl -H": lambda r, s: {"argv": ["curl", "-H", f"Authorization: {_authorization(r, s)}", "https://a.example/"]},
    "a command line": lambda r, s: f"deploy {r.choice(_OPTIONS)} {_quoted(s)} --region south",
    "a JWK": lambda r, s: {"jwk": {"kty": "RSA", "n": "0vx7", "e": "AQAB", r.choice(["d", "p", "q", "dp", "qi"]): s}},
    "a symmetric JWK": lambda _, s: {"keys": [{"kty": "oct", "kid": "1", "k": s}]},
    "a JWK in a string": lambda _, s: json.dumps({"jwk": {"kty": "oct", "k": s}}),
    "locals of a frame": lambda r, s: {"frames": [{"locals": {r.choice(_MEMBERS[:4]): s, "n": 1}}]},
    "locals of a frame, as repr": lambda _, s: {"frames": [{"locals": {"password": repr(s), "user": "'me'"}}]},
    "a repr": lambda _, s: f"Settings(user='me', password={s!r}, port=5432)",
    "a repr of a dict": lambda _, s: f"called with {({'user': 'me', 'api_key': s, 'n': 1})!r}",
    "YAML": lambda _, s: f"user: me\npassword: {_quoted(s)}\nport: 5432\n",
    "TOML": lambda _, s: f'[database]\nuser = "me"\npassword = {_quoted(s)}\n',
    "npmrc": lambda _, s: f"//registry.example/:_authToken={_quoted(s)}\nalways-auth=true\n",
    "an exception that quotes a setting": lambda _, s: f"ValueError: invalid literal: password={_quoted(s)}",
    "percent-encoded": lambda _, s: "next=" + quote(f"https://a.example/?access_token={quote(s, safe='')}", safe=""),
    "a key file": lambda _, s: {"type": "service_account", "private_key_id": "1", "private_key": s},
    "number below": lambda r, s: {"otp": int(s) if s.isdigit() else s, "n": r.randint(0, 9)},
    "a shared key": lambda _, s: {"connection": f"Endpoint=sb://a.example/;SharedAccessKeyName=r;SharedAccessKey={s}"},
}  # fmt: skip
"""The place tells that it is a secret."""

BARE: Final[dict[str, Route]] = {
    "prose": lambda _, t: f"the tool said: {t} and stopped",
    "alone": lambda _, t: t,
    "alone in a list": lambda _, t: ["a", t, "b"],
    "a member called note": lambda _, t: {"note": t, "ok": True},
    "in parentheses": lambda _, t: f"it failed ({t}).",
    "in quotes": lambda _, t: f"""it said "{t}" twice""",
    "tool output": lambda _, t: {"tool": "shell", "output": f"$ cat notes.txt\n{t}\n$ exit\n"},
    "an exception": lambda _, t: {"error": f"RuntimeError: cannot use {t!r}"},
    "a traceback": lambda _, t: (
        f'Traceback (most recent call last):\n  File "x.py", line 3, in <module>\nKeyError: {t!r}\n'
    ),
    "a log line": lambda _, t: f"2026-11-25T08:00:00Z INFO worker-3 retry attempt=2 last={t}",
    "a question to an approver": lambda _, t: {"question": f"Send {t} to ops@example.com?", "choices": ["yes", "no"]},
    "Markdown": lambda _, t: f"# Notes\n\n- first\n- `{t}`\n",
    "HTML": lambda _, t: f"<html><body><p class='x'>{t}</p></body></html>",
    "JSON in a string, in a member called note": lambda _, t: json.dumps({"note": t, "n": 1}),
    "JSON in JSON, in a member called note": lambda _, t: json.dumps({"inner": json.dumps({"note": t})}),
    "percent-encoded prose": lambda _, t: "text=" + quote(f"it said {t} and stopped", safe=""),
    "between ideographs": lambda _, t: f"令牌 {t}。结束",
    "a path": lambda _, t: f"https://api.example/v1/{quote(t, safe='')}/items",
    "a query of no name": lambda _, t: f"https://api.example/?q={quote(t, safe='')}&n=1",
    "a member's name": lambda _, t: {t: 1, "other": 2},
    "a diff": lambda _, t: f"@@ -1,2 +1,2 @@\n-  value: old\n+  value: {t}\n",
    "a table": lambda _, t: f"| id | value |\n|---|---|\n| 1 | {t} |\n",
    "a very long text": lambda r, t: "lorem ipsum dolor " * r.randint(100, 300) + t + " sit amet" * r.randint(1, 100),
}
"""Nothing but the secret itself, and what belongs to it, tells."""

CODED: Final[dict[str, Route]] = {
    "base64 of it": lambda _, t: {"blob": b64encode(t.encode()).decode()},
    "hexadecimal of it": lambda _, t: {"blob": t.encode().hex()},
    "reversed": lambda _, t: {"blob": t[::-1]},
    "percent-encoded three times": lambda _, t: quote(quote(quote(f"it said {t}", safe=""), safe=""), safe=""),
    "a data URL": lambda _, t: "data:text/plain;base64," + b64encode(t.encode()).decode(),
}
"""Coded in a way that docs/redaction.md says is not undone, or not in all depths."""

_BENIGN: Final = (
    "mail-agent", "inbox", 42, True, None, 0.5, "", "read 12 messages", "2026-11-25T08:00:00Z", "https://a.example/mail",
    "8f14e45fceea167a5a36dedd4bea2543", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "Donaudampfschifffahrtsgesellschaft",
    "tokens used: 512", "the password policy was read", "src/token_store.py", "code=PRODUCT-7", ["a", "b"], {"n": 1},
)  # fmt: skip
_NAMES: Final = (
    "data",
    "items",
    "result",
    "input",
    "output",
    "meta",
    "step",
    "args",
    "kwargs",
    "content",
    "x",
    "y",
    "z",
)


def nested(rng: random.Random, value: Json, depth: int) -> Json:
    """Put ``value`` into so many objects and lists, among values that are none of anybody's business."""
    for _ in range(depth):
        if rng.random() < 0.5:
            items = [rng.choice(_BENIGN) for _ in range(rng.randint(0, 3))]
            items.insert(rng.randint(0, len(items)), value)
            value = items
        else:
            members = {rng.choice(_NAMES): rng.choice(_BENIGN) for _ in range(rng.randint(0, 3))}
            value = {**members, rng.choice(_NAMES): value}
            value = dict(sorted(value.items(), key=lambda _: rng.random()))
    return cast("Json", value) if isinstance(value, dict) else {rng.choice(_NAMES): value}

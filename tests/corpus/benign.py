"""Values without a secret in them, of the kinds that agents, tools and logs are full of. All are invented."""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any, Final

from shapes import drawn, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_random = Random(9)

_WHO = (
    "The agent",
    "Our mail tool",
    "A reviewer",
    "The resource server",
    "Dana from accounting",
    "The batch of the night",
)
_DID = (
    "refused",
    "renewed",
    "forgot",
    "asked for",
    "explained",
    "revoked",
    "compared",
    "lost",
    "rotated",
    "documented",
)
_WHAT = (
    "the access token before it expired",
    "every bearer token in the list",
    "a password that nobody remembers",
    "the basic idea of proof of possession",
    "an authorization code",
    "the secret of good bread",
    "the session, the cookie and the cache",
    "two keys: one for the door, one for the bicycle",
    "token revocation, token exchange and token introspection",
    "the DPoP proof, as RFC 9449 says",
    "the state of the order and the code of conduct",
    "an invoice for 1,250.00 EUR",
)
_COMPOUNDS = (
    (
        "Zugangs",
        "Berechtigungs",
        "Sicherheits",
        "Verschlüsselungs",
        "Wiederherstellungs",
        "Genehmigungs",
        "Donaudampfschiff",
    ),
    ("schlüssel", "kennwort", "bescheinigungs", "prüfungs", "verwaltungs", "geheimnis", "daten"),
    ("verzeichnis", "verordnung", "abteilung", "ausschuss", "übertragung"),
)
_WORDS = (
    "mail",
    "report",
    "order",
    "invoice",
    "calendar",
    "ticket",
    "travel",
    "budget",
    "customer",
    "region",
    "quarter",
)
_VERBS = ["list", "read", "send", "create", "update", "archive", "approve", "search", "export", "move"]
_HOSTS = ("api.example", "shop.example", "docs.example", "git.example", "files.example")
_LANGUAGES = ("de-DE,de;q=0.9", "en-GB,en;q=0.8", "fr;q=0.7")


def _one(of: Iterable[str]) -> str:
    return _random.choice(list(of))


def _many(number: int, make: Callable[[], Any]) -> list[Any]:
    return [make() for _ in range(number)]


def _shapes(number: int, *shapes: str) -> list[str]:
    return [filled(_one(shapes), _random) for _ in range(number)]


def _image() -> str:
    head = _one(("iVBORw0KGgoAAAANSUhEUgAA", "/9j/4AAQSkZJRgABAQAAAQABAAD/", "R0lGODlhEAAQAPAAAAAAAAAA"))
    data = b64encode(_random.randbytes(600) + bytes(60) + _random.randbytes(300)).decode()
    return f"data:image/{_one(('png', 'jpeg', 'gif'))};base64,{head}{data}"


def _certificate() -> str:
    title = _one(("CERTIFICATE", "PUBLIC KEY", "CERTIFICATE REQUEST"))
    body = b64encode(_random.randbytes(300)).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {title}-----", *lines, f"-----END {title}-----"])


def _log_line() -> str:
    return filled(
        _one(
            (
                "2026-11-25T07:{dig:2}:{dig:2}.{dig:3}Z INFO mail request_id={uuid} status=200 took={dig:2}ms",
                "Nov 25 07:12:31 a sshd[{dig:4}]: Accepted publickey for dana from 192.0.2.{dig:2} port {dig:5} ssh2",
                '192.0.2.7 - - [25/Nov/2026:07:12:31 +0000] "GET /mail/{dig:4}?page=2 HTTP/1.1" 200 {dig:4}',
                'level=warn msg="token expired" sub={uuid} exp={dig:10} key_id=k{dig:1} alg=ES256',
                "ERROR [worker-{dig:1}] exit code=137 state=OOMKilled pod=api-{low:10}-{low:5} node=n{dig:2}",
                'DEBUG cache key=mail:list:{dig:4} hit=true ttl=60s etag=W/"{hex:16}"',
                "trace_id={hex:32} span_id={hex:16} parent=00-{hex:32}-{hex:16}-01 sampled=1",
            )
        ),
        _random,
    )


def _code_line() -> str:
    word, verb = _one(_WORDS), _one(_VERBS)
    return _one(
        (
            f"def {verb}_{word}(token: str, *, timeout: float = 5.0) -> {word.title()}:",
            f"if password == confirmation and len(password) > {_random.randrange(9)}:",
            f"for key, value in sorted({word}.items()):",
            f"return [{word}.code for {word} in {word}s if {word}.state is State.OPEN]",
            f"async with client.{verb}(f'/{word}/{{{word}_id}}', params={{'page': page}}) as response:",
            f"assert {word}_token_count <= MAX_TOKENS, f'{{{word}_token_count}} tokens'",
            f"raise {word.title()}NotFound({word}.id) from error",
            f"SELECT id, state, code FROM {word} WHERE region = $1 ORDER BY created DESC LIMIT 50;",
            f"const {word} = await fetch(`/api/{word}/${{id}}`).then((r) => r.json());",
            f"var {word}Key = new {word.title()}Key(tenant, {_random.randrange(999)});",
            f"git commit -m '{verb.title()} the {word}' && git push origin {word}-{_random.randrange(99)}",
            f"docker run --rm -p 8080:80 --name {word} {word}:{_random.randrange(9)}.{_random.randrange(99)} --verbose",
        )
    )


def _member() -> dict[str, Any]:
    word = _one(_WORDS)
    return _random.choice(
        (
            {"max_tokens": _random.randrange(9999), "temperature": 0.2},
            {"usage": {"prompt_tokens": 120, "completion_tokens": _random.randrange(999), "total_tokens": 500}},
            {"code": _random.randrange(400, 599), "state": "open", "key": word},
            {"sort": "created", "order": "desc", "primary": word, "nonce": None},
            {"token_type": "Bearer", "expires_in": 3600, "scope": f"{word}:read {word}:write", "token": ""},
            {
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "dpop_signing_alg_values_supported": ["ES256"],
            },
            {"token_endpoint": f"https://{_one(_HOSTS)}/token", "jwks_uri": f"https://{_one(_HOSTS)}/jwks"},
            {
                "code_challenge_method": "S256",
                "code_challenge": drawn("url", 43, _random),
                "dpop_jkt": drawn("url", 43, _random),
            },
            {"name": word, "value": _random.randrange(999), "key_id": f"k{_random.randrange(9)}", "author": "Dana"},
            {"authorized": True, "authenticated_by": "dana", "secretary": "Robin", "passenger": word, "keyboard": "de"},
        )
    )


def _headers() -> dict[str, Any]:
    return {
        "headers": {
            "Accept": "application/json",
            "Accept-Language": _one(_LANGUAGES),
            "Content-Type": f"multipart/form-data; boundary=----{drawn('an', 16, _random)}",
            "ETag": f'W/"{drawn("hex", 32, _random)}"',
            "Last-Modified": "Wed, 25 Nov 2026 07:00:00 GMT",
            "traceparent": f"00-{drawn('hex', 32, _random)}-{drawn('hex', 16, _random)}-01",
            "User-Agent": f"python-httpx/0.{_random.randrange(40)}.1",
            "WWW-Authenticate": 'DPoP error="use_dpop_nonce", algs="ES256 EdDSA"',
            "X-Request-ID": drawn("hex", 32, _random),
        }
    }


def _public_jwk() -> dict[str, Any]:
    x, y = drawn("url", 43, _random), drawn("url", 43, _random)
    return _random.choice(
        (
            {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k1", "use": "sig"},
            {"kty": "OKP", "crv": "Ed25519", "x": x},
            {"kty": "RSA", "e": "AQAB", "n": drawn("url", 342, _random), "alg": "PS256"},
        )
    )


BENIGN: Final[dict[str, list[Any]]] = {
    "English sentences": [f"{who} {did} {what}." for who, did, what in product(_WHO, _DID, _WHAT)],
    "German compounds": ["".join(parts) for parts in product(*_COMPOUNDS)],
    "German sentences": [
        f"Das {''.join(parts).capitalize()} liegt bei der Poststelle; bitte Kennwort vergessen anklicken."
        for parts in product(*_COMPOUNDS)
    ],
    "UUIDs, ULIDs, object ids": _shapes(500, "{uuid}", "urn:uuid:{uuid}", "01J{up:23}", "{hex:24}", "ord_{an:12}"),
    "git hashes and digests": _shapes(
        600, "{hex:40}", "{hex:7}", "sha256:{hex:64}", "sha512-{b64:86}==", "{hex:64}", "md5 {hex:32}", "etag {hex:32}"
    ),
    "thumbprints and keyed digests": [
        *_shapes(200, "{url:43}", "SHA256:{b64:43}", "hmac:{hex:8}:{url:22}", "sha256:{url:43}"),
        *_many(100, lambda: {"cnf": {"jkt": drawn("url", 43, _random)}, "x5t#S256": drawn("url", 43, _random)}),
    ],
    "public keys and certificates": [
        *_many(60, _certificate),
        *_many(60, _public_jwk),
        *_shapes(60, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b64:43} dana@host", "age1{bech:58}", "RWQ{b64:53}"),
    ],
    "trace contexts": _shapes(
        200, "00-{hex:32}-{hex:16}-01", "vendor=00f067aa0ba902b7,other={an:12}", "{hex:32}-{hex:16}-1"
    ),
    "versions": _shapes(
        200,
        "{dig:1}.{dig:2}.{dig:1}",
        "v{dig:2}.0.0-rc.{dig:1}+build.{dig:4}",
        "httpx=={dig:1}.{dig:2}",
        "2026.{dig:2}",
    ),
    "file paths": _shapes(
        200,
        "/usr/lib/python3.11/site-packages/{az:8}/{az:6}.py",
        "C:\\Users\\dana\\Documents\\{az:8}\\{az:5}.xlsx",
        "/home/dana/.config/{az:6}/token_cache_{az:4}.json",
        "s3://bucket-{dig:4}/2026/11/25/part-{dig:5}-{uuid}.snappy.parquet",
        "src/auth/password_reset/{az:7}_test.go",
    ),
    "URLs": _shapes(
        400,
        "https://api.example/v1/{az:7}/{dig:6}?page={dig:1}&limit=50&sort=-created",
        "https://docs.example/rfc9449#section-{dig:1}.{dig:1}",
        "https://git.example/{az:6}/{az:8}/commit/{hex:40}",
        "https://files.example/{uuid}/{az:9}.pdf?version={dig:2}",
        "https://shop.example/p/{az:8}-{dig:6}?utm_source={az:6}&utm_campaign={az:5}-{dig:4}",
        "postgresql://db.invalid:5432/{az:6}?sslmode=require",
        "urn:ietf:params:oauth:token-type:access_token",
        "mailto:{az:6}@shop.example?subject=order%20{dig:5}",
    ),
    "URLs with a product's `code=`": _shapes(12, "https://shop.example/p?code=AB-{dig:4}&colour=red"),
    "images and other data in base64": _many(80, _image),
    "log lines": _many(600, _log_line),
    "lines of code": _many(600, _code_line),
    "members of ordinary names": _many(400, _member),
    "sets of headers": _many(100, _headers),
    "tool names and scopes": [f"{verb}_{word}" for verb, word in product(_VERBS, _WORDS)]
    + [f"https://api.example/{word}.{verb}" for verb, word in product(_VERBS, _WORDS)],
    "times, numbers, addresses": _shapes(
        300,
        "2026-11-{dig:2}T07:{dig:2}:00.{dig:6}Z",
        "{dig:3}.{dig:2} EUR",
        "+49 30 {dig:7}",
        "192.0.2.{dig:2}:{dig:4}",
        "2001:db8::{hex:4}:{hex:4}",
        "{az:6}.{az:8}@shop.example",
        "<{dig:10}.{hex:8}@mail.example>",
        "978-3-16-{dig:6}-0",
        "#{hex:6}",
    ),
    "JSON, YAML, HTML as text": [
        *(json.dumps(_member()) for _ in range(150)),
        *_shapes(
            150,
            "name: {az:6}\nimage: {az:5}:{dig:1}.{dig:2}\nports:\n  - {dig:4}",
            '<input type="text" name="{az:5}" value="{dig:4}"> <label for="{az:5}">Password</label>',
            "[section-{dig:1}]\nkey = {az:8}\nretries = {dig:1}",
            "| {az:5} | {dig:4} | {az:9} |",
        ),
    ],
}
"""Values by kind."""

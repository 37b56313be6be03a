"""Positions within text, as rows of the table of patterns: header lines, parameters, settings, options, JSON members.

Here a name tells, and not the look of what follows it. The names are those of ``positions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .pattern import any_of, fake, pattern
from .positions import AMBIGUOUS, AUTHORIZATION, COOKIES, SCHEMES, SECRET_ENDINGS, SECRET_HEADERS, SECRET_MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable


def _starting(names: Iterable[str]) -> str:
    """Return a check that one of the names can start here. It fails fast where none can."""
    return f"(?i)(?=[{''.join(sorted({name[0] for name in names}))}])"


_HEADERS = AUTHORIZATION | SECRET_HEADERS | COOKIES.keys()
_ENDINGS = frozenset(ending[1:] for ending in SECRET_ENDINGS)
_HUMPED_ENDINGS = frozenset(ending.title().replace("_", "") for ending in _ENDINGS)
_PARAMETERS = SECRET_MEMBERS | {name for name, contexts in AMBIGUOUS.items() if "form" in contexts}
_NAMES = SECRET_MEMBERS | SECRET_HEADERS | _ENDINGS - {"token"}

_STEMS = (
    *("apikey", "assertion", "attestation", "auth", "cert", "code", "cookie", "cred", "cvc", "cvv", "dpop", "key"),
    *("nonce", "otp", "pass", "pwd", "saml", "secret", "sess", "signature", "statement", "token", "verifier"),
)
"""Each name of a secret has one of these in it."""

_SCHEME = rf"(?:(?:{'|'.join(SCHEMES)})[ \t]+)?"
_TO_QUOTE = r"""([^\r\n"'\\]*(?:\\[^rn][^\r\n"'\\]*)*)"""
_TO_LINE_END = r"([^\r\n\\]*(?:\\[^rn][^\r\n\\]*)*)"

_WRAPPED = r"(?:[A-Za-z_][A-Za-z0-9_.]{0,40}\((?:[a-z_]{1,20}=)?)?[bBfFrRuU]{0,2}"
"""What can stand before a quote in a ``repr``: ``b'…'``, ``SecretStr('…')``, ``Secret(value='…')``."""

_QUOTED = r"""\"([^"\\\r\n]*(?:\\.[^"\\\r\n]*)*)|'([^'\\\r\n]*(?:\\.[^'\\\r\n]*)*)"""
_BRACKETED = r"(\[(?!redacted:)[^\]\r\n]*\]?|\{[^}\r\n]*\}?|\([^)\r\n]*\)?)"
_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?)(?=[\s,;}\])]|\Z)"
_SPENT = "(?!REDACTED[/;?])"
"""What the URI rule has left of a parameter in a path; the path goes on behind it."""

_BARE = rf"{_SPENT}(?![|>][+-]?[ \t]*[\r\n])([^\s&\"'<>\0]+)"
_IS = r"""(?:["']\s{0,8}[:=]|\s{0,8}(?:=(?!=)|:(?=[ "'])))\s{0,8}"""
_OPAQUE = r"""((?=[^0-9\s"']*[0-9])(?=[^A-Za-z\s"']*[A-Za-z])[A-Za-z0-9._~+/-]{16,}={0,2})(?![A-Za-z0-9._~+/:-])"""

POSITIONS_IN_TEXT: Final = (
    pattern(
        "jwk_private",
        r"""["'](?:d|p|q|dp|dq|qi|k)["']\s{0,8}:\s{0,8}["']([A-Za-z0-9_-]{16,})["']""",
        ('"', "'"),
        f'{{"kty":"oct","k":"{fake(43)}"}}',
        signs=":",
    ),
    pattern(
        "userinfo",
        r"""://(?:([^/\s@?#"'<>]{1,256}(?:@[^/\s@?#"'<>]{1,256}){0,8})@|([^/\s@?#:"'<>]{1,64}:(?![0-9]{1,5}[/?#])[^\s@"'<>]{1,256})@)""",
        ("://",),
        f"postgresql://app:{fake(12)}@db.invalid/app",
        signs="@",
    ),
    pattern(
        "proxy",
        r"""(?i)prox(?:y|ies)["']?\s{0,8}[:=]\s{0,8}["']?([^\s:/@"']{1,64}:[^\s/@"']{1,256})@""",
        ("prox",),
        f"HTTPS_PROXY=me:{fake(12)}@proxy.invalid:3128",
        signs="@",
    ),
    pattern(
        "netrc",
        r"""(?i)\b(?:machine\s{1,8}\S{1,256}\s{1,8}|default\s{1,8}(?=login\s))(?:(?:login|account)\s{1,8}\S{1,256}\s{1,8}){0,2}"""
        rf"""password\s{{1,8}}(?:{_QUOTED}|(\S+))""",
        ("machine", "default"),
        f"machine api.invalid login me password {fake(12)}",
    ),
    pattern(
        "auth",
        rf"""(?i)(?<![A-Za-z0-9])(?:_auth{_IS}["']?|["']auth["']\s{{0,8}}:\s{{0,8}}["'])([A-Za-z0-9+/]{{8,}}={{0,2}})"""
        r"""|(?i:(?<![A-Za-z0-9])_?auth["']?\s{0,8}[:=]\s{0,8}[(\[]\s{0,8}["'][^"'\r\n]{0,256}["'],\s{0,8}["'])([^"'\r\n]+)""",
        ("auth",),
        f"//registry.invalid/:_auth={fake(16)}",
        signs=":=",
    ),
    pattern(
        "header",
        rf"""{_starting(_HEADERS)}(?<![A-Za-z0-9_-])(?:"""
        rf"""(?<=["']){any_of(_HEADERS, "-")}["']?[ \t]*(?:[:=]|(?<=["']),(?=\s{{0,8}}[b"']))"""
        rf"""(?:[\s"']|b["']|\[(?!redacted:)){{0,8}}{_SCHEME}{_TO_QUOTE}"""
        rf"""|(?<!["']){any_of(_HEADERS, "-")}[ \t]*[:=][ \t]*{_SCHEME}{_TO_LINE_END})""",
        ("authorization", "cookie", "-key", "token", "client-cert", "dpop", "session-id", "attestation"),
        f"Cookie: session={fake(12)}; theme=dark",
        signs=":='\"",
    ),
    pattern(
        "query_param",
        rf"{_starting(_PARAMETERS)}(?:(?<=[?&#;])|(?<![^\s\"'])(?=[^\s&=\"']{{1,64}}=[^\s&\"']*&)|\A(?=\S*\Z))"
        rf"{any_of(_PARAMETERS)}={_SPENT}([^&#\s\"'<>]+)",
        ("=",),
        f"https://client.invalid/cb?code={fake(12)}&page=1",
        signs="=",
    ),
    pattern(
        "named_value",
        rf"{_starting(_NAMES | {'token'})}(?:(?<![A-Za-z0-9]){any_of(_NAMES)}|(?<=[A-Za-z0-9-][_-])token"
        rf"|(?-i:(?<=[a-z0-9]){any_of(_HUMPED_ENDINGS)}))"
        rf"{_IS}(?:{_WRAPPED}(?:{_QUOTED})|{_NUMBER}|{_BRACKETED}|{_BARE})",
        _STEMS,
        f'payload {{"user": "someone", "password": "{fake(12)}"}}',
        signs=":=",
    ),
    pattern(
        "opaque_value",
        rf"(?i)(?<![A-Za-z0-9_-])(?:tokens?|credentials?|bearer|sig(?:nature)?|assertion|nonce){_IS}(?:[bu]?[\"'])?{_OPAQUE}",
        ("token", "cred", "bearer", "sig", "assertion", "nonce"),
        f"KeyError: token='{fake(24)}'",
        signs=":=",
    ),
    pattern(
        "option",
        rf"(?i)(?<![A-Za-z0-9_-])(?:--(?:[a-z0-9]{{1,24}}-){{0,3}}{any_of(SECRET_MEMBERS | _ENDINGS)}"
        rf"[ \t]+(?:{_QUOTED}|([^\s\"'-][^\s\"']*))|(?:-u +|--(?:proxy-)?user[ =]+)[\"']?[^\s:\"']{{1,256}}:([^\s\"']+)"
        rf"|(?:-b +|--cookie[ =]+)(?:{_QUOTED}|([^\s\"'=]+=[^\s\"']*)))",
        ("--", "-u ", "-b "),
        f"deploy --token {fake(12)} --region south",
    ),
)

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

_SCHEME = rf"(?:(?:{'|'.join(SCHEMES)})[ \t]+)?"
_TO_QUOTE = r"""([^\r\n"'\\]*(?:\\[^rn][^\r\n"'\\]*)*)"""
_TO_LINE_END = r"([^\r\n\\]*(?:\\[^rn][^\r\n\\]*)*)"

_QUOTED = r"""\"([^"\\\r\n]*(?:\\.[^"\\\r\n]*)*)|'([^'\\\r\n]*(?:\\.[^'\\\r\n]*)*)"""
_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?)(?=[\s,;}\]]|\Z)"

POSITIONS_IN_TEXT: Final = (
    pattern(
        "jwk_private",
        r'"(?:d|p|q|dp|dq|qi|k)"\s*:\s*"([A-Za-z0-9_-]{16,})"',
        ('"',),
        f'{{"kty":"oct","k":"{fake(43)}"}}',
    ),
    pattern("userinfo", r"://([^/\s@?#]{1,256})@", ("@",), f"postgresql://app:{fake(12)}@db.invalid/app"),
    pattern(
        "header",
        rf"""{_starting(_HEADERS)}(?<![A-Za-z0-9_-])(?:(?<=["']){any_of(_HEADERS, "-")}["']?[ \t]*[:=]"""
        rf"""(?:[\s"']|\[(?!redacted:)){{0,8}}{_SCHEME}{_TO_QUOTE}"""
        rf"""|(?<!["']){any_of(_HEADERS, "-")}[ \t]*[:=][ \t]*{_SCHEME}{_TO_LINE_END})""",
        ("authorization", "cookie", "-key", "token", "client-cert", "dpop", "session-id", "attestation"),
        f"Cookie: session={fake(12)}; theme=dark",
    ),
    pattern(
        "query_param",
        rf"{_starting(_PARAMETERS)}(?:(?<=[?&#;])|(?<!\S)(?=[^\s&=]{{1,64}}=[^\s&]*&)|\A(?=\S*\Z))"
        rf"{any_of(_PARAMETERS)}=([^&#\s\"'<>]+)",
        ("=",),
        f"https://client.invalid/cb?code={fake(12)}&page=1",
    ),
    pattern(
        "named_value",
        rf"{_starting(_NAMES | {'token'})}(?:(?<![A-Za-z0-9]){any_of(_NAMES)}|(?<=[A-Za-z0-9-][_-])token"
        rf"|(?-i:(?<=[a-z0-9]){any_of(_HUMPED_ENDINGS)}))"
        r"""(?:["']\s{0,8}[:=]|\s{0,8}(?:=(?!=)|:(?=[ "'])))\s{0,8}"""
        rf"(?:{_QUOTED}|{_NUMBER}|([^\s&\"'<>]+))",
        ("=", ": ", '"', "'"),
        f'payload {{"user": "someone", "password": "{fake(12)}"}}',
    ),
    pattern(
        "option",
        rf"(?i)(?<![A-Za-z0-9_-])(?:--(?:[a-z0-9]{{1,24}}-){{0,3}}{any_of(SECRET_MEMBERS | _ENDINGS)}"
        rf"[ \t]+(?:{_QUOTED}|([^\s\"'-][^\s\"']*))|(?:-u +|--user[ =]+)[\"']?[^\s:\"']{{1,256}}:([^\s\"']+))",
        ("--", "-u "),
        f"deploy --token {fake(12)} --region south",
    ),
)

"""What secrets look like: the table of patterns, as data.

The second line of redaction, for text that no position explains. Each row has its rule id, its expression, and the
keywords of which a text must hold at least one before the expression is tried. ``example`` is invented, for the tests.

Three things hold for every row, and tests say so. Expressions follow ASCII rules, so that a key between Chinese
characters is found. None is open to catastrophic backtracking. Rows that begin with a word of ordinary language
(*basic*, *bearer*, *token*) leave prose alone: ``token revocation`` is no credential.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .positions import AMBIGUOUS, AUTHORIZATION, COOKIES, SCHEMES, SECRET_ENDINGS, SECRET_HEADERS, SECRET_MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Pattern:
    """One row of the table."""

    rule: str
    """Its id, as receipts and markers show it."""
    regex: re.Pattern[str]
    """Its last group is the secret, or else the whole match."""
    keywords: tuple[str, ...]
    """In lower case. A text that holds none of them is not searched."""
    example: str
    """A text with an invented secret."""
    long: bool
    """Whether every match has at least 16 characters, none of them white space."""


def _long(rule: str, expression: str, keywords: str, example: str) -> Pattern:
    return Pattern(rule, re.compile(expression, re.ASCII), tuple(keywords.split()), example, long=True)


def _any_length(rule: str, expression: str, keywords: tuple[str, ...], example: str) -> Pattern:
    return Pattern(rule, re.compile(expression, re.ASCII), keywords, example, long=False)


def _any(names: Iterable[str], joint: str = "[_-]?") -> str:
    """Return an expression for any of the names, the longer ones first. A tree by letters: many names cost as few."""
    tails: dict[str, list[str]] = {}
    for name in sorted(names, reverse=True):
        tails.setdefault(name[:1], []).append(name[1:])
    branches = [
        (joint if head == "_" else head) + (_any(rest, joint) if any(rest) else "") for head, rest in tails.items()
    ]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _fake(length: int) -> str:
    return ("Example0" * (length // 8 + 1))[:length]


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

_PROSE = "[A-Za-z]?[a-z]{0,13}(?:[-/.][A-Za-z]?[a-z]{0,13}){0,8}(?![A-Za-z0-9._~+/=-])"
"""Words of up to 14 letters, joined with hyphens, slashes or dots: language, not a credential."""

_QUOTED = r"""\"([^"\\\r\n]*(?:\\.[^"\\\r\n]*)*)|'([^'\\\r\n]*(?:\\.[^'\\\r\n]*)*)"""
_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?)(?=[\s,;}\]]|\Z)"

PATTERNS: Final = (
    _long(
        "jwt_jwe",
        r"(?<![A-Za-z0-9_-])(?:eyJ|eyA|ew[0ok])[A-Za-z0-9_-]{11,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"
        r"(?:\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)?",
        "eyj eya ew0 ewo ewk",
        f"ID token eyJ{_fake(20)}.eyJ{_fake(40)}.{_fake(43)} refused",
    ),
    _long(
        "github",
        r"\b(?:gh[opusr]_[A-Za-z0-9._-]{20,}|github_pat_[A-Za-z0-9_]{20,})",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        f"cloned with ghp_{_fake(36)}",
    ),
    _long(
        "gitlab",
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|oas|ffct)-[A-Za-z0-9._-]{20,}",
        "gl",
        f"cloned with glpat-{_fake(20)}",
    ),
    _long(
        "slack", r"\b(?:xox[a-z](?:\.xox[a-z])?-|xapp-)[A-Za-z0-9-]{12,}", "xox xapp-", f"posted as xoxb-{_fake(24)}"
    ),
    _long(
        "slack_hook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/+_-]{20,})",
        "hooks.slack.com",
        f"https://hooks.slack.com/services/{_fake(24)}",
    ),
    _long(
        "aws_key_id",
        r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{16}\b",
        "akia asia abia acca a3t",
        "signed by AKIAEXAMPLEEXAMPLE22",
    ),
    _long(
        "aws_bedrock",
        r"\b(?:ABSK[A-Za-z0-9+/]{60,}={0,2}|bedrock-api-key-[A-Za-z0-9+/=_-]{20,})",
        "absk bedrock-api-key-",
        f"asked with bedrock-api-key-{_fake(40)}",
    ),
    _long(
        "openai_like",
        r"\bsk-(?:proj-|svcacct-|admin-|or-v1-|ant-[a-z]{3,6}[0-9][0-9]-)?[A-Za-z0-9_-]{20,}",
        "sk-",
        f"asked with sk-proj-{_fake(40)}",
    ),
    _long("google_api", r"\bAIza[A-Za-z0-9_-]{35,}", "aiza", f"asked with AIza{_fake(35)}"),
    _long(
        "google_oauth",
        r"\b(?:ya29\.[A-Za-z0-9._-]{20,}|1//[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})",
        "ya29. 1// gocspx-",
        f"refreshed ya29.{_fake(40)}",
    ),
    _any_length(
        "azure_sas",
        r"(?i)[?&;]sig=([A-Za-z0-9%+/=_-]{20,})",
        ("=",),
        f"https://example.invalid/blob?sv=2026&sig={_fake(43)}%3D",
    ),
    _any_length(
        "azure_storage",
        r"(?i)\b(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})",
        ("=",),
        f"AccountName=example;AccountKey={_fake(86)}==",
    ),
    _long(
        "azure_ad_secret",
        r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",
        "q~",
        f"logged in with abc8Q~{_fake(34)}",
    ),
    _long(
        "stripe",
        r"\b(?:[sr]k|whsec|pk)_(?:test_|live_|prod_)?[A-Za-z0-9]{16,}",
        "sk_ rk_ pk_ whsec_",
        f"charged with sk_test_{_fake(24)}",
    ),
    _long("npm", r"\bnpm_[A-Za-z0-9]{36,}", "npm_", f"published with npm_{_fake(36)}"),
    _long("pypi", r"\bpypi-[A-Za-z0-9_-]{60,}", "pypi-", f"published with pypi-{_fake(80)}"),
    _long("hf", r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}", "hf_ api_org_", f"downloaded with hf_{_fake(34)}"),
    _long("vault", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}", "hvs. hvb. hvr.", f"unsealed with hvs.{_fake(24)}"),
    _any_length(
        "pem",
        r"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
        r"(?:-----END [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        ("-----begin",),
        f"-----BEGIN PRIVATE KEY-----\n{_fake(64)}\n-----END PRIVATE KEY-----",
    ),
    _long(
        "note_key",
        r"\bPRIVATE\+KEY\+[!-*,-~]{1,256}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{16,}={0,2}",
        "private+key+",
        f"signed with PRIVATE+KEY+example.com/agents+00000000+{_fake(44)}",
    ),
    _any_length(
        "jwk_private",
        r'"(?:d|p|q|dp|dq|qi|k)"\s*:\s*"([A-Za-z0-9_-]{16,})"',
        ('"',),
        f'{{"kty":"oct","k":"{_fake(43)}"}}',
    ),
    _any_length("userinfo", r"://([^/\s@?#]{1,256})@", ("@",), f"postgresql://app:{_fake(12)}@db.invalid/app"),
    _any_length(
        "basic", rf"(?i:\bbasic)[ \t+]+(?!{_PROSE})([A-Za-z0-9+/]{{8,}}={{0,2}})", ("basic",), "Basic RXhhbXBsZTA6MA=="
    ),
    _any_length(
        "scheme_cred",
        rf"(?i:\b(?:bearer|dpop|token|gnap))[ \t+]+(?!{_PROSE})([A-Za-z0-9._~+/-]{{8,}}=*)",
        ("bearer", "dpop", "token", "gnap"),
        f"sent as Bearer {_fake(24)}",
    ),
    _any_length("sigv4", r"\bSignature=([0-9a-f]{64})", ("=",), f"SignedHeaders=host, Signature={'0' * 64}"),
    _any_length(
        "header",
        rf"""{_starting(_HEADERS)}(?<![A-Za-z0-9_-])(?:(?<=["']){_any(_HEADERS, "-")}["']?[ \t]*[:=]"""
        rf"""(?:[\s"']|\[(?!redacted:)){{0,8}}{_SCHEME}{_TO_QUOTE}"""
        rf"""|(?<!["']){_any(_HEADERS, "-")}[ \t]*[:=][ \t]*{_SCHEME}{_TO_LINE_END})""",
        ("authorization", "cookie", "-key", "token", "client-cert", "dpop", "session-id", "attestation"),
        f"Cookie: session={_fake(12)}; theme=dark",
    ),
    _any_length(
        "query_param",
        rf"{_starting(_PARAMETERS)}(?:(?<=[?&#;])|(?<!\S)(?=[^\s&=]{{1,64}}=[^\s&]*&)|\A(?=\S*\Z))"
        rf"{_any(_PARAMETERS)}=([^&#\s\"'<>]+)",
        ("=",),
        f"https://client.invalid/cb?code={_fake(12)}&page=1",
    ),
    _any_length(
        "named_value",
        rf"{_starting(_NAMES | {'token'})}(?:(?<![A-Za-z0-9]){_any(_NAMES)}|(?<=[A-Za-z0-9-][_-])token"
        rf"|(?-i:(?<=[a-z0-9]){_any(_HUMPED_ENDINGS)}))"
        r"""(?:["']\s{0,8}[:=]|\s{0,8}(?:=(?!=)|:(?=[ "'])))\s{0,8}"""
        rf"(?:{_QUOTED}|{_NUMBER}|([^\s&\"'<>]+))",
        ("=", ": ", '"', "'"),
        f'payload {{"user": "someone", "password": "{_fake(12)}"}}',
    ),
    _any_length(
        "option",
        rf"(?i)(?<![A-Za-z0-9_-])(?:--(?:[a-z0-9]{{1,24}}-){{0,3}}{_any(SECRET_MEMBERS | _ENDINGS)}"
        rf"[ \t]+(?:{_QUOTED}|([^\s\"'-][^\s\"']*))|(?:-u +|--user[ =]+)[\"']?[^\s:\"']{{1,256}}:([^\s\"']+))",
        ("--", "-u "),
        f"deploy --token {_fake(12)} --region south",
    ),
)
"""Every pattern, the particular before the general. Where two find the same secret, the first names it."""

"""What secrets look like: the table of patterns, as data.

The second line of redaction, for text that no position explains. Each row has its rule id, its expression, and the
keywords of which a text must hold at least one before the expression is tried. ``example`` is invented, for the tests.

Three things hold for every row, and tests say so. Expressions follow ASCII rules, so that a key between Chinese
characters is found. None is open to catastrophic backtracking. Rows that begin with a word of ordinary language
(*basic*, *bearer*, *token*) leave prose alone: ``token revocation`` is no credential.
"""

from __future__ import annotations

from typing import Final

from .pattern import fake, long_pattern, marked_pattern, pattern
from .patterns_keys import KEYS
from .patterns_vendors import VENDORS
from .positions_in_text import POSITIONS_IN_TEXT

_PROSE = "[A-Za-z]?[a-z]{0,13}(?:[-/.][A-Za-z]?[a-z]{0,13}){0,8}(?![A-Za-z0-9._~+/=-])"
"""Words of up to 14 letters, joined with hyphens, slashes or dots: language, not a credential."""

PATTERNS: Final = (
    marked_pattern(
        "jwt_jwe",
        r"(?<!-)(?:eyJ|eyA|ew[0ok])[A-Za-z0-9_-]{11,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"
        r"(?:\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)?",
        "eyj eya ew0 ewo ewk",
        f"ID token eyJ{fake(20)}.eyJ{fake(40)}.{fake(43)} refused",
    ),
    marked_pattern(
        "github",
        r"gh[opusr]_[A-Za-z0-9._-]{20,}|github_pat_[A-Za-z0-9_]{20,}",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        f"cloned with ghp_{fake(36)}",
    ),
    marked_pattern(
        "gitlab",
        r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|oas|ffct)-[A-Za-z0-9._-]{20,}",
        "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glagent- gloas- glffct-",
        f"cloned with glpat-{fake(20)}",
    ),
    marked_pattern(
        "slack", r"(?:xox[a-z](?:\.xox[a-z])?-|xapp-)[A-Za-z0-9-]{12,}", "xox xapp-", f"posted as xoxb-{fake(24)}"
    ),
    long_pattern(
        "slack_hook",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/+_-]{20,})",
        "hooks.slack.com",
        f"https://hooks.slack.com/services/{fake(24)}",
    ),
    marked_pattern(
        "aws_key_id",
        r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{16}\b",
        "akia asia abia acca a3t",
        "signed by AKIAEXAMPLEEXAMPLE22",
    ),
    marked_pattern(
        "aws_bedrock",
        r"ABSK[A-Za-z0-9+/]{60,}={0,2}|bedrock-api-key-[A-Za-z0-9+/=_-]{20,}",
        "absk bedrock-api-key-",
        f"asked with bedrock-api-key-{fake(40)}",
    ),
    marked_pattern(
        "openai_like",
        r"sk-(?:proj-|svcacct-|admin-|or-v1-|ant-[a-z]{3,6}[0-9][0-9]-)?[A-Za-z0-9_-]{20,}",
        "sk-",
        f"asked with sk-proj-{fake(40)}",
    ),
    marked_pattern("google_api", r"AIza[A-Za-z0-9_-]{35,}", "aiza", f"asked with AIza{fake(35)}"),
    marked_pattern(
        "google_oauth",
        r"ya29\.[A-Za-z0-9._-]{20,}|1//[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}",
        "ya29. 1// gocspx-",
        f"refreshed ya29.{fake(40)}",
    ),
    pattern(
        "azure_sas",
        r"(?i)[?&;]sig=([A-Za-z0-9%+/=_-]{20,})",
        ("=",),
        f"https://example.invalid/blob?sv=2026&sig={fake(43)}%3D",
    ),
    pattern(
        "azure_storage",
        r"(?i)\b(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})",
        ("=",),
        f"AccountName=example;AccountKey={fake(86)}==",
    ),
    long_pattern(
        "azure_ad_secret",
        r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",
        "q~",
        f"logged in with abc8Q~{fake(34)}",
    ),
    marked_pattern(
        "stripe",
        r"(?:[sr]k|whsec|pk)_(?:test_|live_|prod_)?[A-Za-z0-9]{16,}",
        "sk_ rk_ pk_ whsec_",
        f"charged with sk_test_{fake(24)}",
    ),
    marked_pattern("npm", r"npm_[A-Za-z0-9]{36,}", "npm_", f"published with npm_{fake(36)}"),
    marked_pattern("pypi", r"pypi-[A-Za-z0-9_-]{60,}", "pypi-", f"published with pypi-{fake(80)}"),
    marked_pattern("hf", r"(?:hf|api_org)_[A-Za-z0-9]{30,}", "hf_ api_org_", f"downloaded with hf_{fake(34)}"),
    marked_pattern("vault", r"hv[sbr]\.[A-Za-z0-9_-]{20,}", "hvs. hvb. hvr.", f"unsealed with hvs.{fake(24)}"),
    *VENDORS,
    *KEYS,
    pattern(
        "basic", rf"(?i:\bbasic)[ \t+]+(?!{_PROSE})([A-Za-z0-9+/]{{8,}}={{0,2}})", ("basic",), "Basic RXhhbXBsZTA6MA=="
    ),
    pattern(
        "scheme_cred",
        rf"(?i:\b(?:bearer|dpop|token|gnap))[ \t+]+(?!{_PROSE})([A-Za-z0-9._~+/-]{{8,}}=*)",
        ("bearer", "dpop", "token", "gnap"),
        f"sent as Bearer {fake(24)}",
    ),
    pattern("sigv4", r"\bSignature=([0-9a-f]{64})", ("=",), f"SignedHeaders=host, Signature={'0' * 64}"),
    *POSITIONS_IN_TEXT,
)
"""Every pattern, the particular before the general. Where two find the same secret, the first names it."""

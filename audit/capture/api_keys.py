"""API keys: no specification says how they look, so they are known by header, by parameter and by vendor prefix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import Presentation, TokenClass

from .sighting import Sighting, sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .request import HttpRequest

KEY_HEADERS: Final = (
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "ocp-apim-subscription-key",
    "x-vault-token",
    "private-token",
    "x-github-token",
    "x-auth-token",
)
"""Header fields that carry an API key, in lower case."""

KEY_SCHEMES: Final = frozenset({"token", "apikey", "api-key"})
"""Authorization schemes, registered nowhere, that carry an API key, in lower case."""

_KEY_PARAMETERS: Final = frozenset({"api_key", "apikey", "api-key", "x-api-key"})

# What a vendor puts before its keys: published, so no part of the secret. Access tokens of OAuth that have a prefix
# as well (gho_, ghs_, ya29., sk-ant-oat …) are left out: they are bearer tokens.
_PREFIX = re.compile(
    r"(?:ghp_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|ffct)-|xox[abeoprs]-|xapp-|ABSK|bedrock-api-key-"
    r"|sk-(?!ant-o[ar]t)(?:proj-|svcacct-|admin-|or-|ant-)?|AIza|[rs]k_(?:live|test)_|npm_|pypi-|hf_|api_org_|hv[bsr]\.)"
    r"(?=[A-Za-z0-9._~+/=-]{16})"
)
_MAX_PREFIX: Final = 8

# `key` names many things that are no credentials. What looks like one is long, has a digit, and is one word.
_KEY_LIKE = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9_-]{16,}")


def vendor_prefix(value: str) -> str | None:
    """Return the public prefix of a vendor's API key, at most 8 characters; None where the value has none."""
    match = _PREFIX.match(value)
    return match[0][:_MAX_PREFIX] if match else None


def find_api_keys(request: HttpRequest) -> Iterator[Sighting]:
    """Find API keys in headers of their own and in the query."""
    for header in KEY_HEADERS:
        for value in request.values(header):
            yield from _sight_key(value, Presentation.CUSTOM_HEADER)
    for name, value in request.query.items():
        if name.lower() in _KEY_PARAMETERS or (name == "key" and _KEY_LIKE.fullmatch(value)):
            yield from _sight_key(value, Presentation.QUERY)


def _sight_key(value: str, presentation: Presentation) -> Iterator[Sighting]:
    if value:
        yield sight(TokenClass.API_KEY, presentation, value, prefix=vendor_prefix(value))

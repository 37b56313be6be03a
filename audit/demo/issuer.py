"""Where the keys of the authorization server come from: fetched over TLS when the first token asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2

from .certificates import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..proof.issuer_keys import Fetch


def fetch_keys(brief: dict[str, Any]) -> Fetch:
    """Return the function that fetches the published keys (RFC 7517 §5)."""
    context = Identity.of(brief).client_context(present=False)

    async def fetch() -> Mapping[str, Any]:
        async with httpx2.AsyncClient(trust_env=False, verify=context) as http:
            answer = await http.get(f"{brief['issuer']}/jwks")
        keys: dict[str, Any] = answer.raise_for_status().json()
        return keys

    return fetch

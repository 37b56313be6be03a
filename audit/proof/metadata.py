"""Protected-resource metadata: what a resource server says of itself, so that clients know whom to ask (RFC 9728)."""

from __future__ import annotations

import re
from typing import Final

from counterfoil.schemas import ConfigurationError

_RESOURCE: Final = re.compile(r"(https?://[^/?#@]+)(/[^?#]*)?")
_WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


def metadata_path(resource: str) -> str:
    """Return the path of the metadata of ``resource`` on its own host (RFC 9728 §3.1).

    Raises ``ConfigurationError`` if the identifier is no URL, or has a query or a fragment.
    """
    return _WELL_KNOWN + (_parts(resource)[2] or "").rstrip("/")


def metadata_location(resource: str) -> str:
    """Return the URL of the metadata of ``resource``. Raises ``ConfigurationError`` likewise."""
    return _parts(resource)[1] + metadata_path(resource)


def _parts(resource: str) -> re.Match[str]:
    found = _RESOURCE.fullmatch(resource)
    if not found:
        raise ConfigurationError(
            "metadata needs a resource that is an http or https URL without a query (RFC 9728 §1.2)"
        )
    return found

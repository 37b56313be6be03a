"""Comparing Content-Digest with the content that came (RFC 9530 §2)."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from ..capture.structured_fields import Item, read_dictionary

if TYPE_CHECKING:
    from collections.abc import Collection

_HASHES: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
"""The active algorithms (RFC 9530 §7.2)."""

_MAX_FIELD: Final = 4096


def digest_matches(field: str, content: bytes, algorithms: Collection[str] | None = None) -> bool | None:
    """Say whether every digest that can be computed is that of ``content``; None where none can.

    ``algorithms`` limits which members are looked at. A field that cannot be read does not match.
    """
    members = read_dictionary(field) if len(field) <= _MAX_FIELD else None
    if members is None:
        return False
    compared = [
        isinstance(member, Item)
        and isinstance(member.bare.value, bytes)
        and hmac.compare_digest(member.bare.value, _HASHES[name](content).digest())
        for name, member in members.items()
        if name in _HASHES and (algorithms is None or name in algorithms)
    ]
    return all(compared) if compared else None

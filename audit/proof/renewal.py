"""A certificate other than the bound one: renewed, or somebody else's? As far as the two certificates tell.

A token is bound to a whole certificate, so a renewal looks like a theft at first (RFC 8705 §6.3). What they tell:

1. **The same key.** The TLS handshake proved possession of it, so it is the same sender, or the key leaked as well.
2. **The same subject, another key.** The names are what the certificate says of itself. They count for something only
   where the chain was verified, which a resource server need not do (§6.2); otherwise they are ``claimed``.
3. **Fresh** is a certificate that became good after the bound one did, and within a day before now. A token that is
   still good seldom saw two renewals.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from ..capture.certificate_facts import CertificateFacts

FRESH: Final = timedelta(days=1)
"""How long a certificate counts as fresh after it became good."""


def succession(
    bound: CertificateFacts, presented: CertificateFacts, now: datetime, *, chain_verified: bool
) -> str | None:
    """Say in a few words what ``presented`` is to ``bound``; None where they do not tell. No names, no values."""
    age = "fresh" if _is_fresh(bound, presented, now) else "not fresh"
    if bound.public_key and bound.public_key == presented.public_key:
        return f"another certificate, same key, {age}"
    if not bound.subject or not presented.subject:
        return None
    if bound.subject != presented.subject or (bound.issuer and bound.issuer != presented.issuer):
        return "another subject or issuer"
    key = "new key" if bound.public_key and presented.public_key else "key not compared"
    return f"{'same' if chain_verified else 'claimed same'} subject, {key}, {age}"


def _is_fresh(bound: CertificateFacts, presented: CertificateFacts, now: datetime) -> bool:
    since = presented.not_before
    if since is None or (bound.not_before and since <= bound.not_before):
        return False
    return since <= now <= since + FRESH

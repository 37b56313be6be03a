"""From hostile claims to the fields of a record. What does not fit is left out; what is too long ends with ``…``.

The members are those of a JWT (RFC 7519 §4.1, RFC 9068 §2.2) and, under the same names, of an introspection response
(RFC 7662 §2.2). Nothing here raises: a token is written by whoever made it.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas import BindingMethod, Confirmation, InvalidDigest, Lifetime, Thumbprint

from .jose import jwk_thumbprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_NAME: Final = 512
"""The longest name that a record holds, in characters."""

MAX_NAMES: Final = 64
"""The most names that are taken from one list."""

MAX_ACTORS: Final = 16
"""The longest chain of actors that is taken."""

LAST_SECOND: Final = 253_402_300_799
"""The last second of the year 9999, in Unix time: the end of RFC 3339."""

_KEY_MEMBERS: Final = ("jwk", "jwe", "jku", "jkt", "x5t#S256")

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def name_of(value: object) -> str | None:
    """Return ``value`` as a name of a record: None if it is no text, empty, or has NUL or a lone surrogate."""
    if not isinstance(value, str) or not value or _UNSTORABLE.search(value):
        return None
    return value if len(value) <= MAX_NAME else value[: MAX_NAME - 1] + "…"


def names_of(values: Iterable[object]) -> tuple[str, ...]:
    """Return those of the first 64 values that are names."""
    named = (name_of(value) for value, _ in zip(values, range(MAX_NAMES), strict=False))
    return tuple(name for name in named if name)


def audience_of(value: object) -> tuple[str, ...]:
    """Return ``aud``: one string, or a list of them (RFC 7519 §4.1.3)."""
    return names_of(cast("list[object]", value) if isinstance(value, list) else [value])


def scopes_of(value: object) -> tuple[str, ...]:
    """Return a scope: one string with spaces (RFC 6749 §3.3), or a list as some servers write it."""
    return names_of(
        value.split(" ") if isinstance(value, str) else cast("list[object]", value) if isinstance(value, list) else ()
    )


def instant_of(value: object) -> datetime | None:
    """Return a NumericDate (RFC 7519 §2) as a time; None if it is no number, negative, or after the year 9999."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_SECOND:
        return None
    return datetime.fromtimestamp(value, UTC)


def lifetime_of(claims: Mapping[str, Any]) -> Lifetime:
    """Return when a token is good: ``iat``, ``nbf``, ``exp``, and the seconds between the first and the last."""
    return lifetime_between(instant_of(claims.get("iat")), instant_of(claims.get("exp")), instant_of(claims.get("nbf")))


def lifetime_between(issued: datetime | None, expires: datetime | None, not_before: datetime | None = None) -> Lifetime:
    """Return a lifetime; its length only where both ends are known and in order."""
    known = {"issued_at": issued, "not_before": not_before, "expires_at": expires}
    seconds = math.floor((expires - issued).total_seconds()) if issued and expires and expires >= issued else None
    return Lifetime(**{name: moment for name, moment in known.items() if moment}, seconds=seconds)


def actors_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the subjects of ``act``, the current actor first (RFC 8693 §4.1). The chain ends where one has none."""
    chain: list[str] = []
    actor = claims.get("act")
    while isinstance(actor, dict) and len(chain) < MAX_ACTORS:
        members = cast("dict[str, Any]", actor)
        subject = name_of(members.get("sub"))
        if subject is None:
            break
        chain.append(subject)
        actor = members.get("act")
    return tuple(chain)


def confirmation_of(cnf: object) -> Confirmation:
    """Return ``cnf`` (RFC 7800 §3.1) as far as it is public: thumbprints, key id, and the names of its members."""
    if not isinstance(cnf, dict):
        return Confirmation()
    members = cast("dict[str, Any]", cnf)
    return Confirmation(
        jkt=thumbprint_of(members.get("jkt")),
        x5t_s256=thumbprint_of(members.get("x5t#S256")),
        kid=name_of(members.get("kid")),
        members=tuple(sorted({*names_of(members), *(name for name in _KEY_MEMBERS if name in members)})),
    )


def declared_by(claims: Mapping[str, Any]) -> BindingMethod:
    """Return the binding that ``cnf`` declares: none where it is absent, unknown where no method is defined for it."""
    cnf = claims.get("cnf")
    if cnf is None:
        return BindingMethod.NONE
    if isinstance(cnf, dict) and "jkt" in cnf:
        return BindingMethod.DPOP
    if isinstance(cnf, dict) and "x5t#S256" in cnf:
        return BindingMethod.MTLS
    return BindingMethod.UNKNOWN


def bound_key_of(claims: Mapping[str, Any]) -> Thumbprint | None:
    """Return the thumbprint of the key or certificate that ``cnf`` names, or of the public key that it holds."""
    cnf = claims.get("cnf")
    if not isinstance(cnf, dict):
        return None
    members = cast("dict[str, Any]", cnf)
    named = thumbprint_of(members.get("jkt")) or thumbprint_of(members.get("x5t#S256"))
    return named or jwk_thumbprint(members.get("jwk"))


def thumbprint_of(value: object) -> Thumbprint | None:
    """Return ``value`` as a thumbprint if it has the form of one."""
    try:
        return Thumbprint(value) if isinstance(value, str) else None
    except InvalidDigest:
        return None


def token_fields(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of ``Token`` that claims, or an introspection response, state."""
    fields: dict[str, Any] = {
        "issuer": name_of(claims.get("iss")),
        "subject": name_of(claims.get("sub")),
        "client_id": name_of(claims.get("client_id")),
        "audience": audience_of(claims.get("aud")),
        "scopes": scopes_of(claims.get("scope", claims.get("scp"))),
        "lifetime": lifetime_of(claims),
        "jti": name_of(claims.get("jti")),
    }
    if "cnf" in claims:
        fields["confirmation"] = confirmation_of(claims["cnf"])
    return fields

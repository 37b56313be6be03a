"""The public keys of an issuer of tokens: a JWK Set (RFC 7517 §5), read once, and fetched again when it is due.

1. Only public signing keys are taken. A symmetric key never verifies: whoever could verify with it could also sign.
2. An RSA modulus has 2048 to 8192 bits (RFC 7518 §3.3); a key that is none of ours is passed over (RFC 7517 §5).
3. A set in which no key is left is an error: an empty list must not look like a list that was checked.
4. Fetched keys are good for a while. A token with a key id that is not among them has them fetched again, since issuers
   rotate their keys; but not more often than every few seconds, since anybody can make up a key id.
5. If fetching fails, keys that have not run out yet go on serving; afterwards nothing verifies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

from counterfoil.schemas import ConfigurationError

from ..capture.jose import public_members
from .keys import ALGORITHMS, MAX_RSA_BITS, MIN_RSA_BITS, private_members

if TYPE_CHECKING:
    from .signatures import VerificationKey

Fetch: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
"""Returns the issuer's JWK Set as parsed JSON. Whatever it raises means that the keys cannot be had now."""

_MAX_KEYS: Final = 64
_ATTEMPTS: Final = 8  # keys that are tried for one token without a key id
_AGAIN: Final = 5.0  # seconds between two fetches that tokens can cause
_AFTER_FAILURE: Final = 1.0  # seconds until keys that could not be had are asked for again


@dataclass(frozen=True, slots=True)
class _Key:
    kid: str | None
    alg: str | None
    kind: str
    verification: VerificationKey


class IssuerKeys:
    """The keys of one issuer, ready to verify."""

    def __init__(self, keys: tuple[_Key, ...]) -> None:
        """Use ``of_jwks``."""
        self._keys = keys

    @classmethod
    def of_jwks(cls, jwks: object) -> Self:
        """Read a JWK Set, as parsed JSON. Raises ``ConfigurationError`` if no key in it can verify."""
        members = cast("dict[str, object]", jwks).get("keys") if isinstance(jwks, Mapping) else None
        given = cast("list[object]", members)[:_MAX_KEYS] if isinstance(members, list) else []
        keys = tuple(key for each in given if (key := _read(each)))
        if not keys:
            raise ConfigurationError("this is no JWK Set with a public signing key in it (RFC 7517 §5)")
        return cls(keys)

    def has(self, kid: str) -> bool:
        """Whether a key has this id, or has none and may be it."""
        return any(key.kid in {None, kid} for key in self._keys)

    def candidates(self, alg: str, kid: str | None) -> list[VerificationKey]:
        """Return the keys that may have signed a token: fit for ``alg``, and of this id where there is one."""
        fitting = [key for key in self._keys if key.kind in ALGORITHMS[alg] and key.alg in {None, alg}]
        return [key.verification for key in fitting if kid is None or key.kid in {None, kid}][:_ATTEMPTS]


def _read(jwk: object) -> _Key | None:
    from .signatures import import_key

    members = cast("dict[str, Any]", jwk) if isinstance(jwk, dict) else {}
    public = public_members(members)
    if public is None or private_members(members) or members.get("use", "sig") != "sig":
        return None
    kind = public.members.get("crv", "RSA")
    if kind == "RSA" and not MIN_RSA_BITS <= int.from_bytes(public.octets[1], "big").bit_length() <= MAX_RSA_BITS:
        return None
    if not any(kind in kinds for kinds in ALGORITHMS.values()):
        return None
    try:
        verification = import_key(kind, public.octets)
    except Exception:  # noqa: BLE001 -- a curve that the library lacks is a key that is none of ours
        return None
    if verification is None:
        return None
    kid, alg = members.get("kid"), members.get("alg")
    return _Key(kid if isinstance(kid, str) else None, alg if isinstance(alg, str) else None, kind, verification)


class KeySource:
    """Where the keys of one issuer come from: a JWK Set, or a function that fetches one.

    Fetched keys are good for ``lifetime`` seconds. ``patience`` seconds bound every fetch.
    """

    def __init__(
        self,
        jwks: Mapping[str, Any] | Fetch,
        *,
        lifetime: float = 300.0,
        patience: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read a JWK Set at once. Raises ``ConfigurationError`` for one without a usable key, and ``MissingExtra``."""
        self._fetch = jwks if callable(jwks) else None
        self._keys = None if callable(jwks) else IssuerKeys.of_jwks(jwks)
        self._lifetime, self._patience, self._clock = lifetime, patience, clock
        self._good_until = self._again_from = float("-inf")
        self._fetching: asyncio.Lock | None = None

    async def keys(self, kid: str | None) -> IssuerKeys | None:
        """Return the keys for a token with this key id; None where they cannot be had now."""
        if self._fetch is None:
            return self._keys
        if self._is_due(kid):
            # Made here, since a lock belongs to the loop in which it is first waited for.
            self._fetching = self._fetching or asyncio.Lock()
            async with self._fetching:
                if self._is_due(kid):
                    await self._refresh(self._fetch)
        return self._keys if self._clock() < self._good_until else None

    def _is_due(self, kid: str | None) -> bool:
        now = self._clock()
        unknown = self._keys is None or (kid is not None and not self._keys.has(kid))
        return now >= self._again_from and (unknown or now >= self._good_until)

    async def _refresh(self, fetch: Fetch) -> None:
        try:
            async with asyncio.timeout(self._patience):
                self._keys = IssuerKeys.of_jwks(await fetch())
        except Exception:  # noqa: BLE001 -- whatever kept the keys away, nothing new is known of the issuer
            self._again_from = self._clock() + _AFTER_FAILURE
        else:
            self._again_from = self._clock() + _AGAIN
            self._good_until = self._clock() + self._lifetime

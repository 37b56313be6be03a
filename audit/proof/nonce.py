"""The nonces of a server, without a store (RFC 9449 §8, §9).

Time is cut into spans, and each span has one nonce: an HMAC of its number. Nobody without the key can tell the next
one, so that a proof that holds it was made in that span or later; and servers that share the key accept each other's.
A nonce may be used again, a ``jti`` may not.
"""

from __future__ import annotations

import hmac
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import ConfigurationError
from counterfoil.schemas.values import b64url

if TYPE_CHECKING:
    from datetime import datetime

_DOMAIN: Final = b"counterfoil/dpop-nonce/1"
_MIN_KEY: Final = 16
_OCTETS: Final = 16


class ServerNonces:
    """Makes the nonces of one origin, and says which are accepted. The key is shown nowhere.

    ``key`` has at least 16 secret bytes, the same for every server of ``origin``; without one the nonces are good in
    this process alone. ``origin`` keeps those of an authorization server apart from those of a resource (§9). A nonce
    is accepted during its ``span`` and the next, and a span early from a server whose clock is ahead. Raises
    ``ConfigurationError``.
    """

    __slots__ = ("_key", "_origin", "_span")

    def __init__(self, origin: str, *, key: bytes | None = None, span: timedelta = timedelta(seconds=60)) -> None:
        if key is not None and len(key) < _MIN_KEY:
            raise ConfigurationError(f"a key for nonces needs at least {_MIN_KEY} bytes")
        if span < timedelta(seconds=1):
            raise ConfigurationError("the span of a nonce is at least a second")
        self._key = os.urandom(32) if key is None else key
        self._origin = origin.encode("utf-8", "surrogatepass")
        self._span = span.total_seconds()

    @property
    def lifetime(self) -> timedelta:
        """The longest time that a nonce is accepted: for ``DpopPolicy.nonce_lifetime``."""
        return timedelta(seconds=3 * self._span)

    def issue(self, now: datetime) -> str:
        """Return the nonce for ``DPoP-Nonce``: 22 characters of base64url."""
        return self._nonce(self._number(now))

    def accepted(self, now: datetime) -> tuple[str, ...]:
        """Return the nonces that are good now, for ``inspect_dpop``: the current one first."""
        number = self._number(now)
        return tuple(self._nonce(each) for each in (number, number - 1, number + 1))

    def _number(self, now: datetime) -> int:
        if now.utcoffset() is None:
            raise ConfigurationError("now has no time zone")
        return int(now.timestamp() // self._span)

    def _nonce(self, number: int) -> str:
        message = b"\x00".join((_DOMAIN, self._origin, b"%.6f" % self._span, b"%d" % number))
        return b64url(hmac.digest(self._key, message, "sha256")[:_OCTETS])

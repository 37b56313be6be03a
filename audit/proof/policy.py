"""What a server accepts as a DPoP proof."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from counterfoil.schemas import ConfigurationError

from .keys import ALGORITHMS

_NOTHING: Final = timedelta()


@dataclass(frozen=True, slots=True)
class DpopPolicy:
    """The limits of a DPoP proof. Raises ``ConfigurationError`` for limits that nothing could keep to."""

    max_age: timedelta = timedelta(seconds=60)
    """How old a proof may be by ``iat``: seconds, or minutes (RFC 9449 §11.1)."""
    skew: timedelta = timedelta(seconds=15)
    """How far in the future ``iat`` may lie, since clocks differ (§11.1)."""
    algorithms: frozenset[str] = frozenset(ALGORITHMS)
    """The signature algorithms that are accepted, of those in ``keys.ALGORITHMS`` (§11.6)."""
    nonce_lifetime: timedelta | None = None
    """For how long a nonce is accepted. If given, a good nonce tells the time, and ``iat`` does not (§4.3 item 11)."""
    max_proof: int = 8192
    """The longest proof that is read, in characters. One with an RSA key of 8192 bits takes about 4,000."""
    max_jti: int = 256
    """The longest ``jti``, in characters (§11.1)."""
    window: tuple[float, float] = field(init=False, repr=False, compare=False)
    """Between which seconds from now ``iat`` may lie: the first is negative."""
    retention: float = field(init=False, repr=False, compare=False)
    """How many seconds a proof is remembered: with ``iat`` ahead by the skew it is good for max_age from there."""

    def __post_init__(self) -> None:
        """Check that each limit has a meaning."""
        if not self.algorithms or not self.algorithms <= ALGORITHMS.keys():
            raise ConfigurationError(f"a DPoP policy allows some of these algorithms: {', '.join(ALGORITHMS)}")
        if self.max_age <= _NOTHING or self.skew < _NOTHING:
            raise ConfigurationError("max_age has to be more than zero, and skew not less")
        if self.nonce_lifetime is not None and self.nonce_lifetime <= _NOTHING:
            raise ConfigurationError("nonce_lifetime has to be more than zero")
        if min(self.max_proof, self.max_jti) < 1:
            raise ConfigurationError("max_proof and max_jti have to be at least 1")
        longest = max(self.max_age + self.skew, self.nonce_lifetime or _NOTHING)
        object.__setattr__(self, "window", (-self.max_age.total_seconds(), self.skew.total_seconds()))
        object.__setattr__(self, "retention", longest.total_seconds() + 1)

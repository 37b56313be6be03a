"""What a resource server decided about a request, and what the record says of how it came to that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from counterfoil.schemas import BindingMethod, HtuSource, Proof

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from ..capture import HttpRequest, TokenFacts

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Field lines of an answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to give instead of the application's. It has no body, and holds nothing of the request."""

    status: int
    """400, 401, 403, or 503 where the checking itself failed."""
    headers: Headers = field(default=(), repr=False)
    """``WWW-Authenticate`` (RFC 6750 §3, RFC 9449 §7.1), ``DPoP-Nonce`` (RFC 9449 §9)."""
    error: str | None = None
    """The error code; None where the request presented nothing."""


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """What was decided. Its ``repr`` shows no claim."""

    refusal: Refusal | None = None
    """Why not, and how to say so; None: let the request pass."""
    proof: Proof | None = None
    """For the record of the main credential; None where no credential was demanded."""
    verified: BindingMethod = BindingMethod.NONE
    """By what means possession was shown, and found good."""
    facts: TokenFacts | None = None
    """What is known of the token now; None where it is not to be trusted."""
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The verified claims, or the introspection response; empty where the request is refused."""
    headers: Headers = ()
    """What the answer carries besides its own: a nonce for the next proof (RFC 9449 §8.2)."""
    document: bytes | None = None
    """The protected-resource metadata, where the request asks for it (RFC 9728 §3.2): JSON, the whole answer."""

    def __repr__(self) -> str:
        return f"<Verdict, refused with {self.refusal.status}>" if self.refusal else "<Verdict, passed>"


class Verifier(Protocol):
    """Decides about requests. ``ResourceServer`` is one."""

    @property
    def accepted_audiences(self) -> Collection[str]:
        """The audience identifiers that the server takes for its own, for the record."""
        ...

    @property
    def metadata_url(self) -> str | None:
        """Where its protected-resource metadata stands (RFC 9728 §3)."""
        ...

    async def decide(
        self,
        request: HttpRequest,
        *,
        now: datetime,
        certificate: bytes | None = None,
        trusted_hop: bool = False,
        htu_source: HtuSource = HtuSource.UNKNOWN,
    ) -> Verdict:
        """Check what the request presents. Raises nothing over what it holds."""
        ...

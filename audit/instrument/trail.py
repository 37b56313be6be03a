"""What one answer says about the next request: a redirect to follow, or a nonce to try again with.

httpx and httpx2 send each hop of a redirect, and each attempt of an authentication flow, through the transport again.
What ties them together is ``request.extensions``: a flow sends the same request once more, or one made with the
extensions of the first, and a redirect copies them. There such an answer leaves a trail.

Rules:

1. Only a redirect and a demand for a nonce leave one. Extensions are replaced, never changed: callers may share them.
2. A trail holds no request and no credential; digests, fingerprints, the nonce, and a URI that is redacted. It lives
   as long as the requests that it belongs to, and keeps at most 64 answers of each sort.
3. What it says is taken once, by the request that it speaks of: for a redirect, one to its target; for a nonce, one
   with the same method, URI and credential.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from counterfoil.schemas.values import Fingerprint
from counterfoil.schemas.vocabulary import Presentation, TokenClass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from counterfoil.schemas import Token

Shown: TypeAlias = tuple[TokenClass, Presentation, Fingerprint | None]
"""A credential in its place: what is equal in two attempts of one use."""

_Place = TypeVar("_Place")
_Left = TypeVar("_Left")

_EXTENSION: Final = "counterfoil.trail"
_MOST = 64


@dataclass(frozen=True, slots=True, repr=False)
class Attempt:
    """An attempt of a use that the server answered with a nonce to try again with (RFC 9449 §8, §9)."""

    use_id: UUID
    number: int
    """From 1."""
    nonce: str | None = None
    """The nonce, to check the next proof with."""


@dataclass(slots=True, repr=False)
class Trail:
    """What the answers to some requests that follow from each other said of the next one."""

    _redirects: dict[bytes, str] = field(default_factory=dict[bytes, str])
    _attempts: dict[tuple[bytes, Shown], Attempt] = field(default_factory=dict[tuple[bytes, Shown], Attempt])

    def leave_redirect(self, target: str, origin: str) -> None:
        """Say that ``origin``, a redacted URI, redirected to ``target``."""
        _keep(self._redirects, _digest(target), origin)

    def take_redirect(self, target: str) -> str | None:
        """Return from where a request to ``target`` was redirected, once."""
        return self._redirects.pop(_digest(target), None)

    def leave_attempt(self, method: str, uri: str, credential: Shown, attempt: Attempt) -> None:
        """Say that the server asked for another attempt of this use."""
        _keep(self._attempts, (_digest(uri, method), credential), attempt)

    def take_attempt(self, method: str, uri: str, credential: Shown) -> Attempt | None:
        """Return the attempt that such a request comes after, once."""
        return self._attempts.pop((_digest(uri, method), credential), None)


def trail_in(extensions: Mapping[str, Any]) -> Trail | None:
    """Return the trail that an earlier answer left."""
    found = extensions.get(_EXTENSION)
    return found if isinstance(found, Trail) else None


def with_trail(extensions: Mapping[str, Any], trail: Trail) -> dict[str, Any]:
    """Return extensions with a trail, for this request and those that are made from it."""
    return {**extensions, _EXTENSION: trail}


def shown(token: Token) -> Shown:
    """Return the credential in its place."""
    return token.token_class, token.presentation, token.fingerprint


def _digest(uri: str, method: str = "") -> bytes:
    """Return a digest of a URI without its fragment, which never reaches a server."""
    return sha256(f"{method} {uri.partition('#')[0]}".encode("utf-8", "surrogatepass")).digest()


def _keep(answers: dict[_Place, _Left], place: _Place, answer: _Left) -> None:
    if len(answers) >= _MOST:  # nobody came for them
        answers.clear()
    answers[place] = answer

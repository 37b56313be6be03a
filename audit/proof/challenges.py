"""Writing challenges: what a resource server says in ``WWW-Authenticate`` (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1).

Each scheme that is supported has a challenge of its own, in a field of its own. The error stands on the scheme that the
request used (RFC 9449 §7.2). Nothing of the request is repeated: codes and sentences are constants, the rest is
configuration, and every value is quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .verdict import Headers

INVALID_REQUEST: Final = "invalid_request"
INVALID_TOKEN: Final = "invalid_token"  # noqa: S105 -- an error code (RFC 6750 §3.1)
INSUFFICIENT_SCOPE: Final = "insufficient_scope"
INVALID_DPOP_PROOF: Final = "invalid_dpop_proof"
USE_DPOP_NONCE: Final = "use_dpop_nonce"
UNAVAILABLE: Final = "temporarily_unavailable"

_SENTENCES: Final = {
    INVALID_REQUEST: "More than one credential was presented",
    INVALID_TOKEN: "The access token is not valid for this request",
    INSUFFICIENT_SCOPE: "The access token lacks a scope",
    INVALID_DPOP_PROOF: "The DPoP proof is missing or not valid",
    USE_DPOP_NONCE: "The resource server requires a nonce in the DPoP proof",
}

_UNQUOTABLE: Final = re.compile(r"[^\x20-\x7e]")
_ESCAPED: Final = re.compile(r'(["\\])')


@dataclass(frozen=True, slots=True)
class Challenger:
    """What a server challenges with."""

    bearer: bool
    """Whether it takes tokens under ``Bearer``."""
    dpop_algorithms: tuple[str, ...] = ()
    """The algorithms of proofs that it takes; empty: it does not take DPoP."""
    metadata_url: str | None = None
    """Where its protected-resource metadata stands."""

    def challenges(self, error: str | None = None, *, used: str = "", scopes: Collection[str] = ()) -> Headers:
        """Return the fields. ``used`` is the scheme of the request; without ``error`` it presented nothing.

        ``invalid_request`` stands on every scheme, since the request used several (RFC 9449 Figure 19).
        """
        schemes = [*(["Bearer"] if self.bearer else []), *(["DPoP"] if self.dpop_algorithms else [])]
        blamed = schemes if error == INVALID_REQUEST else [used if used in schemes else schemes[-1]]
        return tuple(
            (
                "WWW-Authenticate",
                _written(scheme, self._parameters(scheme, error if scheme in blamed else None, scopes)),
            )
            for scheme in schemes
        )

    def _parameters(self, scheme: str, error: str | None, scopes: Collection[str]) -> Iterator[tuple[str, str]]:
        if error:
            yield "error", error
            yield "error_description", _SENTENCES[error]
        if scopes and error in {None, INSUFFICIENT_SCOPE}:
            yield "scope", " ".join(scopes)
        if scheme == "DPoP":
            yield "algs", " ".join(self.dpop_algorithms)
        if self.metadata_url:
            yield "resource_metadata", self.metadata_url


def _written(scheme: str, parameters: Iterator[tuple[str, str]]) -> str:
    shown = ", ".join(f'{name}="{_quoted(value)}"' for name, value in parameters)
    return f"{scheme} {shown}" if shown else scheme


def _quoted(value: str) -> str:
    """Return the inside of a quoted string (RFC 9110 §5.6.4)."""
    return _ESCAPED.sub(r"\\\1", _UNQUOTABLE.sub("?", value))

"""What a refusal says of itself: its error code, from ``WWW-Authenticate`` or from a token endpoint's JSON.

Challenges are lists in which commas separate parameters as well as challenges (RFC 9110 §11.6.1); several may share a
line, so that ``error=`` belongs to a scheme. Only codes that a document defines are returned, since the other side may
answer with whatever it was sent: anything else is ``_OTHER``. Nothing here raises over what an answer holds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

ERROR_CODES: Final = frozenset(
    {
        *("invalid_request", "invalid_token", "insufficient_scope"),  # RFC 6750 §3.1
        *("invalid_client", "invalid_grant", "unauthorized_client"),  # RFC 6749 §5.2
        *("unsupported_grant_type", "invalid_scope"),  # the same
        *("invalid_dpop_proof", "use_dpop_nonce"),  # RFC 9449 §12.2
        *("authorization_pending", "slow_down", "access_denied", "expired_token"),  # RFC 8628 §3.5
        *("insufficient_user_authentication",),  # RFC 9470 §3
        *("invalid_target",),  # RFC 8707 §2
        *("invalid_authorization_details",),  # RFC 9396 §5
        *("unsupported_token_type",),  # RFC 7009 §2.2.1
    }
)
"""The error codes that are kept."""

OTHER: Final = "_OTHER"
"""Any other code (OpenTelemetry ``error.type``)."""

USE_DPOP_NONCE: Final = "use_dpop_nonce"
"""The server asks for the same request with a fresh proof that holds its nonce (RFC 9449 §8, §9)."""

MAX_ANSWER: Final = 8192
"""How much of the challenges, or of the JSON, is read, in characters or bytes."""

_MAX_PARTS = 128
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_END = r"(?=[ \t]*(?:,|$))"
_SEPARATORS = re.compile(r"[ \t,]*")
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD})){_END}')
_SCHEME = re.compile(rf"({_WORD})(?:[ \t]+|{_END})")
_TOKEN68 = re.compile(rf"[A-Za-z0-9._~+/-]+=*{_END}")
_JUNK = re.compile(r'(?:"(?:[^"\\]|\\.)*(?:"|\\?$)|[^,"])*')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True, repr=False)
class Challenge:
    """One challenge. Its ``repr`` shows nothing: a server can put anything there."""

    scheme: str
    """In lower case."""
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    """By name in lower case; of a repeated one the first."""


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges of all ``WWW-Authenticate`` field lines, in order. What has no valid form is passed over.

    At most 8 KiB and 128 parts are read.
    """
    found, parts, left = list[Challenge](), _MAX_PARTS, MAX_ANSWER
    for value in values:  # each by itself: what is malformed in one shall not spoil the next
        text, at, left = value[:left], 0, left - len(value[:left])
        while parts and (at := _end(_SEPARATORS, text, at)) < len(text):
            at, parts = _read_part(text, at, found), parts - 1
    return found


def _read_part(text: str, at: int, found: list[Challenge]) -> int:
    """Read a parameter of the last challenge, or the beginning of a new one; return where it ends."""
    if found and (parameter := _PARAMETER.match(text, at)):
        name, quoted, plain = parameter.groups()
        value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        found[-1].parameters.setdefault(name.lower(), value)
        return parameter.end()
    if scheme := _SCHEME.match(text, at):
        found.append(Challenge(scheme[1].lower()))
        at = scheme.end()
        return at if _PARAMETER.match(text, at) else _end(_TOKEN68, text, at)
    return _end(_JUNK, text, at)


def challenge_error(values: Iterable[str], scheme: str) -> str | None:
    """Return the error code of the challenges: that of the scheme which was used, if it has one, else the first.

    A server that takes both Bearer and DPoP puts the error on the scheme that was used (RFC 9449 §7.2).
    """
    coded = [(each.scheme, code) for each in parse_challenges(values) if (code := each.parameters.get("error"))]
    codes = [code for used, code in coded if used == scheme.lower()] or [code for _, code in coded]
    return _registered(codes[0]) if codes else None


def token_error(content: bytes) -> str | None:
    """Return the error code of a token endpoint's answer (RFC 6749 §5.2); of at most 8 KiB."""
    if len(content) > MAX_ANSWER:
        return None
    try:
        answer: Any = json.loads(content)
    except (ValueError, RecursionError):
        return None
    code = cast("dict[str, object]", answer).get("error") if isinstance(answer, dict) else None
    return _registered(code) if isinstance(code, str) and code else None


def _registered(code: str) -> str:
    return code if code in ERROR_CODES else OTHER


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at

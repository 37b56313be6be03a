"""The claims of a DPoP proof against the request, the clock, the nonces and the token (RFC 9449 §4.3 items 3, 8 to 12).

Each function settles its checks. A claim that is missing fails ``03`` and leaves its own check unperformed, except the
two that are due only sometimes: ``ath`` fails ``12a``, ``nonce`` fails ``10`` and ``16``. A claim that stands twice is
refused by ``jose.duplicate_member``, and what needs it is not performed.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, TypeGuard

from counterfoil.schemas import CheckId, CheckOutcome
from counterfoil.schemas.values import b64url

from ..capture.claims import LAST_SECOND
from ..capture.sighting import octets
from .htu import compare_htu

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..capture.request import HttpRequest
    from .inspection import Outcomes
    from .jws import Jws
    from .policy import DpopPolicy

_REQUIRED: Final = ("jti", "htm", "htu")


def judge_required(jws: Jws, outcomes: Outcomes) -> None:
    """Judge ``03``: the claims that RFC 9449 §4.2 always asks for are there, each of its type."""
    wrong = [name for name in _REQUIRED if not isinstance(jws.claims.get(name), str)]
    if not is_number(jws.claims.get("iat")):
        wrong.append("iat")
    if not wrong:
        outcomes.settle(CheckId.DPOP_REQUIRED_CLAIMS, CheckOutcome.PASS)
    elif not jws.ambiguous or any(name in jws.claims for name in wrong):
        observed = ", ".join(f"{name} {_state(jws.claims, name)}" for name in wrong)
        outcomes.judge(CheckId.DPOP_REQUIRED_CLAIMS, good=False, observed=observed)


def _state(claims: Mapping[str, object], name: str) -> str:
    return "of another type" if name in claims else "absent"


def is_number(value: object) -> TypeGuard[float]:
    """Whether a JSON value is a number; in Python a boolean is one too."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def judge_request(request: HttpRequest, jws: Jws, outcomes: Outcomes) -> None:
    """Judge ``htm`` and ``htu``: this method, at this URI."""
    htm, htu = jws.claims.get("htm"), jws.claims.get("htu")
    if isinstance(htm, str):
        outcomes.compare(CheckId.DPOP_HTM, request.method, htm)
    if isinstance(htu, str):
        _judge_htu(request.url, htu, outcomes)


def _judge_htu(url: str, htu: str, outcomes: Outcomes) -> None:
    found = compare_htu(url, htu)
    if found.equal and found.has_query:  # a mistake of the client, which the RFC tells a server to overlook
        outcomes.settle(CheckId.DPOP_HTU, CheckOutcome.PASS, observed=f"{found.observed} with a query")
    else:
        observed = found.observed or "no http or https URI, or one with user information"
        outcomes.judge(CheckId.DPOP_HTU, found.equal, expected=found.expected, observed=observed)


def judge_nonce(nonces: Collection[str], jws: Jws, outcomes: Outcomes) -> None:
    """Judge ``10`` and ``16``: one of the nonces that the server accepts now, and not none after it gave some."""
    nonce = jws.claims.get("nonce")
    if not nonces or (nonce is None and jws.ambiguous):
        return
    outcomes.judge(CheckId.DPOP_NONCE_DOWNGRADE, isinstance(nonce, str))
    outcomes.judge(CheckId.DPOP_NONCE, isinstance(nonce, str) and _among(nonces, octets(nonce)))


def _among(nonces: Collection[str], nonce: bytes) -> bool:
    """Compare with every one, so that the time taken tells nothing."""
    found = False
    for each in nonces:
        found |= hmac.compare_digest(octets(each), nonce)
    return found


def judge_time(now: float, policy: DpopPolicy, jws: Jws, outcomes: Outcomes) -> None:
    """Judge ``11``: made within the window around ``now`` (Unix time), by the nonce or by ``iat``."""
    iat = jws.claims.get("iat")
    if policy.nonce_lifetime and outcomes.passed(CheckId.DPOP_NONCE):
        outcomes.settle(CheckId.DPOP_TIME, CheckOutcome.PASS)
    elif is_number(iat):
        oldest, newest = policy.window
        ahead = iat - now if 0 <= iat <= LAST_SECOND else None
        if ahead is not None and oldest <= ahead <= newest:
            outcomes.settle(CheckId.DPOP_TIME, CheckOutcome.PASS)
        else:
            expected = f"{oldest:+g} s to {newest:+g} s"
            outcomes.judge(CheckId.DPOP_TIME, good=False, expected=expected, observed=_seconds(ahead))


def _seconds(ahead: float | None) -> str:
    return "no time of this era" if ahead is None else f"{ahead:+,.3f} s"


def judge_ath(token: str, jws: Jws, outcomes: Outcomes) -> None:
    """Judge ``12a``: the hash of this token (RFC 9449 §4.2)."""
    ath = jws.claims.get("ath")
    if ath is None and jws.ambiguous:
        return
    expected = b64url(hashlib.sha256(octets(token)).digest()).encode("ascii")
    outcomes.judge(CheckId.DPOP_ATH, isinstance(ath, str) and hmac.compare_digest(octets(ath), expected))

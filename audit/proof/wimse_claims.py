"""The claims of a workload identity and of its proof, against the request and the clock (draft-ietf-wimse-wpt).

Each function settles its check. A claim that stands twice is refused by ``jose.duplicate_member``; what needs it is not
performed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas import CheckId, CheckOutcome
from counterfoil.schemas.values import b64url

from ..capture.claims import LAST_SECOND, MAX_NAME
from ..capture.sighting import octets
from .claims import is_number
from .htu import compare_htu
from .shown import shown

if TYPE_CHECKING:
    from ..capture.request import HttpRequest
    from .inspection import Outcomes
    from .jws import Jws

MAX_AUDIENCES: Final = 16
"""The most values of ``aud`` that are looked at."""

MAX_OTHER_TOKENS: Final = 16
"""The most entries of ``oth`` that are looked at; more are refused."""

_WORKLOAD: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+://([a-z0-9._-]{1,255})(?:/[!-\"$->@-~]*+)?")
_MAX_WORKLOAD: Final = 2048


def is_of_type(typ: object, media_type: str) -> bool:
    """Whether ``typ`` names a media type; ``application/`` may be left out (RFC 7515 §4.1.9)."""
    return isinstance(typ, str) and typ.lower().removeprefix("application/") == media_type


def trust_domain(sub: object) -> str | None:
    """Return the trust domain of a workload identifier: the authority of its URI. None where it is none."""
    match = _WORKLOAD.fullmatch(sub) if isinstance(sub, str) and len(sub) <= _MAX_WORKLOAD else None
    return match[1] if match else None


def left_out(jws: Jws, name: str) -> bool:
    """Whether a claim may have stood twice, so that neither value was taken."""
    return jws.ambiguous and name not in jws.claims


def judge_identity(identity: Jws, outcomes: Outcomes) -> None:
    """Judge ``01``: a token of this kind, about one workload."""
    check, typ = CheckId.WIMSE_WIT_WELL_FORMED, identity.header.get("typ")
    if not is_of_type(typ, "wit+jwt"):
        outcomes.judge(check, good=False, expected="typ wit+jwt", observed=f"typ {shown(typ)}")
        return
    workload = trust_domain(identity.claims.get("sub"))
    outcomes.judge(check, workload, expected="a sub that is the URI of a workload", observed="none")


def judge_identity_time(now: float, skew: float, identity: Jws, outcomes: Outcomes) -> None:
    """Judge ``03``: not expired, and begun, where it says when (RFC 7519 §4.1.4, §4.1.5)."""
    expires = identity.claims.get("exp")
    begins: list[object] = [identity.claims[name] for name in ("nbf", "iat") if name in identity.claims]
    begun = all(is_number(each) and each <= now + skew for each in begins)
    outcomes.judge(
        CheckId.WIMSE_WIT_TIME,
        begun and is_number(expires) and now < expires,
        expected="exp ahead, nbf and iat past",
        observed=", ".join(_from_now(now, each) for each in (expires, *begins)),
    )


def _from_now(now: float, value: object) -> str:
    if not is_number(value):
        return shown(value)
    return f"{value - now:+,.3f} s" if 0 <= value <= LAST_SECOND else "no time of this era"


def judge_audience(url: str, accepted: frozenset[str], proof: Jws, outcomes: Outcomes) -> None:
    """Judge ``07``: made for this URI, without query and fragment, or for a name that the server goes by."""
    stated = proof.claims.get("aud")
    named = cast("list[object]", stated) if isinstance(stated, list) else [cast("object", stated)]
    if left_out(proof, "aud"):
        return
    texts = [each for each in named[:MAX_AUDIENCES] if isinstance(each, str)]
    compared = [compare_htu(url, each) for each in texts]
    good = any(found.equal for found in compared) or not accepted.isdisjoint(texts)
    expected = compared[0].expected if compared else None
    observed = (compared[0].observed or "no http or https URI") if compared else "no text"
    outcomes.judge(CheckId.WIMSE_AUD, good, expected=expected, observed=observed)


def judge_expiry(now: float, lifetime: float, proof: Jws, outcomes: Outcomes) -> None:
    """Judge ``08``: not expired, and not good for unreasonably long."""
    expires = proof.claims.get("exp")
    if left_out(proof, "exp"):
        return
    good = is_number(expires) and now < expires <= now + lifetime
    expected = f"up to {lifetime:+g} s"
    outcomes.judge(CheckId.WIMSE_TIME, good, expected=expected, observed=_from_now(now, expires))


def judge_proof(identity: str, proof: Jws, outcomes: Outcomes) -> None:
    """Judge ``09``: the hash of the identity that came with it."""
    if not left_out(proof, "wth"):
        outcomes.judge(CheckId.WIMSE_WTH, _is_hash_of(proof.claims.get("wth"), identity))


def judge_access_token(tokens: tuple[str, ...], proof: Jws, outcomes: Outcomes) -> None:
    """Judge ``10``: the hash of the access token that came with it. Of several, which was meant would be a guess."""
    ath = proof.claims.get("ath")
    if len(tokens) > 1 or left_out(proof, "ath"):
        return
    if not tokens and ath is None:
        outcomes.settle(CheckId.WIMSE_ATH, CheckOutcome.NOT_APPLICABLE)
    else:
        outcomes.judge(CheckId.WIMSE_ATH, tokens and _is_hash_of(ath, tokens[0]))


def judge_other_tokens(request: HttpRequest, proof: Jws, outcomes: Outcomes) -> None:
    """Judge ``11``: the hashes of the transaction token, and of each token that ``oth`` names by its header field."""
    tth, oth, transactions = proof.claims.get("tth"), proof.claims.get("oth"), request.values("txn-token")
    if left_out(proof, "tth") or left_out(proof, "oth"):
        return
    if tth is None and oth is None and not transactions:
        outcomes.settle(CheckId.WIMSE_OTHER_HASHES, CheckOutcome.NOT_APPLICABLE)
        return
    wrong: list[str] = []
    if (tth is not None or transactions) and (len(transactions) != 1 or not _is_hash_of(tth, transactions[0])):
        wrong.append("tth")
    if oth is not None:
        wrong += _wrong_tokens(request, oth)
    outcomes.judge(CheckId.WIMSE_OTHER_HASHES, not wrong, observed=", ".join(wrong)[:MAX_NAME])


def _wrong_tokens(request: HttpRequest, oth: object) -> list[str]:
    """Return what ``oth`` names and the request does not have, once, with that hash: not understood is refused."""
    members = cast("dict[str, Any]", oth) if isinstance(oth, dict) else None
    if members is None or len(members) > MAX_OTHER_TOKENS:
        return ["oth"]
    wrong: list[str] = []
    for name, stated in members.items():
        values = request.values(name) if name == name.lower() else ()
        if len(values) != 1 or not _is_hash_of(stated, values[0]):
            wrong.append(f"oth {shown(name)}")
    return wrong


def _is_hash_of(stated: object, token: str) -> bool:
    expected = b64url(hashlib.sha256(octets(token)).digest()).encode("ascii")
    return isinstance(stated, str) and hmac.compare_digest(octets(stated), expected)

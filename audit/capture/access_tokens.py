"""Which class an access token is of: by scheme, by ``cnf``, by ``typ``, by what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from counterfoil.schemas import BindingMethod, Confirmation, Presentation, TokenClass

from .api_keys import vendor_prefix
from .jose import Jose, read_compact
from .sighting import Sighting, sight_jose

if TYPE_CHECKING:
    from typing import Any

_BY_TYP: Final = {
    "at+jwt": TokenClass.BEARER_JWT_AT,
    "txntoken+jwt": TokenClass.TXN_TOKEN,
    "wit+jwt": TokenClass.WIT_WPT,
}

_BOUND: Final = {
    (True, True): TokenClass.DUAL_BOUND_ACCESS,
    (True, False): TokenClass.DPOP_BOUND_ACCESS,
    (False, True): TokenClass.MTLS_BOUND_ACCESS,
}

_BOUND_IN_THEIR_OWN_WAY: Final = frozenset({TokenClass.TXN_TOKEN, TokenClass.WIT_WPT})

_ID_TOKEN_ONLY: Final = {"nonce", "at_hash", "c_hash"}
_ACCESS_ONLY: Final = {"scope", "scp", "client_id"}


def sight_access_token(value: str, presentation: Presentation, scheme: str = "bearer") -> Sighting:
    """Sight what is presented as an access token. ``scheme`` in lower case; one sent as DPoP counts as bound."""
    jose = read_compact(value)
    if scheme != "dpop" and jose is None and (prefix := vendor_prefix(value)):
        return sight_jose(TokenClass.API_KEY, presentation, value, None, prefix=prefix)
    sighting = sight_jose(TokenClass.BEARER_OPAQUE, presentation, value, jose)
    sighting.token_class = _class_of(jose)
    if scheme == "dpop":
        sighting.presented = BindingMethod.DPOP
        sighting.mechanism = BindingMethod.DPOP
    if sighting.token_class is TokenClass.WIT_WPT:  # never to be sent so (draft-ietf-wimse-workload-creds)
        sighting.declared = BindingMethod.WIT_WPT
    confirmation = sighting.stated.get("confirmation", Confirmation())
    sighting.token_class = bound_class(sighting.token_class, confirmation, dpop=scheme == "dpop")
    return sighting


def bound_class(token_class: TokenClass, confirmation: Confirmation, *, dpop: bool) -> TokenClass:
    """Return the class of a bound access token: by ``cnf`` where there is one, else by the scheme or ``token_type``."""
    if token_class in _BOUND_IN_THEIR_OWN_WAY:
        return token_class
    members = confirmation.members
    bound = ("jkt" in members, "x5t#S256" in members)
    return _BOUND.get(bound, TokenClass.DPOP_BOUND_ACCESS if dpop else token_class)


def _class_of(jose: Jose | None) -> TokenClass:
    """Return the class of an unbound access token."""
    if jose is None:
        return TokenClass.BEARER_OPAQUE
    by_typ = _BY_TYP.get(typ_of(jose))
    if by_typ or jose.claims is None:
        return by_typ or TokenClass.JWT_UNPROFILED
    return _class_by_claims(jose.claims)


def _class_by_claims(claims: dict[str, Any]) -> TokenClass:
    subject = claims.get("sub")
    if isinstance(subject, str) and subject.startswith("spiffe://"):
        return TokenClass.JWT_SVID
    if claims.keys() & _ID_TOKEN_ONLY and not claims.keys() & _ACCESS_ONLY:
        return TokenClass.ID_TOKEN
    return TokenClass.JWT_UNPROFILED


def typ_of(jose: Jose) -> str:
    """Return ``typ`` for comparing: lower case, ``application/`` left out (RFC 7515 §4.1.9, RFC 9068 §4)."""
    typ = jose.header.get("typ")
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else ""

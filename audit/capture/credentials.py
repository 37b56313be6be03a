"""From a request to the credentials it shows: a function that never raises over what a request holds.

1. The finders look in their places, the most important first; each place gives sightings of its own.
2. Facts that the caller has replace what the main credential says of itself.
3. What only the whole request tells is settled: the DPoP proof, the client certificate, the client's authentication.
   A proof goes to one credential, so that its id stands in a log once a use.
4. Each sighting becomes a ``Credential``. With several, each lists every presentation of the request in ``methods``.

Each credential is remembered as a keyed hash, so that redaction knows it wherever else it turns up (``seen``); but for
that the function is pure. Nothing is verified: ``binding.verified`` stays unknown, and a proof that was presented is
``not_performed``.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import BindingMethod, CertificateSource, FingerprintKey, TokenClass

from .access_tokens import bound_class
from .api_keys import find_api_keys
from .authorization import find_access_tokens, find_authorization
from .certificate import find_certificate
from .cookies import find_cookies
from .forms import find_client_authentication, find_grants
from .headers import find_own_headers
from .proofs import dpop_proof
from .seen import remember_shown
from .sighting import ACCESS_CLASSES, Credential, Sighting
from .signatures import find_message_signatures, find_signed_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .facts import TokenFacts
    from .request import HttpRequest

_FINDERS: Final = (
    find_authorization,
    find_access_tokens,
    find_api_keys,
    find_own_headers,
    find_grants,
    find_client_authentication,
    find_signed_url,
    find_message_signatures,
    find_cookies,
)

_MAX_CREDENTIALS: Final = 32

_GRANTS: Final = frozenset(
    {
        TokenClass.REFRESH_TOKEN,
        TokenClass.AUTHORIZATION_CODE,
        TokenClass.TOKEN_EXCHANGE,
        TokenClass.DEVICE_CODE,
    }
)

_CLIENT_AUTHENTICATION: Final = frozenset(
    {TokenClass.CLIENT_SECRET, TokenClass.CLIENT_ASSERTION, TokenClass.CLIENT_ATTESTATION}
)


def capture_credentials(
    request: HttpRequest,
    key: FingerprintKey,
    *,
    facts: TokenFacts | None = None,
    certificate: bytes | None = None,
    certificate_source: CertificateSource = CertificateSource.UNKNOWN,
) -> tuple[Credential, ...]:
    """Return the credentials of a request, the Authorization header's first; empty if it shows none.

    ``facts`` are what somebody verified about the main credential: the first access token, or else the first of all.
    ``certificate`` is the DER of the client certificate, from ``certificate_source``. At most 32 credentials are
    returned.
    """
    sightings = list(islice((sighting for find in _FINDERS for sighting in find(request)), _MAX_CREDENTIALS))
    remember_shown(request, sightings)
    certified = find_certificate(request, certificate, certificate_source)
    if facts and sightings:
        _state(_main(sightings), facts)
    _settle_client_authentication(sightings, certified)
    if certified:
        _settle_mutual_tls(sightings, certified)
        sightings.append(certified)
    if sightings:
        _settle_dpop(sightings, request)
    methods = tuple(sighting.presentation for sighting in sightings) if len(sightings) > 1 else ()
    return tuple(sighting.credential(key, methods) for sighting in sightings)


def main_credential(credentials: Sequence[Credential]) -> int:
    """Return which of the credentials of a request is the main one: the one that facts and a proof are about."""
    access = (index for index, each in enumerate(credentials) if each.token.token_class in ACCESS_CLASSES)
    return next(access, 0)


def _main(sightings: list[Sighting]) -> Sighting:
    return next((each for each in sightings if each.token_class in ACCESS_CLASSES), sightings[0])


def _state(sighting: Sighting, facts: TokenFacts) -> None:
    """Let facts replace the claims. A class they give, or a binding they state, is better known than one seen."""
    token = facts.token
    stated = {name: getattr(token, name) for name in token.model_fields_set} | {"basis": token.basis}
    for name in ("token_class", "fingerprint", "presentation", "methods"):
        stated.pop(name, None)  # the request's own
    sighting.stated = {name: value for name, value in stated.items() if value not in (None, ())}
    sighting.actors = facts.actors
    sighting.checks = facts.checks
    if facts.declared is not BindingMethod.UNKNOWN:
        sighting.declared, sighting.key = facts.declared, facts.bound_key or sighting.key
    if token.token_class is not TokenClass.UNKNOWN:
        sighting.token_class = token.token_class
    elif sighting.token_class in ACCESS_CLASSES:
        dpop = facts.declared is BindingMethod.DPOP
        sighting.token_class = bound_class(sighting.token_class, token.confirmation, dpop=dpop)


def _settle_client_authentication(sightings: list[Sighting], certified: Sighting | None) -> None:
    """Tie a confidential client's grant to the client, not to a key (RFC 9449 §5, RFC 8705 §7.1)."""
    if certified or any(each.token_class in _CLIENT_AUTHENTICATION for each in sightings):
        for sighting in sightings:
            if sighting.token_class in _GRANTS:
                sighting.presented = BindingMethod.CLIENT_AUTHENTICATION


def _settle_mutual_tls(sightings: list[Sighting], certified: Sighting) -> None:
    """Count a certificate on the connection for an access token, unless the token is known not to be bound to one."""
    for sighting in sightings:
        may_be_bound = sighting.declared in {BindingMethod.MTLS, BindingMethod.UNKNOWN}
        may_be_bound |= sighting.token_class is TokenClass.DUAL_BOUND_ACCESS
        plain = sighting.presented is BindingMethod.NONE
        if sighting.token_class in ACCESS_CLASSES and may_be_bound and plain:
            sighting.presented = sighting.mechanism = BindingMethod.MTLS
            sighting.key = sighting.key or certified.key
            sighting.certificate_source = certified.certificate_source


def _settle_dpop(sightings: list[Sighting], request: HttpRequest) -> None:
    """Give the proof to the main credential: an access token, else a grant, else the first.

    ``presented`` follows the scheme: a proof beside ``Bearer`` is recorded, but no server has to look at it
    (RFC 9449 §7.1), so the token still counts as presented without one.
    """
    proof = dpop_proof(request)
    if not proof:
        return
    grants = [each for each in sightings if each.token_class in _GRANTS]
    main = _main(sightings)
    target = main if main.token_class in ACCESS_CLASSES or not grants else grants[0]
    target.mechanism, target.mark = BindingMethod.DPOP, proof
    target.key = target.key or proof.key
    if target.token_class in _GRANTS and target.presented is BindingMethod.NONE:
        target.presented = BindingMethod.DPOP

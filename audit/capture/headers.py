"""Credentials in header fields of their own: workload identity, transaction tokens, client attestation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.schemas import BindingMethod, Presentation, TokenClass

from .proofs import mark
from .sighting import Sighting, sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .request import HttpRequest


def find_own_headers(request: HttpRequest) -> Iterator[Sighting]:
    """Find the credentials that have a header field of their own."""
    for value in _values(request, "txn-token"):
        yield sight(TokenClass.TXN_TOKEN, Presentation.CUSTOM_HEADER, value)
    for value in _values(request, "workload-identity-token"):
        yield _workload(value, _only(request, "workload-proof-token"))
    for value in _values(request, "oauth-client-attestation"):
        yield _attestation(value, _only(request, "oauth-client-attestation-pop"))
    for value in _values(request, "x-aws-ec2-metadata-token"):
        yield sight(TokenClass.CLOUD_IDENTITY, Presentation.CUSTOM_HEADER, value)


def _workload(token: str, proof: str | None) -> Sighting:
    """Sight a WIMSE workload identity token; its proof is signed with the key that the token names, ``cnf.jwk``."""
    sighting = sight(TokenClass.WIT_WPT, Presentation.CUSTOM_HEADER, token)
    sighting.declared = BindingMethod.WIT_WPT
    if proof:
        sighting.presented = sighting.mechanism = BindingMethod.WIT_WPT
        sighting.mark = mark(proof, sighting.key)
    return sighting


def _attestation(token: str, proof: str | None) -> Sighting:
    """Sight a client attestation (draft-ietf-oauth-attestation-based-client-auth), with its proof of possession."""
    sighting = sight(TokenClass.CLIENT_ATTESTATION, Presentation.CUSTOM_HEADER, token)
    sighting.declared = BindingMethod.CLIENT_AUTHENTICATION
    if proof:
        sighting.presented = sighting.mechanism = BindingMethod.CLIENT_AUTHENTICATION
        sighting.mark = mark(proof, sighting.key)
    return sighting


def _values(request: HttpRequest, name: str) -> Iterator[str]:
    return (value for value in request.values(name) if value)


def _only(request: HttpRequest, name: str) -> str | None:
    return next(_values(request, name), None)

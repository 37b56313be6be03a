"""Checking that a token came with the certificate it is bound to (RFC 8705 §3).

The server need not verify the chain or look at the dates of the certificate (§6.2): ``mtls.05`` informs and fails
nothing, ``mtls.06`` concerns client authentication alone (§2.1).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import (
    BindingMethod,
    CertificateSource,
    CheckId,
    CheckOutcome,
    ConfigurationError,
    Thumbprint,
)
from counterfoil.schemas.values import rfc3339

from ..capture.certificate_facts import CertificateFacts
from .client_certificate import ClientCertificate, client_certificate
from .confirmation import check_confirmation
from .inspection import Inspection, Outcomes
from .renewal import succession

if TYPE_CHECKING:
    from datetime import datetime

    from counterfoil.schemas import Confirmation

    from ..capture.request import HttpRequest

_ALL: Final = (
    CheckId.MTLS_CERT_PRESENT,
    CheckId.MTLS_CNF_PRESENT,
    CheckId.MTLS_X5T_MATCH,
    CheckId.MTLS_CERT_SOURCE_TRUSTED,
    CheckId.MTLS_CERT_VALIDITY,
    CheckId.MTLS_CHAIN,
)
_OF_BINDING: Final = (CheckId.MTLS_CNF_PRESENT, CheckId.MTLS_X5T_MATCH)


def inspect_mtls(  # noqa: PLR0913 -- one keyword a fact that only the caller has
    request: HttpRequest,
    *,
    now: datetime,
    certificate: bytes | None = None,
    certificate_source: CertificateSource = CertificateSource.TLS_LAYER,
    trusted_hop: bool = False,
    bound_x5t_s256: Thumbprint | None = None,
    confirmation: Confirmation | None = None,
    bound_certificate: bytes | CertificateFacts | None = None,
    client_authentication: bool = False,
    chain_verified: bool | None = None,
) -> Inspection:
    """Check ``mtls.01`` to ``mtls.06``, all of them. Whatever a client sends ends in an outcome.

    ``now`` is the time of the check; raises ``ConfigurationError`` if it has no zone. ``certificate`` is the DER that
    the TLS layer has, or that the caller read from a field of its proxy's (then ``certificate_source`` is
    ``vendor_header``). ``trusted_hop`` says that the peer of this connection is a proxy that removes ``Client-Cert``
    from what clients send (RFC 9440 §2.4).

    ``bound_x5t_s256`` is what the token, or its introspection, says (§3.1, §3.2); ``confirmation``, the whole ``cnf``,
    also settles ``cnf.ambiguous``, and with no certificate in it ``mtls.02`` fails. Without either nobody said what
    the token is bound to, and the result is ``not_performed``.

    ``bound_certificate`` is the certificate that the token was bound to, where somebody kept it or facts of it: a
    mismatch then says whether this looks like its renewal.

    ``client_authentication`` asks for ``mtls.06``, which the caller answers by ``chain_verified`` (§2.1); the token's
    binding is then checked only where one is given. For a self-signed client (§2.2) leave it out, and give the
    registered certificate as the bound one.
    """
    if now.utcoffset() is None:
        raise ConfigurationError("now has no time zone")
    shown = client_certificate(request, certificate, certificate_source, trusted_hop=trusted_hop)
    facts = CertificateFacts.read(shown.der) if shown.der else None
    bound = bound_x5t_s256 or (confirmation.x5t_s256 if confirmation is not None else None)
    outcomes = Outcomes(_ALL if confirmation is None else (*_ALL, CheckId.CNF_AMBIGUOUS))
    _check_certificate(outcomes, shown, facts, now)
    if confirmation is not None:
        check_confirmation(outcomes, confirmation)
        outcomes.judge(CheckId.MTLS_CNF_PRESENT, bound, expected="x5t#S256", observed="none")
    elif bound:
        outcomes.settle(CheckId.MTLS_CNF_PRESENT, CheckOutcome.PASS)
    elif client_authentication:
        for each in _OF_BINDING:
            outcomes.settle(each, CheckOutcome.NOT_APPLICABLE)
    if bound and shown.der and shown.trusted:
        presented = Thumbprint.of_certificate(shown.der)
        same = hmac.compare_digest(presented, bound)
        told = None
        if not same and facts and bound_certificate:
            told = _told(bound, bound_certificate, facts, now, chain_verified=chain_verified is True)
        outcomes.judge(CheckId.MTLS_X5T_MATCH, same, expected=bound, observed=told or presented)
    if not client_authentication:
        outcomes.settle(CheckId.MTLS_CHAIN, CheckOutcome.NOT_APPLICABLE)
    elif chain_verified is not None:
        outcomes.judge(CheckId.MTLS_CHAIN, chain_verified, expected="a verified chain", observed="an unverified chain")
    return Inspection(
        mechanism=BindingMethod.MTLS,
        checks=outcomes.checks,
        result=outcomes.result(_required(outcomes)),
        key=Thumbprint.of_certificate(shown.der) if shown.der else None,
        certificate_source=shown.source,
    )


def _check_certificate(
    outcomes: Outcomes, shown: ClientCertificate, facts: CertificateFacts | None, now: datetime
) -> None:
    outcomes.judge(CheckId.MTLS_CERT_PRESENT, not shown.missing, expected="one certificate", observed=shown.missing)
    if shown.trusted is not None:
        outcomes.judge(
            CheckId.MTLS_CERT_SOURCE_TRUSTED,
            shown.trusted and not shown.injected,
            expected="the TLS layer, or a trusted hop",
            observed=shown.injected or f"{shown.source} from an untrusted hop",
        )
    if facts and facts.not_before and facts.not_after:
        outcomes.judge(
            CheckId.MTLS_CERT_VALIDITY,
            facts.not_before <= now <= facts.not_after,
            expected=rfc3339(now),
            observed=f"{rfc3339(facts.not_before)} to {rfc3339(facts.not_after)}",
        )


def _told(
    bound: Thumbprint,
    kept: bytes | CertificateFacts,
    presented: CertificateFacts,
    now: datetime,
    *,
    chain_verified: bool,
) -> str | None:
    """Say what the presented certificate is to the bound one. Facts of yet another certificate tell nothing."""
    facts = CertificateFacts.read(kept) if isinstance(kept, bytes) else kept
    if facts is None or facts.thumbprint != bound:
        return None
    return succession(facts, presented, now, chain_verified=chain_verified)


def _required(outcomes: Outcomes) -> tuple[CheckId, ...]:
    """Return those that must have passed: all that apply, but those that only inform."""
    inapplicable = {check.id for check in outcomes.checks if check.outcome is CheckOutcome.NOT_APPLICABLE}
    return tuple(each for each in _ALL if each not in inapplicable | {CheckId.MTLS_CERT_VALIDITY})

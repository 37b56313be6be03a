"""What a real authorization server issues, capture recognises and inspection accepts, and from nobody else.

Run with: ``uv run pytest -m interop``. It needs Node.js with npm.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from counterfoil.audit import AuditReader
from counterfoil.audit.capture import Credential, HttpRequest, capture_credentials
from counterfoil.audit.demo.possession import DpopAuth, ProofKey
from counterfoil.audit.instrument.httpx2 import AuditTransport
from counterfoil.audit.proof.dpop import inspect_dpop
from counterfoil.audit.proof.mtls import inspect_mtls
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import CheckId, CredentialUse, ProofResult

from .conftest import API, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from counterfoil.audit import AuditLog
    from counterfoil.schemas import FingerprintKey

pytestmark = pytest.mark.interop

MAIL = f"{API}/mail"


@pytest.fixture
def http(provider: Provider) -> Iterator[httpx2.Client]:
    """Give a client that shows no certificate."""
    with httpx2.Client(trust_env=False, verify=provider.client.client_context(present=False)) as client:
        yield client


@pytest.fixture
def certified(provider: Provider) -> Iterator[httpx2.Client]:
    """Give a client that shows its certificate."""
    with httpx2.Client(trust_env=False, verify=provider.client.client_context(present=True)) as client:
        yield client


def asking(token: str, scheme: str = "Bearer", **headers: str) -> HttpRequest:
    """Return a request to the API."""
    return HttpRequest("GET", MAIL, (("Authorization", f"{scheme} {token}"), *headers.items()))


def seen(request: HttpRequest, key: FingerprintKey, certificate: bytes | None = None) -> Credential:
    """Return the access token as capture sees it."""
    return capture_credentials(request, key, certificate=certificate)[0]


def test_a_bearer_token_is_one(provider: Provider, http: httpx2.Client, key: FingerprintKey) -> None:
    """A token of the plain client is an RFC 9068 access token, bound to nothing, and needs no proof."""
    request = asking(provider.token("plain", http))
    found = seen(request, key)
    assert (found.token.token_class, found.binding.declared) == ("bearer_jwt_at", "none")
    assert (found.token.issuer, found.token.audience) == (provider.issuer, (API,))
    assert inspect_dpop(request, now=datetime.now(UTC), token_verified=True).result is ProofResult.NOT_APPLICABLE


def test_a_token_bound_to_a_key_is_accepted_with_that_key_only(
    provider: Provider, http: httpx2.Client, key: FingerprintKey
) -> None:
    """The thumbprint in the token is that of our proofs; with another key exactly the binding fails."""
    ours = ProofKey()
    token = provider.token("dpop", http, DpopAuth(ours))
    request = asking(token, "DPoP", DPoP=ours.prove("GET", MAIL, token=token))
    found = seen(request, key)
    assert (found.token.token_class, found.binding.declared) == ("dpop_bound_access", "dpop")
    options: dict[str, Any] = {"now": datetime.now(UTC), "bound_jkt": found.token.confirmation.jkt}
    inspection = inspect_dpop(request, **options)
    assert (inspection.result, inspection.failed) == (ProofResult.PASS, ())
    stolen = asking(token, "DPoP", DPoP=ProofKey().prove("GET", MAIL, token=token))
    assert inspect_dpop(stolen, **options).failed == (CheckId.DPOP_JKT,)
    assert CheckId.DPOP_SCHEME in inspect_dpop(asking(token), **options).failed


def test_a_token_bound_to_a_certificate_is_accepted_with_that_certificate_only(
    provider: Provider, certified: httpx2.Client, key: FingerprintKey
) -> None:
    """``x5t#S256`` in the token is that of our certificate; another one of the same authority fails."""
    request = asking(provider.token("mtls", certified))
    found = seen(request, key, provider.client.der())
    assert (found.token.token_class, found.binding.declared) == ("mtls_bound_access", "mtls")
    options: dict[str, Any] = {"now": datetime.now(UTC), "confirmation": found.token.confirmation}
    assert inspect_mtls(request, certificate=provider.client.der(), **options).result is ProofResult.PASS
    assert inspect_mtls(request, certificate=provider.other.der(), **options).failed == (CheckId.MTLS_X5T_MATCH,)
    assert inspect_mtls(request, **options).failed == (CheckId.MTLS_CERT_PRESENT,)


def test_the_token_request_is_recorded_without_a_secret(
    provider: Provider, log: AuditLog, address: Path, leaks: Callable[..., list[str]]
) -> None:
    """Through the instrument: the client's secret, with the proof that came with it, and none of them in the log."""
    context = provider.client.client_context(present=False)
    transport = AuditTransport(log, httpx2.HTTPTransport(verify=context))
    with httpx2.Client(transport=transport) as http:
        token = provider.token("dpop", http, DpopAuth(ProofKey()))
    with AuditReader.open(address) as reader:
        events = [entry.event for entry in reader.find(Filter(kind="credential_use", phase="outcome"))]
    uses = [event for event in events if isinstance(event, CredentialUse)]
    assert uses[-1].action.status_code == 200
    assert {use.token.token_class for use in uses} == {"client_secret"}
    assert len({use.context.use_id for use in uses}) == 1
    for secret in (provider.secret, token):
        assert leaks(secret, *address.parent.glob(f"{address.name}*")) == []

"""The httpx and httpx2 instruments: proofs that are checked before they leave, as far as their sender can."""

from __future__ import annotations

import hashlib
import importlib
import secrets
import ssl
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from counterfoil.schemas import CheckId, CheckOutcome, CredentialUse, MissingExtra, Phase, ProofResult, Thumbprint

if TYPE_CHECKING:
    from conftest import Client, Library, Server

    from counterfoil.audit import AuditLog

Told: TypeAlias = Callable[[], list[CredentialUse]]

_URL = "https://api.example/mail"


def _proof(key: ECKey, token: str, **changed: Any) -> dict[str, str]:
    """Return the header fields of a request for ``_URL`` with a proof that is right but for what is changed."""
    ath = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    claims = {"jti": secrets.token_urlsafe(12), "htm": "GET", "htu": _URL, "iat": int(time.time()), "ath": ath}
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return {"Authorization": f"DPoP {token}", "DPoP": jwt.encode(header, claims | changed, key)}


def _bound(key: ECKey) -> str:
    """Return a token that says it is bound to a key."""
    return jwt.encode({"typ": "at+jwt", "alg": "ES256"}, {"cnf": {"jkt": key.thumbprint()}}, key)


def _sent(library: Library, log: AuditLog, *requests: dict[str, str], inspect: bool = True) -> None:
    """Send requests through the instrument to nobody."""
    module, door = library

    def answer(_: object) -> Any:
        return module.Response(204)

    with module.Client(transport=door.AuditTransport(log, module.MockTransport(answer), inspect=inspect)) as client:
        for headers in requests:
            assert client.get(_URL, headers=headers).status_code == 204


def _outcomes(use: CredentialUse) -> dict[CheckId, CheckOutcome]:
    return {check.id: check.outcome for check in use.proof.checks}


def test_a_right_proof(library: Library, log: AuditLog, told: Told) -> None:
    """Every check that a sender can make passes; whether it was used before it cannot tell, and does not say."""
    key = ECKey.generate_key("P-256")
    _sent(library, log, _proof(key, _bound(key)))
    for each in told():
        assert (each.proof.result, each.proof.checked_by) == (ProofResult.PASS, "counterfoil (agent side)")
        assert each.binding.key_thumbprint == key.thumbprint()
        assert each.proof.proof_id
        outcomes = _outcomes(each)
        assert outcomes[CheckId.DPOP_SIGNATURE] == outcomes[CheckId.DPOP_JKT] == CheckOutcome.PASS
        assert outcomes[CheckId.DPOP_JTI_REPLAY] is CheckOutcome.NOT_PERFORMED
        assert each.binding.verified == "unknown"  # what the server found good, the sender does not know


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({"iat": 1_600_000_000}, CheckId.DPOP_TIME),
        ({"htu": "https://other.example/mail"}, CheckId.DPOP_HTU),
        ({"htm": "POST"}, CheckId.DPOP_HTM),
        ({"ath": "A" * 43}, CheckId.DPOP_ATH),
    ],
    ids=["clock", "htu", "htm", "ath"],
)
def test_a_wrong_proof_is_sent_and_told(
    changed: dict[str, Any], failed: CheckId, library: Library, log: AuditLog, told: Told
) -> None:
    """The agent's own record says that its clock, its URI or its token was wrong, before any server does."""
    key = ECKey.generate_key("P-256")
    _sent(library, log, _proof(key, _bound(key), **changed))
    intent, outcome = told()
    for each in (intent, outcome):
        assert [check for check, ended in _outcomes(each).items() if ended is CheckOutcome.FAIL] == [failed]
        assert each.proof.result is ProofResult.FAIL
    assert (outcome.action.outcome, outcome.action.status_code) == ("executed", 204)


def test_a_token_that_is_bound_to_another_key(library: Library, log: AuditLog, told: Told) -> None:
    """What the token says of itself is enough to tell that this key will not do."""
    _sent(library, log, _proof(ECKey.generate_key("P-256"), _bound(ECKey.generate_key("P-256"))))
    assert _outcomes(told()[0])[CheckId.DPOP_JKT] is CheckOutcome.FAIL


def test_unless_asked_nothing_is_checked(library: Library, log: AuditLog, told: Told) -> None:
    """The proof came, and nobody checked it."""
    key = ECKey.generate_key("P-256")
    _sent(library, log, _proof(key, _bound(key)), inspect=False)
    assert {(each.proof.result, each.proof.checks) for each in told()} == {(ProofResult.NOT_PERFORMED, ())}


def test_what_has_no_proof_is_left_as_it_is(
    library: Library, log: AuditLog, bearer: dict[str, str], told: Told
) -> None:
    """A bearer token has nothing to check."""
    _sent(library, log, bearer)
    assert {(each.proof.result, each.proof.checked_by) for each in told()} == {(ProofResult.NOT_APPLICABLE, None)}


def test_the_nonce_of_the_answer(client: Client, server: Server, log: AuditLog, secret: str, told: Told) -> None:
    """The second attempt is checked with the nonce that the first was answered with: here it is not the same."""
    server.answers["/mail"] = (401, 'WWW-Authenticate: DPoP error="use_dpop_nonce"\r\nDPoP-Nonce: the-nonce\r\n')
    key = ECKey.generate_key("P-256")

    class Forgetful(client.library.Auth):
        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            for nonce in ("stale", "stale", "the-nonce"):
                request.headers.update(_proof(key, secret, htu=str(request.url), nonce=nonce))
                yield request

    client.send(log, "GET", f"{server.url}/mail", auth=Forgetful(), inspect=True)
    intents = [_outcomes(each)[CheckId.DPOP_NONCE] for each in told() if each.action.phase is Phase.INTENT]
    assert intents == [CheckOutcome.NOT_APPLICABLE, CheckOutcome.FAIL, CheckOutcome.PASS]
    assert "the-nonce" not in "".join(each.model_dump_json() for each in told())


def test_a_certificate_that_the_token_is_not_bound_to(library: Library, log: AuditLog, told: Told) -> None:
    """Certificate binding is checked as well, with the certificate that the instrument was given."""
    module, door = library
    mine, other = (b"\x30\x03\x02\x01" + secrets.token_bytes(1) for _ in range(2))
    while other == mine:
        other = b"\x30\x03\x02\x01" + secrets.token_bytes(1)
    key = ECKey.generate_key("P-256")

    def answer(_: object) -> Any:
        return module.Response(204)

    inner = module.MockTransport(answer)
    with module.Client(
        transport=door.AuditTransport(log, inner, certificate=ssl.DER_cert_to_PEM_cert(mine).encode(), inspect=True)
    ) as client:
        for der in (mine, other):
            confirmation = {"x5t#S256": Thumbprint.of_certificate(der)}
            token = jwt.encode({"typ": "at+jwt", "alg": "ES256"}, {"cnf": confirmation}, key)
            client.get(_URL, headers={"Authorization": f"Bearer {token}"})
    bound = [each for each in told() if each.token.confirmation.x5t_s256 and each.action.phase is Phase.OUTCOME]
    assert [each.proof.result for each in bound] == [ProofResult.PASS, ProofResult.FAIL]
    assert _outcomes(bound[1])[CheckId.MTLS_X5T_MATCH] is CheckOutcome.FAIL
    assert {each.proof.certificate_source.value for each in bound} == {"tls_layer"}


def test_without_the_extra(library: Library, log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """That nothing can be checked is said when the transport is made."""
    _, door = library
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "counterfoil.audit.proof.signatures", raising=False)
    for make in (door.AuditTransport, door.AsyncAuditTransport):
        with pytest.raises(MissingExtra) as caught:
            make(log, inspect=True)
        assert caught.value.advice == "pip install 'counterfoil[jose]'"
        make(log)
    monkeypatch.undo()
    importlib.import_module("counterfoil.audit.proof.signatures")

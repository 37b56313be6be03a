"""`counterfoil inspect` checks the proofs of a request, and says the same as the library."""

from __future__ import annotations

import base64
import json
import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from counterfoil.audit.capture import parse_raw_request
from counterfoil.audit.proof.dpop import inspect_dpop
from counterfoil.audit.proof.http_signature import HttpSignaturePolicy, inspect_http_signature
from counterfoil.audit.proof.mtls import inspect_mtls
from counterfoil.audit.proof.wimse import inspect_wimse
from counterfoil.schemas import CheckId, Confirmation, FingerprintKey, Thumbprint

from .conftest import Ran, Run

VECTORS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "specs.json").read_text())
RFC9449, RFC8705 = VECTORS["rfc9449"], VECTORS["rfc8705"]
THEN = datetime.fromisoformat("2019-07-04T17:50:18Z")
JKT, X5T = Thumbprint(RFC9449["jkt"]), Thumbprint(RFC8705["x5t#S256"])


def dpop_request(method: str = "GET", path: str = "/protectedresource?x=1") -> bytes:
    """Return the request of RFC 9449, Figure 13."""
    head = f"{method} {path} HTTP/1.1\nHost: resource.example.org\n"
    return f"{head}Authorization: DPoP {RFC9449['access_token']}\nDPoP: {RFC9449['fig13_proof_resource']}\n\n".encode()


def bound_request() -> bytes:
    """Return a request with an unsigned token that is bound to the certificate of RFC 8705, Appendix A."""
    claims = {"iss": "https://as.example", "cnf": {"x5t#S256": X5T}}
    parts = [json.dumps(each).encode() for each in ({"alg": "ES256", "typ": "at+jwt"}, claims)]
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"signature"])
    return f"GET / HTTP/1.1\nHost: api.example\nAuthorization: Bearer {token}\n\n".encode()


def checks_in(ran: Ran) -> list[dict[str, Any]]:
    """Return the checks of the first event that was printed."""
    checks: list[dict[str, Any]] = json.loads(ran.out.splitlines()[0])["proof"]["checks"]
    return checks


def told(inspection: Any) -> list[dict[str, Any]]:
    """Return what the library says, as JSON has it."""
    return [check.model_dump(mode="json", exclude_none=True) for check in inspection.checks]


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("path", ["/protectedresource?x=1", "/elsewhere"])
@pytest.mark.parametrize("late", [0, 3600])
@pytest.mark.parametrize("nonces", [(), ("eyJ7S_zG.eyJH0-Z.HX4w-7v",)])
@pytest.mark.parametrize("bound", [JKT, Thumbprint("A" * 43)])
def test_it_says_of_a_dpop_proof_what_the_library_says(  # noqa: PLR0913, PLR0917 -- one parameter a mutation
    run: Run, method: str, path: str, late: int, nonces: tuple[str, ...], bound: Thumbprint
) -> None:
    """Good or bad, the checks and the exit code are those of ``inspect_dpop`` on the same request."""
    raw, now = dpop_request(method, path), THEN + timedelta(seconds=late)
    expected = inspect_dpop(parse_raw_request(raw), now=now, bound_jkt=bound, nonces=nonces)
    given = [part for nonce in nonces for part in ("--nonce", nonce)]
    ran = run("inspect", "--json", "--now", now.isoformat(), "--bound-jkt", bound, *given, stdin=raw)
    assert checks_in(ran) == told(expected)
    assert ran.code == (1 if expected.failed else 0)


@pytest.mark.parametrize("form", ["pem", "der", "none"])
def test_it_says_of_a_certificate_what_the_library_says(run: Run, tmp_path: Path, form: str) -> None:
    """With the certificate of the connection, as PEM or DER, or without it: the checks of ``inspect_mtls``."""
    pem, raw = RFC8705["appendix_a_pem"], bound_request()
    der = ssl.PEM_cert_to_DER_cert(pem)
    file = tmp_path / "client"
    file.write_bytes(pem.encode() if form == "pem" else der)
    shown = der if form != "none" else None
    confirmation = Confirmation(x5t_s256=X5T, members=("x5t#S256",))
    expected = inspect_mtls(parse_raw_request(raw), now=THEN, certificate=shown, confirmation=confirmation)
    options = ["--client-cert", file] if shown else []
    ran = run("inspect", "--json", "--now", THEN.isoformat(), *options, stdin=raw)
    assert checks_in(ran) == told(expected)
    assert ran.code == (0 if shown else 1)


def wimse_request() -> bytes:
    """Return the request of the WIMSE drafts."""
    wimse, head = VECTORS["wimse_draft"], "POST /path HTTP/1.1\nHost: workload.example.com\n"
    authorization = f"Authorization: Bearer {wimse['access_token']}\n"
    tokens = f"Workload-Identity-Token: {wimse['wit']}\nWorkload-Proof-Token: {wimse['wpt']}\n\n"
    return f"{head}{authorization}{tokens}".encode()


def test_it_says_of_a_workload_proof_what_the_library_says(run: Run) -> None:
    """The checks are those of ``inspect_wimse`` without the issuer's keys, which are not at hand here."""
    raw, now = wimse_request(), datetime.fromisoformat("2025-04-24T15:53:00Z")
    expected = inspect_wimse(parse_raw_request(raw), now=now, issuer_keys=None)
    ran = run("inspect", "--json", "--now", now.isoformat(), stdin=raw)
    (event,) = [event for event in map(json.loads, ran.out.splitlines()) if event["token"]["token_class"] == "wit_wpt"]
    assert (event["proof"]["checks"], event["proof"]["result"]) == (told(expected), "not_performed")
    assert (ran.code, expected.failed) == (0, ())


def test_it_says_of_message_signatures_what_the_library_says(run: Run) -> None:
    """The checks of each label are those of ``inspect_http_signature`` without keys, of all that is covered."""
    fields = (
        'Signature-Input: a=("@method");keyid="k", b=("@path");created=1;expires=2\nSignature: a=:AAAA:, b=:BBBB:\n\n'
    )
    raw = f"GET / HTTP/1.1\nHost: api.example\n{fields}".encode()
    ran = run("inspect", "--json", "--now", THEN.isoformat(), stdin=raw)
    for label, line in zip("ab", ran.out.splitlines(), strict=True):
        policy = HttpSignaturePolicy(required=(), label=label, max_age=None)
        expected = inspect_http_signature(parse_raw_request(raw), now=THEN, keys=None, policy=policy)
        assert json.loads(line)["proof"]["checks"] == told(expected)
        assert expected.failed == ((CheckId.HTTP_SIGNATURE_TIME,) if label == "b" else ())
    assert ran.code == 1


def test_each_check_stands_with_its_section(run: Run) -> None:
    """For a person, a line has the check, its outcome, and the RFC and section behind it."""
    ran = run("inspect", "--now", "2019-07-04T17:50:18Z", "--bound-jkt", JKT, stdin=dpop_request("PUT"))
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["dpop.06_signature", "pass", "RFC", "9449", "§4.3", "item", "6"] in lines
    assert ["dpop.08_htm", "fail", "RFC", "9449", "§4.3", "item", "8"] in lines
    assert ["expected", "PUT,", "observed", "GET"] in lines
    assert ["dpop.13_jti_replay", "not_performed", "RFC", "9449", "§11.1"] in lines


def test_a_token_without_a_proof_has_no_checks(run: Run, secret: str) -> None:
    """A bearer token needs no proof, and none is checked."""
    raw = f"GET / HTTP/1.1\nHost: api.example\nAuthorization: Bearer {secret}\n\n".encode()
    ran = run("inspect", stdin=raw)
    assert ran.code == 0
    assert "dpop." not in ran.out


def test_no_part_of_a_proof_is_printed(run: Run, key: FingerprintKey, leaks: Any) -> None:
    """Neither token, proof, nonce nor ath is in the output, whatever fails."""
    assert key.key_id
    nonce = RFC9449["nonce_examples"][0]
    ran = run("inspect", "--nonce", nonce, stdin=dpop_request("PUT", "/elsewhere"))
    assert ran.code == 1
    for value in (RFC9449["access_token"], RFC9449["fig13_proof_resource"], nonce, RFC9449["ath"]):
        assert leaks(value, ran.out, ran.err) == []


@pytest.mark.parametrize(
    ("option", "value"), [("--bound-jkt", "not-a-thumbprint"), ("--client-cert", "missing.pem"), ("--now", "yesterday")]
)
def test_a_wrong_option_is_wrong_use(run: Run, option: str, value: str) -> None:
    """A value without meaning ends with code 2 and a sentence."""
    ran = run("inspect", option, value, stdin=dpop_request())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err

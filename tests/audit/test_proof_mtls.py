"""A token and the certificate it is bound to: RFC 8705's and RFC 9440's own certificates, and whatever else comes."""

from __future__ import annotations

import builtins
import json
import secrets
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.capture.claims import confirmation_of
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.mtls import inspect_mtls
from counterfoil.schemas import CertificateSource, CheckId, ConfigurationError, Confirmation, Thumbprint

if TYPE_CHECKING:
    from conftest import CpuSeconds, Issue

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "specs.json").read_text("utf-8"))
DER = b64decode("".join(VECTORS["rfc8705"]["appendix_a_pem"].splitlines()[1:-1]))
X5T = Thumbprint(VECTORS["rfc8705"]["x5t#S256"])
CLIENT_CERT: str = VECTORS["rfc9440"]["client_cert_header"]
CLIENT_X5T = Thumbprint(VECTORS["rfc9440"]["x5t#S256"])
NOW = datetime(2026, 9, 1, tzinfo=UTC)
PRESENT, CNF, MATCH = CheckId.MTLS_CERT_PRESENT, CheckId.MTLS_CNF_PRESENT, CheckId.MTLS_X5T_MATCH
TRUSTED, VALIDITY, CHAIN = CheckId.MTLS_CERT_SOURCE_TRUSTED, CheckId.MTLS_CERT_VALIDITY, CheckId.MTLS_CHAIN


def _request(*fields: str, **more: str) -> HttpRequest:
    named = [("Client-Cert", value) for value in fields] + [(name.replace("_", "-"), more[name]) for name in more]
    return HttpRequest("GET", "https://api.example/mail", tuple(named))


def _field(der: bytes) -> str:
    return f":{b64encode(der).decode()}:"


def _seen(inspection: Inspection) -> dict[str, str]:
    return {check.id.value: check.outcome.value for check in inspection.checks}


def _failure(inspection: Inspection, check_id: CheckId) -> tuple[str | None, str | None]:
    (check,) = [check for check in inspection.checks if check.id is check_id]
    assert check.outcome == "fail"
    return check.expected, check.observed


def test_the_certificate_of_rfc_8705_matches() -> None:
    """Appendix A passes, though the certificate is X.509 v1 and expired in 2022: its dates only inform (§6.2)."""
    inspection = inspect_mtls(_request(), now=NOW, certificate=DER, bound_x5t_s256=X5T)
    assert _seen(inspection) == {
        "mtls.01_cert_present": "pass",
        "mtls.02_cnf_present": "pass",
        "mtls.03_x5t_match": "pass",
        "mtls.04_cert_source_trusted": "pass",
        "mtls.05_cert_validity": "fail",
        "mtls.06_chain": "not_applicable",
    }
    assert (inspection.result, inspection.key) == ("pass", X5T)
    assert _failure(inspection, VALIDITY)[1] == "2018-10-18T12:37:09.000000Z to 2022-05-02T12:37:09.000000Z"
    proof = inspection.proof("tests")
    assert (proof.mechanism, proof.result, proof.certificate_source) == ("mtls", "pass", "tls_layer")
    in_time = inspect_mtls(_request(), now=datetime(2020, 1, 1, tzinfo=UTC), certificate=DER, bound_x5t_s256=X5T)
    assert in_time.failed == ()


def test_the_certificate_of_rfc_9440_matches() -> None:
    """The example of §2.3, from a trusted proxy; its digest is the one that OpenTelemetry writes in hex."""
    inspection = inspect_mtls(_request(CLIENT_CERT), now=NOW, trusted_hop=True, bound_x5t_s256=CLIENT_X5T)
    assert (inspection.result, inspection.certificate_source) == ("pass", "client_cert_header")
    assert inspection.failed == (VALIDITY,)
    hashed = bytes.fromhex(VECTORS["rfc9440"]["otel_tls_client_hash_sha256"])
    assert inspection.key is not None
    assert b64decode(inspection.key + "=", altchars="-_") == hashed


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_every_kind_of_key_matches(key: Any, issue: Issue) -> None:
    """RSA, P-256, P-384 and Ed25519 certificates pass with their dates, and none for another."""
    der = issue(key, since=NOW)
    good = inspect_mtls(_request(), now=NOW, certificate=der, bound_x5t_s256=Thumbprint.of_certificate(der))
    assert (good.result, good.failed, good.outcome(VALIDITY)) == ("pass", (), "pass")
    assert inspect_mtls(_request(), now=NOW, certificate=der, bound_x5t_s256=X5T).failed == (MATCH,)


def test_another_certificate_is_refused() -> None:
    """A mismatch names both thumbprints, which are public (§3)."""
    inspection = inspect_mtls(_request(), now=NOW, certificate=DER, bound_x5t_s256=CLIENT_X5T)
    assert (inspection.result, inspection.failed) == ("fail", (MATCH, VALIDITY))
    assert _failure(inspection, MATCH) == (CLIENT_X5T, X5T)


@given(at=st.integers(0, len(DER) - 1), bits=st.integers(1, 255))
def test_every_bit_of_the_certificate_counts(at: int, bits: int) -> None:
    """A certificate with any byte changed fails, from the TLS layer as from a trusted hop."""
    changed = DER[:at] + bytes([DER[at] ^ bits]) + DER[at + 1 :]
    from_tls = inspect_mtls(_request(), now=NOW, certificate=changed, bound_x5t_s256=X5T)
    from_hop = inspect_mtls(_request(_field(changed)), now=NOW, trusted_hop=True, bound_x5t_s256=X5T)
    for inspection in (from_tls, from_hop):
        assert inspection.result == "fail"
        assert {MATCH, PRESENT}.intersection(inspection.failed)


def test_client_cert_from_an_untrusted_hop_is_a_failure_of_its_own() -> None:
    """Whoever reaches the server could have written it: it is not compared, even where it would match."""
    inspection = inspect_mtls(_request(CLIENT_CERT), now=NOW, bound_x5t_s256=CLIENT_X5T)
    assert (inspection.result, inspection.certificate_source) == ("fail", "client_cert_header")
    assert _seen(inspection) | {"mtls.05_cert_validity": "-"} == {
        "mtls.01_cert_present": "pass",
        "mtls.02_cnf_present": "pass",
        "mtls.03_x5t_match": "not_performed",
        "mtls.04_cert_source_trusted": "fail",
        "mtls.05_cert_validity": "-",
        "mtls.06_chain": "not_applicable",
    }
    assert _failure(inspection, TRUSTED)[1] == "Client-Cert from an untrusted hop"


@pytest.mark.parametrize("fields", [{"Client_Cert": CLIENT_CERT}, {"Client_Cert_Chain": CLIENT_CERT}])
def test_an_injected_field_beside_a_certificate_is_seen(fields: dict[str, str]) -> None:
    """The TLS layer's certificate is the client's and matches; the client sent the proxy's field, which fails."""
    inspection = inspect_mtls(_request(**fields), now=NOW, certificate=DER, bound_x5t_s256=X5T)
    assert (inspection.outcome(MATCH), inspection.outcome(TRUSTED), inspection.result) == ("pass", "fail", "fail")
    assert (inspection.key, inspection.certificate_source) == (X5T, "tls_layer")


def test_the_certificate_of_a_trusted_proxy_is_not_the_clients() -> None:
    """Behind a proxy its field wins over the TLS layer's certificate, which without a field counts for nothing."""
    both = inspect_mtls(_request(CLIENT_CERT), now=NOW, certificate=DER, trusted_hop=True, bound_x5t_s256=CLIENT_X5T)
    assert (both.result, both.key, both.certificate_source) == ("pass", CLIENT_X5T, "client_cert_header")
    alone = inspect_mtls(_request(), now=NOW, certificate=DER, trusted_hop=True, bound_x5t_s256=X5T)
    assert (alone.result, alone.failed, alone.key) == ("fail", (PRESENT,), None)
    assert _failure(alone, PRESENT) == ("one certificate", "the certificate of the hop alone")


def test_a_vendors_field_needs_a_trusted_hop_too() -> None:
    """What the caller read from a proxy's own field counts behind that proxy only, and must agree with Client-Cert."""
    vendor: dict[str, Any] = {
        "now": NOW,
        "certificate": DER,
        "certificate_source": CertificateSource.VENDOR_HEADER,
        "bound_x5t_s256": X5T,
    }
    trusted = inspect_mtls(_request(), trusted_hop=True, **vendor)
    assert (trusted.result, trusted.certificate_source) == ("pass", "vendor_header")
    assert inspect_mtls(_request(_field(DER)), trusted_hop=True, **vendor).result == "pass"
    differs = inspect_mtls(_request(CLIENT_CERT), trusted_hop=True, **vendor)
    assert _failure(differs, TRUSTED)[1] == "Client-Cert and another field differ"
    untrusted = inspect_mtls(_request(), **vendor)
    assert (untrusted.failed, untrusted.outcome(MATCH)) == ((TRUSTED, VALIDITY), "not_performed")
    assert _failure(untrusted, TRUSTED)[1] == "vendor_header from an untrusted hop"


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        (("",), "a malformed Client-Cert"),
        ((":",), "a malformed Client-Cert"),
        ((CLIENT_CERT[1:],), "a malformed Client-Cert"),
        ((CLIENT_CERT[:-1],), "a malformed Client-Cert"),
        ((CLIENT_CERT.replace("A", "\udcff", 1),), "a malformed Client-Cert"),
        ((f"{CLIENT_CERT}, {CLIENT_CERT}",), "a malformed Client-Cert"),
        ((f":{'A' * 1_000_000}:",), "a malformed Client-Cert"),
        ((CLIENT_CERT, CLIENT_CERT), "2 Client-Cert fields"),
        ((":AAAA:",), "no DER certificate"),
        ((_field(DER + b"\0"),), "no DER certificate"),
        ((_field(DER[:-1]),), "no DER certificate"),
        ((_field(b"0\x80" + DER),), "no DER certificate"),
    ],
)
@pytest.mark.parametrize("trusted_hop", [True, False])
def test_a_malformed_field_is_no_certificate(fields: tuple[str, ...], missing: str, *, trusted_hop: bool) -> None:
    """Whatever is not exactly one DER certificate in one byte sequence fails as such, whoever sent it."""
    inspection = inspect_mtls(_request(*fields), now=NOW, trusted_hop=trusted_hop, bound_x5t_s256=CLIENT_X5T)
    assert inspection.failed == ((PRESENT,) if trusted_hop else (PRESENT, TRUSTED))
    assert _failure(inspection, PRESENT) == ("one certificate", missing)
    assert inspection.outcome(MATCH) == inspection.outcome(VALIDITY) == "not_performed"


def test_a_bound_token_without_a_certificate_fails() -> None:
    """Where nothing came there is no source to trust, and nothing to compare."""
    inspection = inspect_mtls(_request(), now=NOW, bound_x5t_s256=X5T)
    assert (inspection.result, inspection.failed, inspection.key) == ("fail", (PRESENT,), None)
    assert inspection.outcome(TRUSTED) == inspection.outcome(MATCH) == "not_performed"
    assert inspection.certificate_source == "unknown"


@pytest.mark.parametrize("size", [64 * 1024 - 4, 64 * 1024])
def test_a_certificate_is_read_up_to_64_kib(size: int) -> None:
    """A longer one is none; one up to there, however filled, is compared and cannot be read."""
    der = b"0\x82" + min(size, 65_535).to_bytes(2, "big") + secrets.token_bytes(size)
    inspection = inspect_mtls(_request(), now=NOW, certificate=der, bound_x5t_s256=X5T)
    assert inspection.failed == ((MATCH,) if size < 65_536 - 3 else (PRESENT,))


def test_nobody_said_what_the_token_is_bound_to() -> None:
    """Without ``cnf`` or a thumbprint nothing fails, and nothing was checked."""
    inspection = inspect_mtls(_request(), now=NOW, certificate=DER)
    assert (inspection.result, inspection.outcome(CNF), inspection.outcome(MATCH)) == (
        "not_performed",
        "not_performed",
        "not_performed",
    )
    assert inspection.proof("tests").result == "not_performed"


@pytest.mark.parametrize(
    ("cnf", "failed"),
    [
        ({"x5t#S256": X5T}, ()),
        ({"x5t#S256": X5T, "jkt": CLIENT_X5T}, ()),
        ({"x5t#S256": X5T, "kid": "k"}, ()),
        ({}, (CNF,)),
        (None, (CNF,)),
        ({"x5t#S256": "QUJD"}, (CNF,)),
        ({"jkt": X5T}, (CNF,)),
        ({"x5t#S256": X5T, "jwk": {}}, (CheckId.CNF_AMBIGUOUS,)),
        ({"x5t#S256": X5T, "jkt": CLIENT_X5T, "jku": "x"}, (CheckId.CNF_AMBIGUOUS,)),
        ({"jwk": {}, "jwe": "x"}, (CNF, CheckId.CNF_AMBIGUOUS)),
    ],
)
def test_what_cnf_says(cnf: object, failed: tuple[CheckId, ...]) -> None:
    """The token names a certificate and no other key; a ``jkt`` beside it is a second requirement (RFC 7800 §3)."""
    now = datetime(2020, 1, 1, tzinfo=UTC)
    inspection = inspect_mtls(_request(), now=now, certificate=DER, confirmation=confirmation_of(cnf))
    assert inspection.failed == failed
    assert inspection.result == ("fail" if failed else "pass")


def test_the_example_of_rfc_8705_section_3_is_no_thumbprint() -> None:
    """Its last character has bits that no encoder writes: such a ``cnf`` names no certificate."""
    cnf = confirmation_of({"x5t#S256": VECTORS["rfc8705"]["section3_example_cnf_without_cert"]})
    assert inspect_mtls(_request(), now=NOW, certificate=DER, confirmation=cnf).outcome(CNF) == "fail"


@pytest.mark.parametrize(
    ("chain_verified", "chain", "result"),
    [(None, "not_performed", "not_performed"), (True, "pass", "pass"), (False, "fail", "fail")],
)
def test_client_authentication_needs_the_chain(*, chain_verified: bool | None, chain: str, result: str) -> None:
    """A client that authenticates needs no ``cnf`` and a verified chain (§2.1); where there is a ``cnf``, both."""
    given: dict[str, Any] = {
        "now": NOW, "certificate": DER, "client_authentication": True, "chain_verified": chain_verified
    }  # fmt: skip
    inspection = inspect_mtls(_request(), **given)
    assert (inspection.outcome(CHAIN), inspection.result) == (chain, result)
    assert inspection.outcome(CNF) == inspection.outcome(MATCH) == "not_applicable"
    bound = inspect_mtls(_request(), **given, bound_x5t_s256=CLIENT_X5T)
    assert (bound.outcome(MATCH), bound.result) == ("fail", "fail")
    assert inspect_mtls(_request(), **given, confirmation=Confirmation()).outcome(CNF) == "fail"


def test_a_mismatch_says_what_the_kept_certificate_tells(issue: Issue) -> None:
    """With the bound certificate at hand a renewal is told; with that of yet another, only the thumbprints are."""
    key = ec.generate_private_key(ec.SECP256R1())
    old, new = issue(key, since=NOW - timedelta(hours=1)), issue(key, since=NOW)
    bound = Thumbprint.of_certificate(old)
    renewed = inspect_mtls(_request(), now=NOW, certificate=new, bound_x5t_s256=bound, bound_certificate=old)
    assert _failure(renewed, MATCH) == (bound, "another certificate, same key, fresh")
    other = inspect_mtls(_request(), now=NOW, certificate=new, bound_x5t_s256=bound, bound_certificate=DER)
    assert _failure(other, MATCH) == (bound, Thumbprint.of_certificate(new))
    garbled = inspect_mtls(_request(), now=NOW, certificate=new, bound_x5t_s256=bound, bound_certificate=b"0\0")
    assert _failure(garbled, MATCH) == (bound, Thumbprint.of_certificate(new))


def test_a_time_needs_a_zone() -> None:
    """What the caller got wrong is told to the caller."""
    with pytest.raises(ConfigurationError):
        inspect_mtls(_request(), now=datetime(2026, 9, 1), certificate=DER)  # noqa: DTZ001 -- that is the mistake


def test_without_cryptography_the_thumbprint_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional library missing, only the dates are not looked at."""
    imported = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    inspection = inspect_mtls(_request(), now=NOW, certificate=DER, bound_x5t_s256=X5T)
    assert (inspection.result, inspection.outcome(VALIDITY)) == ("pass", "not_performed")


@given(content=st.binary(max_size=300), by_field=st.booleans(), trusted_hop=st.booleans())
def test_nothing_that_is_sent_raises(content: bytes, *, by_field: bool, trusted_hop: bool) -> None:
    """Any bytes for a certificate give a failure, never an exception, and stay out of the record."""
    request = _request(content.decode("latin-1")) if by_field else _request()
    inspection = inspect_mtls(
        request, now=NOW, certificate=None if by_field else content, trusted_hop=trusted_hop, bound_x5t_s256=X5T
    )
    assert inspection.result == "fail"
    assert len(inspection.proof("tests").model_dump_json()) < 2_000


@pytest.mark.parametrize(
    "value",
    [":" + "A" * 10_000_000 + ":", ":" * 1_000_000, "," * 1_000_000, _field(b"0\x83\x00\xff\xf0" + bytes(65_520))],
)
def test_a_hostile_field_is_quick(value: str, cpu_seconds: CpuSeconds) -> None:
    """No field, however long, takes longer than 50 ms."""
    request = _request(value)
    assert inspect_mtls(request, now=NOW, trusted_hop=True, bound_x5t_s256=X5T).result == "fail"
    assert cpu_seconds(lambda: inspect_mtls(request, now=NOW, trusted_hop=True, bound_x5t_s256=X5T)) < 0.05

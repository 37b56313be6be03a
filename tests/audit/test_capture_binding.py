"""What ties a credential to its sender: declared, presented, and the proof that came with it, unchecked."""

from __future__ import annotations

import builtins
import hashlib
import json
import secrets
from base64 import b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from counterfoil.audit.capture import Credential, HttpRequest, TokenFacts, capture_credentials
from counterfoil.schemas import Fingerprint, FingerprintKey, Sha256, Thumbprint

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "specs.json").read_text("utf-8"))
RFC9449 = VECTORS["rfc9449"]
PROOF, BOUND, JKT = RFC9449["fig13_proof_resource"], RFC9449["fig8_bound_jwt_at"], RFC9449["jkt"]
PEM: str = VECTORS["rfc8705"]["appendix_a_pem"]
DER = b64decode("".join(PEM.splitlines()[1:-1]))
X5T = VECTORS["rfc8705"]["x5t#S256"]
KEY = FingerprintKey(secrets.token_bytes(32))
SECRET = secrets.token_urlsafe(32)


def _jwt(**claims: object) -> str:
    parts = [json.dumps(content).encode() for content in ({"alg": "ES256", "typ": "at+jwt"}, claims)]
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, secrets.token_bytes(64)))


def _first(*headers: tuple[str, str], **given: Any) -> Credential:
    request = HttpRequest("GET", "https://resource.example.org/protectedresource", headers)
    return capture_credentials(request, KEY, **given)[0]


def _token_request(*headers: tuple[str, str], certificate: bytes | None = None, **form: str) -> tuple[Credential, ...]:
    content_type = ("Content-Type", "application/x-www-form-urlencoded")
    body = urlencode(form).encode()
    request = HttpRequest("POST", "https://as.example/token", (content_type, *headers), body)
    return capture_credentials(request, KEY, certificate=certificate)


def _binding(credential: Credential) -> tuple[str, str, str, str]:
    binding, proof = credential.binding, credential.proof
    return binding.declared, binding.presented, binding.method, proof.result


@pytest.mark.parametrize(
    ("authorization", "proofs", "expected"),
    [
        (f"Bearer {SECRET}", 0, ("unknown", "none", "none", "not_applicable")),
        (f"Bearer {_jwt(sub='alice')}", 0, ("none", "none", "none", "not_applicable")),
        (f"DPoP {BOUND}", 1, ("dpop", "dpop", "dpop", "not_performed")),
        (f"DPoP {SECRET}", 1, ("unknown", "dpop", "dpop", "not_performed")),
        (f"DPoP {SECRET}", 0, ("unknown", "dpop", "dpop", "not_performed")),
        (f"Bearer {BOUND}", 0, ("dpop", "none", "none", "not_performed")),
        (f"Bearer {BOUND}", 1, ("dpop", "none", "none", "not_performed")),
        (f"Bearer {_jwt(cnf={'x5t#S256': X5T})}", 0, ("mtls", "none", "none", "not_performed")),
        (f"Bearer {_jwt(cnf={'jwk': {}})}", 0, ("unknown", "none", "none", "not_applicable")),
        (f"Bearer {_jwt(cnf='text')}", 0, ("unknown", "none", "none", "not_applicable")),
    ],
)
def test_declared_and_presented_are_two_facts(authorization: str, proofs: int, expected: tuple[str, ...]) -> None:
    """`declared` comes from cnf, `presented` from the scheme: their difference shows a bound token sent as Bearer."""
    credential = _first(("Authorization", authorization), *[("DPoP", PROOF)] * proofs)
    assert _binding(credential) == expected
    assert credential.binding.verified == "unknown"


def test_a_proof_leaves_its_digest_and_its_id() -> None:
    """Kept are SHA-256 of the proof, SHA-256(jkt ‖ 0x00 ‖ jti), and the thumbprint of the key (RFC 9449 figure 13)."""
    credential = _first(("Authorization", f"DPoP {RFC9449['access_token']}"), ("DPoP", PROOF))
    digest = hashlib.sha256(f"{JKT}\0{RFC9449['fig13_claims']['jti']}".encode()).digest()
    assert credential.proof.proof_id == "sha256:" + urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert credential.proof.proof_digest == Sha256.of(PROOF.encode())
    assert credential.proof.mechanism == "dpop"
    assert credential.binding.key_thumbprint == JKT


def test_the_key_of_the_token_stands_before_that_of_the_proof() -> None:
    """A proof by another key than the bound one does not change which key the token is bound to."""
    other = Thumbprint.of_certificate(b"another key")
    credential = _first(("Authorization", f"DPoP {_jwt(cnf={'jkt': other})}"), ("DPoP", PROOF))
    assert credential.binding.key_thumbprint == other
    assert credential.token.confirmation.jkt == other


@pytest.mark.parametrize("proofs", [("garbage",), (PROOF, PROOF), (f"{PROOF}, {PROOF}",)])
def test_a_proof_that_cannot_be_read_leaves_its_digest(proofs: tuple[str, ...]) -> None:
    """A garbled, doubled or merged proof has no id; that it was there, and what it was, is kept as a digest."""
    proof = _first(("Authorization", f"DPoP {SECRET}"), *[("DPoP", value) for value in proofs]).proof
    assert (proof.mechanism, proof.result, proof.proof_id) == ("dpop", "not_performed", None)
    assert proof.proof_digest == Sha256.of(", ".join(proofs).encode())


def test_a_proof_goes_to_one_credential() -> None:
    """With several credentials the proof is the access token's, so that its id stands once."""
    request = HttpRequest(
        "GET", "https://api.example/", (("DPoP", PROOF), ("Cookie", "sid=1"), ("Authorization", f"DPoP {SECRET}"))
    )
    assert [bool(found.proof.proof_id) for found in capture_credentials(request, KEY)] == [True, False]


@pytest.mark.parametrize("claims", [b'{"cnf":{"jkt":"a","jkt":"b"}}', b'{"cnf":{"jkt":"a"},"cnf":{"kid":"b"}}'])
def test_an_ambiguous_confirmation_declares_nothing(claims: bytes) -> None:
    """A token that says twice what it is bound to declares neither that, nor that it is unbound."""
    parts = (urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"ES256"}', claims))
    credential = _first(("Authorization", f"Bearer {'.'.join(parts)}."))
    assert credential.binding.declared == "unknown"


def test_a_certificate_is_a_credential_too() -> None:
    """The certificate of RFC 8705 appendix A gives its x5t#S256; the token that it is bound to is presented by it."""
    request = HttpRequest("GET", "https://api.example/", (("Authorization", f"Bearer {_jwt(cnf={'x5t#S256': X5T})}"),))
    token, certificate = capture_credentials(request, KEY, certificate=DER)
    assert _binding(token) == ("mtls", "mtls", "mtls", "not_performed")
    assert token.proof.mechanism == "mtls"
    assert token.binding.key_thumbprint == certificate.binding.key_thumbprint == X5T
    assert (certificate.token.token_class, certificate.token.format) == ("client_cert", "certificate")
    assert certificate.token.methods == ("authorization_header", "mtls")
    assert certificate.token.fingerprint == Fingerprint.of(DER, KEY)
    assert certificate.token.subject == "CN=mtls"


@pytest.mark.parametrize(
    ("authorization", "presented"),
    [
        (f"Bearer {_jwt(sub='alice')}", "none"),
        (f"Bearer {BOUND}", "none"),
        (f"Bearer {SECRET}", "mtls"),
        (f"Bearer {_jwt(cnf={'x5t#S256': X5T, 'jkt': JKT})}", "mtls"),
        (f"DPoP {BOUND}", "dpop"),
        (f"DPoP {SECRET}", "dpop"),
        (f"Token {SECRET}", "none"),
    ],
)
def test_a_certificate_counts_for_what_may_be_bound_to_it(authorization: str, presented: str) -> None:
    """On a connection with a certificate a token that is known not to be bound to it stays bearer."""
    assert _first(("Authorization", authorization), certificate=DER).binding.presented == presented


def test_a_certificate_by_header_says_where_it_came_from() -> None:
    """Client-Cert (RFC 9440) is read and marked: whoever reaches the server behind the proxy can set it."""
    header = VECTORS["rfc9440"]["client_cert_header"]
    token, certificate = capture_credentials(
        HttpRequest("GET", "https://api.example/", (("Client-Cert", header), ("Authorization", f"Bearer {SECRET}"))),
        KEY,
    )
    assert certificate.binding.key_thumbprint == VECTORS["rfc9440"]["x5t#S256"]
    assert certificate.token.presentation == "custom_header"
    assert token.proof.certificate_source == certificate.proof.certificate_source == "client_cert_header"


@pytest.mark.parametrize("values", [("",), (":",), ("::",), (":%%:",), ("AAAA",), (":AAAA:", ":AAAA:")])
def test_a_malformed_certificate_header_is_none(values: tuple[str, ...]) -> None:
    """What is not exactly one byte sequence is no certificate."""
    request = HttpRequest("GET", "https://api.example/", tuple(("Client-Cert", value) for value in values))
    assert capture_credentials(request, KEY) == ()


def _svid(*uris: str) -> bytes:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([]), subject_name=x509.Name([]), public_key=key.public_key(),
        serial_number=x509.random_serial_number(), not_valid_before=now, not_valid_after=now + timedelta(hours=1),
    )  # fmt: skip
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    der: bytes = signed.public_bytes(serialization.Encoding.DER)
    return der


def test_an_svid_is_told_by_its_only_uri() -> None:
    """An X.509-SVID has exactly one URI, its SPIFFE ID; two make it an ordinary certificate."""
    svid = _first(certificate=_svid("spiffe://example.org/agent")).token
    assert (svid.token_class, svid.subject, svid.basis) == (
        "x509_svid",
        "spiffe://example.org/agent",
        "unverified_claims",
    )
    assert svid.lifetime.expires_at is not None
    for uris in (("https://example.org",), ("spiffe://example.org/a", "spiffe://example.org/b")):
        assert _first(certificate=_svid(*uris)).token.token_class == "client_cert"


def test_without_cryptography_a_certificate_has_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional library missing, the certificate is recorded by thumbprint and fingerprint alone."""
    svid, imported = _svid("spiffe://example.org/agent"), builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    token = _first(certificate=svid).token
    assert (token.token_class, token.subject, token.basis) == ("client_cert", None, "unknown")


def test_a_garbled_certificate_is_recorded_all_the_same() -> None:
    """What is no certificate was presented nevertheless."""
    credential = _first(certificate=b"no certificate")
    assert credential.token.token_class == "client_cert"
    assert credential.binding.key_thumbprint == Thumbprint.of_certificate(b"no certificate")


def test_a_public_clients_refresh_token_is_tied_to_the_proof() -> None:
    """A refresh token with a DPoP proof and no client authentication is key-bound (RFC 9449 §5)."""
    (refresh,) = _token_request(("DPoP", PROOF), grant_type="refresh_token", refresh_token=SECRET)
    assert _binding(refresh) == ("unknown", "dpop", "dpop", "not_performed")
    assert refresh.binding.key_thumbprint == JKT


@pytest.mark.parametrize(
    "authentication", [{"client_secret": SECRET}, {"client_assertion": _jwt(sub="client-1")}, {"certificate": DER}]
)
def test_a_confidential_clients_refresh_token_is_tied_to_the_client(authentication: dict[str, Any]) -> None:
    """With client authentication, by whatever means, a refresh token is bound through the client (RFC 9449 §5)."""
    refresh, client = _token_request(
        ("DPoP", PROOF), grant_type="refresh_token", refresh_token=RFC9449["refresh_token"], **authentication
    )
    assert refresh.binding.presented == "client_authentication"
    assert refresh.proof.proof_id is not None
    assert client.proof.proof_id is None


def test_a_proof_without_a_grant_goes_to_the_client() -> None:
    """In a client credentials request the proof comes with the client's own credential."""
    (client,) = _token_request(("DPoP", PROOF), grant_type="client_credentials", client_secret=SECRET)
    assert client.proof.proof_id is not None


def test_a_workload_token_with_its_proof() -> None:
    """A WIT and its WPT (the draft's example): the key is the token's, and the proof is kept as digest and id."""
    wimse = VECTORS["wimse_draft"]
    credential = _first(("Workload-Identity-Token", wimse["wit"]), ("Workload-Proof-Token", wimse["wpt"]))
    assert _binding(credential) == ("wit_wpt", "wit_wpt", "wit_wpt", "not_performed")
    assert credential.binding.key_thumbprint == wimse["proof_key_jkt"]
    digest = hashlib.sha256(f"{wimse['proof_key_jkt']}\0__bwc4ESC3acc2LTC1-_x".encode()).digest()
    assert credential.proof.proof_id == "sha256:" + urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert credential.token.subject == "wimse://example.com/specific-workload"


def test_a_workload_token_without_proof_is_noted() -> None:
    """A WIT must not be used as bearer: without its proof, what it declares was not presented."""
    for header in (("Workload-Identity-Token", "{}"), ("Authorization", "Bearer {}")):
        credential = _first((header[0], header[1].format(VECTORS["wimse_draft"]["wit"])))
        assert _binding(credential) == ("wit_wpt", "none", "none", "not_performed")


def test_an_attestation_with_its_proof() -> None:
    """A client attestation is bound to the key that it holds, and its proof is kept as digest and id."""
    attestation, proof = _jwt(sub="client-1", cnf={"jwk": RFC9449["jwk"]}), _jwt(jti="j-1")
    credential = _first(("OAuth-Client-Attestation", attestation), ("OAuth-Client-Attestation-PoP", proof))
    assert credential.binding.key_thumbprint == JKT
    assert credential.proof.proof_digest == Sha256.of(proof.encode())
    assert credential.proof.proof_id is not None


def test_facts_declare_a_binding_that_the_token_hides() -> None:
    """An opaque token that introspection says is bound to a key, sent as Bearer, is a downgrade (RFC 9449 §7.2)."""
    facts = TokenFacts.introspected(RFC9449["fig11_introspection"])
    credential = _first(("Authorization", f"Bearer {SECRET}"), facts=facts)
    assert credential.token.token_class == "dpop_bound_access"
    assert _binding(credential) == ("dpop", "none", "none", "not_performed")
    assert credential.binding.key_thumbprint == JKT
    assert [(check.id, check.outcome) for check in credential.proof.checks] == [("token.active", "pass")]

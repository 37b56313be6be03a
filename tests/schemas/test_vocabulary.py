"""The terms of a record, against the lists in the documents that define them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from counterfoil.schemas import vocabulary
from counterfoil.schemas.terms import Vocabulary

VOCABULARIES = [
    each
    for each in vars(vocabulary).values()
    if isinstance(each, type) and issubclass(each, Vocabulary) and each is not Vocabulary
]

EXPECTED: dict[str, str] = {
    "Kind": "credential_use credential_change approval compromise log",
    "Observer": "agent resource_server authorization_server gateway",
    "TokenClass": (
        "bearer_opaque bearer_jwt_at jwt_unprofiled dpop_bound_access mtls_bound_access dual_bound_access refresh_token"
        " authorization_code token_exchange txn_token id_token client_secret client_assertion client_attestation"
        " basic_password api_key cookie_session signed_url sigv4_request http_message_signature wit_wpt jwt_svid"
        " x509_svid client_cert saml_assertion device_code cloud_identity environment_credential"
        " delegated_browser_session none unknown"
    ),
    "TokenFormat": "jwt jwe opaque certificate saml unknown",
    "Presentation": (
        "authorization_header form_body query cookie custom_header mtls signature environment none unknown"
    ),
    "Basis": "verified_jwt unverified_claims introspection token_response configuration unknown",
    "BindingMethod": (
        "none dpop mtls http_signature wit_wpt sigv4_hmac client_authentication rotation audience_only channel_cookie"
        " ip_or_network unknown"
    ),
    "CustodyStore": (
        "hardware_nonexportable os_keystore_nonexportable kms_remote_sign software_process_memory software_file"
        " environment_variable browser_webcrypto_nonextractable shared_sidecar tls_stack unknown"
    ),
    "Isolation": "task agent tool tenant host shared unknown",
    "AssertedBy": "self_asserted configured platform_attested unknown",
    "ProofResult": "pass fail not_applicable not_performed error unknown",
    "CheckOutcome": "pass fail not_applicable not_performed error",
    "CheckId": (
        "dpop.01_single_header dpop.02_well_formed dpop.03_required_claims dpop.04_typ dpop.05_alg dpop.06_signature"
        " dpop.07_no_private_key dpop.08_htm dpop.09_htu dpop.10_nonce dpop.11_time dpop.12a_ath dpop.12b_jkt"
        " dpop.13_jti_replay dpop.14_scheme dpop.15_single_token_method dpop.16_nonce_downgrade"
        " mtls.01_cert_present mtls.02_cnf_present mtls.03_x5t_match mtls.04_cert_source_trusted mtls.05_cert_validity"
        " mtls.06_chain"
        " jose.crit jose.key jose.alg_key jose.rsa_bits jose.duplicate_member jose.base64url jose.size"
        " http_signature.01_well_formed http_signature.02_coverage http_signature.03_key http_signature.04_alg"
        " http_signature.05_time http_signature.06_signature http_signature.07_content_digest"
        " wimse.01_wit_well_formed wimse.02_wit_signature wimse.03_wit_time wimse.04_wit_key wimse.05_wpt_well_formed"
        " wimse.06_wpt_signature wimse.07_aud wimse.08_time wimse.09_wth wimse.10_ath wimse.11_other_hashes"
        " wimse.12_jti_replay cnf.ambiguous"
        " token.signature token.issuer token.audience token.time token.typ token.scope token.active"
    ),
    "ReplayScope": "key uri none unknown",
    "HtuSource": "absolute_form host_header forwarded configured unknown",
    "CertificateSource": "tls_layer client_cert_header vendor_header unknown",
    "Requirement": "required not_required unknown",
    "Decision": "granted denied expired automatic none",
    "ApprovalState": "requested granted denied expired automatic",
    "Phase": "intent outcome complete",
    "Outcome": "executed refused failed pending unknown",
    "Change": "issued refreshed exchanged rotated revoked expired",
    "Leaked": "token key both unknown",
    "LeakPlace": (
        "prompt_log tool_trace browser_state error_report cache screenshot repository connector other unknown"
    ),
    "LogChange": "created opened closed gap disk_full key_rotated signing_key_rotated pruned erased",
    "Severity": "informational low medium high critical",
    "RedactionAction": "mask drop fingerprint truncate",
    "LengthClass": "1-16 17-64 65-256 257-4096 4097-",
}


def test_every_vocabulary_is_listed_here() -> None:
    """No vocabulary exists that the table above does not hold."""
    assert {each.__name__ for each in VOCABULARIES} == set(EXPECTED)


@pytest.mark.parametrize("terms", VOCABULARIES, ids=lambda each: each.__name__)
def test_terms_are_the_published_ones(terms: type[Vocabulary]) -> None:
    """Terms are part of the sealed form: adding one is a decision, renaming or removing one breaks stored logs."""
    assert [term.value for term in terms] == EXPECTED[terms.__name__].split()


@pytest.mark.parametrize("terms", VOCABULARIES, ids=lambda each: each.__name__)
def test_every_term_is_explained(terms: type[Vocabulary]) -> None:
    """Each vocabulary has a docstring of its own, each term a source or a meaning."""
    assert terms.__doc__ != Vocabulary.__doc__
    assert [term.value for term in terms if not term.source] == []


@pytest.mark.parametrize("terms", VOCABULARIES, ids=lambda each: each.__name__)
def test_member_names_follow_their_terms(terms: type[Vocabulary]) -> None:
    """``TokenClass.API_KEY`` is ``api_key``: nobody has to look a name up twice."""
    if terms.__name__ != "LengthClass":
        for term in terms:
            spelled = re.sub(r"\.\d+[ab]?_", "_", term.value).replace(".", "_").upper()
            assert term.name == spelled


def test_what_nobody_stated_is_unknown() -> None:
    """A vocabulary of facts that may not be known has the term for it."""
    always_known: Any = {
        "Kind", "Observer", "CheckOutcome", "CheckId", "Decision", "ApprovalState", "Phase", "Change", "LogChange",
        "LengthClass", "RedactionAction", "Severity",
    }  # fmt: skip
    without = {each.__name__ for each in VOCABULARIES if "unknown" not in list(each)}
    assert without == always_known

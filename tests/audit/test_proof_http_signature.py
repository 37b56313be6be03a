"""HTTP Message Signatures: the requests of RFC 9421 appendix B, and what breaks a good one."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.capture import HttpRequest, capture_credentials
from counterfoil.audit.capture.structured_fields import read_dictionary
from counterfoil.audit.proof.http_signature import HTTP_SIGNATURE_CHECKS, HttpSignaturePolicy, inspect_http_signature
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.schemas import ConfigurationError, FingerprintKey

if TYPE_CHECKING:
    from conftest import CpuSeconds

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "http-signatures.json").read_text("utf-8")
)
MADE = datetime.fromtimestamp(VECTORS["created"], UTC)
WELL_FORMED, COVERAGE, KEY, ALG, TIME, SIGNATURE, DIGEST = HTTP_SIGNATURE_CHECKS
ANYTHING = HttpSignaturePolicy(required=())


def _published(section: str) -> HttpRequest:
    (vector,) = [each for each in VECTORS["signatures"] if each["section"] == section]
    request = VECTORS["requests"][vector["request"]]
    fields = [*map(tuple, request["headers"]), ("Signature-Input", f"{vector['label']}={vector['signature_input']}")]
    fields.append(("Signature", f"{vector['label']}=:{vector['signature']}:"))
    body = request["body"].encode() if request["body"] else None
    return HttpRequest(request["method"], request["url"], tuple(fields), body)


def _inspect(request: HttpRequest, policy: HttpSignaturePolicy = ANYTHING, **given: Any) -> Inspection:
    now, keys = given.pop("now", MADE), given.pop("keys", VECTORS["keys"])
    return inspect_http_signature(request, now=now, keys=keys, policy=policy, **given)


@pytest.mark.parametrize("section", [each["section"] for each in VECTORS["signatures"]])
def test_the_signatures_of_rfc_9421_verify(section: str) -> None:
    """Every signed request of appendix B passes: minimal, selective, full, HMAC, Ed25519, a proxy's, and §B.4's."""
    inspection = _inspect(_published(section))
    assert (inspection.result, inspection.failed) == ("pass", ())
    digest = "pass" if section in {"B.2.2", "B.2.3"} else "not_applicable"
    outcomes = ["pass", "not_applicable", "pass", "pass", "pass", "pass", digest]
    assert [inspection.outcome(each) for each in HTTP_SIGNATURE_CHECKS] == outcomes
    proof = inspection.proof("tests")
    assert (proof.mechanism, proof.result, proof.replay_scope) == ("http_signature", "pass", "none")


def test_the_digest_of_the_signature_is_that_of_capture() -> None:
    """What capture notes of an unchecked signature and what the inspection records are the same digest."""
    request = _published("B.2.6")
    (captured,) = capture_credentials(request, FingerprintKey(secrets.token_bytes(32)))
    assert _inspect(request).proof_digest == captured.proof.proof_digest


def test_a_shared_secret_is_recorded_as_such() -> None:
    """HMAC passes, and the record says that more than one party could have signed; there is no key thumbprint."""
    inspection = _inspect(_published("B.2.5"))
    (check,) = [each for each in inspection.checks if each.id is ALG]
    assert (check.outcome, check.observed) == ("pass", "hmac-sha256, a shared secret")
    assert inspection.key is None
    exclusive = replace(ANYTHING, algorithms=ANYTHING.algorithms - {"hmac-sha256"})
    assert _inspect(_published("B.2.5"), exclusive).failed == (ALG,)


def _changed(request: HttpRequest, **fields: str) -> HttpRequest:
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    kept = tuple((name, value) for name, value in request.headers if name.lower() not in names)
    return HttpRequest(request.method, request.url, (*kept, *names.items()), request.body)


@pytest.mark.parametrize(
    "fields", [{"accept_language": "en-US,en;q=0.5"}, {"date": ""}, {"accept": "application/json, */*"}]
)
def test_what_a_proxy_may_do_keeps_the_signature(fields: dict[str, str]) -> None:
    """§B.4: fields added, changed and left out, where they are not covered, and lines that were joined."""
    assert _inspect(_changed(_published("B.4"), **fields)).result == "pass"


def test_what_a_proxy_may_not_do_breaks_it() -> None:
    """§B.4: another method, another authority, covered lines in another order."""
    request = _published("B.4")
    others = (
        HttpRequest("POST", request.url, request.headers),
        HttpRequest("GET", "https://example.com/demo?name1=Value1&Name2=value2", request.headers),
        _changed(request, accept="*/*, application/json"),
    )
    assert [_inspect(other).failed for other in others] == [(SIGNATURE,)] * 3


# A request of our own, signed over a base that is written here by hand.
ED25519 = ed25519.Ed25519PrivateKey.generate()
KEYS = {"key-1": ED25519.public_key()}
URL, BODY = "https://api.example/mail?box=in&tag=a", b'{"to": "bob"}'
CONTENT_DIGEST = f"sha-256=:{b64encode(hashlib.sha256(BODY).digest()).decode()}:"
FIELDS = {"content-type": "application/json", "content-digest": CONTENT_DIGEST, "x-agent": "mail-agent, v1"}
POLICY = HttpSignaturePolicy(required=("@method", "@target-uri", "content-digest"))
PARAMETERS = f';created={int(MADE.timestamp())};keyid="key-1"'


def _base(covered: dict[str, str], parameters: str) -> tuple[str, bytes]:
    inner = "(" + " ".join(covered) + ")" + parameters
    return inner, "\n".join(
        [*(f"{name}: {covered[name]}" for name in covered), f'"@signature-params": {inner}']
    ).encode()


def _signed(parameters: str = PARAMETERS, key: Any = ED25519, **more: str) -> HttpRequest:
    covered = {'"@method"': "POST", '"@target-uri"': URL, **{f'"{name}"': FIELDS[name] for name in FIELDS}}
    inner, base = _base(covered, parameters)
    signature = key.sign(base) if hasattr(key, "sign") else hmac.digest(key, base, hashlib.sha256)
    shown = {"signature-input": f"sig1={inner}", "signature": f"sig1=:{b64encode(signature).decode()}:"}
    return HttpRequest("POST", URL, tuple({**FIELDS, **shown, **more}.items()), BODY)


def _check(request: HttpRequest, policy: HttpSignaturePolicy = POLICY, **given: Any) -> Inspection:
    return _inspect(request, policy, **{"keys": KEYS, **given})


def test_a_request_of_our_own_passes_whole() -> None:
    """Method, URI, fields and content are bound; the key is named by its thumbprint."""
    inspection = _check(_signed())
    assert (inspection.result, [check.outcome.value for check in inspection.checks]) == ("pass", ["pass"] * 7)
    assert inspection.key is not None
    assert _check(_signed(), HttpSignaturePolicy()).result == "pass"


@given(st.data())
def test_any_change_of_what_is_covered_is_seen(data: st.DataObject) -> None:
    """Whatever is changed of method, URI, covered fields or content, by however little, some check fails."""
    request = _signed()
    what = data.draw(st.sampled_from(["method", "url", "body", *FIELDS]))
    before = {"method": "POST", "url": URL, "body": BODY.decode("latin-1"), **FIELDS}[what]
    start, end = sorted((data.draw(st.integers(0, len(before))), data.draw(st.integers(0, len(before)))))
    after = before[:start] + data.draw(st.text(st.characters(max_codepoint=255), max_size=3)) + before[end:]
    fields = dict(request.headers) | ({what: after} if what in FIELDS else {})
    changed = HttpRequest(
        after if what == "method" else "POST",
        after if what == "url" else URL,
        tuple(fields.items()),
        after.encode("latin-1") if what == "body" else BODY,
    )
    if what in FIELDS:
        same = after.strip(" \t\r\n") == before
    else:
        same = (after.partition("#")[0] if what == "url" else after) == before
    assert (_check(changed).result == "pass") is same


@given(st.data())
def test_any_change_of_the_signature_is_seen(data: st.DataObject) -> None:
    """A change of Signature-Input or Signature that is more than another spelling fails some check."""
    request = _signed()
    what = data.draw(st.sampled_from(["signature-input", "signature"]))
    before = dict(request.headers)[what]
    start, end = sorted((data.draw(st.integers(0, len(before))), data.draw(st.integers(0, len(before)))))
    after = before[:start] + data.draw(st.text(st.characters(max_codepoint=127), max_size=2)) + before[end:]
    inspection = _check(_changed(request, **{what.replace("-", "_"): after}))
    members = read_dictionary(after.strip(" \t\r\n")) or {}
    same = "sig1" in members and members["sig1"].text == before.removeprefix("sig1=")
    assert (inspection.result == "pass") is (same and len(members) == 1)


@pytest.mark.parametrize(
    ("required", "missing"),
    [
        (("@method", "@path", "@query", "@authority", "@scheme"), None),
        (("@request-target", "x-agent"), None),
        (("date", "@method", "content-length"), "date, content-length"),
        (('@query-param;name="box"',), '@query-param;name="box"'),
        (('content-digest;key="sha-256"',), 'content-digest;key="sha-256"'),
    ],
)
def test_what_has_to_be_covered(required: tuple[str, ...], missing: str | None) -> None:
    """A URI covers its parts; what is missing is named (§7.2.1)."""
    inspection = _check(_signed(), HttpSignaturePolicy(required=required))
    assert inspection.failed == ((COVERAGE,) if missing else ())
    assert [check.expected for check in inspection.checks if check.outcome == "fail"] == ([missing] if missing else [])


PARTS = {'"@method"': "POST", '"@scheme"': "https", '"@authority"': "api.example", '"@request-target"': URL[19:]}


@pytest.mark.parametrize(
    ("covered", "good"),
    [
        (
            {'"@method"': "POST", '"@scheme"': "https", '"@authority"': "api.example", '"@request-target"': URL[19:]},
            True,
        ),
        ({'"@method"': "POST", '"@scheme"': "https", '"@authority"': "api.example", '"@path"': "/mail"}, False),
        ({'"@method"': "POST", '"@authority"': "api.example", '"@request-target"': URL[19:]}, False),
        ({}, False),
    ],
)
def test_parts_cover_the_uri_together(covered: dict[str, str], *, good: bool) -> None:
    """Scheme, authority, path and query are the URI; without one of them it is not covered."""
    inner, base = _base(covered, PARAMETERS)
    signature = b64encode(ED25519.sign(base)).decode()
    request = HttpRequest("POST", URL, (("Signature-Input", f"s={inner}"), ("Signature", f"s=:{signature}:")))
    inspection = _check(request, HttpSignaturePolicy())
    assert inspection.failed == (() if good else (COVERAGE,))


def test_the_content_is_bound_by_its_digest_alone() -> None:
    """Other content fails; content that is not at hand leaves the check open, which matters where it was demanded."""
    request = _signed()
    assert _check(replace(request, body=b"{}")).failed == (DIGEST,)
    unseen = replace(request, body=None)
    assert (_check(unseen).outcome(DIGEST), _check(unseen).result) == ("not_performed", "not_performed")
    assert _check(unseen, HttpSignaturePolicy()).result == "pass"


def test_one_member_of_the_digest_binds_what_it_says() -> None:
    """With ``key`` only that member is covered: the others may be anything, and prove nothing."""
    digest = f"{CONTENT_DIGEST}, sha-512=:AAAA:"
    inner, base = _base({'"content-digest";key="sha-256"': CONTENT_DIGEST.removeprefix("sha-256=")}, PARAMETERS)
    fields = {"content-digest": digest, "signature-input": f"s={inner}"}
    fields["signature"] = f"s=:{b64encode(ED25519.sign(base)).decode()}:"
    request = HttpRequest("POST", URL, tuple(fields.items()), BODY)
    assert _check(request, ANYTHING).outcome(DIGEST) == "pass"
    assert _check(request).failed == (COVERAGE,)


def test_a_field_is_covered_in_any_spelling() -> None:
    """As bytes, or strictly, a field is covered whole."""
    for spelling, value in (("bs", f":{b64encode(b'mail-agent, v1').decode()}:"), ("sf", "mail-agent, v1")):
        inner, base = _base({f'"x-agent";{spelling}': value}, PARAMETERS)
        fields = {"x-agent": "mail-agent, v1", "signature-input": f"s={inner}"}
        fields["signature"] = f"s=:{b64encode(ED25519.sign(base)).decode()}:"
        request = HttpRequest("POST", URL, tuple(fields.items()), BODY)
        assert _check(request, HttpSignaturePolicy(required=("x-agent",))).result == "pass"


@pytest.mark.parametrize(
    ("parameters", "offset", "good"),
    [
        (";created={}", 0, True),
        (";created={}", 60, True),
        (";created={}", 61, False),
        (";created={}", -15, True),
        (";created={}", -16, False),
        (";created={0};expires={1}", 9, True),
        (";created={0};expires={1}", 10, False),
        (";created={1};expires={0}", 0, False),
        (";created={1};expires={2}", 0, False),
        (";created=-1", 0, False),
        (";created=999999999999999", 0, False),
        ("", 0, False),
        (";expires={1}", 0, False),
    ],
)
def test_it_was_made_lately(parameters: str, offset: float, *, good: bool) -> None:
    """A minute old at most, a little ahead at most, and not expired (§3.2.1)."""
    made = int(MADE.timestamp())
    request = _signed(parameters.format(made, made + 10, made + 5) + ';keyid="key-1"')
    inspection = _check(request, now=MADE + timedelta(seconds=offset))
    assert inspection.failed == (() if good else (TIME,))


def test_any_age_may_do() -> None:
    """Without a limit ``created`` may be old or absent; what expired is over all the same."""
    policy = replace(POLICY, max_age=None)
    later = MADE + timedelta(days=1000)
    assert _check(_signed(), policy, now=later).result == "pass"
    assert _check(_signed(';keyid="key-1"'), policy, now=later).result == "pass"
    made = int(MADE.timestamp())
    assert _check(_signed(f';expires={made};keyid="key-1"'), policy, now=later).failed == (TIME,)
    assert _check(_signed(f';created={made};keyid="key-1"'), policy, now=MADE - timedelta(days=1)).failed == (TIME,)


def test_the_key_is_the_one_named() -> None:
    """An unknown ``keyid`` has no key, one without a name has the default, and one that is unusable says why."""
    inspection = _check(_signed(), keys={"other": ED25519.public_key()})
    assert inspection.failed == (KEY,)
    assert inspection.outcome(ALG) == inspection.outcome(SIGNATURE) == "not_performed"
    assert _check(_signed(), keys={}, default_key=ED25519.public_key()).failed == (KEY,)
    unnamed = _signed(f";created={int(MADE.timestamp())}")
    assert _check(unnamed).failed == (KEY,)
    assert _check(unnamed, default_key=ED25519.public_key()).result == "pass"
    weak = _check(_signed(), keys={"key-1": rsa.generate_private_key(65537, 1024).public_key()})
    (check,) = [each for each in weak.checks if each.id is KEY]
    assert (check.outcome, check.observed) == ("fail", "a key is not on its curve, or an RSA key of 1024 bits")


def test_without_keys_the_signature_is_not_checked() -> None:
    """Whoever has no keys at hand can tell coverage, time and content, and no more."""
    inspection = _check(_signed(), keys=None)
    assert (inspection.result, inspection.failed) == ("not_performed", ())
    assert [inspection.outcome(each) for each in (COVERAGE, TIME, DIGEST)] == ["pass"] * 3
    assert [inspection.outcome(each) for each in (KEY, ALG, SIGNATURE)] == ["not_performed"] * 3


def test_another_key_did_not_sign() -> None:
    """A key of the same kind fails the signature, one of another kind its algorithm where that is named."""
    another = ed25519.Ed25519PrivateKey.generate().public_key()
    assert _check(_signed(), keys={"key-1": another}).failed == (SIGNATURE,)
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert _check(_signed(), keys={"key-1": curve}).failed == (SIGNATURE,)
    named = _signed(PARAMETERS + ';alg="ed25519"')
    assert _check(named).result == "pass"
    assert _check(named, keys={"key-1": curve}).failed == (ALG,)


def test_the_algorithm_follows_from_the_key() -> None:
    """A public key is never a secret: naming HMAC does not make it one. An RSA key needs to be told which of two."""
    raw = ED25519.public_key().public_bytes_raw()
    forged = _signed(PARAMETERS + ';alg="hmac-sha256"', raw)
    assert _check(forged).failed == (ALG,)
    assert _check(_signed(PARAMETERS, raw)).failed == (SIGNATURE,)
    rsa_key = rsa.generate_private_key(65537, 2048).public_key()
    assert _check(_signed(), keys={"key-1": rsa_key}).failed == (ALG,)
    assert _check(_signed(), replace(POLICY, algorithms=frozenset({"ecdsa-p256-sha256"}))).failed == (ALG,)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({}, "pass"),
        ({"label": "sig1"}, "pass"),
        ({"tag": "ours"}, "pass"),
        ({"label": "sig2"}, "fail"),
        ({"tag": "x"}, "fail"),
    ],
)
def test_the_signature_that_is_meant_is_chosen(given: dict[str, str], chosen: str) -> None:
    """By label, by tag, else by the key that is known: another's signature beside ours changes nothing (§7.2.3)."""
    ours = _signed(PARAMETERS + ';tag="ours"')
    fields = dict(ours.headers)
    both = _changed(
        ours,
        signature_input=f'sig2=();keyid="theirs";tag="x", {fields["signature-input"]}',
        signature=f"{fields['signature']}, sig2=:AAAA:",
    )
    assert _check(both, replace(POLICY, **given)).result == chosen


MANY = [f'"x{number}"' for number in range(65)]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"signature_input": ""}, "no signatures to choose from"),
        ({"signature": ""}, "there is no signature under the label"),
        ({"signature": "sig1=abc"}, "there is no signature under the label"),
        ({"signature": "sig2=:AAAA:"}, "there is no signature under the label"),
        ({"signature": "sig1=:AAAA:, sig1=:BBBB:"}, "Signature is no dictionary"),
        ({"signature_input": "sig1=(", "signature": "sig1=:AAAA:"}, "Signature-Input is no dictionary"),
        ({"signature_input": 'sig1=();keyid="key-1", b=();keyid="key-1"'}, "2 signatures to choose from"),
        ({"signature_input": 'a=(), b=();keyid="x"'}, "no signatures to choose from"),
        ({"signature_input": "sig1=1"}, "the covered components are no list"),
        ({"signature_input": "sig1"}, "the covered components are no list"),
        ({"signature_input": 'sig1=("a" "a")'}, "a component is covered twice"),
        ({"signature_input": 'sig1=("a";sf;key="b" "a";key="b";sf)'}, "a component is covered twice"),
        ({"signature_input": 'sig1=("@signature-params")'}, "a component is covered twice"),
        ({"signature_input": 'sig1=("Date")'}, "a covered component has no name in lower case"),
        ({"signature_input": "sig1=(date)"}, "a covered component has no name in lower case"),
        ({"signature_input": 'sig1=("")'}, "a covered component has no name in lower case"),
        ({"signature_input": "sig1=(1)"}, "a covered component has no name in lower case"),
        ({"signature_input": 'sig1=();created="1"'}, "created is of another type"),
        ({"signature_input": "sig1=();expires=1.5"}, "expires is of another type"),
        ({"signature_input": "sig1=();created"}, "created is of another type"),
        ({"signature_input": "sig1=();keyid=key-1"}, "keyid is of another type"),
        ({"signature_input": "sig1=();alg=:AAAA:"}, "alg is of another type"),
        (
            {"signature_input": "sig1=(" + " ".join(f'"x{n}"' for n in range(65)) + ")"},
            "more than 64 covered components",
        ),
        ({"signature_input": f'sig1=();keyid="{"x" * 9000}"'}, "Signature-Input has more than 8,192 characters"),
        ({"signature": f"sig1=:{'A' * 10_000}:"}, "Signature has more than 8,192 characters"),
    ],
)
def test_what_is_malformed_is_said(fields: dict[str, str], problem: str) -> None:
    """What cannot be read fails the first check, and leaves the others open: they have no input."""
    inspection = _check(_changed(_signed(), **fields))
    assert inspection.failed == (WELL_FORMED,)
    assert inspection.checks[0].observed == problem
    assert {check.outcome.value for check in inspection.checks[1:]} == {"not_performed"}


def test_a_component_that_cannot_be_told_is_an_error() -> None:
    """An unsupported component never passes, and says so; one that the request does not have fails."""
    for component, outcome in (('"date";tr', "error"), ('"@unknown"', "error"), ('"missing"', "fail")):
        fields = {"signature_input": f'sig1=({component});created={int(MADE.timestamp())};keyid="key-1"'}
        inspection = _check(_changed(_signed(), **fields), ANYTHING)
        assert (inspection.outcome(SIGNATURE), inspection.result) == (outcome, outcome)
        assert str(inspection.checks[5].observed).startswith(component.split('"')[1])


def test_a_time_needs_a_zone_and_a_policy_a_meaning() -> None:
    """What the caller got wrong is told to the caller."""
    with pytest.raises(ConfigurationError):
        _check(_signed(), now=datetime(2026, 9, 1))  # noqa: DTZ001 -- that is the mistake
    with pytest.raises(ConfigurationError):
        replace(POLICY, algorithms=frozenset({"none"}))
    with pytest.raises(ConfigurationError):
        replace(POLICY, max_age=timedelta())
    with pytest.raises(ConfigurationError):
        replace(POLICY, skew=timedelta(seconds=-1))


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=30))
def test_nothing_that_is_sent_raises(signature_input: str, signature: str, url: str) -> None:
    """Any text in these fields ends in an outcome, and the record of it stays small."""
    fields = (("Signature-Input", signature_input), ("Signature", signature), ("Content-Digest", signature_input))
    inspection = _check(HttpRequest("GET", url, fields, b""))
    assert inspection.result != "pass"
    assert len(inspection.proof("tests").model_dump_json()) < 4_000


def test_nothing_of_the_request_is_recorded(leaks: Any) -> None:
    """Neither a covered value nor the signature is in the record, whether checks pass or fail."""
    secret = secrets.token_urlsafe(32)
    request = _signed()
    signature = dict(request.headers)["signature"][6:-1]
    records = [_check(request), _check(_changed(request, x_agent=secret)), _check(_changed(request, signature=secret))]
    shown = "".join(each.proof("tests").model_dump_json() + repr(each) for each in records)
    assert leaks(secret, shown) == []
    assert signature not in shown


@pytest.mark.parametrize(
    "signature_input",
    [
        "sig1=(" + " ".join(f'"x{n}";sf' for n in range(64)) + ")",
        "sig1=(" + " ".join(f'"@query-param";name="{n}"' for n in range(64)) + ")",
        "sig1=(" + '"a" ' * 2000 + ")",
        "sig1=(" + "1 " * 4000 + ")",
        "sig1=()" + "".join(f";a{n}" for n in range(1000)),
        "a, " * 2700,
    ],
)
def test_a_hostile_signature_is_quick(signature_input: str, cpu_seconds: CpuSeconds) -> None:
    """Nothing that fits into the fields takes longer than 50 ms."""
    fields = [(f"x{number}", "a=(" + "1 " * 4000 + ")") for number in range(64)]
    request = HttpRequest(
        "GET",
        "https://h/?" + "a&" * 4000,
        (*fields, ("Signature-Input", signature_input), ("Signature", "sig1=:AAAA:")),
    )
    assert _check(request).result in {"fail", "error"}
    assert cpu_seconds(lambda: _check(request)) < 0.05

"""Reading tokens without trust: what is a JWT, what is none, and the thumbprints of keys."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.capture.jose import MAX_DEPTH, MAX_TOKEN, decode_base64url, jwk_thumbprint, read_compact
from counterfoil.schemas import Thumbprint

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "specs.json").read_text("utf-8"))
RFC9449 = VECTORS["rfc9449"]


def _part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _jwt(header: object, claims: object) -> str:
    return f"{_part(header)}.{_part(claims)}.{_part(secrets.token_bytes(64))}"


@pytest.mark.parametrize("figure", ["fig2_proof_token_request", "fig7_proof_refresh", "fig13_proof_resource"])
def test_the_proofs_of_rfc9449_are_read(figure: str) -> None:
    """Header and claims of the RFC's own proofs come out as the RFC prints them."""
    jose = read_compact(RFC9449[figure])
    assert jose is not None
    assert jose.header["typ"] == "dpop+jwt"
    assert jose.header["jwk"] == RFC9449["jwk"]
    assert not jose.ambiguous


def test_the_claims_of_rfc9449_figure_13_are_read() -> None:
    """The claims are those that the RFC prints beside the proof."""
    jose = read_compact(RFC9449["fig13_proof_resource"])
    assert jose is not None
    assert jose.claims == RFC9449["fig13_claims"]


def test_an_encrypted_token_shows_its_header_only() -> None:
    """Five parts with `enc` are a JWE: there are no claims to read."""
    jose = read_compact(f"{_part({'alg': 'dir', 'enc': 'A256GCM'})}..{_part(b'iv')}.{_part(b'text')}.{_part(b'tag')}")
    assert jose is not None
    assert jose.claims is None
    assert jose.header["alg"] == "dir"


def test_an_unsecured_token_is_read() -> None:
    """An unsecured JWT ends with a bare dot (RFC 7519 §6.1)."""
    jose = read_compact(f"{_part({'alg': 'none'})}.{_part({'sub': 'alice'})}.")
    assert jose is not None
    assert jose.claims == {"sub": "alice"}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b.c",
        RFC9449["access_token"],
        *RFC9449["nonce_examples"],
        _jwt({"alg": "none"}, ["no object"]),
        _jwt({"alg": "none"}, b'{"iat": NaN}'),
        _jwt({"alg": "none"}, b'{"iat": 1e999}'),
        _jwt({"alg": "none"}, b'{"sub": "\xff"}'),
        _jwt({"alg": "none"}, b'{"sub": "alice"} trailing'),
        _jwt({"alg": "none"}, b'\xef\xbb\xbf{"sub": "alice"}'),
        _jwt({"alg": "none"}, b'{"n": ' + b"9" * 5000 + b"}"),
        f"{_part({'alg': 'dir'})}.a.a.a.a",
        f"{_part({'alg': 'dir'})}....",
    ],
)
def test_what_is_no_token_is_not_read(token: str) -> None:
    """Anything but two JSON objects (or one, for a JWE) in strict base64url reads as None."""
    assert read_compact(token) is None


def test_padding_and_foreign_characters_are_refused() -> None:
    """Python's decoder lets padding and stray characters pass; this one does not (RFC 7515 §2)."""
    header, claims = _part({"alg": "none"}), _part({"sub": "alice!"})
    assert read_compact(f"{header}.{claims}.") is not None
    for spoiled in (
        f"{claims}=",
        f"{claims}\n",
        f" {claims}",
        f"{claims[:4]}+{claims[4:]}",
        f"{claims[:4]} {claims[4:]}",
    ):
        assert read_compact(f"{header}.{spoiled}.") is None


def test_stray_bits_are_refused() -> None:
    """Of the spellings that decode to the same bytes only the encoder's own is taken."""
    assert decode_base64url("QQ") == b"A"
    assert decode_base64url("QR") is None
    assert decode_base64url("Q") is None


@given(st.binary(max_size=200))
def test_decoding_undoes_encoding(raw: bytes) -> None:
    """Every encoded text decodes to what it was."""
    assert decode_base64url(_part(raw)) == raw


def test_a_member_that_stands_twice_is_left_out() -> None:
    """Of two values of one member neither is taken, at any depth, and the token counts as ambiguous."""
    jose = read_compact(
        _jwt({"alg": "none"}, b'{"sub":"alice","sub":"mallory","iss":"as","cnf":{"jkt":"a","jkt":"b"}}')
    )
    assert jose is not None
    assert jose.claims == {"iss": "as", "cnf": {}}
    assert jose.ambiguous


def test_the_depth_is_limited() -> None:
    """Nesting as deep as the limit is read; one deeper is not."""

    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    assert read_compact(_jwt({"alg": "none"}, nested(MAX_DEPTH))) is not None
    assert read_compact(_jwt({"alg": "none"}, nested(MAX_DEPTH + 1))) is None


def test_bottomless_nesting_is_no_token() -> None:
    """Nesting that exhausts Python's own parser is refused like any other."""
    assert read_compact(_jwt({"alg": "none"}, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}")) is None


def test_many_brackets_in_a_text_are_no_depth() -> None:
    """Brackets within a string do not count as nesting."""
    assert read_compact(_jwt({"alg": "none"}, {"sub": "[{" * 100})) is not None


def test_a_token_over_the_limit_is_not_read() -> None:
    """A token of 16 KiB is read; a longer one is not."""
    head = f"{_part({'alg': 'none'})}.{_part({'sub': 'alice'})}."
    room = MAX_TOKEN - len(head)
    assert read_compact(head + "A" * (room - room % 4)) is not None
    assert read_compact(head + "A" * (room - room % 4 + 4)) is None


def test_a_repr_shows_nothing() -> None:
    """The repr of a read token has no claim in it."""
    jose = read_compact(_jwt({"alg": "none"}, {"sub": "alice"}))
    assert repr(jose) == "<Jose>"


@pytest.mark.parametrize("vector", ["rfc7638_rsa", "rfc8037_okp"])
def test_thumbprints_of_the_rfcs(vector: str) -> None:
    """The thumbprints of RFC 7638 §3.1 (RSA) and RFC 8037 appendix A.3 (Ed25519) are reproduced."""
    assert jwk_thumbprint(VECTORS[vector]) == VECTORS[vector]["jkt"]


def test_the_thumbprint_of_rfc9449() -> None:
    """The thumbprint of RFC 9449's key is its `jkt`, whatever other members the JWK has."""
    thumbprint = jwk_thumbprint({**RFC9449["jwk"], "kid": "1", "use": "sig"})
    assert thumbprint == RFC9449["jkt"]
    assert isinstance(thumbprint, Thumbprint)


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        "text",
        {},
        {"kty": "oct", "k": _part(secrets.token_bytes(32))},
        {"kty": ["EC"], "crv": {}},
        {**RFC9449["jwk"], "crv": "P-384"},
        {**RFC9449["jwk"], "x": _part(b"\x00" + secrets.token_bytes(32))},
        {**RFC9449["jwk"], "y": None},
        {**RFC9449["jwk"], "y": RFC9449["jwk"]["y"] + "="},
        {"kty": "RSA", "e": _part(b"\x00\x01\x00\x01"), "n": VECTORS["rfc7638_rsa"]["n"]},
        {"kty": "RSA", "e": "AQAB", "n": ""},
        {"kty": "RSA", "e": "AQAB"},
    ],
)
def test_a_key_that_is_not_canonical_has_no_thumbprint(jwk: object) -> None:
    """A symmetric key, or one in another spelling than its canonical one, has no thumbprint here."""
    assert jwk_thumbprint(jwk) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(st.text() | st.binary().map(_part), st.text() | json_values.map(_part))
def test_reading_never_raises(header: str, claims: str) -> None:
    """Whatever stands between the dots, reading ends in a token or in None."""
    for token in (header, f"{header}.{claims}.", f"{_part({})}.{claims}.{header}"):
        read_compact(token)


@given(json_values)
def test_a_thumbprint_never_raises(value: object) -> None:
    """Any JSON as a JWK ends in a thumbprint or in None."""
    jwk_thumbprint(value)
    jwk_thumbprint({"kty": "EC", "crv": "P-256", "x": value, "y": value})

"""The keys of an issuer: which of a JWK Set are taken, and when they are fetched again."""

from __future__ import annotations

import asyncio
import secrets
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from counterfoil.audit.proof.issuer_keys import IssuerKeys, KeySource
from counterfoil.schemas import ConfigurationError

if TYPE_CHECKING:
    from conftest import TokenIssuer

GOOD: dict[str, Any] = dict(ECKey.generate_key("P-256").as_dict(private=False))
RSA: dict[str, Any] = dict(RSAKey.generate_key(2048).as_dict(private=False))


@pytest.mark.parametrize(
    "jwk",
    [
        OctKey.generate_key(256).as_dict(),
        ECKey.generate_key("P-256").as_dict(private=True),
        RSA | {"n": urlsafe_b64encode(b"\xff" * 128).rstrip(b"=").decode()},
        OKPKey.generate_key("X25519").as_dict(private=False),
        GOOD | {"use": "enc"},
        GOOD | {"crv": "P-999"},
        GOOD | {"x": GOOD["y"]},
        GOOD | {"x": GOOD["x"] + "="},
        GOOD | {"kty": ["EC"]},
        {"kty": "RSA", "e": "AQAB", "n": "AA"},
        {},
        [],
        None,
        "key",
    ],
)
def test_a_key_that_is_passed_over(jwk: Any) -> None:
    """A key that is secret, private, short, for something else or no key at all verifies nothing; others still do."""
    with pytest.raises(ConfigurationError):
        IssuerKeys.of_jwks({"keys": [jwk]})
    assert len(IssuerKeys.of_jwks({"keys": [jwk, GOOD]}).candidates("ES256", None)) == 1


@pytest.mark.parametrize(
    "jwks", [None, {}, [], {"keys": {}}, {"keys": []}, {"keys": "a"}, {"keys": [None] * 1000 + [GOOD]}]
)
def test_a_set_without_a_key(jwks: Any) -> None:
    """Nothing to verify with is an error, never a set that verifies everything."""
    with pytest.raises(ConfigurationError):
        IssuerKeys.of_jwks(jwks)


def test_which_keys_may_have_signed() -> None:
    """A key fits by its kind, by its own ``alg`` and by its id, where it has one; of many a few are tried."""
    named, other = GOOD | {"kid": "a", "alg": "ES256"}, GOOD | {"kid": "b", "alg": "ES384"}
    keys = IssuerKeys.of_jwks({"keys": [named, other, RSA]})
    assert [len(keys.candidates("ES256", kid)) for kid in ("a", "b", "c", None)] == [1, 0, 0, 1]
    assert [len(keys.candidates("RS256", kid)) for kid in ("a", None)] == [1, 1]
    assert keys.has("c")  # the RSA key has no id, and may be it
    assert not IssuerKeys.of_jwks({"keys": [named]}).has("c")
    assert len(IssuerKeys.of_jwks({"keys": [RSA] * 60}).candidates("PS256", None)) == 8


class Published:
    """An issuer that can be asked for its keys, and a clock."""

    def __init__(self, jwks: Any) -> None:
        self.jwks = jwks
        self.asked = 0
        self.now = 1000.0

    async def fetch(self) -> Any:
        """Return the keys, or raise."""
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.jwks, Exception):
            raise self.jwks
        return self.jwks

    def source(self, **options: Any) -> KeySource:
        """Return where a server has the keys from."""
        return KeySource(self.fetch, clock=lambda: self.now, **options)


def test_keys_are_fetched_when_due(issuer: TokenIssuer) -> None:
    """Once for many, again when they have run out, and again for a key id that is new, but not all the time."""
    published = Published(issuer.jwks)

    async def scene() -> None:
        source = published.source(lifetime=300)
        for many in (20, 20):
            found = await asyncio.gather(*[source.keys(issuer.kid) for _ in range(many)])
            assert all(keys and keys.has(issuer.kid) for keys in found)
        assert published.asked == 1
        for _ in range(50):
            published.now += 0.01
            assert await source.keys("made up")
        assert published.asked == 1  # it was asked a moment ago
        published.now += 5
        published.jwks = {"keys": [issuer.jwk | {"kid": "k2"}]}
        rotated = await source.keys("k2")
        assert rotated
        assert rotated.has("k2")
        assert published.asked == 2
        published.now += 299
        assert await source.keys("k2")
        assert published.asked == 2
        published.now += 2
        assert await source.keys("k2")
        assert published.asked == 3

    asyncio.run(scene())


@pytest.mark.parametrize("fault", [OSError("secret"), {"keys": []}, "no JSON object", RuntimeError("secret")])
def test_keys_that_cannot_be_had(fault: Any, issuer: TokenIssuer) -> None:
    """Good keys serve until they run out; afterwards there are none, until the issuer answers again."""
    published = Published(fault)

    async def scene() -> None:
        source = published.source(lifetime=300)
        assert await source.keys(issuer.kid) is None
        assert await source.keys(issuer.kid) is None
        assert published.asked == 1  # not more than once a second
        published.now, published.jwks = published.now + 1, issuer.jwks
        assert await source.keys(issuer.kid)
        published.now, published.jwks = published.now + 100, fault
        assert await source.keys("new")
        assert await source.keys(issuer.kid)
        published.now += 201
        assert await source.keys(issuer.kid) is None
        published.now, published.jwks = published.now + 1, issuer.jwks
        assert await source.keys(issuer.kid)

    asyncio.run(scene())


def test_an_issuer_that_does_not_answer(issuer: TokenIssuer) -> None:
    """Waiting is bounded."""

    async def never() -> Any:
        await asyncio.sleep(60)

    async def scene() -> None:
        async with asyncio.timeout(5):
            assert await KeySource(never, patience=0.01).keys(issuer.kid) is None

    asyncio.run(scene())


def test_a_static_set(issuer: TokenIssuer) -> None:
    """Given keys are read at once, and are never fetched."""
    source = KeySource(issuer.jwks)
    assert asyncio.run(source.keys("made up")) is asyncio.run(source.keys(None))
    with pytest.raises(ConfigurationError):
        KeySource({"keys": [{"kty": "oct", "k": secrets.token_urlsafe(32)}]})

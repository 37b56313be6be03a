"""A server's nonces: by key, origin and time, and good for a while."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit.proof.dpop import inspect_dpop
from counterfoil.audit.proof.nonce import ServerNonces
from counterfoil.audit.proof.policy import DpopPolicy
from counterfoil.schemas import ConfigurationError, ProofResult

if TYPE_CHECKING:
    from conftest import DpopSender

NOW = datetime(2026, 9, 1, 12, 0, 30, tzinfo=UTC)
ORIGIN = "https://api.example"
MINUTE = timedelta(seconds=60)


def test_a_nonce_is_good_in_its_span_and_the_next() -> None:
    """It is accepted at once, for a span after its own, and a span before it; not longer."""
    nonces = ServerNonces(ORIGIN, span=MINUTE)
    nonce = nonces.issue(NOW)
    good = [minutes for minutes in range(-3, 4) if nonce in nonces.accepted(NOW + minutes * MINUTE)]
    assert good == [-1, 0, 1]
    assert nonces.lifetime == 3 * MINUTE
    assert nonces.accepted(NOW)[0] == nonce


def test_no_nonce_outlives_its_lifetime() -> None:
    """From the first moment to the last that it is accepted there is less than ``lifetime``."""
    nonces = ServerNonces(ORIGIN, span=MINUTE)
    start = NOW.replace(second=0)
    nonce = nonces.issue(start)
    assert nonce in nonces.accepted(start - MINUTE)
    assert nonce not in nonces.accepted(start - MINUTE + nonces.lifetime)


def test_a_nonce_has_the_syntax_of_the_header() -> None:
    """A nonce is ``1*NQCHAR`` (RFC 9449 §8.1) and carries 128 bits."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", ServerNonces(ORIGIN).issue(NOW))


def test_servers_with_one_key_accept_each_others_nonces() -> None:
    """The same key and origin give the same nonces; another of either gives others."""
    key = secrets.token_bytes(32)
    one = ServerNonces(ORIGIN, key=key)
    assert one.issue(NOW) == ServerNonces(ORIGIN, key=key).issue(NOW)
    foreign = [
        ServerNonces(ORIGIN),
        ServerNonces("https://as.example", key=key),
        ServerNonces(ORIGIN, key=key, span=2 * MINUTE),
    ]
    for other in foreign:
        assert set(other.accepted(NOW)).isdisjoint(one.accepted(NOW))


def test_the_key_is_shown_nowhere() -> None:
    """The repr has no key in it."""
    key = secrets.token_hex(16).encode()
    assert key.decode() not in repr(ServerNonces(ORIGIN, key=key))


def test_a_nonce_can_stand_for_the_time(sender: DpopSender) -> None:
    """With a policy that lets it, a good nonce carries a client whose clock is wrong; a bad one does not."""
    nonces = ServerNonces(ORIGIN)
    policy = DpopPolicy(nonce_lifetime=nonces.lifetime)
    wrong_clock = int(NOW.timestamp()) - 86_400

    def result(nonce: str, policy: DpopPolicy) -> tuple[ProofResult, list[str]]:
        request = sender.request(sender.proof(iat=wrong_clock, nonce=nonce))
        seen = inspect_dpop(request, now=NOW, bound_jkt=sender.jkt, nonces=nonces.accepted(NOW), policy=policy)
        return seen.result, [each.value for each in seen.failed]

    assert result(nonces.issue(NOW), policy) == (ProofResult.PASS, [])
    assert result(nonces.issue(NOW), DpopPolicy()) == (ProofResult.FAIL, ["dpop.11_time"])
    assert result("stale", policy) == (ProofResult.FAIL, ["dpop.10_nonce", "dpop.11_time"])


def test_what_has_no_meaning_is_refused() -> None:
    """A short key, a span under a second, and a time without a zone."""
    with pytest.raises(ConfigurationError):
        ServerNonces(ORIGIN, key=secrets.token_bytes(15))
    with pytest.raises(ConfigurationError):
        ServerNonces(ORIGIN, span=timedelta(milliseconds=999))
    with pytest.raises(ConfigurationError):
        ServerNonces(ORIGIN).issue(NOW.replace(tzinfo=None))

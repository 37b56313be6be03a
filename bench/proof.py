"""``inspect_dpop`` with every check against joserfc's parse, key import and verification alone; the replay stores."""

from __future__ import annotations

import secrets
import time
import tracemalloc
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from joserfc import jwk, jws, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.proof.dpop import inspect_dpop
from counterfoil.audit.proof.replay import MemoryReplayStore, ReplayStore
from counterfoil.audit.proof.replay_sqlite import SqliteReplayStore
from counterfoil.schemas import ProofResult, Thumbprint

from .figure import Figure, alternately, micro, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIMES = 1000
_ADDS = 100_000
_NONCE = "eyJ7S_zG.eyJH0-Z.HX4w-7v"
_URL = "https://api.example/mail"


class _RoomForKeys(JWSRegistry):
    """joserfc refuses a header over 512 bytes, which any RSA key has."""

    max_header_length = 4096


def measure(folder: Path) -> list[Figure]:
    """Measure each kind of key, and each store."""
    keys: dict[str, Any] = {
        "ES256": ECKey.generate_key("P-256"),
        "Ed25519": OKPKey.generate_key("Ed25519"),
        "RS256": RSAKey.generate_key(2048),
    }
    return [
        *(_inspection(alg, key) for alg, key in keys.items()),
        _adds("in memory", MemoryReplayStore(2 * _ADDS), _ADDS, "≥ 100,000 adds/s"),
        _room(),
        _adds("in SQLite, one process", SqliteReplayStore(folder / "replay.db"), _ADDS // 20, ""),
    ]


def _inspection(alg: str, key: Any) -> Figure:
    now = datetime.now(UTC)
    token = secrets.token_urlsafe(32)
    registry = _RoomForKeys(algorithms=[alg])
    proofs = [_proof(alg, key, token, now, registry) for _ in range(_TIMES)]
    requests = [HttpRequest("GET", _URL, (("Authorization", f"DPoP {token}"), ("DPoP", each))) for each in proofs]
    store, bound_jkt = MemoryReplayStore(), Thumbprint(key.thumbprint())
    ours, theirs = iter(requests), iter(proofs)

    def inspect() -> None:
        seen = inspect_dpop(
            next(ours), now=now, bound_jkt=bound_jkt, token_verified=True, nonces=(_NONCE,), replay=store
        )
        assert seen.result is ProofResult.PASS

    def verify() -> None:
        proof = jws.extract_compact(next(theirs).encode(), registry=registry)
        assert jws.validate_compact(proof, jwk.import_key(proof.headers()["jwk"]), registry=registry)

    measured, baseline = alternately(inspect, verify, _TIMES)
    what = f"`inspect_dpop`, every check, {alg}"
    return Figure(what, micro(measured), f"joserfc verifies: {micro(baseline)}", f"{measured / baseline:.2f}", "≤ 1.3")


def _proof(alg: str, key: Any, token: str, now: datetime, registry: JWSRegistry) -> str:
    claims = {
        "jti": secrets.token_urlsafe(12),
        "htm": "GET",
        "htu": _URL,
        "iat": int(now.timestamp()),
        "ath": urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode(),
        "nonce": _NONCE,
    }
    return jwt.encode(
        {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False)}, claims, key, registry=registry
    )


def _adds(where: str, store: ReplayStore, times: int, goal: str) -> Figure:
    keys, expires = list(_keys(times)), time.time() + 3600

    def add() -> None:
        for key in keys:
            store.add(key, expires)

    return Figure(f"replay store {where}", f"{times / seconds(add):,.0f} adds/s", goal=goal)


def _room() -> Figure:
    """Measure the memory of a store at its bound, and again after ten times as many have passed through it."""
    bound, clock = 20_000, [0.0]
    store = MemoryReplayStore(bound, clock=lambda: clock[0])

    def pass_through(times: int) -> int:
        for key in _keys(times):
            clock[0] += 1 / bound
            store.add(key, clock[0] + 0.99)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    first, last = pass_through(bound), pass_through(10 * bound)
    tracemalloc.stop()
    measured = f"{first / bound:,.0f} bytes a proof"
    return Figure("replay store in memory, at its bound", measured, ratio=f"{last / first:.2f}", goal="flat")


def _keys(times: int) -> Iterator[str]:
    for _ in range(times):
        yield f"sha256:{secrets.token_urlsafe(32)}"

"""Is a proof new: the window around the clock, the nonces of the server, and no second use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.proof.dpop import inspect_dpop
from counterfoil.audit.proof.inspection import Inspection
from counterfoil.audit.proof.policy import DpopPolicy
from counterfoil.audit.proof.replay import MemoryReplayStore, ReplayStore
from counterfoil.audit.proof.replay_sqlite import SqliteReplayStore
from counterfoil.schemas import CheckId, CheckOutcome, ConfigurationError, ProofResult, ReplayScope, Thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import DpopSender

POLICY = DpopPolicy(max_age=timedelta(seconds=60), skew=timedelta(seconds=15))
TIME, NONCE, REPLAY, DOWNGRADE = (
    CheckId.DPOP_TIME,
    CheckId.DPOP_NONCE,
    CheckId.DPOP_JTI_REPLAY,
    CheckId.DPOP_NONCE_DOWNGRADE,
)


class Asked:
    """A store to which everything is new, and which keeps what it is asked; or one that fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.keys: list[str] = []
        self.expires: list[float] = []

    def add(self, key: str, expires: float) -> bool:
        """Answer."""
        self.keys.append(key)
        self.expires.append(expires)
        if self.failure:
            raise self.failure
        return True


def shown(inspection: Inspection, check_id: CheckId) -> tuple[str | None, str | None]:
    """Return what a check expected and found."""
    (check,) = [check for check in inspection.checks if check.id is check_id]
    return check.expected, check.observed


@pytest.mark.parametrize(
    ("ahead", "outcome"),
    [(-60.001, "fail"), (-60, "pass"), (0, "pass"), (0.5, "pass"), (15, "pass"), (15.001, "fail")],
)
def test_the_window_has_sharp_edges(ahead: float, outcome: str, sender: DpopSender) -> None:
    """``iat`` may lie as far back as the age and as far ahead as the skew, to the millisecond."""
    iat = sender.now.timestamp() + ahead
    request = sender.request(sender.proof(iat=iat if ahead % 1 else int(iat)))
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, policy=POLICY)
    assert seen.outcome(TIME).value == outcome


@pytest.mark.parametrize(
    ("iat", "observed"),
    [
        (-1, "no time of this era"),
        (10**4000, "no time of this era"),
        (1e308, "no time of this era"),
        (253_402_300_800, "no time of this era"),
        (0, "-1,788,220,800.000 s"),
        (1_788_224_400, "+3,600.000 s"),
    ],
)
def test_the_difference_of_clocks_is_shown(iat: float, observed: str, sender: DpopSender) -> None:
    """A failure says how far off the clock was, and nothing of numbers that are no time."""
    seen = inspect_dpop(sender.request(sender.proof(iat=iat)), now=sender.now, bound_jkt=sender.jkt, policy=POLICY)
    assert seen.outcome(TIME) is CheckOutcome.FAIL
    assert shown(seen, TIME) == ("-60 s to +15 s", observed)


@pytest.mark.parametrize("zone", [UTC, datetime.now().astimezone().tzinfo])
def test_any_zone_will_do(zone: Any, sender: DpopSender) -> None:
    """The clock is an instant; without a zone it is none."""
    request = sender.request()
    assert inspect_dpop(request, now=sender.now.astimezone(zone), bound_jkt=sender.jkt).result is ProofResult.PASS
    with pytest.raises(ConfigurationError):
        inspect_dpop(request, now=sender.now.replace(tzinfo=None))


NONCES = ("eyJ7S_zG.eyJH0-Z.HX4w-7v", "eyJ7S_zG.eyJbYu3.xQmBj-1")


@pytest.mark.parametrize(
    ("nonce", "nonces", "outcomes"),
    [
        (NONCES[0], NONCES, ("pass", "pass")),
        (NONCES[1], list(NONCES), ("pass", "pass")),
        (NONCES[1], {NONCES[0]}, ("fail", "pass")),
        (NONCES[0].lower(), NONCES, ("fail", "pass")),
        ("", NONCES, ("fail", "pass")),
        ("é", NONCES, ("fail", "pass")),
        (..., NONCES, ("fail", "fail")),
        (7, NONCES, ("fail", "fail")),
        (NONCES[0], (), ("not_applicable", "not_applicable")),
        (..., (), ("not_applicable", "not_applicable")),
    ],
)
def test_the_nonce_is_one_that_the_server_gave(nonce: object, nonces: Any, outcomes: Any, sender: DpopSender) -> None:
    """Any of the accepted ones passes; one that is stale fails ``10``, none at all ``16`` too. None is ever shown."""
    request = sender.request(sender.proof(nonce=nonce))
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, nonces=nonces)
    assert (seen.outcome(NONCE).value, seen.outcome(DOWNGRADE).value) == outcomes
    assert shown(seen, NONCE) == shown(seen, DOWNGRADE) == (None, None)


def test_a_second_use_fails(sender: DpopSender) -> None:
    """The same proof again fails ``13`` and nothing else; a fresh one of the same key passes."""
    store = MemoryReplayStore(clock=sender.now.timestamp)
    request = sender.request()

    def look(request: Any) -> Inspection:
        return inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, token_verified=True, replay=store)

    first, second, fresh = look(request), look(request), look(sender.request())
    assert [each.result for each in (first, second, fresh)] == [ProofResult.PASS, ProofResult.FAIL, ProofResult.PASS]
    assert second.failed == (REPLAY,)
    assert first.proof_id == second.proof_id != fresh.proof_id
    assert {each.replay_scope for each in (first, second, fresh)} == {ReplayScope.KEY}


def test_another_key_cannot_use_up_a_jti(sender: DpopSender, stranger: DpopSender) -> None:
    """The same ``jti`` from two keys is two proofs."""
    store = MemoryReplayStore(clock=sender.now.timestamp)
    for each in (stranger, sender):
        request = each.request(each.proof(jti="the-same-jti"))
        seen = inspect_dpop(request, now=each.now, bound_jkt=each.jkt, token_verified=True, replay=store)
        assert seen.result is ProofResult.PASS


WRONG: dict[str, dict[str, Any]] = {
    "method": {"htm": "POST"},
    "URI": {"htu": "https://api.example/contacts"},
    "time": {"iat": 0},
    "token": {"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"},
    "no jti": {"jti": ...},
    "long jti": {"jti": "j" * 257},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_proof_that_failed_is_not_remembered(what: str, sender: DpopSender) -> None:
    """The store is not asked about a proof that failed anything: whoever sent it may not be who holds the key."""
    store = Asked()
    request = sender.request(sender.proof(**WRONG[what]))
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, token_verified=True, replay=store)
    assert (store.keys, seen.outcome(REPLAY)) == ([], CheckOutcome.NOT_PERFORMED)
    assert seen.replay_scope is ReplayScope.NONE


def test_a_proof_is_remembered_only_of_the_bound_key_and_a_verified_token(
    sender: DpopSender, stranger: DpopSender
) -> None:
    """Not with another key, not for a token that nobody verified, not for one whose key is not known."""
    store = Asked()
    request = sender.request()
    cases: list[tuple[Thumbprint | None, bool, ProofResult]] = [
        (stranger.jkt, True, ProofResult.FAIL),
        (sender.jkt, False, ProofResult.NOT_PERFORMED),
        (None, False, ProofResult.NOT_PERFORMED),
        (None, True, ProofResult.FAIL),
    ]
    for bound_jkt, token_verified, result in cases:
        seen = inspect_dpop(
            request, now=sender.now, bound_jkt=bound_jkt, token_verified=token_verified, replay=store, policy=POLICY
        )
        assert (seen.result, seen.outcome(REPLAY)) == (result, CheckOutcome.NOT_PERFORMED)
    assert store.keys == []
    seen = inspect_dpop(request, now=sender.now, bound_jkt=sender.jkt, token_verified=True, replay=store, policy=POLICY)
    assert (seen.result, store.keys) == (ProofResult.PASS, [seen.proof_id])
    assert store.expires == [sender.now.timestamp() + 60 + 15 + 1]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_no_proof_can_be_used_again_while_it_is_accepted(kind: str, tmp_path: Path, sender: DpopSender) -> None:
    """A proof whose ``iat`` is ahead by the skew is known until the last moment at which it would be accepted.

    Keycloak once forgot it a skew too early (its issue 43505).
    """
    clock = [sender.now.timestamp()]
    store: ReplayStore = MemoryReplayStore(clock=lambda: clock[0])
    if kind == "sqlite":
        store = SqliteReplayStore(tmp_path / "replay.db", clock=lambda: clock[0])
    request = sender.request(sender.proof(iat=int(clock[0]) + 15))
    outcomes: list[str] = []
    for later in (0, 15, 60, 74.999, 75, 75.001):
        now = sender.now + timedelta(seconds=later)
        clock[0] = now.timestamp()
        for _ in range(20):  # what would push out an entry that had expired
            store.add(f"other {later} {_}", clock[0] + 0.0001)
        seen = inspect_dpop(request, now=now, bound_jkt=sender.jkt, token_verified=True, replay=store, policy=POLICY)
        outcomes.append(f"{seen.outcome(TIME).value} {seen.outcome(REPLAY).value}")
    assert outcomes == ["pass pass", *["pass fail"] * 4, "fail not_performed"]
    if isinstance(store, SqliteReplayStore):
        store.close()


def test_a_nonce_that_stands_for_the_time_lengthens_the_memory(sender: DpopSender) -> None:
    """A proof that is good as long as its nonce is remembered that long (RFC 9449 §11.1)."""
    store = Asked()
    policy = DpopPolicy(nonce_lifetime=timedelta(minutes=5))
    request = sender.request(sender.proof(nonce=NONCES[0], iat=0))
    seen = inspect_dpop(
        request,
        now=sender.now,
        bound_jkt=sender.jkt,
        token_verified=True,
        nonces=NONCES,
        policy=policy,
        replay=store,
    )
    assert seen.result is ProofResult.PASS
    assert store.expires == [sender.now.timestamp() + 300 + 1]


def _full() -> ReplayStore:
    store = MemoryReplayStore(1)
    store.add("something", 4e9)
    return store


BROKEN: dict[str, Callable[[], ReplayStore]] = {
    "full": _full,
    "its clock is ahead": lambda: MemoryReplayStore(clock=lambda: 4e9),
    "out of reach": lambda: Asked(ConnectionRefusedError("redis://:secret@host")),
    "raises anything": lambda: Asked(KeyError("secret")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_store_that_cannot_tell_is_an_error(what: str, sender: DpopSender) -> None:
    """Whatever keeps a store from telling, the check ends as ``error``, nothing is raised, and nothing passes."""
    seen = inspect_dpop(
        sender.request(), now=sender.now, bound_jkt=sender.jkt, token_verified=True, replay=BROKEN[what]()
    )
    assert (seen.outcome(REPLAY), seen.result) == (CheckOutcome.ERROR, ProofResult.ERROR)
    assert seen.replay_scope is ReplayScope.NONE
    assert shown(seen, REPLAY) == (None, None)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_age": timedelta()},
        {"max_age": timedelta(seconds=-1)},
        {"skew": timedelta(seconds=-1)},
        {"nonce_lifetime": timedelta()},
        {"algorithms": frozenset[str]()},
        {"algorithms": frozenset({"ES256", "HS256"})},
        {"algorithms": frozenset({"none"})},
        {"max_proof": 0},
        {"max_jti": 0},
    ],
)
def test_a_policy_without_meaning_is_refused(limits: dict[str, Any]) -> None:
    """An empty list of algorithms allows nothing, and ``none`` or a MAC cannot be allowed."""
    with pytest.raises(ConfigurationError):
        DpopPolicy(**limits)

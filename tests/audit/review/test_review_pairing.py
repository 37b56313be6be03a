"""Two stubs of one use find each other: by the proof first, else by credential, request and time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.review.pairing import paired
from counterfoil.schemas import CredentialUse, Entry, Fingerprint, FingerprintKey, Sha256

if TYPE_CHECKING:
    from conftest import Story

_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
_TOKEN = Fingerprint.of("a token", FingerprintKey(b"a key of this test"))
_ONE, _TWO = Sha256.of(b"one"), Sha256.of(b"two")


def _entry(seq: int, observer: str, begin: float, end: float | None = None, **more: Any) -> Entry:
    """Return an entry that tells a whole use, from ``begin`` to ``end``, in seconds after noon."""
    status, uri = more.pop("status", 200), more.pop("uri", "https://api.example/mail")
    proof, attempt, token = more.pop("proof", None), more.pop("attempt", None), more.pop("token", _TOKEN)
    moments = [_NOON + timedelta(seconds=each) for each in (begin, begin if end is None else end)]
    action = {"name": "x", "method": "GET", "status_code": status, "attempt": attempt, "phase": "complete"}
    use = CredentialUse.model_validate(
        {
            "context": {"observer": observer, "occurred_at": moments[1], **more},
            "token": {"fingerprint": token, "token_class": "bearer_opaque"},
            "proof": {"proof_id": proof} if proof else {},
            "resource": {"uri": uri},
            "action": {**action, "started_at": moments[0], "ended_at": moments[1]},
        }
    )
    return Entry(seq, use.model_dump_json(exclude_none=True), b"", b"")


def _pairs(*entries: Entry) -> dict[int, int | None]:
    """Return what each of the server's stubs was paired with."""
    return {each.entry.seq: each.counterpart for each in paired(entries) if each.entry.seq > 10}


def _ours(seq: int, begin: float, end: float | None = None, **more: Any) -> Entry:
    return _entry(seq, "agent", begin, end, **more)


def _theirs(seq: int, begin: float, **more: Any) -> Entry:
    return _entry(seq, "resource_server", begin, **more)


def test_the_proof_decides() -> None:
    """Equal proofs pair, whatever the clocks say; the nearest in time with another proof does not."""
    found = _pairs(_ours(1, 0, 1, proof=_ONE), _ours(2, 5, 6, proof=_TWO), _theirs(11, 0.5, proof=_TWO))
    assert found == {11: 2}
    assert _pairs(_ours(1, 0, 1, proof=_ONE), _theirs(11, 0.5, proof=_TWO)) == {11: None}


@pytest.mark.parametrize("proofs", [(None, _ONE), (_ONE, None), (None, None)])
def test_without_a_proof_on_both_sides_the_request_decides(proofs: tuple[Sha256 | None, Sha256 | None]) -> None:
    """One side may not see the proof: then credential, method, URI and time have to do."""
    assert _pairs(_ours(1, 0, 1, proof=proofs[0]), _theirs(11, 0.5, proof=proofs[1])) == {11: 1}


def test_a_proof_that_came_again_makes_no_second_pair() -> None:
    """It repeats the first, even where another stub of the agent's would fit it by time."""
    sightings = paired(
        [_ours(1, 0, 1, proof=_ONE), _ours(2, 2, 3), _theirs(11, 0.5, proof=_ONE), _theirs(12, 2.5, proof=_ONE)]
    )
    assert [(each.counterpart, each.repeats, each.alone) for each in sightings[2:]] == [
        (1, None, False),
        (None, 11, True),
    ]


def test_a_proof_that_the_agent_sent_twice_and_the_server_saw_once() -> None:
    """One of the two never arrived: one pair, and the other stub of the agent's stays without."""
    sightings = paired([_ours(1, 0, 1, proof=_ONE), _ours(2, 2, 3, proof=_ONE), _theirs(11, 2.5, proof=_ONE)])
    assert sorted(each.counterpart or 0 for each in sightings) == [0, 1, 11]
    assert not any(each.alone or each.repeats for each in sightings)


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_with_one_proof_the_better_fit_is_the_counterpart(*, swapped: bool) -> None:
    """A thief who came first was accepted, and the agent was refused: the agent's stub says 401."""
    statuses = (401, 200) if swapped else (200, 401)
    sightings = paired(
        [
            _ours(1, 0, 1, proof=_ONE, status=401),
            *(_theirs(11 + number, 0.5, proof=_ONE, status=status) for number, status in enumerate(statuses)),
        ]
    )
    alone = next(each for each in sightings if each.alone)
    assert alone.use is not None
    assert alone.use.action.status_code == 200
    assert alone.repeats == next(each.entry.seq for each in sightings if each.entry.seq > 10 and not each.alone)


def test_a_proof_that_no_agent_recorded_is_repeated_all_the_same() -> None:
    """Of three uses with one proof two repeat the first, and all are alone."""
    sightings = paired([_theirs(seq, seq, proof=_ONE) for seq in (11, 12, 13)])
    assert [(each.repeats, each.alone) for each in sightings] == [(None, True), (11, True), (11, True)]


def test_what_fits_without_allowance_goes_first() -> None:
    """A use just before the agent's does not take the place of the one within."""
    assert _pairs(_ours(1, 1, 2), _theirs(11, 0.5), _theirs(12, 1.5)) == {11: None, 12: 1}
    assert _pairs(_ours(1, 1, 2), _theirs(11, 0.5)) == {11: 1}
    assert _pairs(_ours(1, 1, 2), _theirs(11, 3.5)) == {11: None}


def test_as_many_pairs_as_there_can_be() -> None:
    """A long call does not take the stub that a short one needs."""
    assert _pairs(_ours(1, 0, 10), _ours(2, 4, 5), _theirs(11, 4.5), _theirs(12, 8)) == {11: 2, 12: 1}


def test_a_trace_ranks_and_matches_nothing_alone() -> None:
    """Of two that fit, the one in the same trace; none that does not fit."""
    one, two = {"trace_id": "1" * 32}, {"trace_id": "2" * 32}
    ours = (_ours(1, 0, 3, **one), _ours(2, 0, 2, **two))
    assert _pairs(*ours, _theirs(11, 1, **one), _theirs(12, 1.5, **two)) == {11: 1, 12: 2}
    assert _pairs(_ours(1, 0, 1, **one), _theirs(11, 60, **one)) == {11: None}


def test_a_status_ranks() -> None:
    """Of two at the same time, the one that was answered as the agent was."""
    ours = (_ours(1, 0, 2, status=200), _ours(2, 0, 3, status=403))
    assert _pairs(*ours, _theirs(11, 1, status=403), _theirs(12, 1, status=200)) == {11: 2, 12: 1}


@pytest.mark.parametrize(
    "other", [{"uri": "https://api.example/other"}, {"token": Fingerprint.plain_sha256_of("another token, with bits")}]
)
def test_another_credential_or_resource_is_another_use(other: dict[str, Any]) -> None:
    """At the same moment, and with the same status."""
    assert _pairs(_ours(1, 0, 1), _theirs(11, 0.5, **other)) == {11: None}


def test_each_attempt_has_its_counterpart(story: Story) -> None:
    """A nonce round trip is one use with two attempts; the server sees two requests, each with its own proof."""
    first, second = story.proof("dpop.10_nonce"), story.proof()
    for number, (status, proof) in enumerate([(401, first), (200, second)], start=1):
        attempt = {"attempt": number, "name": "read_mail"}
        around = {"use_id": "00000000-0000-4000-8000-000000000007"}
        story.call(status, binding=story.bound, proof=proof, ours={"action": attempt, "context": around})
    found = story.incident().timeline
    assert [(each.use.action.attempt, each.use.action.status_code) for each in found if each.use] == [
        (None, 401),
        (1, 401),
        (None, 200),
        (2, 200),
    ]
    assert {each.matched_by for each in found} == {"proof"}
    assert not any(each.alone for each in found)


def test_an_intent_without_a_number_is_followed_by_its_first_attempt() -> None:
    """That there are attempts is known only once the first was answered; a second that broke off keeps its intent."""
    use_id: dict[str, Any] = {"use_id": "00000000-0000-4000-8000-000000000007"}
    bodies = [("intent", None), ("outcome", 1), ("intent", 2)]
    entries = [
        Entry(seq, _ours(seq, seq, attempt=attempt, **use_id).body.replace('"complete"', f'"{phase}"'), b"", b"")
        for seq, (phase, attempt) in enumerate(bodies, start=1)
    ]
    assert [each.entry.seq for each in paired(entries)] == [2, 3]


def test_a_request_without_a_credential_is_nobodys_use(story: Story) -> None:
    """A server may record that it refused somebody who presented nothing."""
    nothing = story.token.model_copy(update={"token_class": "none"})
    story.served(401, token=nothing)
    assert not any(each.alone for each in story.incident().timeline)


@pytest.mark.parametrize("kind", ["alike", "apart", "one proof"])
def test_the_effort_grows_with_the_number_of_entries(kind: str) -> None:
    """Many uses that look alike, that never meet, or that replay one proof, take no longer than others."""
    number = 1500
    apart, proof = (10 * number if kind == "apart" else 0), (_ONE if kind == "one proof" else None)
    entries = [_entry(1 + seq, "agent", seq, seq + 0.5, proof=proof if seq == 0 else None) for seq in range(number)]
    entries += [_entry(1 + number + seq, "resource_server", seq + 0.2 + apart, proof=proof) for seq in range(number)]
    for entry in entries:
        assert entry.event
    begun = time.process_time()
    sightings = paired(entries)
    assert time.process_time() - begun < 1
    expected = {"alike": 0, "apart": number, "one proof": number - 1}
    assert sum(each.alone for each in sightings) == expected[kind]

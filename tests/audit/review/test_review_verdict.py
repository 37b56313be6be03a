"""Who sent it: a stolen replay has no agent's stub, an induced use has both and no approval; all else stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.schemas import Approval, LogEvent, OutOfDomain, Requirement, Sha256, Thumbprint

if TYPE_CHECKING:
    from conftest import Story

_OTHER_KEY = Thumbprint.of_certificate(b"somebody else's")
_REQUIRED = Approval(requirement=Requirement.REQUIRED)


def _told(story: Story) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.sender, each.seqs) for each in story.incident().verdicts]


def test_where_nothing_stands_out_there_is_no_verdict(story: Story) -> None:
    """Every use has both its stubs, and nobody needed an approval."""
    story.call()
    story.call(403)
    story.call(binding=story.bound, proof=story.proof())
    assert story.incident().verdicts == ()


def test_a_stolen_bearer_token(story: Story) -> None:
    """The agent recorded all its uses, to the end, and not this one: somebody else had the token."""
    story.call()
    story.end()
    stolen = story.served()
    (verdict,) = story.incident().verdicts
    assert (verdict.sender, verdict.seqs) == ("somebody_else", (stolen,))
    assert verdict.sentence == f"Replayed by somebody else: entry {stolen} has no agent's stub."
    assert any("every agent that was seen with the credential" in reason for reason in verdict.reasons)
    assert "nothing ties this credential to its sender" in verdict.reasons


def test_a_stolen_token_in_the_midst_of_the_agents_work(story: Story) -> None:
    """Between two entries of the agent no number is missing, so the use between them is not the agent's."""
    story.call()
    stolen = story.served()
    assert _told(story) == [("undetermined", (stolen,))]  # the agent may be about to tell of it
    story.call()
    assert _told(story) == [("somebody_else", (stolen,))]


def test_one_that_was_refused(story: Story) -> None:
    """It was tried, and not done; the accepted one is a verdict of its own."""
    story.call()
    story.end()
    accepted, refused = story.served(), story.served(403)
    told = {verdict.sentence for verdict in story.incident().verdicts}
    assert told == {
        f"Replayed by somebody else: entry {accepted} has no agent's stub.",
        f"Tried by somebody else, and refused: entry {refused} has no agent's stub.",
    }


def test_an_agent_that_does_not_record_here_may_be_anybody(story: Story) -> None:
    """Without a single stub of an agent's, a use is no theft: nobody who holds the credential records at all."""
    seen = story.served()
    story.end()
    (verdict,) = story.incident().verdicts
    assert (verdict.sender, verdict.seqs) == ("undetermined", (seen,))
    assert "no agent recorded any use of this credential" in verdict.reasons


def test_a_server_that_agents_reach_by_other_ways(story: Story) -> None:
    """Where no agent's use of this server is recorded, perhaps none of them is instrumented for it."""
    story.call()
    story.end()
    story.served(uri="https://files.example/x")
    (verdict,) = story.incident().verdicts
    assert verdict.sender == "undetermined"
    assert "no agent recorded a use of this credential at this resource server" in verdict.reasons


def test_a_record_with_a_hole_accuses_nobody(story: Story) -> None:
    """The agent lost an entry around that time: it may have been the one that is missing."""
    story.call()
    story.agent.next_number()  # that nothing is recorded under
    seen = story.served()
    story.call()
    (verdict,) = story.incident().verdicts
    assert (verdict.sender, verdict.seqs) == ("undetermined", (seen,))
    assert any("has a hole" in reason for reason in verdict.reasons)


def test_a_gap_that_the_agent_admits_accuses_nobody(story: Story) -> None:
    """A gap entry says the same as a missing number."""
    story.call()
    story.agent.record(LogEvent.model_validate({"change": "gap", "count": 1}))
    story.served()
    story.end()
    assert [sender for sender, _ in _told(story)] == ["undetermined"]


def test_a_call_that_raised_is_no_hole(story: Story) -> None:
    """A number whose call raised is declared, and its action did not happen."""
    story.call()
    with pytest.raises(OutOfDomain):
        story.sent(action={"name": "x\x00"}).__enter__()
    stolen = story.served()
    story.call()
    assert _told(story) == [("somebody_else", (stolen,))]


def test_a_proof_that_was_captured_and_sent_again(story: Story) -> None:
    """The proof is the agent's, the second use of it is not, whatever else is known of the agent's record."""
    proof = story.proof()
    _, first = story.call(binding=story.bound, proof=proof)
    replay = story.proof("dpop.13_jti_replay", proof_id=proof["proof_id"])
    again = story.served(401, binding=story.bound, proof=replay)
    (verdict,) = story.incident().verdicts
    assert (verdict.sender, verdict.seqs) == ("somebody_else", (again,))
    assert f"its proof is the one of entry {first}, sent again" in verdict.reasons


def test_a_clients_own_retry_is_no_theft(story: Story) -> None:
    """The same bytes, from the same host, at once: as a client does whose connection broke (RFC 9449 §7.3)."""
    proof = {**story.proof(), "proof_digest": Sha256.of(b"the bytes")}
    _, first = story.call(binding=story.bound, proof=proof)
    story.served(401, binding=story.bound, proof=proof, peer="10.0.0.7:5002")
    (verdict,) = story.incident().verdicts
    assert verdict.sender == "undetermined"
    assert f"it looks like a client's retry of entry {first}" in verdict.reasons
    story.served(401, binding=story.bound, proof=proof, peer="198.51.100.23:5002")
    assert [sender for sender, _ in _told(story)] == ["undetermined", "somebody_else"]


def test_a_token_without_its_key(story: Story) -> None:
    """A proof with another key than the bound one is made by somebody who has not got it."""
    story.call(binding=story.bound, proof=story.proof())
    tried = story.served(401, binding={**story.bound, "key_thumbprint": _OTHER_KEY}, proof=story.proof("dpop.12b_jkt"))
    (verdict,) = story.incident().verdicts
    assert (verdict.sender, verdict.seqs) == ("somebody_else", (tried,))
    assert "the key that it shows is not the one that the token is bound to" in verdict.reasons


@pytest.mark.parametrize(
    ("observed", "sender"),
    [
        ("another certificate, same key, fresh", "undetermined"),
        ("claimed same subject, new key, fresh", "undetermined"),
        ("another subject or issuer", "somebody_else"),
        (_OTHER_KEY, "somebody_else"),
    ],
)
def test_a_renewed_certificate_is_told_from_a_foreign_one(observed: str, sender: str, story: Story) -> None:
    """What looks like the client's own next certificate accuses nobody (RFC 8705 §6.3)."""
    bound = {"declared": "mtls", "presented": "mtls"}
    story.call(binding=bound)
    check = {"id": "mtls.03_x5t_match", "outcome": "fail", "expected": "x", "observed": observed}
    story.served(401, binding=bound, proof={"mechanism": "mtls", "result": "fail", "checks": [check]})
    assert [each for each, _ in _told(story)] == [sender]


def test_another_address(story: Story) -> None:
    """From where agents never came. The port is another for each connection, and says nothing."""
    story.call(peer="10.0.0.7:5001")
    same = story.served(peer="10.0.0.7:6001")
    other = story.served(peer="198.51.100.23:5001")
    assert _told(story) == [("undetermined", (same,)), ("somebody_else", (other,))]


def test_a_trace_id_proves_nothing(story: Story) -> None:
    """A thief can send the agent's trace id along; the use is no more the agent's for it."""
    trace = {"trace_id": "a" * 32}
    story.call(uri="https://api.example/mail/1", ours={"context": trace})
    story.end()
    around = {"observer": "resource_server", "peer": "10.0.0.7:1", **trace}
    stolen = story.served(uri="https://api.example/mail/2", theirs={"context": around})
    assert _told(story) == [("somebody_else", (stolen,))]


def test_a_valid_proof_says_that_the_key_is_known_too(story: Story) -> None:
    """Nobody recorded it and its proof is good: token and key are both in other hands."""
    story.call(binding=story.bound, proof=story.proof())
    story.end()
    story.served(binding=story.bound, proof=story.proof())
    (verdict,) = story.incident().verdicts
    assert verdict.sender == "somebody_else"
    assert "its proof is valid: whoever sent it can sign with the key" in verdict.reasons


def test_an_induced_use(story: Story) -> None:
    """Both stubs, the proof valid, the approval required and missing: the legitimate sender did it."""
    seqs = story.call(binding=story.bound, proof=story.proof(), approval=_REQUIRED)
    (verdict,) = story.incident().verdicts
    assert (verdict.sender, verdict.seqs) == ("induced", tuple(sorted(seqs)))
    assert verdict.sentence == (
        "Signed by the legitimate sender: both stubs, proof valid, but approval was required and none was given:"
        f" induced (entries {min(seqs)} and {max(seqs)})."
    )
    assert verdict.reasons == ("the stubs were matched by proof", "its proof is valid, checked by api")


def test_an_induced_use_of_a_bearer_token(story: Story) -> None:
    """Nothing was signed; that the agent sent it is its own word."""
    story.call(approval=_REQUIRED)
    (verdict,) = story.incident().verdicts
    assert verdict.sender == "induced"
    assert verdict.sentence.startswith("Sent by the legitimate sender: both stubs, no proof needed, but")


def test_an_approved_use_is_not_induced(story: Story) -> None:
    """What was shown is what ran, and somebody said yes before."""
    arguments = {"to": "dana"}
    asked = story.agent.approval(tool="read_mail", arguments=arguments, requirement=Requirement.REQUIRED)
    asked.granted(approver="dana")
    story.call(approval=asked, arguments=arguments)
    assert story.incident().verdicts == ()


@pytest.mark.parametrize(
    ("proof", "missing"),
    [
        ({"result": "fail", "checks": [{"id": "dpop.06_signature", "outcome": "fail"}]}, "dpop.06_signature failed"),
        ({"result": "not_performed"}, "whether its proof is valid was not recorded"),
    ],
    ids=["failed", "unchecked"],
)
def test_without_a_valid_proof_it_stays_open(proof: dict[str, Any], missing: str, story: Story) -> None:
    """Nobody approved it, and nobody showed that the legitimate sender signed it either."""
    story.call(binding=story.bound, approval=_REQUIRED, proof={"mechanism": "dpop", **proof})
    (verdict,) = story.incident().verdicts
    assert verdict.sender == "undetermined"
    assert missing in verdict.reasons


def test_an_agents_word_alone_stays_open(story: Story) -> None:
    """No resource server recorded it: there is one stub."""
    with story.sent(approval=_REQUIRED) as use:
        use.status_code = 200
    (verdict,) = story.incident().verdicts
    assert (verdict.sender, verdict.reasons) == ("undetermined", ("no resource server recorded this use",))


@pytest.mark.parametrize("status", [401, 403])
def test_what_the_server_refused_was_not_done(status: int, story: Story) -> None:
    """An agent that was induced, in vain, did no harm; the remark about the approval remains."""
    story.call(status, approval=_REQUIRED)
    assert story.incident().verdicts == ()
    assert [each.severity for each in story.remarks("approval.missing")] == ["low"]


def test_many_alike_are_one_verdict(story: Story) -> None:
    """A hundred replays are one sentence with a hundred entries."""
    story.call()
    story.end()
    stolen = tuple(story.served() for _ in range(100))
    (verdict,) = story.incident().verdicts
    assert verdict.seqs == stolen
    assert "and 95 more have no agent's stub" in verdict.sentence


def test_an_approval_that_was_not_required_accuses_nobody(story: Story) -> None:
    """Somebody was asked without need, and said no: a remark, and no verdict."""
    asked = story.agent.approval(tool="read_mail", arguments={}, requirement=Requirement.NOT_REQUIRED)
    asked.denied(approver="dana")
    story.call(approval=asked, arguments={})
    assert story.incident().verdicts == ()
    assert len(story.remarks("approval.denied")) == 1


def test_an_approval_for_something_else_is_none(story: Story) -> None:
    """Granted, and for other arguments: the use contradicts the approval that it names."""
    asked = story.agent.approval(tool="read_mail", arguments={"to": "dana"}, requirement=Requirement.REQUIRED)
    asked.granted(approver="dana")
    story.call(approval=asked, arguments={"to": "somebody"}, binding=story.bound, proof=story.proof())
    (verdict,) = story.incident().verdicts
    assert verdict.sender == "induced"
    assert "but what was approved is not what ran: induced" in verdict.sentence

"""What stands out: each rule says its sentence where it holds, with the entries that show it, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit.review.remark import listed
from counterfoil.audit.review.remarks import RULES
from counterfoil.schemas import (
    Action,
    Approval,
    ApprovalState,
    Check,
    CheckId,
    Context,
    CredentialUse,
    Decision,
    Requirement,
    Sha256,
    SignerProcess,
    Tool,
)
from counterfoil.schemas.terms import keep_unlisted_terms

if TYPE_CHECKING:
    from conftest import Story

    from counterfoil.audit.review import Remark

_BEARER = {"declared": "dpop", "presented": "none"}


def _sizes(remarks: list[Remark]) -> list[tuple[str, int]]:
    return [(each.severity, len(each.seqs)) for each in remarks]


def test_rules_are_told_apart_and_say_where_they_come_from() -> None:
    """An id stays the same across releases; a source is a document, or that there is none."""
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.id.partition(".")[2]
        assert rule.means
        assert rule.source.startswith(("RFC ", "MCP ", "no specification"))


def test_every_rule_is_documented() -> None:
    """A reader finds each id in the page about incidents."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "incidents.md").read_text(encoding="utf-8")
    assert [rule.id for rule in RULES if f"| `{rule.id}` |" not in page] == []


def test_nothing_stands_out_of_ordinary_work(story: Story) -> None:
    """Bearer and bound uses, accepted and refused, each with both stubs, every check performed."""
    story.call()
    story.call(403)
    story.call(binding=story.bound, proof=story.proof())
    assert story.incident().remarks == ()


def test_the_worst_comes_first(story: Story) -> None:
    """Whoever reads one line reads the worst."""
    story.call(401, proof=story.proof("dpop.10_nonce"), binding=story.bound)
    story.served()
    story.call(proof=story.proof("token.audience"), binding=story.bound)
    severities = [each.severity for each in story.incident().remarks]
    assert severities == ["critical", "critical", "high", "informational"]


@pytest.mark.parametrize(("status", "severity", "word"), [(200, "high", "accepted"), (401, "medium", "refused")])
def test_uses_that_no_agent_recorded(status: int, severity: str, word: str, story: Story) -> None:
    """Accepted is worse than refused; many are one remark."""
    story.call()
    seqs = tuple(story.served(status) for _ in range(3))
    (remark,) = story.remarks("use.unaccounted")
    assert (remark.severity, remark.seqs) == (severity, seqs)
    assert remark.sentence == f"a resource server {word} 3 uses that no agent recorded"


def test_a_failed_check_beside_an_executed_action_is_the_worst(story: Story) -> None:
    """However routine the check is: the server found fault, and went on."""
    story.call(binding=story.bound, proof=story.proof("dpop.10_nonce"))
    (remark,) = story.remarks("check.failed_executed")
    assert remark.severity == "critical"
    assert remark.sentence.startswith("dpop.10_nonce failed, checked by api, and the action was executed all the same")


@pytest.mark.parametrize(
    ("failed", "severity"),
    [
        (["dpop.12b_jkt"], "critical"),
        (["dpop.13_jti_replay"], "high"),
        (["dpop.10_nonce"], "informational"),
        (["dpop.10_nonce", "dpop.16_nonce_downgrade"], "informational"),
        (["dpop.16_nonce_downgrade", "dpop.11_time"], "low"),
        (["dpop.10_nonce", "dpop.06_signature"], "high"),
    ],
)
def test_a_failed_check_of_a_refused_use(failed: list[str], severity: str, story: Story) -> None:
    """As bad as the worst of them by itself."""
    story.call(401, binding=story.bound, proof=story.proof(*failed))
    (remark,) = story.remarks("check.failed")
    assert remark.severity == severity
    assert remark.sentence.startswith(f"{', '.join(failed)} failed, checked by api, and the action was not executed")
    assert remark.source in {CheckId(each).source for each in failed}
    assert story.remarks("check.failed_executed") == []


def test_a_certificates_dates_only_inform(story: Story) -> None:
    """RFC 8705 §6.2: a server need not look at them."""
    expired = {"id": "mtls.05_cert_validity", "outcome": "fail"}
    story.call(binding={"declared": "mtls", "presented": "mtls"}, proof={"mechanism": "mtls", "checks": [expired]})
    assert story.incident().remarks == ()


@pytest.mark.parametrize(("status", "severity"), [(200, "critical"), (503, "medium")])
def test_a_check_that_could_not_be_finished(status: int, severity: str, story: Story) -> None:
    """A server that goes on without an answer has not checked."""
    broken = {"id": "dpop.13_jti_replay", "outcome": "error"}
    story.call(status, binding=story.bound, proof={"mechanism": "dpop", "checks": [broken]})
    assert _sizes(story.remarks("check.error")) == [(severity, 1)]


@pytest.mark.parametrize(
    ("checks", "severity"),
    [
        ([], "medium"),
        ([{"id": "dpop.12b_jkt", "outcome": "not_performed"}], "high"),
        ([{"id": "dpop.13_jti_replay", "outcome": "not_performed"}], "low"),
        ([{"id": "dpop.12b_jkt", "outcome": "not_applicable"}], None),
    ],
)
def test_a_check_that_was_left_out_of_a_bound_token(checks: list[Any], severity: str | None, story: Story) -> None:
    """The server has to check possession (RFC 9449 §7.1); that a jti is new, it may."""
    proof = {"mechanism": "dpop", "checks": checks, "checked_by": "api"}
    story.call(binding=story.bound, proof=proof)
    story.call(401, binding=story.bound, proof={**proof, "proof_id": Sha256.of(b"refused")})
    assert _sizes(story.remarks("check.not_performed")) == ([(severity, 1)] if severity else [])


def test_what_another_check_refused_was_not_left_out(story: Story) -> None:
    """A check without input is not performed, and no gap."""
    checks = [{"id": "dpop.02_well_formed", "outcome": "fail"}, {"id": "dpop.12b_jkt", "outcome": "not_performed"}]
    story.call(binding=story.bound, proof={"mechanism": "dpop", "checks": checks})
    assert story.remarks("check.not_performed") == []
    assert len(story.remarks("check.failed_executed")) == 1


@pytest.mark.parametrize(("status", "severity"), [(200, "critical"), (401, "high")])
def test_a_bound_token_that_came_as_a_bearer_token(status: int, severity: str, story: Story) -> None:
    """Declared and presented differ: a downgrade (RFC 9449 §7.2)."""
    ours, theirs = story.call(status, binding=_BEARER)
    (remark,) = story.remarks("token.bound_as_bearer")
    assert (remark.severity, remark.seqs) == (severity, tuple(sorted((ours, theirs))))


@pytest.mark.parametrize(("status", "severity"), [(200, "critical"), (401, "high")])
@pytest.mark.parametrize("by", ["check", "lists"])
def test_a_token_for_another_audience(status: int, severity: str, by: str, story: Story) -> None:
    """The server found so, or the two lists share nothing where it did not look."""
    if by == "check":
        story.call(status, proof=story.proof("token.audience"))
    else:
        story.call(status, theirs={"resource": {"accepted_audiences": ["https://other.example"]}})
    (remark,) = story.remarks("token.wrong_audience")
    assert remark.severity == severity
    assert remark.sentence.startswith("a token for https://api.example was sent to api.example, which")


def test_the_servers_own_answer_goes_before_the_lists(story: Story) -> None:
    """It may know an alias that it did not record; and where a list is empty there is nothing to compare."""
    story.call(proof=story.proof(), theirs={"resource": {"accepted_audiences": ["https://other.example"]}})
    story.call(token=story.token.model_copy(update={"audience": ()}))
    assert story.remarks("token.wrong_audience") == []


def test_a_credential_that_was_passed_through(story: Story) -> None:
    """Sent on while it was being served: the request that was being served is part of the evidence."""
    sending = story.sent(uri="https://mcp.example/")
    with sending as use:
        use.status_code = 200
        served = story.server.use(
            **story.parts({"uri": "https://mcp.example/", "context": {"observer": "resource_server"}})
        )
        with served:
            onward = story.call(ours={"context": {"inbound": story.token.fingerprint}})
        inner = story.reader.head()
    (remark,) = story.remarks("token.passthrough")
    assert (remark.severity, remark.seqs) == ("critical", tuple(sorted((*onward, inner))))
    assert remark.sentence == "the credential that came in was sent on to api.example"


def test_another_credential_that_was_sent_meanwhile_is_none(story: Story) -> None:
    """A server that gets a token of its own does what it should."""
    other = story.token.model_copy(update={"fingerprint": story.agent.fingerprint("another")})
    story.call(token=other, ours={"context": {"inbound": story.token.fingerprint}})
    assert story.remarks("token.passthrough", str(other.fingerprint)) == []


@pytest.mark.parametrize(("status", "severity"), [(200, "critical"), (403, "high")])
def test_a_passthrough_is_worse_where_it_was_accepted(status: int, severity: str, story: Story) -> None:
    """Refused downstream, it was tried all the same."""
    story.call(status, ours={"context": {"inbound": story.token.fingerprint}})
    assert [each.severity for each in story.remarks("token.passthrough")] == [severity]


def test_a_credential_for_two_tenants(story: Story) -> None:
    """If it leaks, it leaks for both; the first use for each is the evidence."""
    first, _ = story.call()
    story.call()
    with story.agent.scope(tenant="globex"):
        story.call()
    (remark,) = story.remarks("token.several_tenants")
    assert remark.severity == "medium"
    assert remark.sentence == "one credential was used for 2 tenants: acme, globex"
    assert remark.seqs[0] < first < remark.seqs[1]  # intents, which come first


def test_a_key_for_two_tenants_shows_in_each_of_its_tokens(story: Story) -> None:
    """Two tokens, each for one tenant, bound to one key: an incident of either says so."""
    other = story.token.model_copy(update={"fingerprint": story.agent.fingerprint("another")})
    story.call(binding=story.bound, proof=story.proof())
    with story.agent.scope(tenant="globex"):
        story.call(token=other, binding=story.bound, proof=story.proof())
    for subject in (story.token.fingerprint, other.fingerprint, story.bound["key_thumbprint"]):
        (remark,) = story.remarks("key.several_tenants", str(subject))
        assert remark.severity == "high"
        assert remark.sentence == "one key was used for 2 tenants: acme, globex"
    assert story.remarks("token.several_tenants") == []


def test_what_a_server_calls_its_tenants_counts_for_nothing(story: Story) -> None:
    """Its names are others than the agents'."""
    around = {"observer": "resource_server", "tenant": "customer-42"}
    story.call(binding=story.bound, proof=story.proof(), theirs={"context": around})
    assert story.remarks("key.several_tenants") == []


@pytest.mark.parametrize(("pids", "found"), [((1, 2, 1), 1), ((1, 1, 2, 2), 0), ((1, 1), 0)])
def test_processes_that_sign_at_the_same_time(pids: tuple[int, ...], found: int, story: Story) -> None:
    """One after the other may be a restart; by turns, they share the key."""
    for pid in pids:
        signer = SignerProcess(pid=pid, host="agents-1")
        story.call(binding=story.bound, proof=story.proof(), ours={"signer": signer})
    assert len(story.remarks("key.several_signers")) == found


def _replay(story: Story, status: int = 401, **how: Any) -> list[tuple[str, int]]:
    proof = {**story.proof(), "proof_digest": Sha256.of(b"the bytes")}
    story.call(how.pop("first", 200), binding=story.bound, proof=proof)
    again = {**proof, "proof_digest": Sha256.of(how.pop("sent", b"the bytes"))}
    story.served(status, binding=story.bound, proof=again, **how)
    return _sizes(story.remarks("proof.replayed"))


def test_a_proof_that_came_twice(story: Story) -> None:
    """From two addresses, or accepted twice, is the worst; a client's retry hardly anything."""
    assert _replay(story) == [("low", 2)]


@pytest.mark.parametrize(
    ("how", "severity"),
    [({"peer": "198.51.100.23:5001"}, "critical"), ({"status": 200}, "critical"), ({"sent": b"other bytes"}, "high")],
)
def test_a_proof_that_came_twice_and_is_no_retry(how: dict[str, Any], severity: str, story: Story) -> None:
    """Another peer, a second success, or other bytes under the same id."""
    assert _replay(story, **how) == [(severity, 2)]


def test_a_redirect_to_another_origin(story: Story) -> None:
    """The credential followed it; to another path of the same origin it may."""
    story.call(302, uri="https://api.example/a")
    story.call(302, uri="https://api.example/b", action={"redirected_from": "https://api.example/a"})
    assert story.remarks("redirect.other_origin") == []
    both = story.call(uri="https://evil.example/b", action={"redirected_from": "https://api.example:443/b"})
    (remark,) = story.remarks("redirect.other_origin")
    assert remark.seqs == tuple(sorted(both))
    assert remark.sentence == "a redirect by https://api.example:443 led the credential to https://evil.example:443"


@pytest.mark.parametrize("uri", ["https://[::1", "https://x:99999999/", "urn:x", "unknown:"])
def test_what_is_no_url_is_no_error(uri: str, story: Story) -> None:
    """Whatever a redirect named: an origin of its own."""
    story.call(uri="https://api.example/a")
    story.call(uri="https://api.example/b", action={"redirected_from": uri})
    assert story.remarks("redirect.other_origin") == []


_ARGUMENTS = {"invoice": "4711"}
_OTHER = {"invoice": "4712"}


def _ask(story: Story, **more: Any) -> Any:
    given: dict[str, Any] = {"tool": "read_mail", "arguments": _ARGUMENTS, "requirement": Requirement.REQUIRED}
    given |= {"approval_id": "ap-7", **more}
    return story.agent.approval(**given)


def _approval_rules(story: Story) -> list[str]:
    return [each.rule.id.removeprefix("approval.") for each in story.incident().remarks if "approval" in each.rule.id]


def test_an_approval_that_holds(story: Story) -> None:
    """Asked, granted, and what was shown is what ran: nothing to say. Nor where none was needed."""
    asked = _ask(story)
    asked.granted(approver="dana")
    story.call(approval=asked, arguments=_ARGUMENTS)
    story.call(approval=Approval(requirement=Requirement.NOT_REQUIRED))
    story.call()
    assert _approval_rules(story) == []


def test_a_required_approval_that_nobody_gave(story: Story) -> None:
    """Nobody asked, or nobody answered: the same, and named by its tool."""
    with story.agent.scope(tool="pay_invoice"):
        one = story.call(approval=Approval(requirement=Requirement.REQUIRED))
        two = story.call(approval=_ask(story))
    (remark,) = story.remarks("approval.missing")
    assert (remark.severity, remark.seqs) == ("high", tuple(sorted(one + two)))
    assert remark.sentence == "pay_invoice ran: approval was required and none was given"


def test_a_denied_approval(story: Story) -> None:
    """Somebody said no, and it ran."""
    asked = _ask(story)
    asked.denied(approver="dana")
    story.call(approval=asked, arguments=_ARGUMENTS)
    assert _approval_rules(story) == ["denied"]


@pytest.mark.parametrize("late", ["nobody decided", "decided late", "ran late"])
def test_an_approval_that_came_too_late(late: str, story: Story) -> None:
    """Nobody decided in time, somebody decided after it, or the use came after it."""
    past = datetime.now(UTC) - timedelta(hours=1)
    asked = _ask(story, expires_at=past)
    if late == "nobody decided":
        asked.expired()
    else:
        asked.granted(approver="dana", decided_at=past + timedelta(minutes=1 if late == "decided late" else -1))
    story.call(approval=asked, arguments=_ARGUMENTS)
    assert _approval_rules(story) == ["expired"]


@pytest.mark.parametrize("other", ["arguments", "tool"])
def test_what_ran_is_not_what_was_approved(other: str, story: Story) -> None:
    """Other arguments have another digest; another tool shows even where nobody told the arguments."""
    asked = _ask(story)
    asked.granted(approver="dana")
    if other == "arguments":
        story.call(approval=asked, arguments=_OTHER)
    else:
        with story.agent.scope(tool=Tool(name="delete_mail")):
            story.call(approval=asked.executing(_ARGUMENTS))
    assert _approval_rules(story) == ["other_call"]


@pytest.mark.parametrize(
    ("recorded", "found"),
    [(ApprovalState.DENIED, "contradicted"), (None, "contradicted"), (ApprovalState.GRANTED, None)],
)
def test_a_use_that_claims_more_than_was_recorded(recorded: Any, found: str | None, story: Story) -> None:
    """It says granted; the log has the question, and another answer or none."""
    asked = _ask(story)
    if recorded is ApprovalState.DENIED:
        asked.denied(approver="dana")
    elif recorded:
        asked.granted(approver="dana")
    claimed = asked.executing(_ARGUMENTS).model_copy(update={"decision": Decision.GRANTED})
    story.call(approval=claimed)
    assert _approval_rules(story) == ([found] if found else [])


def test_a_grant_for_something_else_under_the_same_id(story: Story) -> None:
    """The digest of what was shown is part of what was granted."""
    asked = _ask(story, arguments=_OTHER)
    asked.granted(approver="dana")
    shown = story.agent.arguments_digest("read_mail", _ARGUMENTS)
    story.call(approval=asked.part.model_copy(update={"shown_digest": shown, "executed_digest": shown}))
    assert _approval_rules(story) == ["contradicted"]


def test_an_approval_of_which_this_log_knows_nothing(story: Story) -> None:
    """It may be in another one; and without digests nobody can tell what was approved."""
    story.call(approval=Approval(requirement=Requirement.REQUIRED, decision=Decision.GRANTED, approval_id="ap-9"))
    assert _approval_rules(story) == ["unrecorded", "unproven"]


def test_a_refused_nonce_is_no_second_use_without_approval(story: Story) -> None:
    """Of several attempts the last counts: it ran, once."""
    parts = story.parts({"approval": Approval(requirement=Requirement.REQUIRED)})
    for number, outcome in ((1, "refused"), (2, "executed")):
        context = Context.model_validate({"use_id": "00000000-0000-4000-8000-000000000007"})
        action = {"name": "read_mail", "attempt": number, "phase": "outcome", "outcome": outcome}
        last = story.agent.record(
            CredentialUse(**{**parts, "context": context, "action": Action.model_validate(action)})
        )
    (remark,) = story.remarks("approval.missing")
    assert (remark.severity, remark.seqs) == ("high", (last.seq,))


def test_a_check_of_a_newer_release_is_no_error(story: Story) -> None:
    """What this release does not know is of medium severity, and said to be unknown."""
    with keep_unlisted_terms():
        check = Check.model_validate_json('{"id": "dpop.99_new", "outcome": "fail"}')
    story.call(401, proof=story.proof(checks=[check]))
    (remark,) = story.remarks("check.failed")
    assert remark.severity == "medium"
    assert "a check that this release does not know" in remark.sentence


@pytest.mark.parametrize(
    ("seqs", "words"),
    [
        ([7], "entry 7"),
        ([7, 9], "entries 7 and 9"),
        (range(1, 6), "entries 1, 2, 3, 4 and 5"),
        (range(1, 8), "entries 1, 2, 3, 4, 5 and 2 more"),
    ],
)
def test_entries_in_words(seqs: Any, words: str) -> None:
    """A few by number, many by count."""
    assert listed(seqs) == words

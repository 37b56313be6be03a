"""``counterfoil incident``: the story of one credential, for people and for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.schemas import ApprovalEvent, Compromise, CredentialUse, Fingerprint

if TYPE_CHECKING:
    from conftest import Run

    from counterfoil.audit import AuditLog

_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _use(fingerprint: Fingerprint, observer: str, **context: Any) -> CredentialUse:
    return CredentialUse.model_validate(
        {
            "context": {"observer": observer, "occurred_at": _NOON, **context},
            "token": {"token_class": "bearer_opaque", "fingerprint": fingerprint},
            "resource": {"uri": "https://api.example/mail"},
            "approval": {"approval_id": "a-1", "decision": "granted"},
            "action": {"name": "send_mail", "method": "POST", "outcome": "executed", "status_code": 200},
            "signer": {"pid": 4711},
        }
    )


@pytest.fixture
def stolen(log: AuditLog, secret: str) -> Fingerprint:
    """Record the agent's use of a credential, the server's view of it, and a use by somebody else."""
    fingerprint = log.fingerprint(secret)
    log.record(_use(fingerprint, "agent", agent={"id": "mail-agent"}))
    log.record(_use(fingerprint, "resource_server", peer="10.0.0.7"))
    log.record(_use(fingerprint, "resource_server", peer="198.51.100.23"))
    approval = {"approval_id": "a-1", "state": "granted", "approver": "alice", "action": {"name": "send_mail"}}
    log.record(ApprovalEvent.model_validate(approval))
    log.record(Compromise.model_validate({"leaked": "token", "fingerprint": fingerprint, "place": "tool_trace"}))
    return fingerprint


def test_the_story_for_people(stolen: Fingerprint, run: Run) -> None:
    """Who, what, where, with which approval, from both sides; the use that no agent recorded is marked and named."""
    ended = run("incident", stolen)
    assert (ended.code, ended.err) == (0, "")
    assert f"credential {stolen}" in ended.out
    timeline, rest = ended.out.split("What stands out:\n")
    ours, theirs, alone, reported = timeline.split("  entry ")[1:]
    assert "mail-agent (pid 4711)" in ours
    assert "the other side: entry 4, by the request" in ours
    assert "the other side: entry 3, by the request" in theirs
    assert "NOT RECORDED BY AN AGENT" not in theirs
    assert "198.51.100.23" in alone
    assert "NOT RECORDED BY AN AGENT" in alone
    assert "a-1 granted" in alone
    assert "tool_trace" in reported
    assert "approval a-1 of send_mail: granted by alice (entry 6)" in timeline
    standing_out, sender = rest.split("Who sent it:\n")
    assert (
        "high  use.unaccounted: a resource server accepted one use that no agent recorded\n    entry 5; "
        in standing_out
    )
    assert sender.startswith(
        "Replayed by somebody else: entry 5 has no agent's stub.\n    it came from another address"
    )


def test_the_story_for_programs(stolen: Fingerprint, run: Run) -> None:
    """The same facts as one JSON document."""
    told = json.loads(run("incident", stolen, "--json").out)
    assert (told["about"], told["subject"]) == ("credential", stolen)
    assert [(each["seq"], each["counterpart"], each["matched_by"], each["alone"]) for each in told["timeline"]] == [
        (3, 4, "request", False),
        (4, 3, "request", False),
        (5, None, None, True),
        (7, None, None, False),
    ]
    assert [each["event"]["kind"] for each in told["timeline"]][-1] == "compromise"
    assert [each["seq"] for each in told["approvals"]] == [6]
    assert [(each["rule"], each["severity"], each["seqs"]) for each in told["remarks"]] == [
        ("use.unaccounted", "high", [5])
    ]
    (verdict,) = told["verdicts"]
    assert (verdict["sender"], verdict["seqs"]) == ("somebody_else", [5])
    assert "it came from another address than the uses that agents recorded" in verdict["reasons"]


@pytest.fixture
def checked(log: AuditLog, secret: str) -> Fingerprint:
    """Record two attempts of one use, as the server saw them: one refused, one with a check left out."""
    fingerprint = log.fingerprint(secret)
    for number, (jkt, replay) in enumerate([("fail", "not_performed"), ("pass", "not_performed")], start=1):
        checks = [
            {"id": "dpop.06_signature", "outcome": "pass"},
            {"id": "dpop.12b_jkt", "outcome": jkt},
            {"id": "dpop.13_jti_replay", "outcome": replay},
            {"id": "token.time", "outcome": replay},
        ]
        use = {
            "context": {"observer": "resource_server", "occurred_at": _NOON, "task": "t-1"},
            "token": {"token_class": "dpop_bound_access", "fingerprint": fingerprint},
            "binding": {"declared": "dpop", "presented": "dpop"},
            "resource": {"uri": "https://api.example/mail"},
            "proof": {"mechanism": "dpop", "checks": checks, "checked_by": "api\x1b[31m"},
            "action": {"name": "x", "attempt": number, "outcome": "refused" if jkt == "fail" else "executed"},
        }
        log.record(CredentialUse.model_validate(use))
    return fingerprint


def test_checks_by_whom_and_how_they_ended(checked: Fingerprint, run: Run) -> None:
    """In one line a use: who checked, what failed, what was never performed, how many passed. Nothing is obeyed."""
    for subject in (checked, "t-1"):
        out = run("incident", subject).out
        assert "refused, attempt 1\n" in out
        by = "checked by api\\x1b[31m: "
        assert f"{by}failed dpop.12b_jkt; not performed dpop.13_jti_replay, token.time; 1 passed\n" in out
        assert f"{by}not performed dpop.13_jti_replay, token.time; 2 passed\n" in out
        assert "critical  check.failed: dpop.12b_jkt failed" in out
        assert "RFC 9449 §4.3 item 12" in out
        assert "\x1b" not in out


def test_nothing_stands_out(log: AuditLog, secret: str, run: Run) -> None:
    """Where each use has both its stubs, it is said; and where there is nothing to compare."""
    fingerprint = log.fingerprint(secret)
    log.record(_use(fingerprint, "agent", task="t-1"))
    assert "No resource server recorded a use of it" in run("incident", fingerprint).out
    log.record(_use(fingerprint, "resource_server"))
    assert "Every use that a resource server saw was recorded by an agent too." in run("incident", "t-1").out


def test_an_approval_without_uses(log: AuditLog, run: Run) -> None:
    """Question and decision are shown, under the name of the approval."""
    log.approval(tool="pay", arguments={}, approval_id="ap-7").denied(approver="dana")
    out = run("incident", "ap-7").out
    assert out.startswith("approval ap-7\napproval ap-7 of pay: requested (entry 3)\n")
    assert "approval ap-7 of pay: denied by dana (entry 4)\n" in out


def test_an_unknown_credential(stolen: Fingerprint, log: AuditLog, run: Run) -> None:
    """That nothing is recorded is an answer."""
    assert stolen
    ended = run("incident", log.fingerprint("unknown"))
    assert (ended.code, ended.out) == (0, "nothing is recorded about it\n")


def test_a_raw_credential_is_refused_and_not_repeated(stolen: Fingerprint, secret: str, run: Run) -> None:
    """An argument that is neither fingerprint, thumbprint nor event id is not shown again."""
    assert stolen
    ended = run("incident", f"Bearer {secret}")
    assert (ended.code, ended.out) == (1, "")
    assert secret not in ended.err


def test_a_bounded_time(stolen: Fingerprint, run: Run) -> None:
    """From ``--since`` on and before ``--until``; a time without a zone is wrong use."""
    assert "  entry 3, " in run("incident", stolen, "--since", "2026-11-23T12:00:00Z").out
    before = run("incident", stolen, "--until", "2026-11-23T12:00:00Z")
    assert (before.code, before.out) == (0, "nothing is recorded about it\n")
    assert run("incident", stolen, "--since", "2026-11-23T12:00:00").code == 2


def test_nothing_that_was_stored_is_obeyed(log: AuditLog, secret: str, run: Run) -> None:
    """Names that stand out are shown as text: no colour, no second line."""
    fingerprint = log.fingerprint(secret)
    for tenant in ("acme", "\x1b[31mglobex\nhigh  fake.rule: nothing"):
        log.record(_use(fingerprint, "agent", tenant=tenant))
    out = run("incident", fingerprint).out
    assert "token.several_tenants" in out
    assert "\\x1b[31mglobex\\x0ahigh" in out
    assert "\x1b" not in out
    assert "\nhigh  fake.rule" not in out

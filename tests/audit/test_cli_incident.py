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
    ours, theirs, alone, reported = ended.out.split("  entry ")[1:]
    assert "mail-agent (pid 4711)" in ours
    assert "the other side: entry 4" in ours
    assert "the other side: entry 3" in theirs
    assert "NOT RECORDED BY AN AGENT" not in theirs
    assert "198.51.100.23" in alone
    assert "NOT RECORDED BY AN AGENT" in alone
    assert "a-1 granted" in alone
    assert "tool_trace" in reported
    assert "approval a-1 of send_mail: granted by alice (entry 6)" in ended.out
    assert "No agent recorded the use in entry 5" in ended.out


def test_the_story_for_programs(stolen: Fingerprint, run: Run) -> None:
    """The same facts as one JSON document."""
    told = json.loads(run("incident", stolen, "--json").out)
    assert told["subject"] == stolen
    assert [(each["seq"], each["counterpart"], each["alone"]) for each in told["timeline"]] == [
        (3, 4, False),
        (4, 3, False),
        (5, None, True),
        (7, None, False),
    ]
    assert [each["event"]["kind"] for each in told["timeline"]][-1] == "compromise"
    assert [each["seq"] for each in told["approvals"]] == [6]


def test_nothing_stands_out(log: AuditLog, secret: str, run: Run) -> None:
    """Where each use has both its stubs, it is said."""
    fingerprint = log.fingerprint(secret)
    for observer in ("agent", "resource_server"):
        log.record(_use(fingerprint, observer))
    assert "Every use that a resource server saw was recorded by an agent too." in run("incident", fingerprint).out


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

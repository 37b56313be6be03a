"""The table of attributes: names that survive scrubbers, values that backends take, and its copy in the docs."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from counterfoil.exporters.otel_attributes import ATTRIBUTES, TRUNCATED, Subject, markdown_table
from counterfoil.exporters.otel_values import MAX_VALUE, Value, attributes_of
from counterfoil.schemas import (
    Action,
    Agent,
    Approval,
    ApprovalEvent,
    Binding,
    Check,
    Compromise,
    Context,
    CredentialChange,
    CredentialUse,
    Entry,
    ErasedEntry,
    Event,
    Fingerprint,
    KeyCustody,
    KeyedDigest,
    Lifetime,
    LogChange,
    LogEvent,
    Principal,
    Producer,
    Proof,
    Resource,
    Sha256,
    SignerProcess,
    Thumbprint,
    Token,
    Tool,
)

if TYPE_CHECKING:
    from counterfoil.schemas import FingerprintKey

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOON_TEXT = "2026-11-23T12:00:00.000000Z"
LOG_ID = "00112233445566778899aabbccddeeff"
EVENT_ID = UUID("01940000-0000-7000-8000-000000000001")
USE_ID = UUID("01940000-0000-7000-8000-000000000002")
VERIFICATION_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = f"counterfoil/{LOG_ID}/pruned\n3\n{'A' * 43}=\n\n— example.com/foo {'A' * 91}=\n"
MCP = {"mcp.method.name": "tools/call", "mcp.protocol.version": "2026-07-28", "jsonrpc.request.id": "7"}

# Words that default scrubbers look for: Logfire 5.4 anywhere in a name, Sentry 2.75 as a whole name or its last part.
# A quick guard: tests/scrubbers asks the scrubbers themselves, and about values too.
LOGFIRE = re.compile(
    r"passw|mysql_pwd|secret|auth(?!ors?\b)|credential|passphrase|session|cookie|pylf_v\d+_"
    r"|(?:private|signing|hmac|api)[._ -]?key|social[._ -]?security|credit[._ -]?card"
    r"|(?:logfire|access|refresh|bearer|(?:\b|_)id)[._ -]?token|(?:\b|_)(?:csrf|xsrf|jwt|ssn)(?:\b|_)",
    re.IGNORECASE,
)
SENTRY = re.compile(
    r"password|passwd|secret|api_?key|auth|credentials|mysql_pwd|private_?key|token|session|csrftoken|sessionid"
    r"|(?:set_)?cookie|(?:proxy-)?authorization|_?csrf|x_forwarded_for|x_real_ip|ip_address|remote_addr"
)


def attributes(event: Event) -> dict[str, Value]:
    """Return the attributes of an event as entry 7 of a log."""
    return attributes_of(Subject(Entry(7, "{}", bytes(32), b"\xff" * 32), event, LOG_ID))


def full_use(key: FingerprintKey, **changes: Any) -> CredentialUse:
    """Return a use with everything in it that the table knows."""
    digest, thumbprint = KeyedDigest.of(b"arguments", key), Thumbprint.of_certificate(b"synthetic")
    parts: dict[str, Any] = {
        "context": Context(
            event_id=EVENT_ID, use_id=USE_ID, inbound=Fingerprint.plain_sha256_of(b"inbound"),
            occurred_at=NOON, recorded_at=NOON, observer="agent",
            peer="10.0.0.7:4711", task="t-42", tenant="acme", conversation="c-5",
            agent=Agent(id="a-1", name="mail agent", version="3", instance="i-9"),
            tool=Tool(name="send_mail", call_id="call-8", server="mail-server"),
            principal=Principal(subject="alice", client_id="client-1"), attributes={"free": "form"} | MCP,
            producer=Producer(id="p-1", seq=3, pid=7, host="h", library="counterfoil/1"),
        ),
        "token": Token(
            token_class="dpop_bound_access", format="jwt", fingerprint=Fingerprint.of("synthetic", key),
            issuer="https://as.example", subject="alice", audience=("https://api.example", "b"),
            scopes=("mail.read", "mail.send"), lifetime=Lifetime(expires_at=NOON, seconds=300), basis="introspection",
        ),
        "binding": Binding(
            declared="dpop", presented="none", verified="none", method="none", key_thumbprint=thumbprint
        ),
        "key_custody": KeyCustody(store="software_file", isolation="shared", exportable=True),
        "signer": SignerProcess(
            pid=12, executable="/usr/bin/agent", host="h-1", container="c0ffee", workload_id="spiffe://example/agent",
            is_tool_process=False, user="alice",
        ),
        "proof": Proof(
            mechanism="dpop", result="fail", checked_by="api", proof_id=Sha256.of(b"jkt and jti"),
            checks=(
                Check(id="dpop.04_typ", outcome="pass"), Check(id="dpop.08_htm", outcome="fail"),
                Check(id="dpop.09_htu", outcome="error"), Check(id="dpop.10_nonce", outcome="not_performed"),
            ),
        ),
        "resource": Resource(uri="https://api.example/mail", server="api.example"),
        "approval": Approval(
            requirement="required", approval_id="ap-1", decision="granted", approver="bob", decided_at=NOON,
            shown_digest=digest, executed_digest=digest,
        ),
        "action": Action(
            name="send_mail", method="POST", target="https://api.example:8443/mail/send?to=", arguments_digest=digest,
            phase="outcome", attempt=2, redirected_from="https://api.example/moved",
            outcome="refused", status_code=403, error_type="PermissionError",
        ),
    }  # fmt: skip
    return CredentialUse(**(parts | changes))


def test_a_use_says_all_of_this(key: FingerprintKey) -> None:
    """Every attribute that a use can have, with the value and type that it has."""
    digest = str(KeyedDigest.of(b"arguments", key))
    assert attributes(full_use(key)) == {
        "counterfoil.log.id": LOG_ID,
        "counterfoil.entry.seq": 7,
        "counterfoil.entry.chain_hash": "ff" * 32,
        "counterfoil.entry.leaf_hash": "00" * 32,
        "counterfoil.event.id": str(EVENT_ID),
        "counterfoil.event.kind": "credential_use",
        "counterfoil.event.recorded_at": NOON_TEXT,
        "counterfoil.observer": "agent",
        "counterfoil.use.id": str(USE_ID),
        "counterfoil.producer.id": "p-1",
        "counterfoil.producer.seq": 3,
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.agent.id": "a-1",
        "gen_ai.agent.name": "mail agent",
        "gen_ai.agent.version": "3",
        "gen_ai.conversation.id": "c-5",
        "gen_ai.tool.name": "send_mail",
        "gen_ai.tool.call.id": "call-8",
        **MCP,
        "counterfoil.tool.server": "mail-server",
        "counterfoil.agent.instance": "i-9",
        "counterfoil.task": "t-42",
        "counterfoil.tenant": "acme",
        "counterfoil.client.id": "client-1",
        "counterfoil.peer": "10.0.0.7:4711",
        "counterfoil.token.class": "dpop_bound_access",
        "counterfoil.token.format": "jwt",
        "counterfoil.token.fingerprint": str(Fingerprint.of("synthetic", key)),
        "counterfoil.token.issuer": "https://as.example",
        "counterfoil.inbound.fingerprint": str(Fingerprint.plain_sha256_of(b"inbound")),
        "counterfoil.token.audience": ("https://api.example", "b"),
        "counterfoil.token.scopes": ("mail.read", "mail.send"),
        "counterfoil.token.expires_at": NOON_TEXT,
        "counterfoil.token.lifetime": 300,
        "counterfoil.token.basis": "introspection",
        "counterfoil.binding.method": "none",
        "counterfoil.binding.declared": "dpop",
        "counterfoil.binding.presented": "none",
        "counterfoil.binding.verified": "none",
        "counterfoil.key.thumbprint": str(Thumbprint.of_certificate(b"synthetic")),
        "counterfoil.key.custody": "software_file",
        "counterfoil.key.isolation": "shared",
        "counterfoil.key.exportable": True,
        "counterfoil.signer.pid": 12,
        "counterfoil.signer.executable": "/usr/bin/agent",
        "counterfoil.signer.host": "h-1",
        "counterfoil.signer.container": "c0ffee",
        "counterfoil.signer.workload_id": "spiffe://example/agent",
        "counterfoil.signer.is_tool": False,
        "counterfoil.proof.mechanism": "dpop",
        "counterfoil.proof.result": "fail",
        "counterfoil.proof.failed_checks": ("dpop.08_htm", "dpop.09_htu"),
        "counterfoil.proof.passed_checks": ("dpop.04_typ",),
        "counterfoil.proof.checked_by": "api",
        "counterfoil.proof.id": str(Sha256.of(b"jkt and jti")),
        "counterfoil.resource.uri": "https://api.example/mail",
        "counterfoil.resource.server": "api.example",
        "url.scheme": "https",
        "url.path": "/mail/send",
        "server.address": "api.example",
        "server.port": 8443,
        "counterfoil.approval.requirement": "required",
        "counterfoil.approval.id": "ap-1",
        "counterfoil.approval.decision": "granted",
        "counterfoil.approval.approver": "bob",
        "counterfoil.approval.decided_at": NOON_TEXT,
        "counterfoil.approval.shown_digest": digest,
        "counterfoil.approval.executed_digest": digest,
        "counterfoil.action.name": "send_mail",
        "counterfoil.action.method": "POST",
        "counterfoil.action.phase": "outcome",
        "counterfoil.action.attempt": 2,
        "counterfoil.action.redirected_from": "https://api.example/moved",
        "counterfoil.action.outcome": "refused",
        "counterfoil.action.arguments_digest": digest,
        "http.request.method": "POST",
        "http.response.status_code": 403,
        "error.type": "PermissionError",
    }


def test_the_smallest_use_answers_the_main_questions_with_unknown() -> None:
    """Where nobody said anything, the five answers say so, and everything else is absent."""
    event = CredentialUse(
        context=Context(event_id=EVENT_ID), token=Token(), resource=Resource(uri="urn:x"), action=Action(name="read")
    )
    assert {name: value for name, value in attributes(event).items() if value == "unknown"} == {
        "counterfoil.token.class": "unknown",
        "counterfoil.binding.method": "unknown",
        "counterfoil.key.custody": "unknown",
        "counterfoil.proof.result": "unknown",
        "counterfoil.action.outcome": "unknown",
    }
    assert len(attributes(event)) == 15


def test_the_other_kinds_say_what_they_are_about(key: FingerprintKey) -> None:
    """Each has the attributes of its own, under names that fit with those of a use."""
    use = full_use(key)
    change = CredentialChange(change="refreshed", token=use.token, parent=use.token.fingerprint)
    assert attributes(change)["counterfoil.change"] == "refreshed"
    assert attributes(change)["counterfoil.token.parent"] == use.token.fingerprint
    approval = ApprovalEvent(
        approval_id="ap-1", state="granted", requirement="required", action=use.action, approver="bob",
        decided_at=NOON, shown_digest=use.approval.shown_digest,
    )  # fmt: skip
    of_use = attributes(use)
    for name, value in attributes(approval).items():
        if name.startswith("counterfoil.approval.") and name != "counterfoil.approval.state":
            assert of_use[name] == value
    assert attributes(approval)["counterfoil.approval.state"] == "granted"
    report = Compromise(leaked="key", key_thumbprint=use.binding.key_thumbprint, place="tool_trace", found_at=NOON)
    assert attributes(report)["counterfoil.key.thumbprint"] == of_use["counterfoil.key.thumbprint"]
    assert attributes(report)["counterfoil.compromise.place"] == "tool_trace"
    gap = attributes(LogEvent(change="gap", count=3, first=5, last=7))
    assert [gap[f"counterfoil.{name}"] for name in ("change", "log.count", "log.first", "log.last")] == ["gap", 3, 5, 7]
    pruned = attributes(LogEvent(change="pruned", verification_key=VERIFICATION_KEY, note=NOTE))
    assert pruned["counterfoil.log.verification_key"] == VERIFICATION_KEY
    assert pruned["counterfoil.log.note"] == NOTE


def test_every_row_of_the_table_is_reached(key: FingerprintKey) -> None:
    """No row names a member that no event has."""
    use = full_use(key)
    events: list[Event] = [
        use,
        CredentialChange(change="refreshed", token=use.token, parent=use.token.fingerprint),
        ApprovalEvent(approval_id="ap-1", state="granted", action=use.action),
        Compromise(leaked="key", place="tool_trace", found_at=NOON, leaked_at=NOON),
        LogEvent(change="gap", count=3, first=5, last=7),
        LogEvent(change="pruned", verification_key=VERIFICATION_KEY, note=NOTE),
        LogEvent(change="erased", erased=(ErasedEntry(seq=5, leaf_hash="0" * 64),)),
    ]
    reached = set[str]().union(*map(attributes, events))
    stub_only = {"counterfoil.stub.kind", "counterfoil.stub.size"}
    assert {row.name for row in ATTRIBUTES} - reached == stub_only


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("https://api.example", ("https", "/", "api.example", 443)),
        ("http://[::1]:8080/a%20b", ("http", "/a%20b", "::1", 8080)),
        ("http://user:pass@h/x", ("http", "/x", "h", 80)),
        ("https://[broken/x", (None, None, None, None)),
        ("https://h:99999/x", (None, None, None, None)),
        ("spiffe://domain/path", (None, None, None, None)),
        ("https:///no-host", (None, None, None, None)),
    ],
)
def test_the_address_comes_from_the_target(
    key: FingerprintKey, target: str, expected: tuple[str | int | None, ...]
) -> None:
    """What cannot be read as a web address makes no attribute, and no failure."""
    found = attributes(full_use(key, action=Action(name="x", target=target)))
    assert tuple(found.get(name) for name in ("url.scheme", "url.path", "server.address", "server.port")) == expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"outcome": "failed", "error_type": "ReadTimeout"}, "ReadTimeout"),
        ({"outcome": "failed", "status_code": 502}, "502"),
        ({"outcome": "refused"}, "_OTHER"),
        ({"outcome": "executed", "status_code": 200}, None),
    ],
)
def test_an_error_has_a_type(key: FingerprintKey, action: dict[str, Any], expected: str | None) -> None:
    """The class, else the status, else ``_OTHER``; only where the action failed or was refused."""
    assert attributes(full_use(key, action=Action(name="x", **action))).get("error.type") == expected


def test_a_method_that_is_not_of_http_is_not_called_one(key: FingerprintKey) -> None:
    """``tools/call`` is a method of JSON-RPC."""
    found = attributes(full_use(key, action=Action(name="x", method="tools/call")))
    assert "http.request.method" not in found
    assert found["counterfoil.action.method"] == "tools/call"


def test_names_keep_the_rules_of_opentelemetry() -> None:
    """Lower case, dots and single underscores, no name twice, none that is also the namespace of another."""
    names = [row.name for row in (*ATTRIBUTES, TRUNCATED)]
    assert len(names) == len(set(names)) <= 100
    for name in names:
        assert re.fullmatch(r"[a-z][a-z0-9]*(?:[._][a-z0-9]+)+", name), name
        assert not [other for other in names if other.startswith(f"{name}.")], name


def test_new_names_stand_in_a_namespace_of_our_own() -> None:
    """Names outside it are those of a convention, and no others."""
    ours = {row.name for row in (*ATTRIBUTES, TRUNCATED) if row.name.startswith("counterfoil.")}
    assert {row.name for row in ATTRIBUTES} - ours == {
        "error.type", "gen_ai.agent.id", "gen_ai.agent.name", "gen_ai.agent.version", "gen_ai.conversation.id",
        "gen_ai.operation.name", "gen_ai.tool.call.id", "gen_ai.tool.name", "http.request.method",
        "http.response.status_code", "server.address", "server.port", "url.path", "url.scheme", *MCP,
    }  # fmt: skip


def test_no_name_is_blanked_by_a_default_scrubber() -> None:
    """Logfire searches in the name, Sentry compares it, or its last part, as a whole."""
    for row in (*ATTRIBUTES, TRUNCATED):
        assert not LOGFIRE.search(row.name), row.name
        assert not SENTRY.fullmatch(row.name)
        assert not SENTRY.fullmatch(row.name.rsplit(".", 1)[-1]), row.name


def test_the_docs_show_the_table() -> None:
    """``docs/opentelemetry.md`` has not drifted."""
    page = Path(__file__).parents[2].joinpath("docs/opentelemetry.md").read_text()
    assert markdown_table() in page


def test_long_values_are_cut_and_named(key: FingerprintKey) -> None:
    """No value is longer than 4 KiB of UTF-8; a cut never splits a character, and a list loses whole items."""
    found = attributes(
        full_use(
            key,
            token=Token(audience=tuple("ä" * 500 for _ in range(9)), scopes=("s",)),
            resource=Resource(uri="https://h/" + "€" * 8000),
        )
    )
    uri, audience = found["counterfoil.resource.uri"], found["counterfoil.token.audience"]
    assert isinstance(uri, str)
    assert isinstance(audience, tuple)
    assert MAX_VALUE - 3 < len(uri.encode()) <= MAX_VALUE
    assert uri == "https://h/" + "€" * (len(uri) - 10)
    assert audience == ("ä" * 500,) * 4
    assert found["counterfoil.truncated"] == ("counterfoil.token.audience", "counterfoil.resource.uri")


def test_a_hundred_items_and_text_of_every_kind_fit(key: FingerprintKey) -> None:
    """A value at the limit is left as it is, and nothing is named."""
    scopes = tuple(hashlib.sha256(bytes([n])).hexdigest()[:40] for n in range(100))
    found = attributes(full_use(key, token=Token(scopes=scopes)))
    assert found["counterfoil.token.scopes"] == scopes
    assert "counterfoil.truncated" not in found


def test_what_was_erased_is_told_by_number() -> None:
    """A destination that has the entries knows which to forget."""
    leaves = tuple(ErasedEntry(seq=seq, leaf_hash="0" * 64) for seq in (5, 9))
    found = attributes(LogEvent(change=LogChange.ERASED, erased=leaves, reason="in words"))
    assert found["counterfoil.log.erased"] == ("5", "9")
    assert "in words" not in found.values()


def test_what_names_a_person_and_free_text_stay_in_the_log(key: FingerprintKey) -> None:
    """Subject, account, free-form attributes and reasons are in the entry, not in the span."""
    shown = repr(
        [attributes(full_use(key)), attributes(Compromise(leaked="token", how_known="in words", reported_by="mallory"))]
    )
    assert not [word for word in ("alice", "free", "in words", "mallory") if word in shown]

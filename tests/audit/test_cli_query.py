"""``counterfoil query`` and ``counterfoil show``: the entries that match, as a table or as JSON lines."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog
from counterfoil.schemas import (
    Action,
    Agent,
    Approval,
    Binding,
    BindingMethod,
    Check,
    CheckId,
    CheckOutcome,
    Context,
    CredentialUse,
    Decision,
    Observer,
    Outcome,
    Phase,
    Proof,
    ProofResult,
    Requirement,
    Resource,
    Sha256,
    Thumbprint,
    Token,
    TokenClass,
    Tool,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeUse, Run


_USE = "00000000-0000-4000-8000-000000000007"
_KEY = Thumbprint.of_certificate(b"certificate")
_PROOF = Sha256.of(b"proof")
_CHECKS = (
    Check(id=CheckId.DPOP_SIGNATURE, outcome=CheckOutcome.PASS),
    Check(id=CheckId.DPOP_JKT, outcome=CheckOutcome.FAIL),
    Check(id=CheckId.DPOP_JTI_REPLAY, outcome=CheckOutcome.NOT_PERFORMED),
)


@pytest.fixture
def wanted(log: AuditLog, a_use: MakeUse, secret: str) -> int:
    """Record one full use among two plain ones; return its number."""
    log.record(a_use())
    full = CredentialUse(
        context=Context.model_validate(
            {
                "occurred_at": "2026-11-23T12:00:00Z",
                "observer": Observer.GATEWAY,
                "agent": Agent(id="mail-agent"),
                "task": "t-42",
                "tenant": "acme",
                "tool": Tool(name="send_mail"),
                "trace_id": "a" * 32,
                "use_id": _USE,
                "inbound": log.fingerprint(f"{secret} inbound"),
            }
        ),
        token=Token(
            token_class=TokenClass.BEARER_OPAQUE, fingerprint=log.fingerprint(secret), audience=("https://a.example",)
        ),
        binding=Binding(method=BindingMethod.DPOP, key_thumbprint=_KEY),
        proof=Proof(result=ProofResult.FAIL, proof_id=_PROOF, checks=_CHECKS),
        resource=Resource(uri="https://a.example/mail/7"),
        approval=Approval(approval_id="a-1", requirement=Requirement.REQUIRED, decision=Decision.DENIED),
        action=Action(name="send_mail", phase=Phase.OUTCOME, outcome=Outcome.REFUSED, status_code=403),
    )
    seq = log.record(full).seq
    log.record(a_use())
    return seq


def _seqs(out: str) -> list[int]:
    return [json.loads(line)["seq"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--key", _KEY),
        ("--class", "bearer_opaque"),
        ("--binding", "dpop"),
        ("--audience", "https://a.example"),
        ("--resource", "https://a.example"),
        ("--agent", "mail-agent"),
        ("--task", "t-42"),
        ("--tenant", "acme"),
        ("--tool", "send_mail"),
        ("--trace", "a" * 32),
        ("--use", _USE),
        ("--approval", "a-1"),
        ("--requirement", "required"),
        ("--decision", "denied"),
        ("--proof", "fail"),
        ("--proof-id", _PROOF),
        ("--failed-check", "dpop.12b_jkt"),
        ("--check", "dpop.13_jti_replay=not_performed"),
        ("--outcome", "refused"),
        ("--phase", "outcome"),
        ("--observer", "gateway"),
    ],
)
def test_every_filter_finds_its_entry(option: str, value: str, wanted: int, run: Run) -> None:
    """Each option asks one question of §8, and answers with the one entry."""
    ended = run("query", "--json", option, value)
    assert (ended.code, ended.err) == (0, "")
    assert _seqs(ended.out) == [wanted]


def test_filters_hold_together(wanted: int, run: Run) -> None:
    """All that are given must hold; with none, every entry is printed, the log's own too."""
    assert _seqs(run("query", "--json", "--task", "t-42", "--tenant", "other").out) == []
    assert _seqs(run("query", "--json").out) == [1, 2, 3, wanted, 5]
    assert _seqs(run("query", "--json", "--kind", "log").out) == [1, 2]
    assert _seqs(run("query", "--json", "--limit", "2").out) == [1, 2]


def test_checks_hold_together(wanted: int, run: Run) -> None:
    """Both options may be given more than once; each check must have ended as asked."""
    asked = ("--failed-check", "dpop.12b_jkt", "--check", "dpop.06_signature=pass")
    assert _seqs(run("query", "--json", *asked, "--check", "dpop.13_jti_replay=not_performed").out) == [wanted]
    assert _seqs(run("query", "--json", *asked, "--failed-check", "dpop.13_jti_replay").out) == []


def test_the_table_shows_the_checks_that_were_asked_for(wanted: int, run: Run) -> None:
    """A column says how they ended, and what failed besides; without the question there is no such column."""
    head, row = run("query", "--check", "dpop.13_jti_replay=not_performed").out.splitlines()
    assert head.split()[-1] == "checks"
    assert row.startswith(str(wanted))
    assert row.rstrip().endswith("dpop.12b_jkt fail, dpop.13_jti_replay not_performed")
    assert "checks" not in run("query", "--task", "t-42").out


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (("--failed-check", "dpop.12b"), "did you mean dpop.12b_jkt?"),
        (("--failed-check", "dpop.12_jkt"), "did you mean dpop.12b_jkt"),
        (("--failed-check", "\x1b[31m"), "docs/checks.md"),
        (("--failed-check", ""), "docs/checks.md"),
        (("--check", "dpop.12b_jkt"), "ID=OUTCOME"),
        (("--check", "dpop.12b_jkt=maybe"), "not_performed"),
        (("--check", "dpop.12b=fail"), "did you mean dpop.12b_jkt?"),
        (("--check", "dpop.12b_jkt=pass", "--failed-check", "dpop.12b_jkt"), "two ways"),
    ],
)
def test_a_check_that_is_none_is_wrong_use(asked: tuple[str, ...], hint: str, wanted: int, run: Run) -> None:
    """It would find nothing, in silence: exit code 2, and what was meant."""
    ended = run("query", *asked)
    assert wanted
    assert (ended.code, ended.out) == (2, "")
    assert hint in ended.err.replace("\n", "").replace("│", "").replace("  ", " ")
    assert "\x1b" not in ended.err


def test_the_credential_that_was_being_served(wanted: int, run: Run, log: AuditLog, secret: str) -> None:
    """``--inbound`` finds what was sent while a credential was being served."""
    assert _seqs(run("query", "--json", "--inbound", log.fingerprint(f"{secret} inbound")).out) == [wanted]
    assert _seqs(run("query", "--json", "--inbound", log.fingerprint(secret)).out) == []


def test_what_was_passed_through(wanted: int, run: Run, log: AuditLog, a_use: MakeUse, secret: str) -> None:
    """Sent with the credential that was being served, and not with another meanwhile."""
    assert _seqs(run("query", "--json", "--passed-through").out) == []
    fingerprint = log.fingerprint(secret)
    passed = log.record(a_use(token=Token(fingerprint=fingerprint), context=Context(inbound=fingerprint))).seq
    assert _seqs(run("query", "--json", "--passed-through").out) == [passed]
    assert passed != wanted


def test_what_nobody_said_of_an_approval(wanted: int, run: Run) -> None:
    """A use without a word on it is found as what it reads back as; an entry about the log is not."""
    unsaid = _seqs(run("query", "--json", "--requirement", "unknown", "--decision", "none").out)
    assert unsaid == [3, 5]
    assert wanted == 4


def test_times(wanted: int, run: Run) -> None:
    """From ``--since`` on and before ``--until``, in any zone."""
    window = ("--since", "2026-11-23T13:00:00+01:00", "--until", "2026-11-23T12:00:00.000001Z")
    assert _seqs(run("query", "--json", *window).out) == [wanted]
    assert _seqs(run("query", "--json", "--since", "2026-11-23T12:00:00.000001Z", "--task", "t-42").out) == []


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-11-23", "2026-11-23T12:00:00", "0001-01-01T00:00:00+23:00", "2026-13-01T00:00:00Z"]
)
def test_a_time_that_is_none_is_wrong_use(time: str, wanted: int, run: Run) -> None:
    """Exit code 2, with what was expected."""
    ended = run("query", "--since", time)
    assert wanted
    assert (ended.code, ended.out) == (2, "")
    assert "time" in ended.err


def test_a_line_is_what_was_sealed(wanted: int, run: Run, address: Path) -> None:
    """``{"seq", "chain_hash", "event"}``, the event byte for byte as it stands in the log."""
    (line,) = run("query", "--json", "--task", "t-42").out.splitlines()
    connection = sqlite3.connect(address)
    body, chain = connection.execute("SELECT body, chain_hash FROM entry WHERE seq = ?", (wanted,)).fetchone()
    connection.close()
    assert line == f'{{"seq":{wanted},"chain_hash":"{chain.hex()}","event":{body}}}'
    assert run("show", wanted, "--json").out == f"{line}\n"


def test_a_table_for_people(wanted: int, run: Run, secret: str, log: AuditLog) -> None:
    """A row an entry: number, time, observer, task, the end of the fingerprint, action, resource, outcome."""
    ended = run("query", "--task", "t-42")
    head, row = ended.out.splitlines()
    assert head.split()[:3] == ["seq", "time", "(UTC)"]
    told = ["2026-11-23 12:00:00.000", "gateway", "t-42", log.fingerprint(secret)[-8:], "send_mail", "refused 403"]
    assert all(each in row for each in (str(wanted), "https://a.example/mail/7", *told))


def test_a_long_table_says_that_it_is_cut(log: AuditLog, a_use: MakeUse, run: Run) -> None:
    """A table shows 100 entries unless told, and says on stderr that there are more; JSON has no limit."""
    for _ in range(100):
        log.record(a_use())
    ended = run("query")
    assert len(ended.out.splitlines()) == 101
    assert "more than 100 entries match" in ended.err
    assert len(run("query", "--json").out.splitlines()) == 102
    assert run("query", "--limit", "102").err == ""


def test_nothing_found(wanted: int, run: Run) -> None:
    """No entry is an answer: exit code 0, and no line."""
    ended = run("query", "--json", "--task", "nobody")
    assert wanted
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_a_credential_is_read_from_stdin(wanted: int, run: Run, secret: str, log: AuditLog) -> None:
    """``--token-stdin`` takes the raw credential, ``--token`` its fingerprint, and neither is shown."""
    assert _seqs(run("query", "--json", "--token-stdin", stdin=f"{secret}\n".encode()).out) == [wanted]
    assert _seqs(run("query", "--json", "--token", log.fingerprint(secret)).out) == [wanted]
    ended = run("query", "--token-stdin", stdin=secret.encode())
    assert secret not in ended.out + ended.err


@pytest.mark.parametrize("option", ["--token", "--inbound", "--key", "--proof-id"])
def test_a_raw_credential_as_an_argument_is_wrong_use(option: str, wanted: int, run: Run, secret: str) -> None:
    """It would find nothing, in silence; it is refused, not repeated, and the right way is named."""
    ended = run("query", option, f"{secret}x")
    assert wanted
    assert (ended.code, ended.out) == (2, "")
    assert "--token-stdin" in ended.err
    assert secret not in ended.err


def test_no_credential_on_stdin_is_wrong_use(wanted: int, run: Run) -> None:
    """An empty stdin is a mistake in the pipe, and no credential."""
    assert wanted
    assert run("query", "--token-stdin", stdin=b" \n").code == 2


def test_a_credential_under_another_key_is_not_missed_in_silence(
    wanted: int, run: Run, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another fingerprint key than the log's the credential could not be found: an error says so."""
    monkeypatch.setenv("COUNTERFOIL_FINGERPRINT_KEY", "ab" * 32)
    ended = run("query", "--token-stdin", stdin=secret.encode())
    assert wanted
    assert (ended.code, ended.out) == (2, "")
    assert "fingerprint key" in ended.err


def test_one_entry_whole(wanted: int, run: Run, log: AuditLog) -> None:
    """``show`` prints every member that says something, with its path."""
    ended = run("show", wanted)
    members = dict(line.split(None, 1) for line in ended.out.splitlines())
    assert ended.code == 0
    assert members["context.agent.id"].strip() == "mail-agent"
    assert members["action.status_code"].strip() == "403"
    assert members["token.audience"].strip() == "https://a.example"
    assert members["seq"].strip() == str(wanted)
    assert "context.conversation" not in members
    assert log.fingerprint_key


@pytest.mark.parametrize(("seq", "code"), [("999", 1), ("0", 2), ("-1", 2), ("x", 2), (str(2**63), 1), (str(2**70), 1)])
def test_an_entry_that_is_not_there(seq: str, code: int, wanted: int, run: Run) -> None:
    """A number without an entry is answered with exit code 1; what is no number is wrong use."""
    ended = run("show", "--", seq)
    assert wanted
    assert (ended.code, ended.out) == (code, "")
    assert ended.err


@pytest.mark.parametrize("body", ["[]", "nonsense", "[" * 100_000, "1"])
def test_a_damaged_entry_is_shown_as_damaged(body: str, wanted: int, run: Run, address: Path, log: AuditLog) -> None:
    """A body that nobody sealed so ends in an error that names the entry; as JSON line it stays one line."""
    log.close()
    content = address.read_bytes()
    connection = sqlite3.connect(address, isolation_level=None)
    (sealed,) = connection.execute("SELECT body FROM entry WHERE seq = ?", (wanted,)).fetchone()
    connection.close()
    address.write_bytes(content.replace(sealed.encode(), body[: len(sealed)].ljust(len(sealed)).encode()))
    ended = run("show", wanted)
    assert (ended.code, ended.out) == (3, "")
    assert f"entry {wanted} was damaged" in ended.err
    assert len(run("show", wanted, "--json").out.splitlines()) == 1

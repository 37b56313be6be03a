"""The same events in SQLite and in PostgreSQL: the command line says the same of both, but for each log's own ids."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command

from counterfoil.audit import AuditLog
from counterfoil.audit.cli.main import app
from counterfoil.schemas import Context, Fingerprint, FingerprintKey, Sha256, Thumbprint, parse_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Run

    from bench.postgres_server import PostgresServer

_SECRET = secrets.token_bytes(32)
_KEY = FingerprintKey(_SECRET)
_TOKENS = [str(Fingerprint.of(secrets.token_urlsafe(), _KEY)) for _ in range(2)]
_BOUND = [str(Thumbprint.of_certificate(secrets.token_bytes(9))) for _ in range(2)]
_PROOFS = [str(Sha256.of(secrets.token_bytes(9))) for _ in range(2)]
_URIS = (
    "https://a.example/mail",
    "https://a.example/mail/7",
    "https://a.example/Mail?x=1",
    "https://a.example/50%/a_b",
)
_CHECKS = ("dpop.06_signature", "dpop.12b_jkt")
_TRACE, _USE = "a" * 32, "00000000-0000-4000-8000-000000000007"


def _uses() -> Iterator[dict[str, Any]]:
    """Yield uses that differ in all that can be asked for, some stated, some not."""
    for number in range(24):
        odd, third = number % 2, number % 3
        around = {
            "occurred_at": f"2024-01-{number + 1:02}T08:00:00.{number:06}Z",
            "observer": ("agent", "resource_server", "gateway")[third],
            "agent": {"id": ("mail-agent", "Mail-Agent", "päy-agent 漢")[third]},
            "task": f"t-{number % 5}",
            "tenant": ("acme", "acme' OR 1=1 --")[odd],
            "tool": {"name": ("read_mail", "send_mail")[odd]},
        }
        if third == 2:
            around |= {"trace_id": _TRACE, "use_id": _USE, "inbound": _TOKENS[odd]}
        use: dict[str, Any] = {
            "kind": "credential_use",
            "context": around,
            "token": {"fingerprint": _TOKENS[number % 4 // 2], "token_class": ("bearer_opaque", "bearer_jwt_at")[odd]},
            "resource": {"uri": _URIS[number % 4]},
            "action": {"name": ("read_mail", "send_mail")[odd]},
        }
        if third:
            use["token"]["audience"] = ["https://a.example", f"https://{number % 4}.example"]
            use["binding"] = {"method": "dpop", "declared": "dpop", "key_thumbprint": _BOUND[odd]}
            checks = [{"id": check, "outcome": ("pass", "fail")[odd]} for check in _CHECKS[:third]]
            use["proof"] = {"result": ("pass", "fail")[odd], "proof_id": _PROOFS[number % 4 // 2], "checks": checks}
            use["signer"] = {"pid": 100 + third, "host": "agents-1", "source": "self_asserted"}
            use["approval"] = {"approval_id": f"a-{third}", "requirement": "required", "decision": "granted"}
            use["action"] |= {"phase": ("intent", "outcome")[odd], "outcome": ("executed", "refused")[odd]}
        yield use


_OTHERS: list[dict[str, Any]] = [
    {"kind": "approval", "approval_id": "a-1", "state": "granted", "requirement": "required", "action": {"name": "x"}},
    {"kind": "compromise", "leaked": "both", "fingerprint": _TOKENS[0], "key_thumbprint": _BOUND[1]},
    {"kind": "credential_change", "change": "rotated", "token": {"fingerprint": _TOKENS[1]}},
    {"kind": "log", "change": "gap", "count": 3},
]


def _lines() -> bytes:
    """Return the events as lines for ``record``, each with an id that is the same in both logs."""
    return b"".join(_line(told, number) for number, told in enumerate([*_uses(), *_OTHERS]))


def _line(told: dict[str, Any], number: int) -> bytes:
    around = {"event_id": str(Context().event_id), "occurred_at": f"2024-02-01T00:00:{number}Z"}
    return json.dumps(told | {"context": around | told.get("context", {})}).encode() + b"\n"


_EVENTS = _lines()


_LIFE = 3
"""What a log tells of itself: created, opened, closed."""


@pytest.fixture(scope="module")
def logs(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Name a log in each database, filled with the same events."""
    addresses = str(tmp_path_factory.mktemp("logs") / "audit.db"), postgres_server.new_address()
    for address in addresses:
        with AuditLog.open(address, fingerprint_key=_KEY, deadline=30) as log:
            for line in _EVENTS.splitlines():
                log.record(parse_event(line))
    return addresses


class Ask(Protocol):
    """Ask both logs, and require that they answer alike."""

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """Return the answer."""
        ...


@pytest.fixture
def ask(logs: tuple[str, str], run: Run, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Give the question."""
    monkeypatch.setenv("COUNTERFOIL_FINGERPRINT_KEY", _SECRET.hex())

    def ask(*arguments: object, code: int = 0) -> str:
        answers = [run(*arguments, "--db", address) for address in logs]
        assert [answer.code for answer in answers] == [code, code], [answer.err for answer in answers]
        alike = [(_without_own_ids(answer.out), _without_own_ids(answer.err)) for answer in answers]
        assert alike[0] == alike[1]
        return alike[0][0]

    return ask


def _without_own_ids(answer: str) -> str:
    """Return the answer without what each log makes up by itself: times of recording, salts, hashes and ids."""
    answer = re.sub(r"20(?!24)\d\d-\d\d-\d\d([T ][\d:.]+Z?)?", "TIME", answer)
    answer = re.sub(r"\b(0x)?[0-9a-f]{16,64}\b", lambda found: found[0] if found[0] in _GIVEN else "HEX", answer)
    return re.sub(r"\b[0-9a-f-]{36}\b", lambda found: found[0] if found[0] in _GIVEN else "ID", answer)


_GIVEN = _EVENTS.decode()
_FILTERS: dict[str, tuple[str, ...]] = {
    "--token": tuple(_TOKENS),
    "--inbound": tuple(_TOKENS),
    "--key": tuple(_BOUND),
    "--class": ("bearer_opaque", "unknown"),
    "--binding": ("dpop", "unknown"),
    "--audience": ("https://a.example", "https://1.example"),
    "--resource": (*_URIS, "https://a.example", "https://A.example", "https://a.example/mail/"),
    "--agent": ("mail-agent", "Mail-Agent", "päy-agent 漢"),
    "--task": ("t-1", "t-4"),
    "--tenant": ("acme", "acme' OR 1=1 --"),
    "--tool": ("read_mail", "send_mail"),
    "--trace": (_TRACE,),
    "--use": (_USE,),
    "--approval": ("a-1", "a-2"),
    "--requirement": ("required", "unknown"),
    "--decision": ("granted", "none"),
    "--proof": ("pass", "fail", "unknown"),
    "--proof-id": tuple(_PROOFS),
    "--failed-check": _CHECKS,
    "--check": tuple(f"{check}=pass" for check in _CHECKS),
    "--outcome": ("executed", "unknown"),
    "--phase": ("intent", "complete"),
    "--observer": ("agent", "gateway"),
    "--kind": ("credential_use", "approval", "compromise", "credential_change", "log"),
    "--since": ("2024-01-05T08:00:00.000004Z", "2024-02-01T00:00:26Z"),
    "--until": ("2024-01-05T08:00:00.000004Z", "2024-01-05T08:00:00.000005Z"),
}


@pytest.mark.parametrize("option", _FILTERS)
def test_every_filter_finds_the_same(option: str, ask: Ask) -> None:
    """Each value finds something, and the same; what nobody recorded finds nothing in either."""
    for value in _FILTERS[option]:
        found = ask("query", option, value, "--json")
        assert found or value in {"https://A.example", "https://a.example/Mail?x=1", "https://a.example/mail/"}
        assert ask("query", option, value, "--json", "--limit", 3).splitlines() == found.splitlines()[:3]
    if option in {"--agent", "--task", "--tenant", "--tool", "--approval", "--audience", "--resource"}:
        for nothing in ("\ud800", "%", "t-1'; --"):
            assert ask("query", option, nothing, "--json") == ""


def test_no_filter_is_left_out() -> None:
    """What ``query`` can be asked for is asked above, or has no value, or is not about what to find."""
    command: Any = get_command(app)
    options = {option for param in command.commands["query"].params for option in param.opts}
    about_the_answer = {"--db", "--json", "--limit", "--immutable", "--token-stdin", "--passed-through"}
    assert options - about_the_answer == set(_FILTERS)


@given(chosen=st.lists(st.sampled_from(sorted(_FILTERS)), min_size=2, max_size=4, unique=True), data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_filters_hold_together_alike(chosen: list[str], data: st.DataObject, ask: Ask) -> None:
    """Any combination of them finds the same."""
    asked = [part for option in chosen for part in (option, data.draw(st.sampled_from(_FILTERS[option])))]
    ask("query", *asked, "--json")


def test_tables_and_credentials_from_stdin(ask: Ask) -> None:
    """For people it is the same table; what was passed through is the same."""
    assert len(ask("query").splitlines()) > 24
    ask("query", "--passed-through")
    ask("query", "--failed-check", _CHECKS[0])


@pytest.mark.parametrize(
    "subject",
    [*_TOKENS, *_BOUND, "a-1", _TRACE, "t-1"],
    ids=["token", "other token", "key", "other key", "approval", "trace", "task"],
)
def test_an_incident_is_told_alike(subject: str, ask: Ask) -> None:
    """The story of a credential, a key, an approval, a trace or a task, for people and for programs."""
    assert json.loads(ask("incident", subject, "--json"))
    assert ask("incident", subject)
    ask("incident", subject, "--since", "2024-01-05T00:00:00Z", "--until", "2024-01-20T00:00:00Z")


def test_an_unknown_subject_is_unknown_to_both(ask: Ask) -> None:
    """The error is the same too."""
    ask("incident", "nobody", code=1)


def test_verification_says_the_same(ask: Ask) -> None:
    """All verdicts, in words and as JSON, and what is required of them. The gap that was recorded is one."""
    assert "consistent: yes" in ask("verify", code=1)
    assert json.loads(ask("verify", "--json", code=1))
    ask("verify", "--require", "signed", code=1)


def test_each_entry_is_shown_alike(ask: Ask) -> None:
    """Of each kind some, and one that is not there."""
    for seq in (1, *range(3, len(_EVENTS.splitlines()) + _LIFE + 1, 5)):
        ask("show", seq)
    ask("show", 99, code=1)


@pytest.mark.parametrize("what", [("jsonl",), ("text",), ("otel", "--to", "console")])
def test_exports_are_alike(what: tuple[str, ...], ask: Ask) -> None:
    """Lines, text and spans."""
    assert len(ask("export", *what).splitlines()) == len(_EVENTS.splitlines()) + _LIFE


def test_recording_through_the_command_line(postgres: str, run: Run) -> None:
    """``record`` gives receipts, and a damaged log is seen by ``verify``, which exits 1."""
    recorded = run("record", "--db", postgres, stdin=_EVENTS)
    assert (recorded.code, recorded.err, len(recorded.out.splitlines())) == (0, "", len(_EVENTS.splitlines()))
    with psycopg.connect(postgres.replace("+psycopg", "")) as owner:
        owner.execute("UPDATE entry SET body = replace(body, 'send_mail', 'read_mail') WHERE seq = 4")
    ended = run("verify", "--db", postgres)
    assert (ended.code, "4" in ended.out) == (1, True)


def test_a_column_that_was_changed_is_seen_by_a_deep_verification(postgres: str, run: Run) -> None:
    """The chain holds, and what is searched no longer says what was sealed: ``--deep`` fails, and names it."""
    run("record", "--db", postgres, stdin=_EVENTS)
    deep = ("verify", "--deep", "--db", postgres, "--json")
    assert json.loads(run(*deep).out)["deep"]["state"] == "proven"
    with psycopg.connect(postgres.replace("+psycopg", "")) as owner:
        owner.execute("ALTER TABLE entry DISABLE TRIGGER entry_from_body")
        owner.execute("UPDATE entry SET task = 'another' WHERE seq = 4")
        owner.execute("ALTER TABLE entry ENABLE TRIGGER entry_from_body")
    ended = run(*deep)
    found = json.loads(ended.out)
    assert (ended.code, found["deep"]["state"]) == (1, "failed")
    assert "columns: " in found["deep"]["words"]


def test_what_is_about_the_place(postgres: str, run: Run, postgres_server: PostgresServer) -> None:
    """``db info`` and ``db path`` name the database without its password; ``db backup`` says who makes one."""
    run("record", "--db", postgres, stdin=_EVENTS)
    answers = [
        run("db", "path", "--db", postgres),
        run("db", "info", "--db", postgres, "--json"),
        run("db", "info", "--db", postgres),
        run("db", "backup", "copy.db", "--db", postgres),
    ]
    assert [answer.code for answer in answers] == [0, 0, 0, 2]
    assert answers[0].out == f"postgresql://{postgres_server.folder}/counterfoil\n"
    assert json.loads(answers[1].out)["entries"] == len(_EVENTS.splitlines()) + _LIFE
    assert "pg_dump" in answers[3].err
    assert not any(postgres_server.password in answer.out + answer.err for answer in answers)

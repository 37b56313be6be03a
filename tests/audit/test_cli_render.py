"""Every stored string is hostile: whatever it holds, a terminal sees it and does not obey it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit.cli.render import clock, plain, plain_json, short
from counterfoil.schemas import (
    Action,
    Agent,
    Approval,
    ApprovalEvent,
    Compromise,
    Context,
    CredentialUse,
    Fingerprint,
    LogEvent,
    Observer,
    Resource,
    SignerProcess,
    Thumbprint,
    Token,
    Tool,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

    from counterfoil.audit import AuditLog

HOSTILE = {
    "ansi": "\x1b[31mred\x1b[0m",
    "c1": "\x9b31m",
    "link": "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07",
    "title": "\x1b]0;owned\x07",
    "bell": "ding\x07",
    "erase": "\x1b[2J\x1b[H",
    "backspace": "safe\b\b\b\bevil",
    "return": "evil\rsafe",
    "line": "one\ntwo",
    "separator": "one\u2028two\u2029three\x85four",
    "bidi": "\u202etxt.exe\u202c\u2066x\u2069",
    "zero width": "a\u200bb\ufeffc",
    "tag": "a\U000e0041b",
    "delete": "a\x7fb",
    "markup": "[bold red]x[/bold red] [link=https://evil.example]y[/link] :boom:",
    "open markup": "[/] [/red] [",
}


def _printable(out: str) -> bool:
    return all(line.isprintable() for line in out.split("\n"))


def _around(text: str, observer: str) -> Context:
    return Context(
        observer=Observer(observer),
        agent=Agent(id=text),
        task=text,
        tenant=text,
        tool=Tool(name=text),
        peer=text,
        attributes={text if max(text) <= "\uffff" else "x": text, "y": [text]},
    )


@pytest.fixture(params=HOSTILE, ids=str)
def hostile(request: pytest.FixtureRequest, log: AuditLog) -> tuple[str, Fingerprint]:
    """Record a hostile string in every text that a command shows."""
    text, fingerprint = HOSTILE[request.param], log.fingerprint("a credential")
    for observer in ("agent", "resource_server"):
        log.record(
            CredentialUse(
                context=_around(text, observer),
                token=Token(fingerprint=fingerprint, audience=(text,), names=(text, text)),
                resource=Resource(uri=f"https://{observer}.example/{text}", server=text),
                approval=Approval(approval_id=text, approver=text),
                action=Action(name=text, error_type=text),
                signer=SignerProcess(pid=1, executable=text),
            )
        )
    log.record(
        ApprovalEvent.model_validate(
            {"approval_id": text, "state": "granted", "approver": text, "action": {"name": text}}
        )
    )
    log.record(Compromise.model_validate({"leaked": "token", "fingerprint": fingerprint, "how_known": text}))
    log.record(LogEvent.model_validate({"change": "gap", "reason": text, "log_id": text}))
    return text, fingerprint


def test_no_command_prints_what_a_terminal_obeys(hostile: tuple[str, Fingerprint], run: Run) -> None:
    """Every output is printable, line by line, and markup stands there as it was written."""
    text, fingerprint = hostile
    outputs = [run("query"), run("incident", fingerprint), *(run("show", seq) for seq in (3, 4, 5, 6, 7))]
    for ended in outputs:
        assert (ended.code, ended.err) == (0, "")
        assert _printable(ended.out)
        if text.startswith("["):
            assert ended is outputs[5] or text in ended.out
    assert len(outputs[0].out.splitlines()) == 8


def test_json_says_the_same_and_is_as_harmless(hostile: tuple[str, Fingerprint], run: Run) -> None:
    """What is not printable is escaped as JSON escapes it: one line an entry, and the value is unchanged."""
    text, fingerprint = hostile
    lines = run("query", "--json", "--kind", "credential_use").out
    assert _printable(lines)
    assert [json.loads(line)["event"]["context"]["task"] for line in lines.splitlines()] == [text, text]
    (line,) = run("show", "3", "--json").out.splitlines()
    assert json.loads(line)["event"]["action"]["name"] == text
    told = run("incident", fingerprint, "--json").out
    assert _printable(told)
    assert json.loads(told)["timeline"][0]["event"]["token"]["audience"] == [text]


def test_a_damaged_body_cannot_forge_a_line(log: AuditLog, address: Path, run: Run) -> None:
    """A body that somebody replaced by two lines of their own is still one line."""
    log.record(Compromise.model_validate({"leaked": "token", "how_known": "x" * 200}))
    log.close()
    forged = b'{}}\n{"seq":1,"chain_hash":"00","event":{"x":"\x1b[2J"}}'
    content = address.read_bytes()
    at = content.rindex(b'{"context":')
    address.write_bytes(content[:at] + forged + content[at + len(forged) :])
    for arguments in (("query",), ("show", "3")):
        out = run(*arguments, "--json").out
        assert _printable(out)
        assert [line for line in out.splitlines() if line.startswith('{"seq":1,')] in ([], [out.splitlines()[0]])


@given(st.text())
def test_plain_is_printable(text: str) -> None:
    """Whatever goes in, what comes out is printable; what was printable is unchanged."""
    assert plain(text).isprintable()
    assert plain(text) == text or not text.isprintable()


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_plain_json_is_the_same_json(value: object) -> None:
    """Escaping changes how a document is written and not what it says."""
    written = json.dumps(value, ensure_ascii=False)
    assert plain_json(written).isprintable()
    assert json.loads(plain_json(written)) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1bb", "a\\x1bb"),
        ("\x9b", "\\x9b"),
        ("\u202e", "\\u202e"),
        ("\U000e0041", "\\U000e0041"),
        ("é漢🙂", "é漢🙂"),
    ],
)
def test_how_it_is_escaped(text: str, shown: str) -> None:
    """An escape names the code point, and letters of every script stay letters."""
    assert plain(text) == shown


def test_short_forms() -> None:
    """Times to the millisecond in UTC; digests just long enough to tell apart; nothing for nothing."""
    assert clock(datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)) == "2026-01-31 08:00:00.123"
    assert clock(None) == ""
    digest = Fingerprint.plain_sha256_of("token")
    assert short(digest) == f"…{digest[-8:]}"
    thumbprint = Thumbprint.of_certificate(b"certificate")
    assert short(thumbprint) == f"{thumbprint[:8]}…"
    assert short(None) == ""

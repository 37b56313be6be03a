"""``counterfoil verify``: a verdict in words, an exit code, and the entry where it breaks."""

from __future__ import annotations

import json
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit.cli.progress import progress
from counterfoil.schemas import LogChange, LogEvent

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeUse, Run

    from counterfoil.audit import AuditLog


@pytest.fixture
def damaged(log: AuditLog, a_use: MakeUse, address: Path) -> int:
    """Alter one byte of one body, as somebody with an editor could; return the entry's number."""
    for name in ("one", "two", "three"):
        receipt = log.record(a_use(name))
    log.close()
    content = address.read_bytes()
    assert content.count(b'"name":"two"') == 1
    address.write_bytes(content.replace(b'"name":"two"', b'"name":"tvo"'))
    return receipt.seq - 1


def test_a_log_that_holds(log: AuditLog, a_use: MakeUse, run: Run) -> None:
    """Four verdicts, how far each reaches, the head to compare, and what this does not prove."""
    receipt = log.record(a_use())
    log.close()
    ended = run("verify")
    assert (ended.code, ended.err) == (0, "")
    assert "consistent: yes, entries 1 to 4: chain and sequence hold." in ended.out
    assert "signed: unanchored: no key was given" in ended.out
    assert "witnessed: unanchored: no witness was given" in ended.out
    assert "complete: yes, up to entry 4: every number that 1 process counted is in the log" in ended.out
    assert f"log {receipt.log_id}, head " in ended.out
    found = json.loads(run("verify", "--json").out)
    assert (found["log_id"], found["entries"], found["failed"]) == (receipt.log_id, 4, [])
    assert {name: found[name]["state"] for name in ("consistent", "signed", "witnessed", "complete", "deep")} == {
        "consistent": "proven",
        "signed": "unanchored",
        "witnessed": "unanchored",
        "complete": "proven",
        "deep": "not asked",
    }


def test_an_altered_byte_is_named(damaged: int, run: Run) -> None:
    """Exit code 1, and the number of the entry, in words and as JSON."""
    ended = run("verify")
    assert (ended.code, ended.err) == (1, "")
    assert f"consistent: NO, entry {damaged}: the body is not the one that was sealed." in ended.out
    found = json.loads(run("verify", "--json").out)
    assert (found["consistent"]["state"], found["consistent"]["first_bad"]) == ("failed", damaged)
    assert (found["entries"], found["failed"]) == (damaged - 1, ["consistent"])


@pytest.mark.parametrize(
    ("required", "code"),
    [
        (["complete"], 0),
        (["consistent,complete"], 0),
        (["signed"], 1),
        (["witnessed"], 1),
        (["complete", "signed,witnessed"], 1),
        (["sealed"], 2),
        ([""], 2),
        (["signed,"], 2),
    ],
)
def test_what_is_required_must_be_proven(required: list[str], code: int, log: AuditLog, run: Run) -> None:
    """Unanchored passes unless it is required; a word that means nothing is wrong use."""
    log.close()
    ended = run("verify", *(each for word in required for each in ("--require", word)))
    assert ended.code == code
    assert ("required and not proven: signed" in ended.out) == ("signed" in ",".join(required) and code == 1)


@pytest.mark.parametrize(("statement", "seq"), [("DELETE FROM entry WHERE seq = 2", 2), ("DELETE FROM entry", 1)])
def test_a_missing_row_is_named(statement: str, seq: int, log: AuditLog, address: Path, run: Run) -> None:
    """A deleted row makes verification fail and is named; of an emptied log nothing holds."""
    log.record(LogEvent(change=LogChange.GAP))
    connection = sqlite3.connect(address, isolation_level=None)
    connection.execute(statement)
    connection.close()
    ended = run("verify")
    assert ended.code == 1
    assert f"consistent: NO, entry {seq}:" in ended.out
    assert f"at entry {seq - 1}" in ended.out


class _Terminal:
    """A stderr that says it is a terminal, and keeps what is written."""

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        pass


def test_progress_is_for_terminals_and_for_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bar where stderr is no terminal, none for quick work, and one after a second, gone at the end."""
    with progress("verifying", 10) as on_progress:
        on_progress(5)
    for patience, shown in ((1.0, False), (-1.0, True)):
        terminal = _Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr("counterfoil.audit.cli.progress._PATIENCE", patience)
        with progress("verifying", 10) as on_progress:
            on_progress(5)
        assert ("verifying" in terminal.written) == shown

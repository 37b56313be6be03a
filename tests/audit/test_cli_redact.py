"""`counterfoil redact`: text or JSON on stdin, the same without its secrets on stdout."""

from __future__ import annotations

import json
import secrets

import typer
from typer.testing import CliRunner, Result

from counterfoil.audit.cli.redact import redact

KEY = "ghp_" + secrets.token_hex(18)

app = typer.Typer()
app.command()(redact)


def _run(raw: bytes, *options: str) -> Result:
    result = CliRunner().invoke(app, list(options), input=raw)
    assert result.exit_code == 0
    return result


def test_text_and_json_are_printed_redacted() -> None:
    """Nothing but the data stands on stdout, and nothing on stderr unless asked for."""
    result = _run(f'used {KEY}\n{{"password": "hunter2"}}\n'.encode())
    assert result.stdout == 'used [redacted:github]\n{"password": "[redacted:member]"}\n'
    assert result.stderr == ""


def test_explain_prints_receipts() -> None:
    """As JSON lines, with the line they belong to, and never with the value."""
    result = _run(f"one\nused {KEY} twice {KEY}\n".encode(), "--explain")
    receipts = [json.loads(line) for line in result.stderr.splitlines()]
    assert receipts == [
        {"line": 2, "path": "", "rule": "github", "length": "17-64"},
        {"line": 2, "path": "", "rule": "github", "length": "17-64"},
    ]
    result = _run('{"a\u202e": {"password": "hunter2"}}\n'.encode(), "--explain")
    assert json.loads(result.stderr) == {"line": 1, "path": "a\u202e.password", "rule": "member", "length": "1-16"}
    assert result.stderr.isascii()


def test_text_can_be_forced() -> None:
    """``--text`` searches JSON as text."""
    raw = '{\n"kty": "oct",\n"k": "x"\n}\n'
    assert _run(raw.encode(), "--text").stdout == raw
    assert '"x"' not in _run(raw.encode()).stdout


def test_bytes_survive() -> None:
    """What is not UTF-8 passes through."""
    assert _run(b"\xff " + KEY.encode() + b"\n").stdout_bytes == b"\xff [redacted:github]\n"


def test_nothing_in_nothing_out() -> None:
    """An empty input is an empty output."""
    assert _run(b"").stdout_bytes == b""

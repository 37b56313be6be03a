"""The command line as a whole: exit codes, what goes where, and that asking for help costs little."""

from __future__ import annotations

import inspect
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from counterfoil.audit import AuditLog
from counterfoil.audit.cli.main import app, exit_code
from counterfoil.schemas import (
    AuditUnavailable,
    ConfigurationError,
    CounterfoilError,
    ExportFailed,
    InvalidEvent,
    InvalidKey,
    KeyMismatch,
    LogClosed,
    MissingExtra,
    StoreMissing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from conftest import MakeUse, Run

    from counterfoil.schemas import FingerprintKey

    Leaks = Callable[..., list[str]]

_READING = [("query",), ("show", "1"), ("incident", "0" * 43), ("verify",), ("checkpoint",), ("db", "info")]
_COMMANDS = [
    *("demo", "record", "query", "show", "inspect", "redact", "incident", "verify", "checkpoint", "schema"),
    *("export", "key", "db"),
]
_COUNTERFOIL = Path(sys.executable).with_name("counterfoil")
_HEAVY = {"sqlalchemy", "sqlmodel", "opentelemetry.sdk", "starlette", "cryptography", "httpx", "httpx2", "uvicorn"}


def _missing(_: Path) -> None:
    """Leave nothing there."""


def _foreign(address: Path) -> None:
    address.write_text("Dear diary, hunter2")


def _other_database(address: Path) -> None:
    connection = sqlite3.connect(address)
    connection.execute("CREATE TABLE diary (hunter2 TEXT)")
    connection.close()


def _corrupt(address: Path) -> None:
    AuditLog.open(address).close()
    content = bytearray(address.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    address.write_bytes(content)


def _folder(address: Path) -> None:
    address.mkdir()


_UNUSABLE = [_foreign, _other_database, _corrupt, _folder]


@pytest.mark.parametrize(
    ("command", "make"),
    [(command, make) for command in (*_READING, ("record",)) for make in _UNUSABLE]
    + [(command, _missing) for command in _READING],
    ids=lambda each: each.__name__ if callable(each) else " ".join(each),
)
def test_a_store_that_cannot_be_used(
    command: tuple[str, ...], make: Callable[[Path], None], run: Run, address: Path
) -> None:
    """Exit code 3, a sentence that names the file, advice, nothing on stdout; what stood there still stands."""
    make(address)
    before = address.read_bytes() if address.is_file() else None
    ended = run(*command)
    assert (ended.code, ended.out) == (3, "")
    sentence, advice = ended.err.splitlines()
    assert sentence.startswith("counterfoil: ")
    assert "audit.db" in sentence
    assert advice.startswith("  ")
    assert "hunter2" not in ended.err
    assert (address.read_bytes() if address.is_file() else None) == before


def test_a_log_that_is_locked(log: AuditLog, run: Run, address: Path) -> None:
    """A process that keeps SQLite to itself makes every command end with exit code 3 at the deadline."""
    log.close()
    connection = sqlite3.connect(address)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    ended = run("query")
    connection.close()
    assert (ended.code, ended.out) == (3, "")
    assert "locked" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["query", "--nonsense"],
        ["query", "--limit", "0"],
        ["query", "--limit", "x"],
        ["query", "--db"],
        ["show"],
        ["incident"],
        ["db", "nonsense"],
        ["verify", "surplus"],
        ["query", "--db", ""],
        ["query", "--db", "mysql://user:hunter2@host/db"],
        ["record", "--db", "x" * 5000],
        ["record", "--db", "~nobody-of-this-name/audit.db"],
    ],
    ids=" ".join,
)
def test_wrong_use(arguments: list[str], run: Run) -> None:
    """Exit code 2, a sentence on stderr, nothing on stdout."""
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err
    assert "hunter2" not in ended.err


def test_no_log_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``--db`` and without COUNTERFOIL_DB there is nothing to read: exit code 2, and how to name one."""
    monkeypatch.delenv("COUNTERFOIL_DB")
    for command in (*_READING, ("record",), ("db", "path")):
        ended = run(*command)
        assert (ended.code, ended.out) == (2, "")
        assert "COUNTERFOIL_DB" in ended.err


def test_another_key_is_wrong_use(log: AuditLog, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording under another fingerprint key, or under none that can be read, is refused with advice."""
    log.close()
    for key in ("ab" * 32, "hunter2"):
        monkeypatch.setenv("COUNTERFOIL_FINGERPRINT_KEY", key)
        ended = run("record")
        assert (ended.code, ended.out) == (2, "")
        assert key not in ended.err
        assert "COUNTERFOIL_FINGERPRINT_KEY" in ended.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AuditUnavailable("x"), 3),
        (StoreMissing("x"), 3),
        (LogClosed(), 3),
        (ConfigurationError("x"), 2),
        (KeyMismatch("a", "b"), 2),
        (InvalidKey("x"), 2),
        (MissingExtra("x"), 2),
        (InvalidEvent(()), 1),
        (ExportFailed("x"), 1),
    ],
    ids=lambda each: type(each).__name__,
)
def test_every_error_has_its_exit_code(error: CounterfoilError, code: int) -> None:
    """3 for the store, 2 for wrong use, 1 for everything else that is refused."""
    assert exit_code(error) == code


def _commands(group: typer.Typer) -> dict[str, Any]:
    named = {each.name or each.callback.__name__: each.callback for each in group.registered_commands if each.callback}
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        named |= {f"{inner.name} {name}": each for name, each in _commands(inner.typer_instance).items()}
    return named


@pytest.mark.parametrize("command", _commands(app))
def test_help_mentions_every_option(command: str, run: Run) -> None:
    """``--help`` of every command says what it does and names each of its options and arguments."""
    callback = _commands(app)[command]
    ended = run(*command.split(), "--help")
    shown = " ".join(ended.out.split())
    assert (ended.code, ended.err) == (0, "")
    assert (inspect.getdoc(callback) or "nothing").split("\n")[0] in shown
    for name, parameter in inspect.signature(callback, eval_str=True).parameters.items():
        (option,) = (each for each in parameter.annotation.__metadata__ if hasattr(each, "param_decls"))
        flags = [each for each in (option.default, *(option.param_decls or ())) if str(each).startswith("-")]
        assert all(each in shown.lower() for each in flags or [name.replace("_", "-")])
        assert option.help in shown


def test_help_names_every_command(run: Run) -> None:
    """The commands of this release, and no other."""
    ended = run("--help")
    assert (ended.code, ended.err) == (0, "")
    assert sorted({each.split()[0] for each in _commands(app)}) == sorted(_COMMANDS)
    assert all(f"  {name}" in ended.out for name in _COMMANDS)


def _installed(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command, with warnings as errors."""
    return subprocess.run(
        [_COUNTERFOIL, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "error"} | environment,
    )


def test_the_installed_command(address: Path, key: FingerprintKey, secret: str, a_use: MakeUse, leaks: Leaks) -> None:
    """As a process of its own: data on stdout and nothing else, sentences on stderr, and the exit code."""
    assert key.key_id
    good = a_use().model_dump_json(exclude_none=True)
    bad = json.dumps({"kind": "credential_use", secret: secret})
    recorded = _installed("record", "--db", str(address), stdin=f"{good}\n{bad}\n")
    assert recorded.returncode == 1
    assert json.loads(recorded.stdout)["seq"] == 3
    assert recorded.stderr.startswith("line 2: ")
    missing = _installed("verify", COUNTERFOIL_DB=str(address.with_name("missing.db")))
    assert (missing.returncode, missing.stdout) == (3, "")
    assert "missing.db" in missing.stderr
    assert leaks(secret, recorded.stdout, recorded.stderr, *address.parent.glob("audit.db*")) == []


def test_a_terminal_that_cannot_show_everything(log: AuditLog, a_use: MakeUse, address: Path) -> None:
    """Where stdout has another encoding, what it cannot show is escaped; the command does not break off."""
    log.record(a_use("é漢"))
    log.close()
    ended = _installed("query", "--db", str(address), PYTHONIOENCODING="ascii", PYTHONUTF8="0", COLUMNS="200")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\xe9\\u6f22" in ended.stdout


@contextmanager
def _closed_early(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run the installed command and read only the first line of what it prints, as ``head -1`` does."""
    command = [_COUNTERFOIL, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        yield process


def test_a_reader_that_leaves_early(log: AuditLog, a_use: MakeUse, address: Path) -> None:
    """A broken pipe ends the command quietly: no traceback, no message."""
    for _ in range(200):
        log.record(a_use("x" * 500))
    log.close()
    with _closed_early("query", "--json", "--db", str(address)) as process:
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    "statements",
    [
        "import counterfoil.audit",
        "sys.argv[1:] = ['--help']; from counterfoil.audit.cli.main import main; main()",
    ],
    ids=["import", "help"],
)
def test_what_is_not_needed_is_not_imported(statements: str) -> None:
    """Importing the library, or asking for help, loads neither the store nor any framework."""
    script = f"import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{statements}"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(ended.stderr.split())
    assert "counterfoil.audit" in loaded
    assert loaded.isdisjoint(_HEAVY)

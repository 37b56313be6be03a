"""Signals: an orderly end where it is asked for, and never a thread that waits for itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

from counterfoil.audit import install_signal_handlers
from counterfoil.schemas import CredentialUse, LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]

pytestmark = pytest.mark.usefixtures("key")

_SCRIPT = """
import os, signal, sys, threading, time
from counterfoil.audit import AuditLog, install_signal_handlers
from counterfoil.schemas import Action, AuditUnavailable, CredentialUse, LogClosed, Resource, Token

def use(name):
    return CredentialUse(token=Token(), resource=Resource(uri="https://api.example"), action=Action(name=str(name)))

def later(seconds, number):
    threading.Thread(target=lambda: (time.sleep(seconds), os.kill(os.getpid(), number)), daemon=True).start()

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where tests run in the background
"""


def _run(script: str, address: Path, code: int) -> str:
    """Run a script in an interpreter of its own, and return what it said."""
    command = [sys.executable, "-c", _SCRIPT + script, address]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == code, ran.stderr
    return ran.stdout


def _names(entries: list[Entry]) -> list[str]:
    return [entry.event.action.name for entry in entries if isinstance(entry.event, CredentialUse)]


@pytest.mark.parametrize("delivery", ["durable", "queued"])
def test_sigterm_in_the_middle_of_recording(delivery: str, address: Path, everything: Entries) -> None:
    """Whenever it comes: what returned is in the log, the closing is the last entry, and the process ends by it."""
    script = f"""
log = AuditLog.open(sys.argv[1], delivery={delivery!r})
install_signal_handlers()
later(0.2, signal.SIGTERM)
number = 0
while True:
    log.record(use(number)); number += 1; os.write(1, b".")
"""
    acknowledged = len(_run(script, address, -signal.SIGTERM))
    found = everything()
    assert len(_names(found)) >= acknowledged > 0
    assert isinstance(found[-1].event, LogEvent)
    assert [entry.event.change.value for entry in found if isinstance(entry.event, LogEvent)][-1] == "closed"


def test_other_handlers_are_called_as_ever(address: Path, entries: Entries) -> None:
    """A program's own handler finds everything written; Ctrl-C is an exception; what is ignored stays ignored."""
    script = """
from counterfoil.audit import AuditReader
log = AuditLog.open(sys.argv[1], delivery="queued")
signal.signal(signal.SIGTERM, lambda *_: print(AuditReader.open(sys.argv[1]).head()))
signal.signal(signal.SIGHUP, signal.SIG_IGN)
for _ in range(2): install_signal_handlers((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
log.record(use("first"))
signal.raise_signal(signal.SIGTERM)
signal.raise_signal(signal.SIGHUP)
try: signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt: log.record(use("second"))
"""
    assert _run(script, address, 0) == "3\n"
    assert _names(entries()) == ["first", "second"]


def test_a_handler_that_records_does_not_wait_for_its_own_thread(address: Path, entries: Entries) -> None:
    """In the middle of a commit of its thread it is told at once; otherwise its entry is in the log."""
    script = """
log = AuditLog.open(sys.argv[1], deadline=30)
recorded = refused = 0
def handler(*_):
    global recorded, refused
    try: log.record(use("handler")); recorded += 1
    except AuditUnavailable: refused += 1
signal.signal(signal.SIGUSR1, handler)
stop = False
def interrupt():
    while not stop: time.sleep(0.002); os.kill(os.getpid(), signal.SIGUSR1)
thread = threading.Thread(target=interrupt); thread.start()
for number in range(60): log.record(use("plain"))
stop = True
thread.join()
log.close()
print(recorded, refused)
"""
    recorded, refused = map(int, _run(script, address, 0).split())
    assert recorded + refused > 0
    assert _names(entries()).count("plain") == 60
    assert _names(entries()).count("handler") == recorded


def test_the_command_that_records_ends_in_an_orderly_way(address: Path, everything: Entries) -> None:
    """``counterfoil record``, stopped while it waits for a line, has closed its log."""
    command = [sys.executable, "-c", "from counterfoil.audit.cli.main import main; main()", "record", "--db", address]
    event = '{"kind":"log","change":"gap"}\n'
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pipes = cast("Any", process)
    pipes.stdin.write(event)
    pipes.stdin.flush()
    assert '"seq": 3' in pipes.stdout.readline()
    process.terminate()
    process.wait(timeout=30)
    process.communicate()
    assert process.returncode == -signal.SIGTERM
    last = everything()[-1].event
    assert isinstance(last, LogEvent)
    assert last.change.value == "closed"


def test_nothing_is_installed_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is ignored stays so, and only what was named is touched."""
    set_for: list[int] = []

    def note(number: int, _: object) -> None:
        set_for.append(number)

    monkeypatch.setattr(signal, "signal", note)
    monkeypatch.setattr(signal, "getsignal", {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.SIG_IGN}.get)
    install_signal_handlers()
    assert set_for == [signal.SIGTERM]

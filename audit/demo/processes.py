"""The demo's processes: started by one parent, and all gone when it ends, however it ends.

1. The parent binds port 0 of the loopback and listens; a server inherits the socket. So no port is raced for, and
   nobody waits for readiness: connections queue until the server takes them.
2. What a role has to know, secrets included, goes through its stdin as one line of JSON: nothing stands in ``argv``
   or in an environment that others can read.
3. That pipe stays open. When it closes, a role ends itself; so a parent that was killed leaves nobody behind.
4. Each role leads a session of its own, so that Ctrl-C reaches the parent alone, which then ends every group.
5. A role that fails ends the demo, and is named. What it wrote is shown redacted.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, Self

from counterfoil.schemas import CounterfoilError

from ..redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType, TracebackType

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
_PATIENCE: Final = 60.0
_GRACE: Final = 5.0
_POLL: Final = 0.02


@dataclass(frozen=True, slots=True)
class Role:
    """A running process of the demo."""

    name: str
    """The module that it runs: ``counterfoil.audit.demo.<name>``."""
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    """Everything that it wrote, in a file without a name."""


class Stage:
    """Starts roles, waits for them, and ends those that are left. Use it as a context manager."""

    def __init__(self, receipts: int | None = None) -> None:
        """Every role inherits the descriptor ``receipts``."""
        self._receipts = () if receipts is None else (receipts,)
        self._roles: list[Role] = []

    def start(self, name: str, brief: dict[str, Any], listening: socket.socket | None = None) -> Role:
        """Start a role. A server is given its listening socket, of which this process then closes its own copy."""
        said = tempfile.TemporaryFile()  # noqa: SIM115 -- open for as long as the role may write
        descriptors = (listening.fileno(),) if listening else ()
        process = subprocess.Popen(  # noqa: S603 -- this interpreter, with a module of ours
            (sys.executable, "-P", "-m", f"counterfoil.audit.demo.{name}"),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            pass_fds=(*descriptors, *self._receipts),
            start_new_session=True,
        )
        role = Role(name, process, said)
        self._roles.append(role)
        assert process.stdin
        with suppress(BrokenPipeError):  # it ended already; whoever waits will see that
            process.stdin.write(json.dumps({**brief, "listening": descriptors}).encode() + b"\n")
        if listening:
            listening.close()
        return role

    def wait(self, role: Role) -> None:
        """Wait until ``role`` has done its part. Raises ``CounterfoilError`` as soon as any role fails."""
        until = time.monotonic() + _PATIENCE
        while role.process.poll() is None:
            self._raise_for_failures()
            if time.monotonic() > until:
                raise CounterfoilError(f"the demo's {role.name} was not done after {_PATIENCE:.0f} s")
            time.sleep(_POLL)
        self._raise_for_failures()

    def finish(self) -> None:
        """Let the servers finish what they are at, and end by themselves."""
        for role in self._roles:
            _hang_up(role)
        for role in self._roles:
            self.wait(role)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End every role that still runs: politely, then by force."""
        for role in self._roles:
            _hang_up(role)
            _signal(role, signal.SIGTERM)
        until = time.monotonic() + _GRACE
        for role in self._roles:
            try:
                role.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(role, signal.SIGKILL)
                role.process.wait()
            role.said.close()

    def _raise_for_failures(self) -> None:
        # A role that falls takes along those who talk to it: the one started first is the one to name.
        if any(role.process.poll() for role in self._roles):
            time.sleep(5 * _POLL)
            failed = next(role for role in self._roles if role.process.poll())
            raise CounterfoilError(
                f"the demo's {failed.name} ended with exit code {failed.process.returncode}", advice=_last_words(failed)
            )


def _hang_up(role: Role) -> None:
    assert role.process.stdin
    role.process.stdin.close()


def _signal(role: Role, number: signal.Signals) -> None:
    if role.process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(role.process.pid, number)


def _last_words(role: Role) -> str:
    role.said.seek(0)
    said = role.said.read().decode("utf-8", "replace").strip()
    shown, _receipts = Redactor().text(said)
    return shown or "It said nothing."


def listen() -> socket.socket:
    """Return a socket that listens on a free port of the loopback."""
    return socket.create_server(("127.0.0.1", 0))


def url_of(listening: socket.socket) -> str:
    """Return the base URL of the server that will take this socket."""
    host, port = listening.getsockname()
    return f"https://{host}:{port}"


@contextmanager
def unwinding() -> Generator[None]:
    """Turn the signals that end a program into ``SystemExit(128 + number)``, so that everything is cleaned up."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        for each in _STOPPING:
            signal.signal(each, signal.SIG_IGN)  # the cleaning up takes a moment, and is not to be interrupted
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, unwind) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

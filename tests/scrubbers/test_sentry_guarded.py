"""What the guards leave for Sentry's SDK, which reads records and exceptions itself, locals included."""

from __future__ import annotations

import secrets
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.backends

_PROGRAM = """
import logging, sys
import sentry_sdk
from sentry_sdk.transport import Transport
from counterfoil.audit.guard import hooks, logging as guard

class Print(Transport):
    def capture_envelope(self, envelope):
        print(envelope.serialize().decode())

def fail(token):
    held = {"of": token}
    raise PermissionError(f"{token} was refused") from KeyError(token)

token = sys.stdin.read()
sentry_sdk.init(dsn="http://public@127.0.0.1:9/1", transport=Print, include_local_variables=True)
if sys.argv[1:]:
    guard.install()
    hooks.install()
try:
    fail(token)
except PermissionError:
    logging.getLogger("app").exception("failed for %s", token, extra={"who": token})
fail(token)
"""


@pytest.mark.parametrize("guarded", [True, False])
def test_sentry_is_given_no_secret(guarded: bool, leaks: Callable[..., list[str]]) -> None:  # noqa: FBT001 -- a parameter
    """Neither by a record nor by an uncaught exception, nor by their locals; without the guards by all of them."""
    token = "ghp_" + secrets.token_hex(18)
    command = [sys.executable, "-c", _PROGRAM, *(["guarded"] if guarded else [])]
    done = subprocess.run(command, input=token, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.count("PermissionError") >= 2
    assert ("[redacted:github] was refused" in done.stdout) is guarded
    assert bool(leaks(token, done.stdout)) is not guarded
    assert bool(leaks(token, done.stderr)) is not guarded

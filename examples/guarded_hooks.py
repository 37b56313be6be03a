"""The redactor before what Python prints of exceptions that nobody caught, and of warnings: one line.

Run it: ``python guarded_hooks.py``.
"""

import os
import secrets
import sys
import threading
import warnings

from counterfoil.audit.guard.hooks import install
from counterfoil.audit.redaction.known import remember_secret


class Session:
    """Fails when it goes, and says more than it should."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __del__(self) -> None:
        raise RuntimeError(f"the session of {self.token} was not closed")


def sign_in(token: str) -> None:
    """Fail in a group, as tasks do."""
    raise ExceptionGroup("signing in", [PermissionError(f"refused for {token}"), KeyError(token)])


def main() -> None:
    """Throw a secret through a warning, a thread, a finalizer, and an exception that nobody catches."""
    install()
    token = os.environ.get("EXAMPLE_TOKEN") or secrets.token_urlsafe(32)
    remember_secret(token)  # it has no form by which it could be told; what capture has seen is remembered by itself
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"{token} will not be accepted any more", stacklevel=1)
    thread = threading.Thread(target=sign_in, args=(token,))
    thread.start()
    thread.join()
    Session(token)
    try:
        sign_in(token)
    except ExceptionGroup as error:
        sys.excepthook(type(error), error, error.__traceback__)  # as Python does, if nothing catches it


if __name__ == "__main__":
    main()

"""The redactor before every logger of the standard library, those of other libraries too: one line.

Run it: ``python guarded_logging.py``.
"""

import logging
import os
import secrets
import sys

from counterfoil.audit.guard.logging import install
from counterfoil.audit.redaction.known import remember_secret


def sign_in(token: str) -> None:
    """Fail, as libraries do: with all that they know."""
    session = {"Authorization": f"Bearer {token}"}
    raise PermissionError(f"refused for {session}") from KeyError(token)


def main() -> None:
    """Throw a secret through message, arguments, exception, cause, stack and extra attributes."""
    install()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s [%(request)s]")
    token = os.environ.get("EXAMPLE_TOKEN") or secrets.token_urlsafe(32)
    remember_secret(token)  # it has no form by which it could be told; what capture has seen is remembered by itself
    log = logging.getLogger("mail")
    log.info(f"signing in with {token}", extra={"request": ["--token", token]})  # noqa: G004 -- as many do
    log.info("password=%s for %s", "correct horse", {"cookie": token}, extra={"request": None})
    try:
        sign_in(token)
    except PermissionError:
        log.exception("failed", stack_info=True, extra={"request": {"token": token}})


if __name__ == "__main__":
    main()

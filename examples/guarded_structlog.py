"""The redactor in an application's own logs with structlog: one line in its configuration.

Run it: ``python guarded_structlog.py``.
"""

import os
import secrets

import structlog

from counterfoil.audit.guard.structlog import RedactingProcessor
from counterfoil.audit.redaction.known import remember_secret


def read_mail(token: str) -> None:
    """Fail, and say for whom."""
    raise PermissionError(f"refused for {token}")


def main() -> None:
    """Log a request with a secret in it, and an exception that says it, and see both without."""
    structlog.configure(processors=[RedactingProcessor(), structlog.dev.ConsoleRenderer(colors=False)])
    token = os.environ.get("EXAMPLE_TOKEN") or secrets.token_urlsafe(32)
    remember_secret(token)  # it has no form by which it could be told; what capture has seen is remembered by itself
    log = structlog.get_logger()
    log.info(
        "called the mail service",
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        url=f"https://mail.example/inbox?access_token={token}&page=2",
    )
    try:
        read_mail(token)
    except PermissionError:
        log.exception("failed", said=f"who is {token}?")


if __name__ == "__main__":
    main()

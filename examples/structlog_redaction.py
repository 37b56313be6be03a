"""The redactor in an application's own logging: one line in the structlog configuration.

Run it: ``python structlog_redaction.py``.
"""

import secrets

import structlog

from counterfoil.audit.guard.structlog import RedactingProcessor


def main() -> None:
    """Log a request with a secret in it, and see it without."""
    structlog.configure(processors=[RedactingProcessor(), structlog.processors.JSONRenderer()])
    token = secrets.token_urlsafe(32)
    structlog.get_logger().info(
        "called the mail service",
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        url=f"https://mail.example/inbox?access_token={token}&page=2",
    )


if __name__ == "__main__":
    main()

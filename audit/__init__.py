"""Make, keep together and read records of what agents do with credentials.

Quick start::

    from counterfoil.audit import AuditLog

    with AuditLog.open("sqlite:///audit.db") as log, log.scope(agent="mail-agent", task="t-42"):
        with log.use(token=token, resource=mail, action=Action(name="read_mail")) as use:
            use.status_code = 200

Each name is loaded when it is first used, so that the command line starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .approval import ApprovalPolicy, ApprovalRequest
    from .fingerprint_key import load_fingerprint_key
    from .integrity.signing_key import SigningKey
    from .log import AuditLog
    from .reader import AuditReader
    from .redaction.known import remember_secret
    from .signals import install_signal_handlers
    from .unrecorded import Health
    from .use import Use

__all__ = [
    "ApprovalPolicy",
    "ApprovalRequest",
    "AuditLog",
    "AuditReader",
    "Health",
    "SigningKey",
    "Use",
    "install_signal_handlers",
    "load_fingerprint_key",
    "remember_secret",
]

_HOMES = {
    "ApprovalPolicy": "approval",
    "ApprovalRequest": "approval",
    "AuditLog": "log",
    "AuditReader": "reader",
    "Health": "unrecorded",
    "SigningKey": "integrity.signing_key",
    "Use": "use",
    "install_signal_handlers": "signals",
    "load_fingerprint_key": "fingerprint_key",
    "remember_secret": "redaction.known",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""Make, keep together and read records of what agents do with credentials.

Quick start::

    from counterfoil.audit import AuditLog

    with AuditLog.open("sqlite:///audit.db") as log, log.scope(agent="mail-agent", task="t-42"):
        with log.use(token=token, resource=mail, action=Action(name="read_mail")) as use:
            use.status_code = 200
"""

from .fingerprint_key import load_fingerprint_key
from .log import AuditLog
from .reader import AuditReader
from .scope import scope
from .use import Use

__all__ = ["AuditLog", "AuditReader", "Use", "load_fingerprint_key", "scope"]

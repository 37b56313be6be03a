"""Remove secrets before the first byte is written: by position, by pattern, from URIs, and those that were seen.

Quick start::

    from counterfoil.audit.redaction import Redactor

    redacted, receipts = Redactor().text("sent as Bearer 4f3c…")
"""

from .known import KnownSecrets, remember_secret
from .redactor import Redactor

__all__ = ["KnownSecrets", "Redactor", "remember_secret"]

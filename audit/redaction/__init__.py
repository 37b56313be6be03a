"""Remove secrets before the first byte is written: by position, by pattern, and from URIs.

Quick start::

    from counterfoil.audit.redaction import Redactor

    redacted, receipts = Redactor().text("sent as Bearer 4f3c…")
"""

from .redactor import Redactor

__all__ = ["Redactor"]

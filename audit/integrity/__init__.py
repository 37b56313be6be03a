"""Whether a log still says what was recorded."""

from .verify import Verification, verify_chain

__all__ = ["Verification", "verify_chain"]

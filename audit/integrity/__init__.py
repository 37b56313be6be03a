"""Whether a log still says what was recorded."""

from .verdict import State, Verdict, Verification
from .verify import verify_rows
from .witness import Witnesses

__all__ = ["State", "Verdict", "Verification", "Witnesses", "verify_rows"]

"""Whether a log still says what was recorded.

Each name is loaded when it is first used: a log that is written needs its checkpoints, and not the verifier.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .verdict import State, Verdict, Verification
    from .verify import verify_rows
    from .witness import Witnesses

__all__ = ["State", "Verdict", "Verification", "Witnesses", "verify_rows"]

_HOMES = {
    "State": "verdict",
    "Verdict": "verdict",
    "Verification": "verdict",
    "Witnesses": "witness",
    "verify_rows": "verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

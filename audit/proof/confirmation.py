"""Which key a token names: ``cnf`` may name one (RFC 7800 §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from counterfoil.schemas import CheckId

if TYPE_CHECKING:
    from counterfoil.schemas import Confirmation

    from .inspection import Outcomes

_KEYS: Final = frozenset({"jwk", "jwe", "jku", "jkt", "x5t#S256"})
_DUAL: Final = frozenset({"jkt", "x5t#S256"})


def check_confirmation(outcomes: Outcomes, confirmation: Confirmation) -> None:
    """Settle ``cnf.ambiguous``. ``jkt`` beside ``x5t#S256`` is no ambiguity: both are required then, each by itself."""
    keys = _KEYS.intersection(confirmation.members)
    outcomes.judge(
        CheckId.CNF_AMBIGUOUS, len(keys) <= 1 or keys == _DUAL, expected="one key", observed=", ".join(sorted(keys))
    )

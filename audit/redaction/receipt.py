"""What stands in the place of a removed value, and the receipt that it leaves (``schemas.Redaction`` in JSON form)."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, TypeAlias

from counterfoil.schemas import Fingerprint, LengthClass

from .positions import looks_opaque

if TYPE_CHECKING:
    from counterfoil.schemas import FingerprintKey

Receipt: TypeAlias = dict[str, str]
"""``path``, ``rule`` and ``length``: where, by which rule, roughly how long; of a credential its ``fingerprint``, if
there is a key; and the ``action``, unless a marker stands in its place. Never the value."""

Path: TypeAlias = "tuple[Path, str | int] | None"
"""The steps to a value, linked from the last one upward, so that a step costs one tuple. ``None`` is the root."""

BARE: Final = "REDACTED"
"""The marker where brackets cannot stand: in a URI, and in a field too short for the other one."""

_LONGEST_STEP = 64

_SURELY_RANDOM = 20
_FEWEST_KINDS = 10

_MARKER = r"\[redacted:[a-z]{2,16}(?:_[a-z]{1,16}){0,2}(?::[1-9][0-9]{0,4})?\]|REDACTED"
_ONLY_MARKER = re.compile(_MARKER)
_PUNCTUATION = r"[\s!-/:-@\[-`{-~]*"
_NOTHING_LEFT = re.compile(rf"{_PUNCTUATION}(?:(?:{_MARKER}){_PUNCTUATION})+")

_BOUNDS = (16, 64, 256, 4096)
_CLASSES = (
    LengthClass.UP_TO_16.value,
    LengthClass.UP_TO_64.value,
    LengthClass.UP_TO_256.value,
    LengthClass.UP_TO_4096.value,
    LengthClass.LONGER.value,
)


def marker(rule: str) -> str:
    """Return what stands in the place of a value that ``rule`` removed."""
    return f"[redacted:{rule}]"


def is_marker(text: str) -> bool:
    """Whether ``text`` is a marker and nothing else."""
    return text.endswith(("]", BARE)) and _ONLY_MARKER.fullmatch(text) is not None


def is_spent(text: str, start: int, end: int) -> bool:
    """Whether this part of ``text`` was redacted before: markers and punctuation, and nothing else."""
    return _NOTHING_LEFT.fullmatch(text, start, end) is not None


def receipt(path: Path, rule: str, length: int) -> Receipt:
    """Return the receipt of one value of ``length`` characters."""
    return {"path": shown_path(path), "rule": rule, "length": _CLASSES[bisect_left(_BOUNDS, length)]}


def fingerprint_of(secret: str, key: FingerprintKey) -> str | None:
    """Return the keyed fingerprint of what is long and random, else ``None``.

    Whoever has the key and the records could try out all short or likely values.
    """
    if len(secret) >= _SURELY_RANDOM and len(set(secret)) >= _FEWEST_KINDS and looks_opaque(secret):
        return str(Fingerprint.of(secret, key))  # a receipt is plain JSON
    return None


def depth_of(path: Path) -> int:
    """Return how many steps there are: how deep a container at ``path`` stands."""
    depth = 0
    while path is not None:
        path, depth = path[0], depth + 1
    return depth


def member_of(path: Path) -> str:
    """Return the name of the innermost member on the way, past any places in lists."""
    while path is not None:
        path, step = path
        if isinstance(step, str):
            return step
    return ""


def shown_path(path: Path) -> str:
    """Join the steps with dots. A long member name is described, since it may be more than a name."""
    steps: list[str] = []
    while path is not None:
        path, step = path
        text = str(step)
        steps.append(text if len(text) <= _LONGEST_STEP else f"<member, {len(text)} characters>")
    return ".".join(reversed(steps))

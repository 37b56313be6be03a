"""Reads JSON so that nothing of it is lost unseen: repeated members are told of, and what is no number is refused."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NamedTuple, NoReturn


class Read(NamedTuple):
    """A value that was read."""

    value: Any
    end: int
    repeats: bool
    """Whether a member is repeated in it."""


class Reader:
    """Reads values. Not for several threads."""

    def __init__(self) -> None:
        self._repeats = False
        self._decoder = json.JSONDecoder(object_pairs_hook=self._members, parse_constant=_refuse, parse_float=_finite)

    def read(self, text: str, start: int) -> Read | None:
        """Read the value that begins at ``start``; ``None`` if there is none, or it would not be written as it is."""
        try:
            return self.decode(text, start)
        except (ValueError, RecursionError):
            return None

    def decode(self, text: str, start: int) -> Read:
        """Read the value that begins at ``start``. Raises ``ValueError``, and ``RecursionError`` without a bottom."""
        self._repeats = False
        value, end = self._decoder.raw_decode(text, start)
        return Read(value, end, self._repeats)

    def _members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self._repeats = True
        return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("beyond the range of a float")
    return number

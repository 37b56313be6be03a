"""One row of the table of patterns, and the words to write one with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Pattern:
    """One row of the table."""

    rule: str
    """Its id, as receipts and markers show it."""
    regex: re.Pattern[str]
    """Its last group is the secret, or else the whole match."""
    keywords: tuple[str, ...]
    """In lower case. A text that holds none of them is not searched."""
    example: str
    """A text with an invented secret."""
    long: bool
    """Whether every match has at least 16 characters, none of them white space."""
    signs: str = ""
    """Characters of which a text must hold at least one as well."""
    marked: bool = False
    """Whether every match begins with one of the keywords, and no letter, digit or ``_`` stands before it."""


def long_pattern(rule: str, expression: str, keywords: str, example: str) -> Pattern:
    """Return a row whose matches are all of 16 characters or more. ``keywords`` are separated by spaces."""
    return Pattern(rule, re.compile(expression, re.ASCII), tuple(keywords.split()), example, long=True)


def marked_pattern(rule: str, expression: str, marks: str, example: str) -> Pattern:
    """Return a row whose matches are as long, and begin with one of the ``marks``, at the beginning of a word."""
    keywords = tuple(marks.split())
    return Pattern(rule, re.compile(rf"\b(?:{expression})", re.ASCII), keywords, example, long=True, marked=True)


def pattern(rule: str, expression: str, keywords: tuple[str, ...], example: str, signs: str = "") -> Pattern:
    """Return a row whose matches may be short, or hold white space."""
    return Pattern(rule, re.compile(expression, re.ASCII), keywords, example, long=False, signs=signs)


def any_of(names: Iterable[str], joint: str = "[_-]?") -> str:
    """Return an expression for any of the names, the longer ones first. A tree by letters: many names cost as few."""
    tails: dict[str, list[str]] = {}
    for name in sorted(names, reverse=True):
        tails.setdefault(name[:1], []).append(name[1:])
    branches = [
        (joint if head == "_" else head) + (any_of(rest, joint) if any(rest) else "") for head, rest in tails.items()
    ]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def fake(length: int) -> str:
    """Return so many characters of an invented secret."""
    return ("Example0" * (length // 8 + 1))[:length]

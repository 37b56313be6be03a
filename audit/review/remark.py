"""What stands out in a log, as a sentence: which rule says so, how bad it is, and the entries that show it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from counterfoil.schemas.vocabulary import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

_Key = TypeVar("_Key")

RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}
"""How severities compare: the worst has the highest rank."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a remark is an instance of."""

    id: str
    """Stable across releases, such as ``token.passthrough``."""
    source: str
    """The document behind it, or that there is none."""
    means: str
    """What it says, in one sentence."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that stands out."""

    rule: Rule
    severity: Severity
    """How bad it is here: what was executed is worse than what was refused."""
    sentence: str
    """What was seen. It may hold what others stored, such as a tenant's name."""
    seqs: tuple[int, ...]
    """The entries that show it, in order."""
    of_check: str | None = None
    """The section behind the check that it is about."""

    @property
    def source(self) -> str:
        """The section behind it."""
        return self.of_check or self.rule.source


def listed(seqs: Iterable[int], most: int = 5) -> str:
    """Return ``entry 7``, ``entries 7 and 9``, ``entries 1, 2, 3, 4, 5 and 12 more``."""
    numbers = [str(seq) for seq in seqs]
    if len(numbers) > most:
        numbers[most:] = [f"{len(numbers) - most} more"]
    word = "entry" if len(numbers) == 1 else "entries"
    return f"{word} {' and '.join(filter(None, (', '.join(numbers[:-1]), numbers[-1])))}"


def grouped(found: Iterable[tuple[_Key, tuple[int, ...]]]) -> dict[_Key, tuple[int, ...]]:
    """Gather evidence under what it shows, each entry once, in order: a thousand alike are one remark."""
    groups: dict[_Key, set[int]] = defaultdict(set)
    for key, seqs in found:
        groups[key].update(seqs)
    return {key: tuple(sorted(seqs)) for key, seqs in groups.items()}

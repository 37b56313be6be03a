"""What a verification says: four verdicts, each with its state, how far it reaches, words, and the first bad place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a verdict ended. There is no bare OK: each comes with a reach and with words."""

    PROVEN = "proven"
    """It was checked, and holds as far as it reaches."""
    FAILED = "failed"
    """It was checked, and does not hold."""
    UNANCHORED = "unanchored"
    """Nothing outside the file was given to check it against: no key, no witness."""
    UNKNOWN = "unknown"
    """It cannot be told."""
    NOT_ASKED = "not asked"
    """It was not checked, since nobody asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer. It is true, as a condition, only if it is proven."""

    state: State
    reach: int
    """Up to which entry it speaks, 0 for none."""
    words: str
    """What was found, and what that does not say."""
    first_bad: int | None = None
    """The first entry that is not as it should be, or is missing."""

    def __bool__(self) -> bool:
        return self.state is State.PROVEN


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in a log."""

    log_id: str
    """Which log, 32 hex digits."""
    entries: int
    """How many entries were good, counted from the first."""
    chain_hash: str
    """The head of the chain at the last good entry, 64 hex digits: compare it with a receipt or a span."""
    consistent: Verdict
    """Whether the file agrees with itself: chain, sequence, creation, checkpoints, pruned rows."""
    signed: Verdict
    """Up to which entry a signature vouches."""
    witnessed: Verdict
    """Up to which entry something that was kept elsewhere vouches."""
    complete: Verdict
    """Whether every call of ``record`` is in the log, or was answered by an error."""
    deep: Verdict
    """Whether the database itself is whole and answers what the bodies say."""

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Every verdict by its name."""
        return {
            "consistent": self.consistent,
            "signed": self.signed,
            "witnessed": self.witnessed,
            "complete": self.complete,
            "deep": self.deep,
        }

    @property
    def first_bad_seq(self) -> int | None:
        """The first entry that is not as it was sealed, or is missing; None if the file agrees with itself."""
        return self.consistent.first_bad

    @property
    def problem(self) -> str | None:
        """What is wrong there."""
        return None if self.consistent else self.consistent.words

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the verdicts that failed."""
        return tuple(name for name, verdict in self.verdicts.items() if verdict.state is State.FAILED)

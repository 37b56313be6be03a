"""What a vocabulary is: a closed list of terms for a caller, an open one for a reader of what a newer release wrote."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Generator

_reading: ContextVar[bool] = ContextVar("counterfoil_reading", default=False)


@contextmanager
def keep_unlisted_terms() -> Generator[None]:
    """While reading: a term that a newer release added is kept as it stands instead of being refused."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


def is_reading() -> bool:
    """Whether what is parsed comes from a log, so that what is not known yet is kept."""
    return _reading.get()


class Vocabulary(StrEnum):
    """A closed list of terms, each with its source."""

    source: str
    term: str
    """The wire form as plain text, which ``value`` takes ten times as long to give."""

    def __new__(cls, value: str, source: str = "") -> Self:
        """Make the member from its wire form, and the document behind it or its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.source = source
        member.term = value
        return member

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not _reading.get() or not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = "UNLISTED"
        member._value_ = value
        member.source = "a newer release"
        member.term = value
        return member

    def __repr__(self) -> str:
        """Show a listed term; an unlisted one is whatever text stood there."""
        shown = repr(self._value_) if self._name_ != "UNLISTED" else f"{len(self)} characters"
        return f"<{type(self).__name__}.{self._name_}: {shown}>"

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        """Pickle by value, so that an unlisted term comes back too."""
        return _term, (type(self), self._value_)


def _term(vocabulary: type[Vocabulary], value: str) -> Vocabulary:
    with keep_unlisted_terms():
        return vocabulary(value)

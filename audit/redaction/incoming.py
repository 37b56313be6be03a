"""What comes in by a stream, and what goes out for it: in pieces, so that a stream may be longer than the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from .receipt import Receipt


class Readable(Protocol):
    """A binary stream, such as ``sys.stdin.buffer``."""

    def read1(self, size: int, /) -> bytes:
        """Return what there is, up to so many bytes; wait only where there is nothing."""
        ...


class Redacted(NamedTuple):
    """A piece of the stream without its secrets: one line or many, or part of one."""

    content: bytes
    read: int
    """How many bytes came in for it."""
    receipts: list[tuple[int, Receipt]]
    """What was removed, and on which line, counted from 1: for a document the one where the piece of it begins."""


class Bounds(NamedTuple):
    """How much is looked at together, in bytes."""

    longest: int
    """What is looked at as a whole: a line, a JSON document or a value in it. What is longer comes in pieces."""
    edge: int
    """A secret up to this length is found wherever the edge of a piece would cut it."""
    batch: int
    """How much is read at once, and how many values of a long document are redacted together."""


BOUNDS: Final = Bounds(longest=1 << 20, edge=1 << 15, batch=1 << 18)


class Incoming:
    """A stream that is looked at before it is taken."""

    def __init__(self, stream: Readable, bounds: Bounds) -> None:
        self._stream = stream
        self.bounds = bounds
        self.ahead = b""
        """What was read and not yet taken."""
        self.taken = b""
        """What was taken last."""
        self.ended = False
        self.line = 1
        """The line on which ``ahead`` begins."""

    def more(self) -> bool:
        """Read what there is. False at the end of the stream."""
        block = b"" if self.ended else self._stream.read1(self.bounds.batch)
        self.ended = not block
        self.ahead += block
        return not self.ended

    def fill(self, size: int) -> bytes:
        """Return the next ``size`` bytes, or all that are left, without taking them."""
        while len(self.ahead) < size and self.more():
            pass
        return self.ahead[:size]

    def take(self, size: int) -> bytes:
        """Take the next ``size`` bytes of ``ahead``."""
        self.taken, self.ahead = self.ahead[:size], self.ahead[size:]
        self.line += self.taken.count(b"\n")
        return self.taken

"""A checkpoint of a log as it stands, made by somebody who only reads it, and compared with what was said before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import InvalidNote, WitnessRefused

from .merkle import CompactRange
from .note import Checkpoint, origin_of, parse_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .chain import Row

_PART: Final = 2000


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a log is now, and what it was at earlier sizes."""

    checkpoint: Checkpoint
    """Of all its entries, unsigned."""
    roots: dict[int, bytes]
    """The root over the first entries, for each size that was asked for and that there is."""

    def require(self, earlier: Checkpoint, where: str) -> None:
        """Raise ``WitnessRefused`` unless this log is the one that ``earlier`` is of, and has only grown since.

        ``where`` says who keeps ``earlier``, such as ``the witness store seen.txt``.
        """
        now = self.checkpoint
        if earlier.origin != now.origin:
            raise WitnessRefused(f"{where} is about another log", advice=_ANOTHER_LOG)
        if earlier.size > now.size:
            raise WitnessRefused(f"{where} saw {earlier.size:,} entries; the log has {now.size:,}: some are gone")
        if self.roots.get(earlier.size) != earlier.root:
            raise WitnessRefused(f"the first {earlier.size:,} entries are not those that {where} saw")


def commit(
    rows: Iterable[Row],
    log_id: str,
    *,
    earlier: Iterable[int] = (),
    on_progress: Callable[[int], None] = lambda _done: None,
) -> Commitment:
    """Return what a log commits to, from its rows in order. ``earlier`` are sizes at which its root is wanted, too.

    Memory does not grow with the log. Raises ``WitnessRefused`` if entries are missing.
    """
    tree, roots, rows = CompactRange(), dict[int, bytes](), iter(rows)
    for size in sorted(set(earlier)):
        _grow(tree, rows, size, on_progress)
        if tree.size == size:
            roots[size] = tree.root()
    _grow(tree, rows, None, on_progress)
    roots[tree.size] = tree.root()
    return Commitment(Checkpoint(origin_of(log_id), tree.size, tree.root()), roots)


def readable(stored: Iterable[tuple[int, str | bytes]]) -> Iterator[Checkpoint]:
    """Yield the checkpoints that a log keeps itself. What cannot be read as one is for ``verify`` to tell of."""
    for _, note in stored:
        with suppress(InvalidNote):
            yield parse_checkpoint(note)


def _grow(tree: CompactRange, rows: Iterator[Row], size: int | None, on_progress: Callable[[int], None]) -> None:
    """Take in rows up to ``size``, or all that there are."""
    while size is None or tree.size < size:
        part = list(islice(rows, _PART if size is None else min(_PART, size - tree.size)))
        if not part:
            return
        for expected, (seq, *_) in enumerate(part, start=tree.size + 1):
            if seq != expected:
                raise WitnessRefused(f"entry {expected:,} is missing: no checkpoint is made of the others")
        tree.extend([leaf for _, _, leaf, _ in part])
        on_progress(tree.size)


_ANOTHER_LOG: Final = "Keep one witness store for each log."

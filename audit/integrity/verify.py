"""Verifying a log: pure, without input or output, from the stored rows and from what is given from outside alone.

The rules, each with the attack that it stops. *Consistent*, by the file alone:

1. The first entry is the log's own creation and names this ``log_id``: rows of another log, rows put before the first.
2. Sequence numbers run from 1 without a hole or a repetition: a deleted, inserted or reordered row.
3. ``leaf_hash`` is the hash of the body as it is stored: an edited body, to the byte.
4. ``chain_hash`` follows from ``log_id``, ``seq``, the previous ``chain_hash`` and ``leaf_hash``: an edited hash.
5. Each checkpoint in the file is of this log and of these entries: a rewrite that left the checkpoints as they were, a
   checkpoint of another log, rows cut from the end while checkpoints of them stayed.
6. A row without a body was pruned by an entry whose signed note names exactly these leaves: bodies that somebody took
   away, or exchanged together with their hashes, under the name of pruning. One that was erased is named by an entry
   whose signed note is about just this place in the chain: the rules of ``erasure``.

*Signed*, by keys from outside:

7. Signatures count under a key that was given; where one was and nothing is signed with it, it failed: signatures
   stripped, or made with a key of the attacker's own. Without a given key, those that the log names are tried and never
   believed: whoever can write the file can append an entry that names another, and the log then signs that.
8. What was signed must be these entries: any rewrite before the last checkpoint that the attacker left in place.

*Witnessed*, by what was kept elsewhere: the rules of ``witness``. They stop the thief of a signing key, too.

*Complete*, by the producers' numbers: the rules of ``producers``. They show what was never written.

What none of it shows: what a producer did not record or recorded wrongly, and, beyond the reach that each verdict
states, rows cut from the end or rewritten by somebody who can write the file.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from .chain import Chain
from .erasure import Erasures
from .facts import log_event, told
from .merkle import CompactRange
from .producers import Producers
from .pruning import Prunings
from .signatures import Signatures
from .verdict import State, Verdict, Verification
from .witness import Witnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .chain import Row
    from .erasure import ErasedRows
    from .facts import Process
    from .note import VerifierKey
    from .pruning import PrunedLeaves
    from .signatures import Stored

_PAGE: Final = 500
_STEP: Final = 10_000
_NEVER: Final = 2**63


class Given(TypedDict, total=False):
    """What rows are checked with, all of it from outside the rows."""

    expected_log_id: str | None
    """Which log it has to be."""
    checkpoints: Iterable[Stored]
    """Those in the file, in order of size, none younger than the rows."""
    keys: Sequence[VerifierKey]
    """Keys that must have signed."""
    witnesses: Witnesses
    """What was kept elsewhere."""
    pruned_leaves: PrunedLeaves
    """Gives ``(seq, leaf_hash)`` of the pruned rows between two numbers."""
    erased_rows: ErasedRows
    """Gives what stands of the erased rows between two numbers."""
    is_running: Callable[[Process], bool]
    """Tells which processes may still write."""
    deep: Iterable[str] | None
    """The faults that the database itself found; None: nobody looked."""
    on_progress: Callable[[int], None] | None
    """Is told the number of good entries now and then."""


def verify_rows(rows: Iterable[Row], log_id: str, **given: Unpack[Given]) -> Verification:
    """Check every row ``(seq, body, leaf_hash, chain_hash)`` in order, and stop at the first that is bad."""
    rows = iter(rows)
    return verify_pages(iter(lambda: list(islice(rows, _PAGE)), []), log_id, **given)


def verify_pages(pages: Iterable[Sequence[Row]], log_id: str, **given: Unpack[Given]) -> Verification:
    """Check rows that come some at a time; what stays in the processor's cache is checked fastest.

    Memory does not grow with the log.
    """
    verifier = _Verifier(
        log_id, given.get("checkpoints", ()), given.get("keys", ()), given.get("witnesses") or Witnesses(log_id)
    )
    on_progress, step = given.get("on_progress"), _STEP
    for page in pages:
        verifier.take(page)
        if verifier.chain.broken:
            break
        if on_progress and verifier.chain.entries >= step:
            on_progress(verifier.chain.entries)
            step = verifier.chain.entries + _STEP
    if given.get("expected_log_id") not in {None, log_id}:
        verifier.chain.broken = 1, "this is another log than the one that was asked for"
    return verifier.end(given)


def _is_gone(_process: Process) -> bool:
    return False


class _Verifier:
    """Everything that is checked while the rows pass by."""

    def __init__(
        self, log_id: str, checkpoints: Iterable[Stored], keys: Sequence[VerifierKey], witnesses: Witnesses
    ) -> None:
        self._log_id = log_id
        self.chain = Chain(log_id)
        self._producers = Producers()
        self._signatures = Signatures(log_id, keys)
        self._prunings = Prunings(log_id)
        self._erasures = Erasures(log_id)
        self._witnesses = witnesses
        self._tree = CompactRange()
        self._stored = _Ahead(iter(checkpoints))
        self._seen = _Ahead((size, "") for size in witnesses.roots)

    def take(self, page: Sequence[Row]) -> None:
        """Check the next rows: the chain first, and of those that hold everything else."""
        rows = self.chain.take(page)
        for seq, body in self._producers.take(rows):
            if event := log_event(body):
                found = told(body)
                self._producers.hear(seq, event, found.producer if found else None)
                self._signatures.hear(seq, event)
                self._prunings.hear(seq, event)
                for erased in self._erasures.hear(seq, event):
                    self._producers.restore(seq, erased)
        if bodiless := [row for row in rows if not row[1]]:
            self._prunings.take(bodiless)
            self._erasures.take(bodiless)
        self._witnesses.take(rows)
        self._grow(rows)

    def _grow(self, rows: Sequence[Row]) -> None:
        """Take the leaves into the tree, and stop at each size at which somebody has a root."""
        done, before = 0, self._tree.size
        last = before + len(rows)
        while self._stored.size <= last or self._seen.size <= last:
            size = min(self._stored.size, self._seen.size)
            if size > before + done:
                self._tree.extend([row[2] for row in rows[done : size - before]])
                done = size - before
            root = self._tree.root() if size == self._tree.size else b""
            while self._stored.size == size:
                self._signatures.check(*self._stored.take(), root)
            while self._seen.size == size:
                self._witnesses.check_root(self._seen.take()[0], root)
        if done < len(rows) and not (self._stored.ended and self._seen.ended):
            self._tree.extend([row[2] for row in rows[done:]])

    def end(self, given: Given) -> Verification:
        """Say what was found."""
        self.chain.end()
        chain, signatures = self.chain, self._signatures
        while not self._stored.ended:
            signatures.check_beyond(*self._stored.take(), chain.entries)
        database = _database(given.get("deep"), chain.entries)
        if chain.broken:
            complete = Verdict(State.UNKNOWN, chain.entries, "nothing after the last good entry was looked at")
        else:
            complete = self._producers.verdict(chain.entries, given.get("is_running", _is_gone))
        return Verification(
            self._log_id,
            chain.entries,
            chain.head.hex(),
            consistent=self._consistent(given, database),
            signed=signatures.verdict(chain.entries),
            witnessed=self._witnesses.verdict(chain.entries),
            complete=complete,
            deep=database,
        )

    def _consistent(self, given: Given, database: Verdict) -> Verdict:
        entries, keys = self.chain.entries, self._signatures.keys
        bad = self.chain.broken or self._signatures.disagreement
        bad = bad or self._prunings.problem(given.get("pruned_leaves"), keys)
        bad = bad or self._erasures.problem(given.get("erased_rows"), keys)
        if bad:
            return Verdict(State.FAILED, min(entries, bad[0] - 1), bad[1], bad[0])
        if database.state is State.FAILED:
            return Verdict(State.FAILED, entries, database.words)
        return Verdict(
            State.PROVEN, entries, f"chain and sequence hold{self._prunings.words()}{self._erasures.words()}"
        )


class _Ahead:
    """The checkpoints that are still to come, with a look at the size of the next."""

    def __init__(self, checkpoints: Iterator[Stored]) -> None:
        self._checkpoints = checkpoints
        self._next = next(checkpoints, None)

    @property
    def ended(self) -> bool:
        return self._next is None

    @property
    def size(self) -> int:
        """The size of the next; where there is none, more than any."""
        return self._next[0] if self._next else _NEVER

    def take(self) -> Stored:
        """Return the next."""
        if self._next is None:
            raise StopIteration
        taken, self._next = self._next, next(self._checkpoints, None)
        return taken


def _database(problems: Iterable[str] | None, entries: int) -> Verdict:
    if problems is None:
        return Verdict(State.NOT_ASKED, 0, "the database itself was not examined")
    found = list(islice(problems, 3))
    if found:
        return Verdict(State.FAILED, 0, "; ".join(found))
    return Verdict(State.PROVEN, entries, "the database is whole, and its columns and indexes say what the bodies say")

"""Moving entries to a destination: at least once, none left out, whatever the destination does."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

import pytest

from counterfoil.exporters import Forwarded, follow, forward
from counterfoil.exporters.forward import TRIES
from counterfoil.exporters.sql import SqliteSource, Writer
from counterfoil.schemas import ExportFailed, StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from counterfoil.exporters.sql import Pending
    from counterfoil.schemas import Entry

    Seal: TypeAlias = Callable[[], Pending]


class Destination:
    """A destination that says no when ``refuses`` says so, and remembers every batch that it was offered."""

    name = "test:destination"

    def __init__(self) -> None:
        self.offered: list[list[int]] = []
        self.taken: list[Entry] = []
        self.refuses: Callable[[Sequence[Entry]], bool] = lambda _entries: False

    def export(self, entries: Sequence[Entry]) -> None:
        """Take the batch, or refuse it as a whole."""
        self.offered.append([entry.seq for entry in entries])
        if self.refuses(entries):
            raise ExportFailed("the destination said no")
        self.taken += entries

    def close(self) -> None:
        """Do nothing."""

    def whole(self) -> list[int]:
        """Return the sequence numbers that arrived whole."""
        return [entry.seq for entry in self.taken if not is_stub(entry)]


def is_stub(entry: Entry) -> bool:
    """Tell a stub from the entry that it stands for."""
    return json.loads(entry.body)["kind"] == "stub"


@pytest.fixture
def destination() -> Destination:
    """Give a destination that takes everything."""
    return Destination()


@pytest.fixture
def source(writer: Writer, seal: Seal, address: Path) -> Iterator[SqliteSource]:
    """Give a log with twenty entries."""
    for _ in range(20):
        writer.append(seal())
    opened = SqliteSource(address)
    yield opened
    opened.close()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sleep through no pause, but count them."""
    taken: list[float] = []

    def nap(seconds: float) -> None:
        if seconds:
            taken.append(seconds)

    monkeypatch.setattr(time, "sleep", nap)
    return taken


def test_everything_arrives_once_and_in_order(source: SqliteSource, destination: Destination) -> None:
    """Twenty entries in batches of six: 6, 6, 6, 2."""
    assert forward(source, destination, batch=6) == Forwarded(sent=20, stubbed=(), cursor=20)
    assert destination.whole() == list(range(1, 21))
    assert [len(batch) for batch in destination.offered] == [6, 6, 6, 2]
    assert source.cursor(destination.name) == 20


def test_a_second_run_sends_only_what_is_new(
    source: SqliteSource, destination: Destination, writer: Writer, seal: Seal
) -> None:
    """The cursor stands in the store, under the name of the destination."""
    forward(source, destination)
    writer.append(seal())
    destination.taken.clear()
    assert forward(source, destination) == Forwarded(sent=1, stubbed=(), cursor=21)
    assert destination.whole() == [21]


def test_each_destination_has_its_own_cursor(source: SqliteSource, destination: Destination) -> None:
    """One that comes later gets everything."""
    forward(source, destination)
    later = Destination()
    later.name = "test:later"
    assert forward(source, later).sent == 20


@pytest.mark.usefixtures("writer")
def test_an_empty_log_is_no_work(address: Path, destination: Destination) -> None:
    """Nothing is offered, not even an empty batch."""
    source = SqliteSource(address)
    assert forward(source, destination) == Forwarded(sent=0, stubbed=(), cursor=0)
    assert destination.offered == []
    source.close()


def test_entries_that_come_meanwhile_wait_for_the_next_run(
    source: SqliteSource, destination: Destination, writer: Writer, seal: Seal
) -> None:
    """A busy log does not keep ``forward`` from ending: it goes up to the head that it saw first."""

    def write_one_more(_entries: Sequence[Entry]) -> bool:
        writer.append(seal())
        return False

    destination.refuses = write_one_more
    assert forward(source, destination, batch=5).cursor == 20


def test_progress_is_told_after_each_batch(source: SqliteSource, destination: Destination) -> None:
    """It is (done, of how many), counted from the cursor."""
    source.move_cursor(destination.name, 10)
    told: list[tuple[int, int]] = []
    forward(source, destination, batch=4, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_a_short_outage_is_sat_out(source: SqliteSource, destination: Destination, naps: list[float]) -> None:
    """A batch gets ``TRIES`` tries with growing pauses; then it goes on as if nothing had been."""
    destination.refuses = lambda _entries: len(destination.offered) < TRIES
    assert forward(source, destination).sent == 20
    assert naps == [0.2, 0.4]


def test_a_destination_that_is_down_raises_and_the_cursor_stays(
    source: SqliteSource, destination: Destination, naps: list[float]
) -> None:
    """It is asked for the batch ``TRIES`` times, then for one entry and its stub: no more, since each may time out."""
    source.move_cursor(destination.name, 4)
    destination.refuses = lambda _entries: True
    with pytest.raises(ExportFailed, match="said no"):
        forward(source, destination)
    assert len(destination.offered) == TRIES + 2
    assert source.cursor(destination.name) == 4
    assert sum(naps) < 1


@pytest.mark.usefixtures("naps")
def test_what_arrived_before_the_outage_is_not_sent_again(source: SqliteSource, destination: Destination) -> None:
    """The next run begins behind the last batch that arrived."""
    destination.refuses = lambda entries: entries[0].seq > 12
    with pytest.raises(ExportFailed):
        forward(source, destination, batch=6)
    assert source.cursor(destination.name) == 12
    destination.refuses = lambda _entries: False
    assert forward(source, destination).sent == 8
    assert destination.whole() == list(range(1, 21))


@pytest.mark.usefixtures("naps")
@pytest.mark.parametrize("poison", [1, 2, 7, 10, 19, 20])
def test_one_refused_entry_goes_out_as_a_stub_and_holds_up_nothing(
    source: SqliteSource, destination: Destination, poison: int
) -> None:
    """Wherever it stands in the batch, the others arrive whole, and its stub keeps number and hashes."""
    destination.refuses = lambda entries: any(entry.seq == poison and not is_stub(entry) for entry in entries)
    assert forward(source, destination) == Forwarded(sent=19, stubbed=(poison,), cursor=20)
    assert sorted(destination.whole()) == [seq for seq in range(1, 21) if seq != poison]
    refused = source.entries_after(poison - 1, 1)[0]
    stub = next(entry for entry in destination.taken if is_stub(entry))
    assert (stub.seq, stub.leaf_hash, stub.chain_hash) == (poison, refused.leaf_hash, refused.chain_hash)
    assert json.loads(stub.body)["of"] == {"kind": "credential_use", "size": len(refused.body)}


@pytest.mark.usefixtures("naps")
def test_several_refused_entries_are_all_named(source: SqliteSource, destination: Destination) -> None:
    """Each costs its own search, and none hides another."""
    poison = {3, 4, 17}
    destination.refuses = lambda entries: any(entry.seq in poison and not is_stub(entry) for entry in entries)
    assert forward(source, destination) == Forwarded(sent=17, stubbed=(3, 4, 17), cursor=20)


@pytest.mark.usefixtures("naps")
def test_a_batch_that_is_too_large_goes_in_parts(source: SqliteSource, destination: Destination) -> None:
    """A limit on the size of a request makes no stubs."""
    destination.refuses = lambda entries: len(entries) > 3
    assert forward(source, destination) == Forwarded(sent=20, stubbed=(), cursor=20)
    assert destination.whole() == list(range(1, 21))


@pytest.mark.usefixtures("naps")
def test_an_outage_during_the_search_makes_no_stub(source: SqliteSource, destination: Destination) -> None:
    """A destination that goes down after it took the stub has not refused the entry: its stub must pass again."""
    seen_stub = False

    def down_after_first_stub(entries: Sequence[Entry]) -> bool:
        nonlocal seen_stub
        if not seen_stub and is_stub(entries[0]):
            seen_stub = True
            return False
        return True

    destination.refuses = down_after_first_stub
    with pytest.raises(ExportFailed):
        forward(source, destination)
    assert source.cursor(destination.name) == 0
    destination.refuses = lambda _entries: False
    assert forward(source, destination) == Forwarded(sent=20, stubbed=(), cursor=20)


@pytest.mark.usefixtures("naps")
def test_an_entry_that_passes_in_the_end_is_whole(source: SqliteSource, destination: Destination) -> None:
    """A destination that came back is no reason for a stub, though one was sent to find out."""
    destination.refuses = lambda entries: not is_stub(entries[0]) and len(destination.offered) < TRIES + 3
    assert forward(source, destination) == Forwarded(sent=20, stubbed=(), cursor=20)
    assert destination.whole() == list(range(1, 21))


def test_a_log_that_lost_its_end_is_reported(source: SqliteSource, destination: Destination, address: Path) -> None:
    """The destination has more than the log: going on in silence would hide it."""
    forward(source, destination)
    tamper = sqlite3.connect(address)
    with tamper:
        tamper.execute("DELETE FROM entry WHERE seq > 15")
    tamper.close()
    with pytest.raises(StoreCorrupt, match="ends at entry 15, but test:destination already has entry 20"):
        forward(source, destination)


def test_follow_sends_entries_as_they_come(
    source: SqliteSource, destination: Destination, writer: Writer, seal: Seal
) -> None:
    """It ends when it is told to, and says what it did."""
    stop = threading.Event()

    def three_more_then_stop(entries: Sequence[Entry]) -> bool:
        if entries[-1].seq < 23:
            writer.append(seal())
        else:
            stop.set()
        return False

    destination.refuses = three_more_then_stop
    assert follow(source, destination, stop, poll=0.01) == Forwarded(sent=23, stubbed=(), cursor=23)
    assert destination.whole() == list(range(1, 24))


def test_follow_waits_out_an_outage(
    source: SqliteSource, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pauses grow to 30 s; each failure is told; when the destination is back, everything arrives."""
    stop, pauses = threading.Event(), list[float]()
    outages: list[ExportFailed] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return bool(destination.taken)

    monkeypatch.setattr(stop, "wait", wait)
    destination.refuses = lambda _entries: len(outages) < 9
    assert follow(source, destination, stop, on_outage=outages.append).sent == 20
    assert len(outages) == 9
    assert [pause for pause in pauses if pause >= 0.8] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]


@pytest.mark.parametrize("down", [True, False])
def test_follow_stops_soon(source: SqliteSource, destination: Destination, *, down: bool) -> None:
    """Also in the middle of an outage, and between two batches of a long way."""
    stop = threading.Event()

    def refuse(_entries: Sequence[Entry]) -> bool:
        stop.set()
        return down

    destination.refuses = refuse
    assert follow(source, destination, stop, batch=2).sent == (0 if down else 2)
    assert len(destination.offered) == 1
    assert source.cursor(destination.name) == (0 if down else 2)

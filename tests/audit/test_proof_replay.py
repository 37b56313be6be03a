"""Stores of used proofs: each proof once, none forgotten too early, and no pass where the store cannot tell."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import sqlite3
import stat
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from counterfoil.audit.proof.replay import MemoryReplayStore, ReplayStore
from counterfoil.audit.proof.replay_sqlite import SqliteReplayStore
from counterfoil.exporters.sql.sqlite import SharedLock
from counterfoil.schemas import ReplayUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_800_000_000.0


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


Make: TypeAlias = "Callable[[Clock], ReplayStore]"


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Give each kind of store in turn."""
    opened: list[SqliteReplayStore] = []

    def one(clock: Clock) -> ReplayStore:
        if request.param == "memory":
            return MemoryReplayStore(clock=clock)
        opened.append(SqliteReplayStore(tmp_path / "replay.db", clock=clock))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


def a_key() -> str:
    """Return a key as ``inspect_dpop`` makes them."""
    return f"sha256:{secrets.token_urlsafe(32)}"


def test_a_key_is_new_once(make: Make) -> None:
    """The first add says that it is new, every later one that it is not; another key is new."""
    store, key = make(Clock()), a_key()
    assert [store.add(key, NOW + 76) for _ in range(3)] == [True, False, False]
    assert store.add(a_key(), NOW + 76)


def test_a_key_is_remembered_until_it_expires(make: Make) -> None:
    """A moment before it expires it is known, whatever was added in between."""
    clock = Clock()
    store, key = make(clock), a_key()
    assert store.add(key, NOW + 76)
    for seconds in (1, 30, 60, 75.999):
        clock.now = NOW + seconds
        for _ in range(40):
            assert store.add(a_key(), clock.now + 0.0001)
        assert not store.add(key, clock.now + 76)


def test_what_has_expired_already_is_not_taken(make: Make) -> None:
    """A store that could forget a proof at once, since its clock is ahead, does not call it new."""
    with pytest.raises(ReplayUnavailable):
        make(Clock(NOW + 100)).add(a_key(), NOW + 76)


def test_of_many_at_once_one_is_told_that_it_is_new(make: Make) -> None:
    """Threads that add the same keys at the same time: each key is new exactly once."""
    store, keys = make(Clock()), [a_key() for _ in range(50)]
    new: list[str] = []
    start = threading.Barrier(8)

    def add_all() -> None:
        start.wait()
        new.extend([key for key in keys if store.add(key, NOW + 76)])

    threads = [threading.Thread(target=add_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == sorted(keys)


class SlowKey(str):
    """A key that lets other threads run whenever a set looks at it."""

    __slots__ = ()

    def __hash__(self) -> int:
        time.sleep(0.005)
        return str.__hash__(self)


def test_looking_and_remembering_are_one_step() -> None:
    """Between the question whether a key is known and remembering it no other thread gets in between."""
    store = MemoryReplayStore(clock=Clock())
    answers: list[bool] = []
    start = threading.Barrier(4)

    def add() -> None:
        start.wait()
        answers.append(store.add(SlowKey("the same"), NOW + 76))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, False, False, True]


def test_a_full_memory_refuses_until_something_expires() -> None:
    """At its bound it holds what it has, and refuses what is new; known keys are still known."""
    clock = Clock()
    store, keys = MemoryReplayStore(10, clock=clock), [a_key() for _ in range(10)]
    assert all(store.add(key, NOW + 76) for key in keys)
    for _ in range(3):
        with pytest.raises(ReplayUnavailable, match="full"):
            store.add(a_key(), NOW + 76)
    assert not any(store.add(key, NOW + 76) for key in keys)
    clock.now = NOW + 76
    assert store.add(a_key(), clock.now + 76)
    assert len(store) < 10


def test_memory_stays_flat_at_its_bound() -> None:
    """Ten bounds' worth of keys that expire one after the other take no more room than one."""
    clock = Clock()
    bound = 2000
    store = MemoryReplayStore(bound, clock=clock)
    keys = iter([a_key() for _ in range(bound * 11)])

    def fill(times: int) -> int:
        for _ in range(times * bound):
            clock.now += 76 / bound
            assert store.add(next(keys), clock.now + 75)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = fill(1)
        last = fill(10)
    finally:
        tracemalloc.stop()
    assert len(store) <= bound
    assert last - first < 64 * 1024


def test_no_add_clears_a_long_queue() -> None:
    """After a pause everything has expired; still an add forgets a few only, so that nobody waits for the rest."""
    clock = Clock()
    store = MemoryReplayStore(5000, clock=clock)
    for _ in range(5000):
        store.add(a_key(), NOW + 76)
    clock.now = NOW + 1000
    store.add(a_key(), clock.now + 76)
    assert 4900 < len(store) <= 5000


def _add_all(path: Path, keys: list[str], found: Any) -> None:
    with SqliteReplayStore(path, deadline=20, clock=Clock()) as store:
        found.put([key for key in keys if store.add(key, NOW + 76)])


def test_processes_share_a_file(tmp_path: Path) -> None:
    """Four processes that add the same keys: each key is new in exactly one of them."""
    keys = [a_key() for _ in range(200)]
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    processes = [context.Process(target=_add_all, args=(tmp_path / "replay.db", keys, found)) for _ in range(4)]
    for process in processes:
        process.start()
    new = [key for _ in processes for key in found.get(timeout=60)]
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert sorted(new) == sorted(keys)


def test_a_forked_child_goes_on_with_the_file(tmp_path: Path) -> None:
    """What the parent added the child knows, and the other way round; the parent's store keeps working."""
    with SqliteReplayStore(tmp_path / "replay.db", clock=Clock()) as store:
        ours, theirs = a_key(), a_key()
        assert store.add(ours, NOW + 76)
        pid = os.fork()
        if pid == 0:
            good = not store.add(ours, NOW + 76) and store.add(theirs, NOW + 76)
            os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert not store.add(theirs, NOW + 76)
        assert store.add(a_key(), NOW + 76)


def test_a_file_remembers_after_it_was_closed(tmp_path: Path) -> None:
    """A server that starts again still knows the proofs of before; a closed store tells nothing."""
    key = a_key()
    with SqliteReplayStore(tmp_path / "replay.db", clock=Clock()) as store:
        assert store.add(key, NOW + 76)
    with pytest.raises(ReplayUnavailable, match="closed"):
        store.add(key, NOW + 76)
    with SqliteReplayStore(tmp_path / "replay.db", clock=Clock()) as again:
        assert not again.add(key, NOW + 76)


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Every file of the store is made for its owner, whatever the umask."""
    before = os.umask(0)
    try:
        with SqliteReplayStore(tmp_path / "replay.db", clock=Clock()) as store:
            store.add(a_key(), NOW + 76)
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert len(modes) == 4


def test_a_file_forgets_what_has_expired(tmp_path: Path) -> None:
    """Expired proofs are removed along the way, a few at a time."""
    clock = Clock()
    with SqliteReplayStore(tmp_path / "replay.db", clock=clock) as store:
        for _ in range(300):
            store.add(a_key(), NOW + 76)
        clock.now = NOW + 76
        for _ in range(160):
            store.add(a_key(), clock.now + 76)
    connection = sqlite3.connect(tmp_path / "replay.db")
    assert connection.execute("SELECT count(*), min(expires) FROM proof").fetchone() == (160, NOW + 152)
    connection.close()


def _fill(store: ReplayStore) -> None:
    for _ in range(10_000):
        assert store.add(a_key(), NOW + 76)


def test_a_full_file_refuses_until_something_expires(tmp_path: Path) -> None:
    """At its limit the file does not grow, and add raises; once proofs have expired there is room again."""
    clock = Clock()
    path = tmp_path / "replay.db"
    with SqliteReplayStore(path, max_bytes=100_000, clock=clock) as store:
        with pytest.raises(ReplayUnavailable, match="full"):
            _fill(store)
        clock.now = NOW + 76
        assert all(store.add(a_key(), clock.now + 76) for _ in range(200))
    assert path.stat().st_size <= 100_000


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    """A database of another kind, and a file that is none, are refused, and not a byte of them changes."""
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE entry (seq INTEGER)")
    connection.close()
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    for path in (other, text):
        before = path.read_bytes()
        with pytest.raises(ReplayUnavailable):
            SqliteReplayStore(path)
        assert path.read_bytes() == before


def test_a_removed_file_is_made_again(tmp_path: Path) -> None:
    """When the file was removed all processes go on with the new one, not each with a past of its own."""
    path = tmp_path / "replay.db"
    with SqliteReplayStore(path, clock=Clock()) as one, SqliteReplayStore(path, clock=Clock()) as other:
        one.add(a_key(), NOW + 76)
        for each in tmp_path.iterdir():
            each.unlink()
        key = a_key()
        assert one.add(key, NOW + 76)
        assert not other.add(key, NOW + 76)
        with SqliteReplayStore(path, clock=Clock()) as newest:
            assert not newest.add(key, NOW + 76)


def test_waiting_has_an_end(tmp_path: Path) -> None:
    """While another process keeps the file, add raises at the deadline."""
    path = tmp_path / "replay.db"
    with SqliteReplayStore(path, deadline=0.1, clock=Clock()) as store:
        lock = SharedLock(path)
        with lock.held(time.monotonic() + 1), pytest.raises(ReplayUnavailable):
            store.add(a_key(), NOW + 76)
        lock.close()
        assert store.add(a_key(), NOW + 76)


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    """A store that cannot be made says so when it is opened."""
    with pytest.raises(ReplayUnavailable):
        SqliteReplayStore(tmp_path / "missing" / "replay.db")

"""The life of a queue: killed, forked, interrupted by a signal, and left behind when the interpreter exits."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import CredentialUse, LogChange, LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from counterfoil.schemas import Entry, FingerprintKey

    Entries = Callable[[], list[Entry]]

pytestmark = pytest.mark.usefixtures("key")

_SCRIPT = """
import atexit, multiprocessing, os, signal, sys, threading, time
from pathlib import Path
from counterfoil.schemas import Action, CredentialUse, Resource, Token

def use(name):
    return CredentialUse(token=Token(), resource=Resource(uri="https://api.example"), action=Action(name=str(name)))

def late(*names):
    for name in names: log.record(use(name))

atexit.register(lambda: late(*LATE))  # before Counterfoil's own, and so run after it
LATE = ()
from counterfoil.audit import AuditLog

log = AuditLog.open(sys.argv[1], delivery="queued")
"""


def _run(script: str, address: Path, *, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a script in an interpreter of its own, and return what it said."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _SCRIPT + script, address]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == code, ran.stderr
    return ran


def _names(entries: list[Entry]) -> list[str]:
    return [entry.event.action.name for entry in entries if isinstance(entry.event, CredentialUse)]


_HEEDED = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # ignored, where tests run in the background
_EXITS = {
    "return": ("late(*range(100))", 0),
    "exception": ("late(*range(100)); raise RuntimeError", 1),
    "sys.exit": ("late(*range(100)); sys.exit(3)", 3),
    "another thread": ("threading.Thread(target=lambda: (time.sleep(0.2), late(*range(100)))).start()", 0),
    "a signal that is handled": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4)); late(*range(100)); signal.raise_signal(signal.SIGTERM)",
        4,
    ),
    "an interrupt": (
        f"{_HEEDED}; late(*range(100)); signal.raise_signal(signal.SIGINT)",
        -2,
    ),
    "a handler that comes last": ("LATE = range(50, 100); late(*range(50))", 0),
    "nothing but a handler that comes last": ("LATE = range(100)", 0),
}


@pytest.mark.parametrize("way", _EXITS)
def test_leaving_writes_what_waits(way: str, address: Path, entries: Entries) -> None:
    """However an interpreter exits in an orderly way, without ``close``, every accepted entry is in the log."""
    script, code = _EXITS[way]
    _run(script, address, code=code)
    assert _names(entries()) == [str(number) for number in range(100)]


def test_a_loss_at_exit_is_not_silent(address: Path) -> None:
    """If the store takes nothing until the end, Python prints how many accepted entries were not written."""
    script = """
from counterfoil.audit import lifetime
from counterfoil.exporters.sql.sqlite import SharedLock
lifetime._LEAVING = log._unrecorded.deadline = log._queue._deadline = log._writer._deadline = 0.2
SharedLock(Path(sys.argv[1])).acquire(time.monotonic() + 1)
late(*range(7))
"""
    said = _run(script, address).stderr
    assert "AuditTimeout" in said
    assert "7 entries waiting" in said


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_write_what_waits(method: str, address: Path, tmp_path: Path) -> None:
    """They leave without Python's own exit, and yet nothing that they accepted is lost."""
    (tmp_path / "work.py").write_text(
        _SCRIPT + "def work(number): late(*(100 * number + each for each in range(100)))", encoding="utf-8"
    )
    script = f"""
sys.path.insert(0, {str(tmp_path)!r})
if __name__ == "__main__":
    from multiprocessing import get_context
    context = get_context({method!r})
    import work
    children = [context.Process(target=work.work, args=(number,)) for number in range(2)]
    for child in children: child.start()
    for child in children: child.join()
"""
    main = tmp_path / "main.py"
    main.write_text(f"import sys\n{script}", encoding="utf-8")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", main, address]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        assert sorted(map(int, _names(list(reader.find(Filter()))))) == list(range(200))


@pytest.mark.parametrize("defect", [False, True])
def test_a_child_does_not_write_what_its_parent_accepted(
    defect: bool,  # noqa: FBT001 -- pytest gives it by name
    address: Path,
    everything: Entries,
) -> None:
    """Forked while the queue is full and three threads record: each entry is written once, by whoever accepted it.

    The seeded defect lets the child go on with its parent's queue.
    """
    script = f"""
from counterfoil.audit.queued import QueuedDelivery
if {defect}: QueuedDelivery.begin_life = lambda self: setattr(self, "_thread", None)
signal.alarm(8 if {defect} else 0)  # with the defect a child may wait for ever
stop = threading.Event()
def work(name):
    number = 0
    while not stop.is_set():
        log.record(use(f"{{name}}-{{number}}")); number += 1; time.sleep(0.0005)
    counts[name] = number
counts = {{}}
threads = [threading.Thread(target=work, args=(f"t{{each}}",)) for each in range(3)]
for thread in threads: thread.start()
children = []
for each in range(8):
    time.sleep(0.02)
    child = os.fork()
    if not child:
        signal.alarm(5 if {defect} else 0)
        late(*(f"c{{each}}-{{number}}" for number in range(20)))
        log.flush(deadline=20) if each % 2 else None
        sys.exit(0) if each % 4 else log.close()
        os._exit(0)
    children.append(child)
ended = [os.waitpid(child, 0)[1] for child in children]
stop.set()
for thread in threads: thread.join()
assert {defect} or not any(ended), ended
print(*(f"{{name}}-{{number}}" for name, number in counts.items()))
"""
    try:
        ran = _run(script, address)
    except AssertionError:
        if not defect:
            raise
        return
    recorded = dict(line.split("-") for line in ran.stdout.split())
    expected = [f"{name}-{number}" for name, count in recorded.items() for number in range(int(count))]
    expected += [f"c{each}-{number}" for each in range(8) for number in range(20)]
    names = _names(everything())
    assert (sorted(names) == sorted(expected)) == (not defect)


@pytest.mark.parametrize("defect", [False, True])
def test_a_kill_takes_no_more_than_what_was_not_flushed(
    defect: bool,  # noqa: FBT001 -- pytest gives it by name
    address: Path,
    key: FingerprintKey,
) -> None:
    """Killed at any moment: what was flushed is in the log, then at most a first part of the rest, and no closing.

    The seeded defect takes ``flush`` for done at once.
    """
    assert key.key_id
    script = f"""
if {defect}: log.flush = lambda: None
for number in range(10**9):
    log.record(use(number))
    if number % 20 == 0:
        log.flush()
        os.write(1, b"%d\\n" % number)
    elif number % 7 == 0: time.sleep(0.0005)
"""
    short = 0
    for milliseconds in (0, 5, 20, 60, 120):
        path = address.with_name(f"{milliseconds}.db")
        with subprocess.Popen([sys.executable, "-c", _SCRIPT + script, path], stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            first = running.stdout.readline()
            time.sleep(milliseconds / 1000)
            running.kill()
            flushed = int((first + running.stdout.read()).splitlines()[-1])
        with AuditReader.open(path) as reader:
            assert reader.verify().consistent
            stored = list(reader.find(Filter()))
        names = _names(stored)
        assert names == [str(number) for number in range(len(names))]
        assert [_number(entry) for entry in stored] == list(range(1, len(stored) + 1))
        assert not [
            each for each in stored if isinstance(each.event, LogEvent) and each.event.change is LogChange.CLOSED
        ]
        short += len(names) <= flushed
    assert bool(short) == defect


def _number(entry: Entry) -> int:
    assert entry.event.context.producer is not None
    return entry.event.context.producer.seq


def test_a_signal_handler_may_record(address: Path, entries: Entries) -> None:
    """A handler that records, in the middle of a call that does the same, deadlocks nothing and loses nothing."""
    script = """
handled = 0
def handle(*_):
    global handled
    log.record(use(f"signal-{handled}")); handled += 1
    signal.setitimer(signal.ITIMER_REAL, 0.001)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001)
for number in range(2000): log.record(use(f"call-{number}"))
signal.setitimer(signal.ITIMER_REAL, 0)
print(handled)
"""
    handled = int(_run(script, address).stdout)
    names = _names(entries())
    assert handled > 10
    assert [name for name in names if name.startswith("call")] == [f"call-{number}" for number in range(2000)]
    assert [name for name in names if name.startswith("signal")] == [f"signal-{number}" for number in range(handled)]


def test_memory_is_bounded(address: Path) -> None:
    """60 MB of events, given to a store that is away, take little more than what the queue may hold and its writer."""
    script = """
import tracemalloc
from counterfoil.exporters.sql.sqlite import SharedLock
from counterfoil.schemas import AuditUnavailable, Context
log.close()
log = AuditLog.open(sys.argv[1], delivery="queued", queue_bytes=4 * 2**20, deadline=0.001)
late(*range(100)); log.flush(deadline=20)  # so that what is loaded once is loaded
lock = SharedLock(Path(sys.argv[1])); lock.acquire(time.monotonic() + 1)
large = Context(attributes={"x": ["y" * 600] * 330})
tracemalloc.start()
accepted = 0
for number in range(300):
    event = CredentialUse(context=large.model_copy(update={"event_id": use(0).context.event_id}), token=Token(),
                          resource=Resource(uri="https://api.example"), action=Action(name="large"))
    try: log.record(event)
    except AuditUnavailable: pass
    else: accepted += 1
print(accepted, tracemalloc.get_traced_memory()[1])
lock.release()
log.flush(deadline=20); log.close()
"""
    accepted, peak = map(int, _run(script, address).stdout.split())
    assert 19 <= accepted <= 21
    assert peak < 24 * 2**20

"""Checkpoints of a log in use: when they are made, what they rest on, and that no entry suffers by them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity import checkpoints
from counterfoil.audit.integrity.merkle import CompactRange, root_of
from counterfoil.audit.integrity.note import Checkpoint, VerifierKey, origin_of, parse_checkpoint
from counterfoil.audit.integrity.signing_key import SigningKey, make_key_file
from counterfoil.audit.integrity.verdict import State
from counterfoil.audit.integrity.verify import verify_rows
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql import Writer, open_writer
from counterfoil.schemas import AuditUnavailable, LogChange, LogEvent, SigningKeyError, StoreCorrupt
from counterfoil.schemas.entry import chain_hash, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeUse

pytestmark = pytest.mark.usefixtures("key")

CHILD: Final = """
import sys
from counterfoil.audit import AuditLog
from counterfoil.audit.integrity import checkpoints
from counterfoil.schemas import LogChange, LogEvent

checkpoints.EVERY_ENTRIES = 20
with AuditLog.open(sys.argv[1], deadline=20.0) as log:
    for number in range(int(sys.argv[2])):
        log.record(LogEvent(change=LogChange.GAP, count=number))
"""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a checkpoint be due every 20 entries."""
    monkeypatch.setattr(checkpoints, "EVERY_ENTRIES", 20)


@pytest.fixture
def signing_key() -> SigningKey:
    """Make a signing key."""
    return SigningKey.generate("example.com/agents")[0]


def stored(address: Path) -> list[tuple[Checkpoint, bytes]]:
    """Return the checkpoints of a log, with their frontiers."""
    with closing(sqlite3.connect(address)) as connection:
        rows = connection.execute("SELECT size, note, frontier FROM checkpoint ORDER BY size").fetchall()
    found = [(parse_checkpoint(note), frontier) for _, note, frontier in rows]
    assert [each.size for each, _ in found] == [size for size, _, _ in rows]
    return found


def leaves_of(address: Path) -> list[bytes]:
    """Return the leaf hashes of a log."""
    with closing(sqlite3.connect(address)) as connection:
        return [leaf for (leaf,) in connection.execute("SELECT leaf_hash FROM entry ORDER BY seq")]


def sizes_that_hold(address: Path, *keys: VerifierKey) -> list[int]:
    """Return the sizes of all checkpoints, each of which is of the log's very leaves, and signed by just these keys."""
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent.state is not State.FAILED
        origin = origin_of(reader.log_id)
    leaves, found = leaves_of(address), stored(address)
    for checkpoint, frontier in found:
        assert (checkpoint.origin, checkpoint.extensions) == (origin, ())
        assert checkpoint.root == root_of(leaves[: checkpoint.size]) == CompactRange.from_bytes(frontier).root()
        assert len(checkpoint.signatures) == len(keys)
        assert checkpoint.checked(keys) == dict.fromkeys(keys, True)
    return [checkpoint.size for checkpoint, _ in found]


def changes(address: Path) -> list[tuple[str, str | None]]:
    """Return what the log tells of itself, and which key it names."""
    with AuditReader.open(address) as reader:
        events = [entry.event for entry in reader.find(Filter())]
    return [(event.change.value, event.verification_key) for event in events if isinstance(event, LogEvent)]


def rewrite(address: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Change a log as somebody could who can write its file."""
    with closing(sqlite3.connect(address)) as connection, connection:
        for statement, given in statements:
            connection.execute(statement, given)


def inner(log: AuditLog) -> checkpoints.Checkpointer:
    """Return what makes the checkpoints of a log."""
    assert log._checkpointer is not None
    return log._checkpointer


def record(log: AuditLog, count: int) -> None:
    """Record so many entries."""
    for number in range(count):
        log.record(LogEvent(change=LogChange.GAP, count=number))


def test_a_closed_log_is_under_a_checkpoint(address: Path, log: AuditLog, a_use: MakeUse) -> None:
    """Without a key it is unsigned. It takes in every entry, the closing too."""
    log.record(a_use())
    assert stored(address) == []
    log.close()
    assert sizes_that_hold(address) == [4]


def test_one_is_due_every_so_many_entries(address: Path, log: AuditLog) -> None:
    """Counted from the last one, also when the log is opened again."""
    record(log, 43)
    assert sizes_that_hold(address) == [20, 40]
    log.close()
    assert sizes_that_hold(address) == [20, 40, 46]
    with AuditLog.open(address) as again:
        record(again, 20)
        assert sizes_that_hold(address) == [20, 40, 46, 66]


def test_one_is_due_after_a_time_of_activity(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first entry after that time brings it. While nothing is recorded, nothing is made."""
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.1)
    with AuditLog.open(address) as log:
        time.sleep(0.15)
        assert sizes_that_hold(address) == []
        record(log, 1)
        assert sizes_that_hold(address) == [3]
        time.sleep(0.15)
        record(log, 2)
        assert sizes_that_hold(address)[:2] == [3, 4]


def test_a_key_signs_from_the_opening_on(address: Path, signing_key: SigningKey) -> None:
    """The opening names it, and is under its first checkpoint."""
    with AuditLog.open(address, signing_key=signing_key) as log:
        assert sizes_that_hold(address, signing_key.verifier_key) == [2]
        record(log, 20)
    assert sizes_that_hold(address, signing_key.verifier_key) == [2, 22, 23]
    assert changes(address)[:2] == [("created", None), ("opened", str(signing_key.verifier_key))]


def test_the_key_of_the_environment_signs(address: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to be said in the program. A key that is given goes before it."""
    folder = tmp_path / "keys"
    folder.mkdir()
    key = make_key_file(folder / "signing.key", "ours")
    monkeypatch.setenv("COUNTERFOIL_SIGNING_KEY_FILE", str(folder / "signing.key"))
    AuditLog.open(address).close()
    assert sizes_that_hold(address, key.verifier_key) == [2, 3]
    given = SigningKey.generate("given")[0]
    AuditLog.open(tmp_path / "other.db", signing_key=given).close()
    assert sizes_that_hold(tmp_path / "other.db", given.verifier_key) == [2, 3]


def test_a_key_beside_the_database_opens_no_log(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made, and an existing log is not opened either."""
    make_key_file(address.parent / "signing.key", "ours")
    monkeypatch.setenv("COUNTERFOIL_SIGNING_KEY_FILE", str(address.parent / "signing.key"))
    with pytest.raises(SigningKeyError, match="beside"):
        AuditLog.open(address)
    assert not address.exists()


def test_another_key_is_told_of(address: Path) -> None:
    """An entry names it before it signs; the same key again needs none, and neither does a time without a key."""
    one, two = (SigningKey.generate(name)[0] for name in ("one", "two"))
    for key in (one, one, two, two, None, two, None, one):
        AuditLog.open(address, signing_key=key).close()
    told = [(change, key) for change, key in changes(address) if change == "signing_key_rotated"]
    assert told == [("signing_key_rotated", str(key.verifier_key)) for key in (two, one)]
    leaves = leaves_of(address)
    for checkpoint, _ in stored(address):
        assert checkpoint.root == root_of(leaves[: checkpoint.size])
        assert set(checkpoint.checked([one.verifier_key, two.verifier_key]).values()) <= {True}
    assert len([each for each, _ in stored(address) if each.signatures]) == 12


def test_an_unsigned_checkpoint_is_signed_by_who_comes_later(address: Path, signing_key: SigningKey) -> None:
    """Two processes may stand at one size, one with a key and one without: the signature is kept, whoever is last."""
    with AuditLog.open(address) as unsigned, AuditLog.open(address, signing_key=signing_key) as signed:
        record(unsigned, 1)
        for log, signatures in ((unsigned, 0), (signed, 1), (unsigned, 1), (signed, 1)):
            inner(log)._now(5.0)
            assert [(each.size, len(each.signatures)) for each, _ in stored(address)] == [(3, 1), (4, signatures)]


def test_opening_again_starts_from_the_frontier(
    address: Path, signing_key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the leaves after the last checkpoint are read; with a key, after the last that it signed."""
    starts: list[int] = []
    whole = Writer.leaves_after

    def counted(writer: Writer, seq: int, *, deadline: float | None = None) -> Any:
        starts.append(seq)
        return whole(writer, seq, deadline=deadline)

    monkeypatch.setattr(Writer, "leaves_after", counted)
    for key in (None, None, signing_key, signing_key, None, signing_key):
        with AuditLog.open(address, signing_key=key) as log:
            record(log, 60)
    assert starts.count(0) == 2  # of a new log, and of one that this key had not signed yet


@pytest.mark.parametrize(
    "damage",
    [
        ("UPDATE checkpoint SET frontier = NULL", ()),
        ("UPDATE checkpoint SET frontier = ?", (b"",)),
        ("UPDATE checkpoint SET frontier = ?", (bytes(8),)),
        ("UPDATE checkpoint SET frontier = CAST(substr(frontier, 1, length(frontier) - 1) || ? AS BLOB)", (b"\xff",)),
        ("UPDATE checkpoint SET note = 'no checkpoint'", ()),
        ("UPDATE checkpoint SET note = replace(note, 'counterfoil/', 'counterfoil/0')", ()),
        ("DELETE FROM checkpoint", ()),
    ],
)
@pytest.mark.parametrize("key", [None, SigningKey.generate("ours")[0]])
def test_a_damaged_frontier_is_not_gone_on_from(
    damage: tuple[str, tuple[Any, ...]], key: SigningKey | None, address: Path
) -> None:
    """All leaves are taken in again, and the next checkpoint is right."""
    with AuditLog.open(address, signing_key=key) as log:
        record(log, 30)
    rewrite(address, damage)
    with AuditLog.open(address, signing_key=key) as log:
        record(log, 30)
    with closing(sqlite3.connect(address)) as connection:
        size, note = connection.execute("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    last, leaves = parse_checkpoint(note), leaves_of(address)
    assert size == last.size == len(leaves)
    assert last.root == root_of(leaves)


def altered(address: Path, seq: int) -> CompactRange:
    """Edit one entry and make every hash after it follow, as somebody can who knows how; return the new tree."""
    with closing(sqlite3.connect(address)) as connection, connection:
        (log_id,) = connection.execute("SELECT log_id FROM log").fetchone()
        rows = connection.execute("SELECT seq, body FROM entry ORDER BY seq").fetchall()
        head, leaves = bytes(32), list[bytes]()
        for each, before in rows:
            body = before.replace('"count":', '"count":1') if each == seq else before
            leaves.append(leaf_hash(body.encode()))
            head = chain_hash(log_id, each, head, leaves[-1])
            connection.execute(
                "UPDATE entry SET body = ?, leaf_hash = ?, chain_hash = ? WHERE seq = ?", (body, leaves[-1], head, each)
            )
    with AuditReader.open(address) as reader:
        assert verify_rows(reader._store.stored(), reader.log_id).consistent.state is not State.FAILED
    tree = CompactRange()
    tree.extend(leaves)
    return tree


def test_altered_entries_are_never_signed(address: Path, signing_key: SigningKey) -> None:
    """With the frontier as it was, later checkpoints keep saying what was there; without it, none is made any more."""
    with AuditLog.open(address, signing_key=signing_key) as log:
        record(log, 30)
    honest = leaves_of(address)
    altered(address, 10)
    AuditLog.open(address, signing_key=signing_key).close()
    later, _ = stored(address)[-1]
    assert later.size == len(honest) + 2
    assert later.root == root_of(honest + leaves_of(address)[len(honest) :]) != root_of(leaves_of(address))
    rewrite(address, ("UPDATE checkpoint SET frontier = NULL", ()))
    before = stored(address)
    with AuditLog.open(address, signing_key=signing_key) as log:
        record(log, 50)
    assert stored(address) == before


def test_a_forged_checkpoint_is_not_gone_on_from(address: Path, signing_key: SigningKey) -> None:
    """Whoever alters entries can write a fitting frontier and note, but not sign it: what is signed shows the rest."""
    with AuditLog.open(address, signing_key=signing_key) as log:
        record(log, 30)
    tree, (last, _) = altered(address, 10), stored(address)[-1]
    forged = Checkpoint(last.origin, tree.size, bytes(32), signatures=last.signatures)
    rewrite(
        address,
        ("UPDATE checkpoint SET note = ?, frontier = ? WHERE size = ?", (str(forged), tree.to_bytes(), tree.size)),
    )
    before = stored(address)
    AuditLog.open(address, signing_key=signing_key).close()
    assert stored(address) == before


def test_rows_that_are_gone_are_not_signed_over(address: Path, signing_key: SigningKey) -> None:
    """A hole in the log is not closed by a tree of what is left."""
    with AuditLog.open(address, signing_key=signing_key) as log:
        record(log, 30)
    rewrite(address, ("DELETE FROM entry WHERE seq = 7", ()), ("DELETE FROM checkpoint", ()))
    with AuditLog.open(address, signing_key=signing_key) as log:
        record(log, 30)
    assert stored(address) == []


def test_a_long_way_is_made_in_parts(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of many entries without a checkpoint: each call takes in its part, with rests between, until all is in."""
    taken: list[int] = []
    whole = CompactRange.extend

    def counted(tree: CompactRange, leaves: list[bytes]) -> None:
        taken.append(len(leaves))
        whole(tree, leaves)

    monkeypatch.setattr(CompactRange, "extend", counted)
    monkeypatch.setattr(checkpoints, "_PART", 50)
    with AuditLog.open(address) as log:
        monkeypatch.setattr(checkpoints, "EVERY_ENTRIES", 10**6)
        record(log, 400)
        assert taken == []
        monkeypatch.setattr(checkpoints, "EVERY_ENTRIES", 20)
        inner(log).begin()
        until = time.monotonic() + 30
        while max((each.size for each, _ in stored(address)), default=0) < 400 and time.monotonic() < until:
            time.sleep(0.005)
            record(log, 1)
            assert max(taken, default=0) <= 50
    assert sizes_that_hold(address)[:4] == [50, 100, 150, 200]


class Service:
    """A service that keeps a key, and may be made to fail or to hang."""

    def __init__(self) -> None:
        self._inner = SigningKey.generate("kms.example/audit")[0]
        self.key = SigningKey(str(self._inner.verifier_key), self._sign)
        self.secret = secrets.token_urlsafe(24)
        self.failing = False
        self.answering = threading.Event()
        self.answering.set()
        self.asked = 0

    def _sign(self, message: bytes) -> bytes:
        self.asked += 1
        assert self.answering.wait(30)
        if self.failing:
            raise RuntimeError(self.secret)
        return self._inner.sign(message)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until this holds, for 10 s at most."""
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_service_signs_behind_the_caller(address: Path) -> None:
    """In a thread of its own; the log that was closed has its last checkpoint."""
    service = Service()
    with AuditLog.open(address, signing_key=service.key) as log:
        record(log, 20)
        eventually(lambda: len(stored(address)) == 2)
    sizes = sizes_that_hold(address, service.key.verifier_key)
    assert (sizes[0], sizes[-1]) == (2, 23)


def test_a_service_that_hangs_delays_nobody(address: Path) -> None:
    """Entries are recorded meanwhile, and closing ends at the deadline; nothing is left to wait for."""
    service = Service()
    log = AuditLog.open(address, signing_key=service.key, deadline=0.5)
    service.answering.clear()
    started = time.monotonic()
    record(log, 100)
    assert service.asked == 3  # the trial, the opening, and one that hangs
    log.close()
    assert time.monotonic() - started < 5
    assert sizes_that_hold(address, service.key.verifier_key) == [2]
    service.answering.set()
    eventually(lambda: not any(each.name == "counterfoil-checkpoint" for each in threading.enumerate()))
    assert sizes_that_hold(address, service.key.verifier_key) == [2]


def test_a_service_that_fails_fails_no_entry(
    address: Path, monkeypatch: pytest.MonkeyPatch, leaks: Callable[..., list[str]]
) -> None:
    """It is asked again later, and what it said stands nowhere."""
    monkeypatch.setattr(checkpoints, "_RETRY", 0.05)
    service = Service()
    with AuditLog.open(address, signing_key=service.key) as log:
        service.failing = True
        record(log, 40)
        eventually(lambda: inner(log)._turn.acquire(blocking=False))
        inner(log)._turn.release()
        service.failing = False
        time.sleep(0.1)
        record(log, 1)
        eventually(lambda: len(stored(address)) == 2)
    assert sizes_that_hold(address, service.key.verifier_key)[1] > 20
    assert leaks(service.secret, address.parent) == []


def test_a_key_that_does_not_sign_opens_no_log(address: Path) -> None:
    """It is tried first, so that the log never names a key that vouches for nothing."""
    service = Service()
    service.failing = True
    with pytest.raises(SigningKeyError, match="did not sign"):
        AuditLog.open(address, signing_key=service.key)
    assert not address.exists()


@pytest.mark.parametrize("fault", [AuditUnavailable("full"), RuntimeError("a bug"), MemoryError()])
def test_a_checkpoint_that_cannot_be_stored_fails_no_entry(
    fault: Exception, address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is, the receipts are given; the next checkpoint takes in what this one would have."""

    def full(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(checkpoints, "_RETRY", 0.0)
    with AuditLog.open(address) as log:
        with monkeypatch.context() as broken:
            broken.setattr(Writer, "save_checkpoint", full)
            record(log, 40)
        assert stored(address) == []
        record(log, 1)
        assert sizes_that_hold(address) == [43]


def test_threads_and_a_queue(address: Path, signing_key: SigningKey) -> None:
    """Eight threads on two logs of one file, one of them queued: each checkpoint is of the log's very leaves."""
    with (
        AuditLog.open(address, signing_key=signing_key, deadline=20.0) as log,
        AuditLog.open(address, signing_key=signing_key, delivery="queued", deadline=20.0) as queued,
    ):
        threads = [threading.Thread(target=record, args=(each, 60)) for each in (log, queued) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sizes = sizes_that_hold(address, signing_key.verifier_key)
    assert sizes[-1] == 8 * 60 + 3 + 2
    assert len(sizes) >= 10


def test_processes(address: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes with one key: no two roots of one size, and together about one checkpoint where one is due."""
    key, text = SigningKey.generate("ours")
    monkeypatch.setenv("COUNTERFOIL_SIGNING_KEY", text)
    AuditLog.open(address).close()
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, address, "100"], cwd=tmp_path, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [(child.communicate(timeout=120)[1], child.returncode) for child in children] == [(b"", 0)] * 3
    sizes = sizes_that_hold(address, key.verifier_key)
    assert sizes[-1] == 3 + 3 * 102
    assert 12 <= len(sizes) <= 40


def test_a_crash_before_the_checkpoint_loses_the_checkpoint_alone(address: Path, tmp_path: Path) -> None:
    """A process that dies between commit and checkpoint: the next one makes it, from the last frontier on."""
    crash = CHILD.replace(
        "with AuditLog",
        "import os\nfrom counterfoil.exporters.sql import Writer\n"
        "Writer.save_checkpoint = lambda *_, **__: os._exit(9)\nwith AuditLog",
    )
    with AuditLog.open(address) as log:
        record(log, 10)
    child = subprocess.run([sys.executable, "-c", crash, address, "100"], cwd=tmp_path, timeout=60, check=False)
    assert child.returncode == 9
    assert sizes_that_hold(address) == [13]
    assert len(leaves_of(address)) == 33
    AuditLog.open(address).close()
    assert sizes_that_hold(address)[-1] == 35


def test_a_forked_child_makes_its_own(address: Path) -> None:
    """Also while its parent was making one."""
    with AuditLog.open(address) as log:
        record(log, 10)
        with inner(log)._turn:
            child = os.fork()
            if child == 0:
                record(log, 30)
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert sizes_that_hold(address)[-1] >= 20
        record(log, 30)
    sizes = sizes_that_hold(address)
    assert sizes[-1] == 10 + 60 + 3


def test_a_signal_in_the_middle_of_one_waits_for_nothing(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that records and closes runs through at once, and so does what it came into."""
    whole = Writer.save_checkpoint

    def interrupted(*given: Any, **named: Any) -> None:
        monkeypatch.setattr(Writer, "save_checkpoint", whole)
        signal.raise_signal(signal.SIGUSR1)
        whole(*given, **named)

    log = AuditLog.open(address, deadline=20.0)

    def handle(*_: object) -> None:
        record(log, 30)
        log.close()

    before = signal.signal(signal.SIGUSR1, handle)
    started = time.monotonic()
    try:
        monkeypatch.setattr(Writer, "save_checkpoint", interrupted)
        record(log, 18)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - started < 10
    assert len(leaves_of(address)) == 20 + 30 + 1
    AuditLog.open(address).close()
    assert sizes_that_hold(address)[-1] == 53


def test_nothing_waits_for_a_store_that_is_busy(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry is committed and its receipt given, although the turn of the checkpoint does not come."""
    monkeypatch.setattr(checkpoints, "_STORE_WAIT", 0.05)
    with AuditLog.open(address, deadline=20.0) as log:
        record(log, 17)
        whole = Writer.append

        def taken(opened: Writer, *given: Any) -> None:
            whole(opened, *given)
            holder.start()
            assert held.wait(10)

        writer = log._writer
        assert isinstance(writer, Writer)

        def hold() -> None:
            with writer._led():
                held.set()
                over.wait(10)

        held, over, holder = threading.Event(), threading.Event(), threading.Thread(target=hold)
        monkeypatch.setattr(Writer, "append", taken)
        started = time.monotonic()
        record(log, 1)
        assert time.monotonic() - started < 5
        monkeypatch.setattr(Writer, "append", whole)
        over.set()
        holder.join()
        assert stored(address) == []
    assert sizes_that_hold(address) == [21]


def test_nothing_shows_the_key(
    address: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    leaks: Callable[..., list[str]],
) -> None:
    """Neither the database, nor its WAL, nor the diagnostics, nor the notes hold a part of it; the file alone does."""
    (tmp_path / "keys").mkdir()
    path = tmp_path / "keys" / "signing.key"
    key = make_key_file(path, "ours")
    secret = path.read_text().strip().split("+", 4)[4]
    monkeypatch.setenv("COUNTERFOIL_LOG", "debug")
    with AuditLog.open(address, signing_key=key) as log:
        record(log, 50)
        monkeypatch.setattr(Writer, "save_checkpoint", None)
        record(log, 50)
        read = capsys.readouterr()
        assert leaks(secret, read.out, read.err, *(each for each in tmp_path.iterdir() if each.is_file())) == []
    assert leaks(secret, path) != []


def test_a_log_in_postgresql_has_the_same(postgres: str, signing_key: SigningKey) -> None:
    """Made when they are due, gone on from, told of when the key changes, and no two of one size differ."""
    two = SigningKey.generate("two")[0]
    for key in (None, signing_key, signing_key, two):
        with AuditLog.open(postgres, signing_key=key, deadline=20.0) as log:
            record(log, 30)
    with AuditReader.open(postgres) as reader:
        rows = list(reader._store.stored())
        kept = [parse_checkpoint(note) for _, note in reader._store.checkpoints()]
        found = reader.commitment()
        verified = reader.verify(keys=[str(signing_key.verifier_key)])
    leaves = [leaf for _, _, leaf, _ in rows]
    assert [each.size for each in kept] == [20, 33, 34, 54, 65, 66, 86, 97, 99, 119, 130]
    assert all(each.root == root_of(leaves[: each.size]) for each in kept)
    assert [len(each.signatures) for each in kept] == [0, 0, *[1] * 9]
    assert found.checkpoint.root == root_of(leaves)
    assert (verified.failed, verified.signed.reach) == (("complete",), 97)  # they all tell of gaps
    told = [json.loads(body or "")["change"] for _, body, _, _ in rows if (body or b"").startswith(b'{"change"')]
    assert told.count("signing_key_rotated") == 1
    with closing(writer_of(postgres)) as writer:
        last = writer.last_checkpoint()
        assert last is not None
        assert CompactRange.from_bytes(last.frontier or b"").root() == kept[-1].root
        writer.save_checkpoint(last._replace(note=str(Checkpoint(kept[-1].origin, last.size, kept[-1].root))))
        again = writer.last_checkpoint()
        assert again is not None
        assert parse_checkpoint(again.note).signatures == kept[-1].signatures
        with pytest.raises(StoreCorrupt):
            writer.save_checkpoint(last._replace(note=str(Checkpoint(kept[-1].origin, last.size, bytes(32)))))


def writer_of(address: str) -> Writer:
    """Open the writing end of a log by itself."""
    return open_writer(address, deadline=20.0, fingerprint_key_id="00000000")

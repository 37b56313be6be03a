"""Retention: old bodies go, their hashes stay, a key signs for it, and at every instant the log verifies."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity.merkle import root_of
from counterfoil.audit.integrity.note import VerifierKey, parse_checkpoint, pruned_origin_of
from counterfoil.audit.integrity.signing_key import SigningKey
from counterfoil.audit.keeping.retention import Retention, retain
from counterfoil.audit.review.completeness import recorded_whole
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql import open_reader, open_source
from counterfoil.schemas import (
    AuditUnavailable,
    ConfigurationError,
    Context,
    Kind,
    LogChange,
    LogEvent,
    SigningKeyError,
    StoreCorrupt,
    StoreMissing,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeUse, Run

    from counterfoil.schemas import FingerprintKey


@pytest.fixture(autouse=True)
def signing_key(monkeypatch: pytest.MonkeyPatch) -> SigningKey:
    """Give a signing key that nobody else has, and make it this deployment's."""
    key, text = SigningKey.generate("test/audit")
    monkeypatch.setenv("COUNTERFOIL_SIGNING_KEY", text)
    return key


@pytest.fixture
def old(log: AuditLog, a_use: MakeUse) -> datetime:
    """Write created, opened, five uses, a gap and three uses (3 to 7, 9 to 11), and give the moment after all that."""
    for number in range(5):
        log.record(a_use(f"old_{number}"))
    log.record(LogEvent(change=LogChange.GAP))
    for number in range(3):
        log.record(a_use(f"old_{5 + number}"))
    return _now()


def _now() -> datetime:
    time.sleep(0.002)
    return datetime.now(UTC)


def _pruned(address: Path | str) -> list[int]:
    with closing(open_reader(str(address))) as reader:
        return [seq for seq, body, _, _ in reader.stored() if body is None]


def _verified(address: Path | str) -> int:
    """Return how many entries there are, all of which verify: by the written rules, and by our verifier."""
    with AuditReader.open(address) as reader:
        found = reader.verify()
        assert found.consistent, found
    return _held(address)


def _held(address: Path | str) -> int:
    with closing(open_reader(str(address))) as reader:
        log_id, head, expected, gone, told = bytes.fromhex(reader.log_id), bytes(32), 0, dict[int, bytes](), list[Any]()
        for seq, body, leaf, chain in reader.stored():
            expected += 1
            assert (seq, len(leaf)) == (expected, 32)
            head = hashlib.sha256(b"counterfoil/1\0" + log_id + seq.to_bytes(8, "big") + head + leaf).digest()
            assert chain == head
            if body is None:
                gone[seq] = leaf
                continue
            assert hashlib.sha256(b"\0" + body).digest() == leaf
            event = json.loads(body)
            if event["kind"] == "log" and event["change"] == "pruned":
                told.append(event)
    for event in told:
        leaves = [gone.pop(seq) for seq in range(event["first"], event["last"] + 1) if seq in gone]
        note, [key] = parse_checkpoint(event["note"]), [VerifierKey.parse(event["verification_key"])]
        assert (event["count"], note.size, note.root) == (len(leaves), len(leaves), root_of(leaves))
        assert (note.origin, note.checked([key])) == (pruned_origin_of(log_id.hex()), {key: True})
    assert not gone
    return expected


def test_bodies_go_and_the_log_verifies(old: datetime, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """What was recorded before goes, but for what the log tells of itself; what came after stays, and all verifies."""
    young = log.record(a_use("young"))
    assert retain(address, before=old) == Retention(8, 3, 11, {}, removed=True, purged=True)
    assert _pruned(address) == [3, 4, 5, 6, 7, 9, 10, 11]
    with AuditReader.open(address) as reader:
        kept = [(entry.seq, entry.event.kind) for entry in reader.find(Filter())][:5]
        assert kept == [(1, Kind.LOG), (2, Kind.LOG), (8, Kind.LOG), (12, Kind.CREDENTIAL_USE), (13, Kind.LOG)]
        found = reader.entry(young.seq)
        assert found is not None
        assert found.chain_hash.hex() == young.chain_hash
    assert log.record(a_use()).seq == _verified(address)


def test_the_entry_that_tells_of_it(old: datetime, log: AuditLog, address: Path, signing_key: SigningKey) -> None:
    """It says how many, from where to where and why, and its note commits to their leaves, in order, under the key."""
    with AuditReader.open(address) as reader:
        leaves = [entry.leaf_hash for entry in reader.find(Filter()) if entry.event.kind is not Kind.LOG]
    retain(address, before=old)
    [told] = [entry.event for entry in _entries(address) if getattr(entry.event, "change", "") == "pruned"]
    assert isinstance(told, LogEvent)
    assert (told.count, told.first, told.last) == (8, 3, 11)
    assert told.reason is not None
    assert told.reason.startswith("recorded before 20")
    assert told.note is not None
    note = parse_checkpoint(told.note)
    assert (note.origin, note.size) == (pruned_origin_of(_log_id(address)), 8)
    nodes = leaves
    while len(nodes) > 1:  # eight leaves: a whole tree
        nodes = [
            hashlib.sha256(b"\x01" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=True)
        ]
    assert note.root == nodes[0]
    assert note.checked([signing_key.verifier_key]) == {signing_key.verifier_key: True}
    assert log.fingerprint_key.key_id


def _entries(address: Path) -> list[Any]:
    with AuditReader.open(address) as reader:
        return list(reader.find(Filter()))


def _log_id(address: Path) -> str:
    with AuditReader.open(address) as reader:
        return reader.log_id


def test_nothing_of_it_is_left_in_the_files(
    log: AuditLog, address: Path, a_use: MakeUse, secret: str, leaks: Callable[..., list[str]]
) -> None:
    """No file of the database holds a byte of a body that was removed, while the writer has it open."""
    for number in range(700):
        log.record(a_use(f"marked_{number}_{secret}", context=Context(task=f"task_{secret}")))
    moment = _now()
    assert leaks(secret, *address.parent.glob("audit.db*"))
    assert retain(address, before=moment).purged
    assert leaks(secret, *address.parent.glob("audit.db*")) == []
    log.record(a_use())
    assert _verified(address) == 702 + 2 + 2 + 1


def test_while_somebody_reads_it_says_so(old: datetime, run: Run, address: Path) -> None:
    """A reader keeps what was removed in the -wal: the command says so and exits 1, and once more ends it."""
    with closing(sqlite3.connect(address, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        ended = run("db", "retain", "--before", old.isoformat())
        assert (ended.code, ended.out) == (1, "8 bodies of entries 3 to 11 removed; their hashes stay\n")
        assert "Somebody reads the log" in ended.err
    again = run("db", "retain", "--before", old.isoformat())
    assert (again.code, again.out, again.err) == (0, "nothing is that old\n", "")


def test_a_dry_run_changes_nothing(old: datetime, run: Run, address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what would be removed, needs no key, and writes no entry."""
    monkeypatch.delenv("COUNTERFOIL_SIGNING_KEY")
    before = len(_entries(address))
    ended = run("db", "retain", "--before", old.isoformat(), "--dry-run")
    assert (ended.code, ended.out) == (0, "8 bodies of entries 3 to 11 would be removed; their hashes stay\n")
    found = json.loads(run("db", "retain", "--before", old.isoformat(), "--dry-run", "--json").out)
    assert found == {"count": 8, "first": 3, "last": 11, "lagging": {}, "removed": False, "purged": False}
    assert len(_entries(address)) == before


def test_without_a_key_nothing_is_removed(
    old: datetime, run: Run, address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsigned it could not be told from an attack: refused, with advice how to make a key."""
    monkeypatch.delenv("COUNTERFOIL_SIGNING_KEY")
    before = len(_entries(address))
    with pytest.raises(SigningKeyError, match="no signing key"):
        retain(address, before=old)
    ended = run("db", "retain", "--before", old.isoformat())
    assert ended.code == 2
    assert "counterfoil key new" in ended.err
    assert len(_entries(address)) == before


def test_a_key_may_be_given(old: datetime, address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that a service keeps signs, too; the environment is not asked."""
    monkeypatch.delenv("COUNTERFOIL_SIGNING_KEY")
    kept, _ = SigningKey.generate("test/service")
    service = SigningKey(str(kept.verifier_key), kept.sign)
    assert retain(address, before=old, signing_key=service).removed
    [told] = [entry.event for entry in _entries(address) if getattr(entry.event, "change", "") == "pruned"]
    assert told.verification_key == str(kept.verifier_key)
    assert parse_checkpoint(told.note).checked([kept.verifier_key]) == {kept.verifier_key: True}


def test_a_key_that_does_not_sign(old: datetime, address: Path) -> None:
    """When the service fails nothing is removed, and its own words are not passed on."""
    kept, _ = SigningKey.generate("test/service")

    def failing(_message: bytes) -> bytes:
        raise OSError("hunter2")

    with pytest.raises(SigningKeyError) as caught:
        retain(address, before=old, signing_key=SigningKey(str(kept.verifier_key), failing))
    assert "hunter2" not in repr(caught.value)
    assert _pruned(address) == []
    assert _verified(address)


def test_a_destination_that_lags(old: datetime, run: Run, address: Path) -> None:
    """What was not exported yet is not removed, the destination is named, and --force removes it."""
    with closing(open_source(str(address))) as source:
        source.move_cursor("otel", 11)
        source.move_cursor("siem", 5)
    with pytest.raises(ConfigurationError, match="siem has entries up to 5") as caught:
        retain(address, before=old)
    assert "otel" not in str(caught.value)
    assert run("db", "retain", "--before", old.isoformat()).code == 2
    assert _pruned(address) == []
    ended = run("db", "retain", "--before", old.isoformat(), "--force")
    assert (ended.code, ended.out.splitlines()[1]) == (0, "siem has entries up to 5 only")
    assert _verified(address)


def test_an_export_goes_on_behind_what_was_removed(old: datetime, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """A source gives what is there, in order: what the log tells of itself, the removal among it, and what is young."""
    log.record(a_use("young"))
    retain(address, before=old)
    with closing(open_source(str(address))) as source:
        assert [entry.seq for entry in source.entries_after(0, 5)] == [1, 2, 8, 12, 13]


def test_the_time_of_recording_counts(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """An event is as old as its entry, whenever it says that it happened: a caller cannot make it old, or young."""
    past = datetime.now(UTC) - timedelta(days=400)
    log.record(a_use("claims_to_be_old", context=Context(occurred_at=past)))
    assert retain(address, before=past + timedelta(days=1)).count == 0


def test_after_a_clock_went_back_the_beginning_counts(
    log: AuditLog, address: Path, a_use: MakeUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands behind a young entry stays, though its own time is old: what goes is the log's beginning."""
    log.record(a_use())
    moment = _now()
    log.record(a_use())

    class Clock(datetime):
        """A clock that was put back by a day."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            """Return this time yesterday."""
            return cls.fromtimestamp(time.time() - 86400, tz)

    with monkeypatch.context() as patched:
        patched.setattr("counterfoil.audit.log.datetime", Clock)
        late = log.record(a_use())
    with AuditReader.open(address) as reader:
        entry = reader.entry(late.seq)
        assert entry is not None
        assert (entry.event.context.recorded_at or moment) < moment
    found = retain(address, before=moment, dry_run=True)
    assert (found.count, found.first, found.last) == (1, 3, 3)


def test_twice(old: datetime, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """The second time it goes on behind the first, with a note of its own."""
    first = retain(address, before=old)
    for number in range(3):
        log.record(a_use(f"later_{number}"))
    second = retain(address, before=_now())
    assert (first.last, second.first, second.count) == (11, 15, 3)
    assert _verified(address)
    told = [entry.event for entry in _entries(address) if getattr(entry.event, "change", "") == "pruned"]
    assert [(each.count, each.first, each.last) for each in told] == [(8, 3, 11), (3, 15, 17)]


def test_everything_old(log: AuditLog, address: Path, a_use: MakeUse, key: FingerprintKey) -> None:
    """A log whose every use is old keeps its own life, and goes on."""
    log.record(a_use())
    log.close()
    retain(address, before=_now())
    with AuditLog.open(address, fingerprint_key=key) as again:
        again.record(a_use())
    assert {entry.event.kind for entry in _entries(address)} == {Kind.LOG, Kind.CREDENTIAL_USE}
    assert _verified(address)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entry SET body = replace(body, 'old_1', 'old_9') WHERE seq = 4",
        "UPDATE entry SET leaf_hash = zeroblob(32) WHERE seq = 4",
        "UPDATE entry SET chain_hash = zeroblob(32) WHERE seq = 4",
        "DELETE FROM entry WHERE seq = 4",
        "UPDATE entry SET body = json_set(body, '$.kind', 'log') WHERE seq = 4",
        "UPDATE entry SET body = json_remove(body, '$.kind') WHERE seq = 4",
    ],
)
def test_what_was_altered_is_not_signed_away(change: str, old: datetime, address: Path) -> None:
    """The entry is named, nothing is removed, and the evidence stays."""
    with closing(sqlite3.connect(address, isolation_level=None)) as attacker:
        attacker.execute(change)
    with pytest.raises(StoreCorrupt, match="entry 4 "):
        retain(address, before=old)
    assert _pruned(address) == []


def test_a_retry_of_an_event_that_was_removed(old: datetime, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """Its event_id is forgotten with its body, so the same event is a new entry."""
    event = a_use()
    first = log.record(event)
    assert log.record(event) == first
    retain(address, before=_now())
    assert log.record(event).seq > first.seq
    assert old < _now()
    assert _verified(address)


def test_a_log_of_an_older_version(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is migrated on the way."""
    monkeypatch.setenv("COUNTERFOIL_FINGERPRINT_KEY", b"the key of tests/vectors, no secret".hex())
    shutil.copyfile(Path(__file__).parents[1] / "vectors" / "store-v1.db", address)
    address.chmod(0o600)
    assert retain(address, before=_now(), dry_run=True).lagging == {"otel": 5}
    assert retain(address, before=_now(), force=True).count == 4
    assert _pruned(address) == [3, 4, 5, 6]
    assert _verified(address)


def test_a_reader_does_not_matter_where_nothing_was_ever_removed(log: AuditLog, run: Run, address: Path) -> None:
    """Then nothing can stand in the -wal."""
    assert log
    with closing(sqlite3.connect(address, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        ended = run("db", "retain", "--before", "2026-01-01T00:00:00Z")
    assert (ended.code, ended.out, ended.err) == (0, "nothing is that old\n", "")


def test_a_time_to_come_is_wrong_use(old: datetime, run: Run, address: Path) -> None:
    """Nobody means to remove what is being written now."""
    later = (old + timedelta(days=1)).isoformat()
    for arguments in (["--before", later], ["--before", "2026-01-01"], ["--before", "yesterday"], []):
        ended = run("db", "retain", *arguments)
        assert (ended.code, ended.out) == (2, "")
    assert _pruned(address) == []


def test_a_log_that_is_missing_stays_missing(address: Path) -> None:
    """It is not made."""
    with pytest.raises(StoreMissing):
        retain(address, before=_now())
    assert not address.exists()


def test_show_says_that_an_entry_was_pruned(old: datetime, run: Run, address: Path) -> None:
    """``show`` tells an entry without a body from one that never was."""
    retain(address, before=old)
    assert run("show", "4").err == "entry 4 was pruned: its body was removed, its hashes stay\n"
    assert run("show", "400").err == "there is no entry 400\n"
    assert (run("show", "4").code, run("show", "8").code) == (1, 0)


def test_an_incident_says_what_it_cannot_know(log: AuditLog, run: Run, address: Path, a_use: MakeUse) -> None:
    """It tells what is left, and up to where the bodies were removed."""
    for _ in range(3):
        log.record(a_use(context=Context(task="t-42")))
    moment = _now()
    log.record(a_use(context=Context(task="t-42")))
    assert run("incident", "t-42").err == ""
    retain(address, before=moment)
    ended = run("incident", "t-42")
    assert (ended.code, ended.err) == (
        0,
        "The bodies of entries up to 5 were removed: what they told is not known here.\n",
    )


def test_a_number_that_was_pruned_is_no_hole(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """Whether an agent recorded everything is judged by what can still be read, and never called incomplete for it."""
    receipts = [log.record(a_use()) for _ in range(4)]
    with closing(open_reader(str(address))) as reader:
        entry = reader.entry(receipts[0].seq)
        assert entry is not None
        assert entry.event.context.producer is not None
        producer = entry.event.context.producer.id
        assert recorded_whole(reader, [producer], [receipts[2].seq]) == {receipts[2].seq: True}
    moment = _now()
    young = [log.record(a_use()) for _ in range(3)]
    retain(address, before=moment)
    with closing(open_reader(str(address))) as reader:
        assert recorded_whole(reader, [producer], [young[0].seq]) == {young[0].seq: None}
        assert recorded_whole(reader, [producer], [young[1].seq]) == {young[1].seq: True}
        assert len(reader.numbered(producer, 1, 100)) == 3


def test_on_postgresql(postgres: str, key: FingerprintKey, a_use: MakeUse, run: Run) -> None:
    """There, too: bodies go batch by batch, the log verifies, a second time goes on behind the first."""
    with AuditLog.open(postgres, fingerprint_key=key) as log:
        for _ in range(620):
            log.record(a_use())
        moment = _now()
        young = log.record(a_use())
        ended = run("db", "retain", "--before", moment.isoformat(), "--db", postgres, "--json")
        found = json.loads(ended.out)
        assert (ended.code, found["count"], found["first"], found["last"]) == (0, 620, 3, 622)
        assert log.record(a_use()).seq == _verified(postgres)
        assert (len(_pruned(postgres)), run("show", young.seq, "--db", postgres).code) == (620, 0)
        assert retain(postgres, before=_now()).count == 2
    assert _verified(postgres)


def test_an_export_says_what_it_lacks(old: datetime, log: AuditLog, run: Run, address: Path, a_use: MakeUse) -> None:
    """What was removed before it was sent is counted; what is sent is what is there."""
    log.record(a_use())
    retain(address, before=old)
    ended = run("export", "jsonl")
    head = len(ended.out.splitlines()) + 8
    came = f"jsonl:stdout: {head - 8} entries sent; it has all up to entry {head}"
    assert ended.err == f"{came}, but for 8 that were pruned or erased before\n"
    lines = address.parent / "lines.jsonl"
    assert "but for 8" in run("export", "jsonl", lines).err
    log.record(a_use())
    again = run("export", "jsonl", lines)
    assert (again.code, "pruned" in again.err) == (0, False)
    assert len(lines.read_text().splitlines()) == head - 8 + 1


@pytest.fixture
def many(log: AuditLog, a_use: MakeUse, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Write 120 uses, and have them removed ten at a time."""
    monkeypatch.setattr("counterfoil.audit.keeping.retention._BATCH", 10)
    monkeypatch.setattr("counterfoil.audit.keeping.retention._PAUSE", 0.0)
    for _ in range(120):
        log.record(a_use())
    return _now()


def test_between_the_batches_it_verifies(many: datetime, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """After each batch, with entries of others in between, the log is whole."""
    seen: list[int] = []

    def look(done: int, total: int) -> None:
        assert (len(_pruned(address)), total) == (done, 120)
        log.record(a_use())
        _verified(address)
        seen.append(done)

    assert retain(address, before=many, on_progress=look).count == 120
    assert seen == [*range(8, 120, 10), 120]


def test_others_write_and_verify_meanwhile(many: datetime, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """While bodies go, a verification never fails and a record never raises."""
    stop, failures = threading.Event(), list[object]()

    def work(action: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                action()
            except BaseException as error:  # noqa: BLE001 -- whatever it is, it is what the test is about
                failures.append(error)

    actions: list[Callable[[], object]] = [lambda: log.record(a_use()), lambda: _verified(address)]
    threads = [threading.Thread(target=work, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    try:
        retain(address, before=many)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


_RETAIN = """
import os, signal, sys
from datetime import datetime
from counterfoil.audit.keeping import retention

retention._BATCH = 10
left = [int(sys.argv[3])]

def progress(done, total):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

retention.retain(sys.argv[1], before=datetime.fromisoformat(sys.argv[2]), on_progress=progress)
"""


def test_killed_in_the_middle(many: datetime, address: Path) -> None:
    """The log verifies as it was left, and the next run goes on where that one stopped."""
    killed = subprocess.run([sys.executable, "-c", _RETAIN, address, many.isoformat(), "5"], check=False)
    assert (killed.returncode, len(_pruned(address))) == (-9, 48)
    assert _verified(address)
    assert retain(address, before=many).count == 72
    assert len(_pruned(address)) == 120
    assert _verified(address)


def test_two_at_once(many: datetime, address: Path) -> None:
    """Of two processes that remove the same, one gives way and nothing is removed, or told of, twice."""

    def other(_done: int, _total: int) -> None:
        retain(address, before=many)

    with pytest.raises(AuditUnavailable, match="somebody else prunes"):
        retain(address, before=many, on_progress=other)
    assert len(_pruned(address)) == 120
    assert _verified(address)

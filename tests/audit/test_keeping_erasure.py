"""Erasure: one body goes with its salt, its hashes stay, a key signs for it, and no copy is left in the files."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from base64 import b64encode
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity.merkle import root_of
from counterfoil.audit.integrity.note import erased_origin_of, parse_checkpoint
from counterfoil.audit.integrity.signing_key import SigningKey, make_key_file
from counterfoil.audit.keeping.backup import back_up
from counterfoil.audit.keeping.erasure import erase
from counterfoil.audit.keeping.retention import retain
from counterfoil.audit.redaction import Redactor
from counterfoil.audit.review.completeness import recorded_whole
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql import open_reader, open_source
from counterfoil.schemas import (
    AuditUnavailable,
    ConfigurationError,
    Context,
    ErasedEntry,
    InvalidEvent,
    LogChange,
    LogEvent,
    SigningKeyError,
    StoreCorrupt,
    StoreMissing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import MakeUse, Run

    from bench.postgres_server import PostgresServer
    from counterfoil.schemas import FingerprintKey


@pytest.fixture(autouse=True)
def signing_key(monkeypatch: pytest.MonkeyPatch) -> SigningKey:
    """Give a signing key that nobody else has, and make it this deployment's."""
    key, text = SigningKey.generate("test/audit")
    monkeypatch.setenv("COUNTERFOIL_SIGNING_KEY", text)
    return key


class _Blind(Redactor):
    """Lets everything slip in."""

    def event(self, body: dict[str, Any]) -> list[Any]:  # noqa: ARG002 -- as in its base
        """Find nothing."""
        return []


@pytest.fixture
def log(address: Path, key: FingerprintKey) -> Iterator[AuditLog]:
    """Open a log into which secrets slip, whatever they look like, and close it."""
    with AuditLog.open(address, fingerprint_key=key, redactor=_Blind()) as opened:
        yield opened


@pytest.fixture
def slipped(log: AuditLog, a_use: MakeUse, secret: str) -> str:
    """Write created, opened and seven uses (3 to 9), with a secret in 4 and, encoded, in 6; give the secret."""
    for number in range(7):
        note = {1: f"the password is {secret}", 3: b64encode(f"user:{secret}".encode()).decode()}.get(number, "nothing")
        log.record(a_use(f"use_{number}", context=Context(attributes={"note": note})))
    return secret


def _verified(address: Path | str, **given: Any) -> int:
    with AuditReader.open(address) as reader:
        found = reader.verify(deep=True, **given)
    assert found.failed == ()
    assert (bool(found.consistent), bool(found.complete)) == (True, True), found
    return found.entries


def _told(address: Path | str) -> list[tuple[int, LogEvent]]:
    with AuditReader.open(address) as reader:
        found = [(entry.seq, entry.event) for entry in reader.find(Filter(kind="log"))]
    return [(seq, event) for seq, event in found if isinstance(event, LogEvent) and event.change is LogChange.ERASED]


def _bodies(address: Path | str) -> dict[int, bytes | None]:
    with closing(open_reader(str(address))) as reader:
        return {seq: body for seq, body, _, _ in reader.stored()}


def test_a_secret_that_slipped_in(  # noqa: PLR0913, PLR0917 -- fixtures
    slipped: str, log: AuditLog, run: Run, address: Path, leaks: Callable[..., list[str]], signing_key: SigningKey
) -> None:
    """It is found in each form, its entries are erased, no file holds a byte of it, and the log verifies, complete."""
    assert leaks(slipped, *address.parent.glob("audit.db*"))
    ended = run("db", "scrub", "--find", "--reason", "a password slipped in", "--erase", stdin=f"{slipped}\n".encode())
    assert (ended.code, ended.out) == (0, "entries 4, 6 erased; the hashes stay\nentry 11 tells of it\n")
    assert leaks(slipped, *address.parent.glob("audit.db*")) == []
    log.record(LogEvent(change=LogChange.GAP))
    with AuditReader.open(address) as reader:
        found = reader.verify(keys=[str(signing_key.verifier_key)])
    assert found.consistent.words == "chain and sequence hold; 2 bodies were erased, under signed notes"
    assert found.signed
    assert [seq for seq, body in _bodies(address).items() if not body] == [4, 6]


def test_the_entry_that_tells_of_it(slipped: str, address: Path, signing_key: SigningKey) -> None:
    """It says which, what they hashed to, and why; its note is over their chain hashes, in order, under the key."""
    with AuditReader.open(address) as reader:
        gone = [entry for entry in reader.find(Filter()) if entry.seq in {4, 6}]
        log_id = reader.log_id
    found = erase(address, secret=slipped.encode(), reason="a password slipped in")
    assert (found.seqs, found.already, found.kept, found.left, found.erased) == ((4, 6), (), (), (), True)
    [(seq, event)] = _told(address)
    assert found.told_in == (seq,)
    assert (event.log_id, event.count, event.first, event.last) == (log_id, 2, 4, 6)
    assert event.reason == "a password slipped in"
    assert [(each.seq, each.leaf_hash) for each in event.erased] == [(it.seq, it.leaf_hash.hex()) for it in gone]
    for entry in gone:
        assert entry.leaf_hash == hashlib.sha256(b"\0" + entry.body.encode()).digest()
    assert event.note is not None
    note = parse_checkpoint(event.note)
    assert (note.origin, note.size) == (erased_origin_of(log_id), 2)
    first, second = (entry.chain_hash for entry in gone)
    assert note.root == root_of([first, second]) == hashlib.sha256(b"\x01" + first + second).digest()
    assert note.checked([signing_key.verifier_key]) == {signing_key.verifier_key: True}


def test_without_erase_nothing_is_changed(
    slipped: str, run: Run, address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what would be erased, needs neither key nor reason, and writes no entry."""
    monkeypatch.delenv("COUNTERFOIL_SIGNING_KEY")
    before = _bodies(address)
    ended = run("db", "scrub", "--find", "--seq", 5, stdin=slipped.encode())
    assert (ended.code, ended.out) == (0, "entries 4, 5, 6 would be erased; the hashes stay\n")
    assert "--erase does it" in ended.err
    found = json.loads(run("db", "scrub", "--seq", 5, "--json").out)
    assert (found["seqs"], found["erased"], found["told_in"], found["left"]) == ([5], False, [], [])
    assert _bodies(address) == before


def test_the_secret_is_asked_of_a_person(slipped: str, address: Path, key: FingerprintKey) -> None:
    """On a terminal it is typed, and not shown."""
    assert key.key_id
    program = "import sys; from counterfoil.audit.cli.main import main; main()"
    mother, child = pty.openpty()
    command = [sys.executable, "-c", program, "db", "scrub", "--db", address, "--find"]
    started = subprocess.Popen(command, stdin=child, stdout=subprocess.PIPE, stderr=child, start_new_session=True)
    os.close(child)
    shown = b""
    while b"look for: " not in shown:
        shown += os.read(mother, 1024)
    os.write(mother, slipped.encode() + b"\n")
    out, _ = started.communicate(timeout=60)
    shown += os.read(mother, 4096)
    os.close(mother)
    assert (started.returncode, out) == (0, b"entries 4, 6 would be erased; the hashes stay\n")
    assert slipped.encode() not in shown


def test_a_secret_is_never_an_argument(slipped: str, run: Run, leaks: Callable[..., list[str]]) -> None:
    """What is no option is wrong use, and no answer of the command shows the secret."""
    ended = run("db", "scrub", "--find", slipped)
    assert (ended.code, ended.out) == (2, "")
    ended = run("db", "scrub", "--find", "--erase", "--reason", f"it was {slipped}", stdin=slipped.encode())
    assert (ended.code, ended.out) == (2, "")
    assert leaks(slipped, ended.err) == []


@pytest.mark.parametrize("arguments", [[], ["--seq", "0"], ["--seq", "99"], ["--seq", "1"], ["--find"]])
def test_wrong_use(arguments: list[str], slipped: str, run: Run, address: Path) -> None:
    """Nothing named, no such entry, the first one, a secret that is none: exit 2, and nothing is changed."""
    before = _bodies(address)
    assert slipped
    ended = run("db", "scrub", "--erase", "--reason", "why", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert _bodies(address) == before


def test_without_a_reason_or_a_key(slipped: str, address: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is erased."""
    with pytest.raises(ConfigurationError, match="has a reason"):
        erase(address, seqs=[4], reason=" ")
    with pytest.raises(ConfigurationError, match="repeats something"):
        erase(address, seqs=[4], reason=f"there was ({slipped}).")
    monkeypatch.delenv("COUNTERFOIL_SIGNING_KEY")
    with pytest.raises(SigningKeyError, match="there is no signing key"):
        erase(address, seqs=[4], reason="why")
    assert run("db", "scrub", "--seq", 4, "--reason", "why", "--erase").code == 2
    assert all(_bodies(address).values())
    assert _told(address) == []


def test_the_reason_is_redacted(slipped: str, address: Path, leaks: Callable[..., list[str]]) -> None:
    """What a pattern knows does not come into the log by it either."""
    token = f"ghp_{'a1B2' * 9}"
    erase(address, secret=slipped.encode(), reason=f"it stood beside Bearer {token}")
    [(_, event)] = _told(address)
    assert event.reason is not None
    assert event.reason.startswith("it stood beside Bearer [redacted")
    assert leaks(token, *address.parent.glob("audit.db*")) == []


def test_the_key_may_be_a_file(
    slipped: str, run: Run, address: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is named is used; one that lies beside the log is refused."""
    monkeypatch.delenv("COUNTERFOIL_SIGNING_KEY")
    assert slipped
    (tmp_path / "keys").mkdir()
    for path, code in ((tmp_path / "beside.key", 2), (tmp_path / "keys" / "signing.key", 0)):
        key = make_key_file(path, "test/named")
        assert run("db", "scrub", "--seq", 4, "--reason", "why", "--key", path, "--erase").code == code
    [(_, event)] = _told(address)
    assert event.verification_key == str(key.verifier_key)


def test_who_asks_for_an_erased_entry_is_told(
    slipped: str, log: AuditLog, run: Run, address: Path, a_use: MakeUse
) -> None:
    """``show`` says that it was erased, and why; query and export go on, and say that something is missing."""
    erase(address, secret=slipped.encode(), reason="a password\x1b[2J slipped in")
    shown = run("show", "4")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err == "entry 4 was erased, as entry 11 tells: a password\\x1b[2J slipped in; its hashes stay\n"
    log.record(a_use(context=Context(task="t-9")))
    told = "2 entries were erased: what they told is not known here. Entries of kind log say which.\n"
    for asked in (["query"], ["query", "--json"], ["query", "--kind", "log"], ["incident", "t-9"]):
        ended = run(*asked)
        assert (ended.code, ended.err) == (0, told)
    assert "bodies of 4, 6" in run("query", "--kind", "log").out
    exported = run("export", "jsonl")
    assert exported.code == 0
    assert "but for 2 that were pruned or erased before" in exported.err
    assert [json.loads(line)["seq"] for line in exported.out.splitlines()] == [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13]
    assert json.loads(run("db", "info", "--json").out)["erased"] == 2
    assert run("db", "check").code == 0


def test_a_destination_that_has_it_is_named(slipped: str, run: Run, address: Path) -> None:
    """Whose cursor stands behind the first of them; one that has not come so far never gets it."""
    with closing(open_source(str(address))) as source:
        for name, seq in (("otel:a", 9), ("siem\x1b", 4), ("late", 3)):
            source.move_cursor(name, seq)
    ended = run("db", "scrub", "--find", "--erase", "--reason", "why", stdin=slipped.encode())
    assert ended.out.splitlines()[2:] == [
        "otel:a has entries up to 9: erase them there, too",
        "siem\\x1b has entries up to 4: erase them there, too",
    ]
    assert "out of reach" in ended.err
    with closing(open_source(str(address))) as source:
        assert [entry.seq for entry in source.entries_after(source.cursor("late"), 4)] == [5, 7, 8, 9]


def test_a_file_goes_on_behind_an_erased_entry(  # noqa: PLR0913, PLR0917 -- fixtures
    slipped: str, log: AuditLog, run: Run, address: Path, a_use: MakeUse, tmp_path: Path
) -> None:
    """A file of exported lines whose last entry was erased since goes on; it still vouches for the log as a witness."""
    assert slipped
    last = log.record(a_use("last"))
    file = tmp_path / "lines.jsonl"
    assert run("export", "jsonl", file).code == 0
    erase(address, seqs=[4, last.seq], reason="why")
    with AuditReader.open(address) as reader:
        found = reader.verify(witnesses=[file])
        assert (bool(found.consistent), bool(found.witnessed), found.witnessed.reach) == (True, True, last.seq)
    assert run("export", "jsonl", file).code == 0
    assert [json.loads(line)["seq"] for line in file.read_text().splitlines()] == list(range(1, last.seq + 4))


def test_running_it_again_completes_it(slipped: str, run: Run, address: Path, leaks: Callable[..., list[str]]) -> None:
    """While somebody reads, the -wal may hold it: exit 1, and the next run, also by number, takes the rest away."""
    with closing(sqlite3.connect(address, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        ended = run("db", "scrub", "--find", "--reason", "why", "--erase", stdin=slipped.encode())
        assert (ended.code, "something may still stand in audit.db-wal" in ended.err) == (1, True)
        assert leaks(slipped, *address.parent.glob("audit.db*"))
    again = run("db", "scrub", "--seq", 4, "--reason", "why", "--erase")
    assert (again.code, again.out) == (0, "entry 4 had been erased before\n")
    assert leaks(slipped, *address.parent.glob("audit.db*")) == []
    none = run("db", "scrub", "--find", "--erase", stdin=slipped.encode())
    assert (none.code, none.out) == (0, "no entry holds it\n")
    assert len(_told(address)) == 1


def test_the_log_goes_on_meanwhile(slipped: str, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """The writer that had it open records on, also where it wrote the very last entry, which was erased."""
    last = log.record(a_use("last"))
    erase(address, seqs=[last.seq], reason=slipped[:4])
    assert log.record(a_use("next")).seq > last.seq
    with pytest.raises(ConfigurationError, match="has a reason"):
        erase(address, seqs=[log.record(a_use("one more")).seq])
    log.close()
    assert _verified(address) == 16


def test_others_write_and_verify_meanwhile(slipped: str, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """While bodies go one after the other, a verification never fails and a record never raises."""
    assert slipped
    stop, failures = threading.Event(), list[object]()

    def verify() -> None:
        with AuditReader.open(address) as reader:
            assert reader.verify().failed == ()

    def work(action: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                action()
            except BaseException as error:  # noqa: BLE001 -- whatever it is, it is what the test is about
                failures.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in (lambda: log.record(a_use()), verify)]
    for thread in threads:
        thread.start()
    try:
        for seq in range(3, 9):
            erase(address, seqs=[seq], reason="why")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_two_at_once(slipped: str, address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that erase the same, one finds it changed; nothing is told twice."""
    assert slipped
    real = AuditLog.remove

    def late(self: AuditLog, *given: Any) -> Any:
        monkeypatch.setattr(AuditLog, "remove", real)
        erase(address, seqs=[4], reason="the quicker one")
        return self.remove(*given)

    monkeypatch.setattr(AuditLog, "remove", late)
    with pytest.raises(AuditUnavailable, match="nothing was erased"):
        erase(address, seqs=[4, 5], reason="the slower one")
    assert [event.reason for _, event in _told(address)] == ["the quicker one"]
    assert _bodies(address)[5]
    _consistent(address)


def _consistent(address: Path | str) -> None:
    with AuditReader.open(address) as reader:
        assert reader.verify().failed == ()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entry SET body = replace(body, 'use_1', 'use_9') WHERE seq = 4",
        "UPDATE entry SET leaf_hash = zeroblob(32) WHERE seq = 4",
        "UPDATE entry SET chain_hash = zeroblob(32) WHERE seq = 4",
        "UPDATE entry SET chain_hash = zeroblob(32) WHERE seq = 3",
        "DELETE FROM entry WHERE seq = 3",
    ],
)
def test_what_was_altered_is_not_signed_away(change: str, slipped: str, address: Path) -> None:
    """The entry is named, nothing is erased, and the evidence stays."""
    with closing(sqlite3.connect(address, isolation_level=None)) as attacker:
        attacker.execute(change)
    with pytest.raises(StoreCorrupt, match="entry 4 does not hold: it was not erased"):
        erase(address, secret=slipped.encode(), reason="why")
    assert _bodies(address)[4]
    assert _told(address) == []


def test_what_verification_rests_on_stays(log: AuditLog, run: Run, address: Path, secret: str) -> None:
    """The first entry, and those that hold a key or a note, cannot be erased; other entries about the log can."""
    gap = log.record(LogEvent(change=LogChange.GAP, reason=f"hm, {secret}"))
    key = str(SigningKey.generate("test/other")[0].verifier_key)
    held = log.record(LogEvent(change=LogChange.OPENED, verification_key=key, reason=f"hm, {secret}"))
    log.close()
    ended = run("db", "scrub", "--find", "--reason", "why", "--erase", stdin=secret.encode())
    assert (ended.code, ended.out.splitlines()[0]) == (1, f"entry {gap.seq} erased; the hashes stay")
    assert f"entry {held.seq} holds it and cannot be erased" in ended.err
    [(told_in, event)] = _told(address)
    assert [(each.seq, each.change) for each in event.erased] == [(gap.seq, LogChange.GAP)]
    with pytest.raises(ConfigurationError, match="verification rests on it"):
        erase(address, seqs=[told_in], reason="why")
    with AuditReader.open(address) as reader:
        found = reader.verify()
    assert found.failed == ("complete",)  # a gap is told of still
    assert f"entry {told_in} tells of a gap" in found.complete.words


def test_no_number_is_missing(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """Its producer's numbers are known still, those of calls that raised among them: what is lost besides is seen."""
    log.record(a_use("first"))
    with pytest.raises(InvalidEvent):
        log.record("no event")  # type: ignore[arg-type]
    declaring = log.record(a_use("declares"))
    after = log.record(a_use("after"))
    with AuditReader.open(address) as reader:
        entry = reader.entry(declaring.seq)
        assert entry is not None
        producer = entry.event.context.producer
        assert producer is not None
        assert producer.raised
    erase(address, seqs=[declaring.seq], reason="why")
    with closing(open_reader(str(address))) as reader:
        assert recorded_whole(reader, [producer.id], [after.seq]) == {after.seq: True}
        assert [each.seq for each in reader.numbered(producer.id, 3, after.seq)] == [3, declaring.seq, after.seq]
    log.close()
    assert _verified(address)
    with closing(sqlite3.connect(address, isolation_level=None)) as attacker:
        attacker.execute(f"DELETE FROM entry WHERE seq = {after.seq}")
        attacker.execute(f"UPDATE entry SET seq = -seq WHERE seq > {after.seq}")
    with AuditReader.open(address) as reader:
        assert not reader.verify().consistent


def test_a_whole_session_that_was_erased(log: AuditLog, address: Path, a_use: MakeUse, key: FingerprintKey) -> None:
    """Also where nothing else of its producer is left, nothing is missing."""
    log.close()
    with AuditLog.open(address, fingerprint_key=key) as other:
        first = other.record(a_use()).seq
    assert erase(address, seqs=[first, first + 1], reason="why").erased
    assert _verified(address)


def test_retention_beside_it(slipped: str, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """Old bodies are pruned around an erased one, and an erasure goes on behind what was pruned."""
    erase(address, secret=slipped.encode(), reason="why")
    time.sleep(0.002)
    moment = datetime.now(UTC)
    young = [log.record(a_use(f"young_{number}")).seq for number in range(3)]
    assert retain(address, before=moment).count == 5
    assert erase(address, seqs=[young[1]], reason="why").erased
    with pytest.raises(ConfigurationError, match="entry 3 was pruned"):
        erase(address, seqs=[3], reason="why")
    time.sleep(0.002)
    assert retain(address, before=datetime.now(UTC)).count == 2
    log.close()
    with AuditReader.open(address) as reader:
        found = reader.verify(deep=True)
        assert found.failed == ()
        assert found.consistent.words.endswith(
            "; 7 bodies were pruned, under signed notes; 3 bodies were erased, under signed notes"
        )
        assert reader.commitment().checkpoint.size == found.entries


def test_many_at_once(log: AuditLog, address: Path, a_use: MakeUse, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go some at a time, each time with an entry that tells of it."""
    monkeypatch.setattr("counterfoil.audit.keeping.erasure._BATCH", 4)
    seqs = [log.record(a_use()).seq for _ in range(10)]
    found = erase(address, seqs=seqs, reason="why")
    assert [len(event.erased) for _, event in _told(address)] == [4, 4, 2]
    assert [seq for seq, _ in _told(address)] == list(found.told_in)
    log.close()
    assert _verified(address)


def test_a_retry_of_an_event_that_was_erased(slipped: str, log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """Its event_id is forgotten with its body, so the same event is a new entry."""
    event, other = a_use(), a_use()
    first, kept = log.record(event), log.record(other)
    erase(address, seqs=[first.seq], reason=slipped[:3])
    assert log.record(other) == kept
    assert log.record(event).seq > first.seq


def test_nobody_else_says_so(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """A caller cannot record that something was erased from this log; of another log it may be copied here."""
    log.record(a_use())
    erase(address, seqs=[3], reason="why")
    [(_, event)] = _told(address)
    with pytest.raises(InvalidEvent, match="only `counterfoil db scrub` says this"):
        log.record(event)
    leaf = ErasedEntry(seq=2, leaf_hash="0" * 64)
    log.record(LogEvent(change=LogChange.ERASED, log_id="ab" * 16, erased=(leaf,), note=event.note))
    _consistent(address)


def test_a_copy_is_out_of_reach(slipped: str, address: Path, tmp_path: Path, leaks: Callable[..., list[str]]) -> None:
    """A backup from before holds it still; one from afterwards does not."""
    old, new = back_up(address, tmp_path / "old.db"), tmp_path / "new.db"
    erase(address, secret=slipped.encode(), reason="why")
    back_up(address, new)
    assert leaks(slipped, Path(old.path))
    assert leaks(slipped, new) == []
    _consistent(new)


def test_the_rest_needs_no_key(slipped: str, address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all is erased, and only the file is left to be written anew, nothing is signed for."""
    assert slipped
    erase(address, seqs=[4], reason="why")
    monkeypatch.delenv("COUNTERFOIL_SIGNING_KEY")
    found = erase(address, seqs=[4])
    assert (found.already, found.told_in, found.left, found.erased) == ((4,), (), (), True)


def test_samples_that_somebody_had_taken(  # noqa: PLR0913, PLR0917 -- fixtures
    slipped: str, log: AuditLog, address: Path, a_use: MakeUse, secret: str, leaks: Callable[..., list[str]]
) -> None:
    """Where SQLite's ANALYZE has kept what stands in an index, that goes, too."""
    seqs = [log.record(a_use(context=Context(task=f"task-{secret}"))).seq for _ in range(30)]
    with closing(sqlite3.connect(address, isolation_level=None)) as somebody:
        somebody.execute("ANALYZE")
        somebody.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert erase(address, seqs=[4, 6, *seqs], reason="why").left == ()
    assert leaks(slipped, *address.parent.glob("audit.db*")) == []
    _consistent(address)


class _Watched(sqlite3.Connection):
    """Notes, when it is closed, whether it could write, and whether it overwrites what it removes."""

    address = ""
    seen: ClassVar[list[tuple[bool, int]]] = []

    def close(self) -> None:
        """Note it, and close."""
        self.seen.append(("mode=rw" in self.address, self.execute("PRAGMA secure_delete").fetchone()[0]))
        super().close()


def test_every_connection_that_writes_overwrites_what_it_removes(
    slipped: str, address: Path, a_use: MakeUse, key: FingerprintKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``secure_delete`` is on for each: that of a writer, of erasure, of retention, of an exporter's cursor."""
    real = sqlite3.connect

    def watched(name: str, **options: Any) -> sqlite3.Connection:
        made = real(name, **options, factory=_Watched)
        made.address = name
        return made

    monkeypatch.setattr("counterfoil.exporters.sql.sqlite.sqlite3.connect", watched)
    with AuditLog.open(address, fingerprint_key=key) as log:
        log.record(a_use())
    assert erase(address, secret=slipped.encode(), reason="why").erased
    assert retain(address, before=datetime.now(UTC)).removed
    with closing(open_source(str(address))) as source:
        source.move_cursor("otel", 2)
    written = [secure for writes, secure in _Watched.seen if writes]
    assert (len(written), set(written)) == (6, {1})


def test_a_sqlite_that_does_not_overwrite_is_refused(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set is read back: a connection on which it does not hold is no writer's."""
    settings = (("secure_delete", "OFF", 1),)
    monkeypatch.setattr("counterfoil.exporters.sql.sqlite._SETTINGS", settings)
    with pytest.raises(AuditUnavailable, match="does not take secure_delete"):
        AuditLog.open(address)


def test_a_log_that_is_missing_stays_missing(address: Path) -> None:
    """It is not made."""
    with pytest.raises(StoreMissing):
        erase(address, seqs=[3], reason="why")
    assert not address.exists()


def test_on_postgresql(  # noqa: PLR0913, PLR0917 -- fixtures
    postgres: str, key: FingerprintKey, a_use: MakeUse, run: Run, secret: str, signing_key: SigningKey
) -> None:
    """There, too: found, erased under a signed entry, and told to whoever asks."""
    with AuditLog.open(postgres, fingerprint_key=key, redactor=_Blind()) as log:
        for number in range(40):
            log.record(a_use(context=Context(task=f"t-{secret}" if number in {5, 6} else f"t-{number}")))
        ended = run("db", "scrub", "--db", postgres, "--find", "--reason", "why", "--erase", stdin=secret.encode())
        assert (ended.code, ended.out.splitlines()[0]) == (0, "entries 8, 9 erased; the hashes stay"), ended
        assert log.record(a_use()).seq == 46
    assert [seq for seq, body in _bodies(postgres).items() if not body] == [8, 9]
    assert _verified(postgres, keys=[str(signing_key.verifier_key)]) == 47
    assert "was erased, as entry 44 tells: why" in run("show", "8", "--db", postgres).err
    assert json.loads(run("db", "info", "--json", "--db", postgres).out)["erased"] == 2
    assert run("db", "scrub", "--db", postgres, "--seq", 8, "--erase", "--reason", "why").out == (
        "entry 8 had been erased before\n"
    )


def test_what_postgresql_keeps(  # noqa: PLR0913, PLR0917 -- fixtures
    postgres: str,
    postgres_server: PostgresServer,
    key: FingerprintKey,
    a_use: MakeUse,
    secret: str,
    leaks: Callable[..., list[str]],
) -> None:
    """No file of tables, indexes or planner's samples holds it afterwards; the server's own log (WAL) may."""
    data = postgres_server.folder / "data"
    with AuditLog.open(postgres, fingerprint_key=key, redactor=_Blind()) as log:
        seqs = [log.record(a_use(context=Context(task=f"t-{secret}"))).seq for _ in range(30)]
    with postgres_server.connect() as connection:
        schema = postgres.rpartition("%3D")[2]
        connection.execute(f"ANALYZE {schema}.entry".encode())
        connection.execute("CHECKPOINT")
        assert leaks(secret, data / "base")
        assert erase(postgres, seqs=seqs, reason="why").left == ()
        connection.execute("CHECKPOINT")
        assert leaks(secret, data / "base") == []
        assert leaks(secret, data / "pg_wal")


def test_a_transaction_that_still_sees_it(
    postgres: str, postgres_server: PostgresServer, key: FingerprintKey, a_use: MakeUse, run: Run
) -> None:
    """PostgreSQL keeps rows for a snapshot from before: the command says so, exits 1, and completes it later."""
    with AuditLog.open(postgres, fingerprint_key=key, redactor=_Blind()) as log:
        seq = log.record(a_use()).seq
    arguments = ["db", "scrub", "--db", postgres, "--seq", seq, "--reason", "why", "--erase"]
    with postgres_server.connect() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1")
        ended = run(*arguments)
        assert (ended.code, "rows that a transaction which began before can still see" in ended.err) == (1, True)
        connection.execute("COMMIT")
    again = run(*arguments)
    assert (again.code, again.out) == (0, f"entry {seq} had been erased before\n")


def test_a_log_on_postgresql_of_an_older_version(
    postgres: str, postgres_server: PostgresServer, key: FingerprintKey, a_use: MakeUse
) -> None:
    """It is read as it is, and migrated when it is next opened for writing."""
    with AuditLog.open(postgres, fingerprint_key=key, redactor=_Blind()) as log:
        seq = log.record(a_use()).seq
    with postgres_server.connect() as connection:
        connection.execute(f"SET search_path = {postgres.rpartition('%3D')[2]}".encode())
        connection.execute("DROP TABLE erased; UPDATE log SET schema_version = 2")
    with AuditReader.open(postgres) as reader:
        assert reader.verify().failed == ()
        assert (reader.erased_count(), reader.erased_by(seq)) == (0, None)
        assert erase(postgres, seqs=[seq], reason="why").erased
        assert reader.erased_by(seq) == seq + 3
        assert reader.verify(deep=True).failed == ()


def test_an_older_version_and_a_user_who_may_not_change_it(
    postgres: str, postgres_server: PostgresServer, key: FingerprintKey
) -> None:
    """The error says whom to ask; once the owner has opened the log, it goes on."""
    AuditLog.open(postgres, fingerprint_key=key).close()
    schema, role = postgres.rpartition("%3D")[2], f"recorder_{secrets.token_hex(4)}"
    rights = f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
    with postgres_server.connect() as owner:
        owner.execute(f"SET search_path = {schema}; DROP TABLE erased; UPDATE log SET schema_version = 2".encode())
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA {schema} TO {role}".encode())
        owner.execute(f"{rights}; GRANT INSERT ON entry, checkpoint TO {role}".encode())
        address = f"postgresql+psycopg://{role}:x@{postgres.partition('@')[2]}"
        with pytest.raises(AuditUnavailable, match="may not change them") as caught:
            AuditLog.open(address, fingerprint_key=key)
        assert "owner" in caught.value.advice
        AuditLog.open(postgres, fingerprint_key=key).close()
        owner.execute(rights.encode())
        AuditLog.open(address, fingerprint_key=key).close()

"""``counterfoil checkpoint`` and ``counterfoil key``: what they print, what a witness store refuses, and exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog
from counterfoil.audit.integrity.merkle import root_of
from counterfoil.audit.integrity.note import VerifierKey, parse_checkpoint, parse_checkpoints
from counterfoil.audit.integrity.signing_key import SigningKey, make_key_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeUse, Run


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Name a witness store that is not there yet."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere" / "seen.txt"


@pytest.fixture
def signing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VerifierKey:
    """Let the environment name a signing key."""
    (tmp_path / "keys").mkdir()
    key = make_key_file(tmp_path / "keys" / "signing.key", "example.com/agents")
    monkeypatch.setenv("COUNTERFOIL_SIGNING_KEY_FILE", str(tmp_path / "keys" / "signing.key"))
    return key.verifier_key


@dataclass(frozen=True)
class Watched:
    """A log of 8 entries, and a store that saw them."""

    address: Path
    store: Path


@pytest.fixture
def watched(log: AuditLog, a_use: MakeUse, address: Path, store: Path, run: Run) -> Watched:
    """Make them, and close the log."""
    record(log, a_use, 6)
    assert run("checkpoint", "--to", store).code == 0
    log.close()
    return Watched(address, store)


def leaves_of(address: Path) -> list[bytes]:
    """Return the leaf hashes of a log."""
    with closing(sqlite3.connect(address)) as connection:
        return [leaf for (leaf,) in connection.execute("SELECT leaf_hash FROM entry ORDER BY seq")]


def change(address: Path, *statements: str) -> None:
    """Change a log as somebody could who can write its file."""
    with closing(sqlite3.connect(address)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def record(log: AuditLog, a_use: MakeUse, count: int) -> None:
    """Record so many uses."""
    for _ in range(count):
        log.record(a_use())


def test_it_is_printed(log: AuditLog, address: Path, run: Run) -> None:
    """A note alone, unsigned without a key, of a log that is open; and the same as JSON."""
    ended = run("checkpoint")
    assert (ended.code, ended.err) == (0, "")
    made = parse_checkpoint(ended.out)
    assert (made.size, made.root, made.signatures) == (2, root_of(leaves_of(address)), ())
    assert ended.out == str(made)
    found = json.loads(run("checkpoint", "--json", "--to", "-").out)
    assert found == {
        "origin": made.origin,
        "size": 2,
        "root": made.root.hex(),
        "signed_by": [],
        "note": str(made),
        "added": None,
    }
    assert made.origin.startswith("counterfoil/")
    log.close()


def test_it_is_signed_with_the_key_of_the_environment(log: AuditLog, signing: VerifierKey, run: Run) -> None:
    """The signature holds, and JSON says whose it is."""
    log.close()
    made = parse_checkpoint(run("checkpoint").out)
    assert made.checked([signing]) == {signing: True}
    assert json.loads(run("checkpoint", "--json").out)["signed_by"] == [f"example.com/agents+{signing.key_id.hex()}"]


def test_a_store_grows_with_the_log(log: AuditLog, a_use: MakeUse, address: Path, store: Path, run: Run) -> None:
    """One checkpoint a run, none twice; the file is its owner's alone, or keeps the mode that it has."""
    for count, said in ((0, "added"), (0, "has it already"), (5, "added"), (1, "added")):
        record(log, a_use, count)
        ended = run("checkpoint", "--to", store)
        assert (ended.code, ended.err) == (0, "")
        assert said in ended.out
    assert [each.size for each in parse_checkpoints(store.read_bytes())] == [2, 7, 8]
    assert store.stat().st_mode & 0o777 == 0o600
    store.chmod(0o640)
    record(log, a_use, 1)
    found = json.loads(run("checkpoint", "--json", "--to", store).out)
    assert (found["size"], found["added"]) == (9, True)
    assert json.loads(run("checkpoint", "--json", "--to", store).out)["added"] is False
    assert store.stat().st_mode & 0o777 == 0o640
    leaves = leaves_of(address)
    assert all(each.root == root_of(leaves[: each.size]) for each in parse_checkpoints(store.read_bytes()))


def test_a_signature_that_comes_later_is_added(
    log: AuditLog, store: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same root once unsigned and once signed are two notes, and they agree."""
    log.close()
    assert run("checkpoint", "--to", store).code == 0
    monkeypatch.setenv("COUNTERFOIL_SIGNING_KEY", SigningKey.generate("late")[1])
    assert "signed, added" in run("checkpoint", "--to", store).out
    assert [len(each.signatures) for each in parse_checkpoints(store.read_bytes())] == [0, 1]


ATTACKS = {
    "DELETE FROM entry WHERE seq > 4": "saw 8 entries; the log has 4",
    "DELETE FROM entry": "saw 8 entries; the log has 0",
    "UPDATE entry SET leaf_hash = zeroblob(32) WHERE seq = 3": "the first 8 entries are not those",
    "UPDATE entry SET leaf_hash = zeroblob(32) WHERE seq = 8": "the first 8 entries are not those",
    "DELETE FROM entry WHERE seq = 3": "entry 3 is missing",
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("further", [0, 3])
def test_an_altered_log_is_refused(attack: str, further: int, a_use: MakeUse, watched: Watched, run: Run) -> None:
    """Cut, emptied, edited or holed, at the size that was seen or beyond: exit 1, in words, and nothing is added."""
    with AuditLog.open(watched.address) as log:
        record(log, a_use, further)
    change(watched.address, "DELETE FROM checkpoint", attack)
    before = watched.store.read_bytes()
    ended = run("checkpoint", "--to", watched.store)
    assert (ended.code, ended.out) == (1, "")
    assert ATTACKS[attack] in ended.err
    assert watched.store.read_bytes() == before


def test_the_logs_own_checkpoints_count_too(log: AuditLog, a_use: MakeUse, address: Path, run: Run) -> None:
    """No other root is signed than the one that the log was signed with, whoever asks."""
    record(log, a_use, 6)
    log.close()
    change(address, "UPDATE entry SET leaf_hash = zeroblob(32) WHERE seq = 3")
    ended = run("checkpoint")
    assert (ended.code, ended.out) == (1, "")
    assert "not those that the log's own checkpoint of 9 entries saw" in ended.err


def test_an_older_copy_is_refused(watched: Watched, a_use: MakeUse, tmp_path: Path, run: Run) -> None:
    """A backup put back: also when it has grown again since, differently."""
    shutil.copy(watched.address, tmp_path / "older.db")
    with AuditLog.open(watched.address) as again:
        record(again, a_use, 5)
    assert run("checkpoint", "--to", watched.store).code == 0
    assert "some are gone" in run("checkpoint", "--db", tmp_path / "older.db", "--to", watched.store).err
    with AuditLog.open(tmp_path / "older.db") as older:
        record(older, a_use, 9)
    ended = run("checkpoint", "--db", tmp_path / "older.db", "--to", watched.store)
    assert (ended.code, "not those that the witness store seen.txt saw" in ended.err) == (1, True)


def test_another_log_is_refused(log: AuditLog, store: Path, run: Run, tmp_path: Path) -> None:
    """One store is for one log."""
    log.close()
    assert run("checkpoint", "--to", store).code == 0
    AuditLog.open(tmp_path / "other.db").close()
    ended = run("checkpoint", "--db", tmp_path / "other.db", "--to", store)
    assert (ended.code, "about another log" in ended.err) == (1, True)


def test_what_is_no_store_is_left_alone(log: AuditLog, address: Path, tmp_path: Path, run: Run) -> None:
    """A file of something else, the database itself, a folder, a pipe: exit 2, and not a byte is changed."""
    log.close()
    text, pipe = tmp_path / "text", tmp_path / "pipe"
    text.write_text("precious\nthings\n")
    os.mkfifo(pipe)
    database = address.read_bytes()
    for path in (text, pipe, address, tmp_path, tmp_path / "no" / "such", Path("a\x00b")):
        ended = run("checkpoint", "--to", path)
        assert (ended.code, ended.out) == (2, "")
    assert "text, line" in run("checkpoint", "--to", text).err
    assert (text.read_text(), address.read_bytes()) == ("precious\nthings\n", database)


def test_nothing_is_left_where_there_is_no_log(store: Path, run: Run) -> None:
    """Exit 3, and no empty store."""
    assert run("checkpoint", "--to", store).code == 3
    assert not store.exists()


def test_two_at_once(log: AuditLog, store: Path, run: Run) -> None:
    """A store that another process has open is not written."""
    log.close()
    assert run("checkpoint", "--to", store).code == 0
    with store.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        ended = run("checkpoint", "--to", store)
    assert (ended.code, "in use" in ended.err) == (2, True)


@pytest.mark.parametrize("fault", ["short", "failing"])
def test_a_full_disk_leaves_the_store_as_it_was(
    fault: str, watched: Watched, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a note would be a store that nobody can read."""
    before = watched.store.read_bytes()
    AuditLog.open(watched.address).close()
    whole: Callable[[int, Any], int] = os.write

    def write(file: int, content: Any) -> int:
        if not bytes(content).startswith(b"\ncounterfoil/"):
            return whole(file, content)
        written = whole(file, bytes(content)[:20])
        if fault == "failing":
            raise OSError(28, "full")
        return written

    monkeypatch.setattr(os, "write", write)
    ended = run("checkpoint", "--to", watched.store)
    assert (ended.code, "left as it was" in ended.err) == (2, True)
    assert watched.store.read_bytes() == before


def test_a_key_beside_the_log_is_not_used(
    log: AuditLog, address: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the log is opened for writing."""
    log.close()
    make_key_file(address.parent / "signing.key", "ours")
    monkeypatch.setenv("COUNTERFOIL_SIGNING_KEY_FILE", str(address.parent / "signing.key"))
    ended = run("checkpoint")
    assert (ended.code, ended.out, "beside" in ended.err) == (2, "", True)


def test_verify_takes_a_store_as_a_witness(signing: VerifierKey, watched: Watched, run: Run, a_use: MakeUse) -> None:
    """What was kept elsewhere is what a cut shows against, and a key proves whose checkpoints the log holds."""
    with AuditLog.open(watched.address) as log:
        record(log, a_use, 5)
    assert run("checkpoint", "--to", watched.store).code == 0
    given = ("verify", "--witness", watched.store, "--key", str(signing))
    assert run(*given, "--require", "signed,witnessed").code == 0
    change(watched.address, "DELETE FROM entry WHERE seq > 9", "DELETE FROM checkpoint WHERE size > 9")
    ended = run("verify", "--witness", watched.store)
    assert (ended.code, "9 hold" in ended.out) == (1, True)


def test_a_new_key(tmp_path: Path, run: Run, leaks: Callable[..., list[str]]) -> None:
    """The private half stands in the file alone, the public half on stdout alone."""
    path = tmp_path / "signing.key"
    ended = run("key", "new", path, "--name", "example.com/agents")
    assert (ended.code, ended.err) == (0, "")
    assert VerifierKey.parse(ended.out.strip()) == SigningKey.from_file(path).verifier_key
    assert path.stat().st_mode & 0o777 == 0o600
    assert leaks(path.read_text().strip().split("+", 4)[4], ended.out, ended.err) == []
    assert run("key", "show", path).out == ended.out


def test_the_key_of_the_environment_is_shown(signing: VerifierKey, run: Run) -> None:
    """Without a file, it is the one that a log would be signed with."""
    assert run("key", "show").out == f"{signing}\n"


def test_wrong_use(tmp_path: Path, run: Run) -> None:
    """A file that is there, a name that is none, no key at all: exit 2, and nothing on stdout."""
    (tmp_path / "there").write_text("precious")
    for arguments in (
        ("new", tmp_path / "there"),
        ("new", tmp_path / "new.key", "--name", "two words"),
        ("show",),
        ("show", tmp_path / "there"),
        ("show", tmp_path / "missing"),
    ):
        ended = run("key", *arguments)
        assert (ended.code, ended.out) == (2, "")
    assert (tmp_path / "there").read_text() == "precious"
    assert not (tmp_path / "new.key").exists()

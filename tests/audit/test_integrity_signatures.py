"""Signatures, pruned rows and the database itself: what a key vouches for, and what nobody does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity import State
from counterfoil.audit.integrity.note import parse_checkpoint
from counterfoil.audit.integrity.signing_key import SigningKey
from counterfoil.audit.keeping.retention import retain
from counterfoil.schemas import ConfigurationError, FingerprintKey, InvalidNote

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeUse, Run

    from counterfoil.audit.integrity import Verification


@pytest.fixture
def signer() -> SigningKey:
    """Give a signing key that nobody else has."""
    return SigningKey.generate("example.com/log")[0]


@pytest.fixture
def write(address: Path, key: FingerprintKey, a_use: MakeUse) -> Callable[[SigningKey | None, int], None]:
    """Give a way to write some entries in one session, which ends with a checkpoint."""

    def session(signer: SigningKey | None, entries: int) -> None:
        with AuditLog.open(address, fingerprint_key=key, signing_key=signer) as log:
            for number in range(entries):
                log.record(a_use(f"action_{number}"))

    return session


def _verified(address: Path, *keys: SigningKey | Path, deep: bool = False) -> Verification:
    given = [str(each.verifier_key) if isinstance(each, SigningKey) else each for each in keys]
    with AuditReader.open(address) as reader:
        return reader.verify(keys=given, deep=deep)


def test_a_signature_under_a_given_key(write: Callable[..., None], signer: SigningKey, address: Path) -> None:
    """With the key it is proven to the last entry; without it, the log's own word is told and not believed."""
    write(signer, 5)
    found = _verified(address, signer)
    assert (found.signed.state, found.signed.reach) == (State.PROVEN, found.entries)
    alone = _verified(address)
    assert (alone.signed.state, alone.signed.reach, alone.failed) == (State.UNANCHORED, alone.entries, ())
    assert "only the log itself names their key" in alone.signed.words


def test_what_came_after_the_last_signature(write: Callable[..., None], signer: SigningKey, address: Path) -> None:
    """Entries of a session without the key are beyond the reach, in numbers; the rest stays proven."""
    write(signer, 5)
    reach = _verified(address, signer).entries
    write(None, 4)
    found = _verified(address, signer)
    assert (found.signed.state, found.signed.reach) == (State.PROVEN, reach)
    assert f"{found.entries - reach} entries beyond it are not" in found.signed.words


def test_no_signature_under_a_given_key(write: Callable[..., None], signer: SigningKey, address: Path) -> None:
    """A log that was never signed, or signed by somebody else, fails when a key is given."""
    write(None, 2)
    found = _verified(address, signer)
    assert (found.failed, found.signed.reach) == (("signed",), 0)
    write(SigningKey.generate("example.com/other")[0], 2)
    found = _verified(address, signer)
    assert found.failed == ("signed",)
    assert "signed with another" in found.signed.words


def test_a_key_that_was_exchanged(write: Callable[..., None], signer: SigningKey, address: Path) -> None:
    """The old key reaches as far as it signed, and the words name the entry and its successor; the new one, all."""
    write(signer, 3)
    reach = _verified(address, signer).entries
    successor = SigningKey.generate("example.com/log-2")[0]
    write(successor, 3)
    old = _verified(address, signer)
    assert (old.signed.state, old.signed.reach) == (State.PROVEN, reach)
    assert str(successor.verifier_key) in old.signed.words
    for given in ([successor], [signer, successor]):
        found = _verified(address, *given)
        assert (found.signed.state, found.signed.reach) == (State.PROVEN, found.entries)


def test_keys_from_files(
    write: Callable[..., None], signer: SigningKey, address: Path, tmp_path: Path, run: Run
) -> None:
    """A file may hold several keys, one a line; what is none is an error that names file and line (exit code 2)."""
    write(signer, 1)
    other, kept = SigningKey.generate("example.com/other")[0], tmp_path / "keys"
    kept.write_text(f"{other.verifier_key}\n\n{signer.verifier_key}\n", "utf-8")
    assert _verified(address, kept).signed
    assert run("verify", "--key", kept, "--require", "signed").code == 0
    kept.write_text(f"{signer.verifier_key}\nsecret\n", "utf-8")
    with pytest.raises(ConfigurationError, match="line 2"):
        _verified(address, kept)
    for given in (kept, tmp_path, tmp_path / "missing", "a+b+c", "/dev/zero"):
        ended = run("verify", "--key", given)
        assert (ended.code, ended.out) == (2, "")
        assert "secret" not in ended.err
    kept.write_text("\n", "utf-8")
    with pytest.raises(ConfigurationError, match="no verifier key"):
        _verified(address, kept)
    with AuditReader.open(address) as reader, pytest.raises(InvalidNote):
        reader.verify(keys=[str(signer.verifier_key)[:-4] + "AAAA"])


def test_a_checkpoint_that_is_none(write: Callable[..., None], address: Path) -> None:
    """Whatever stands in its place, of whatever type, is told of by its size, and never raises."""
    write(None, 3)
    for note in (
        "x'00ff'",
        "'no note'",
        "''",
        "replace(note, char(10) || size || char(10), char(10) || '2' || char(10))",
    ):
        with closing(sqlite3.connect(address, isolation_level=None)) as connection:
            (before,) = connection.execute("SELECT note FROM checkpoint").fetchone()
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'checkpoint'")
            connection.execute("PRAGMA writable_schema = RESET")
            connection.execute(f"UPDATE checkpoint SET note = {note}")
            found = _verified(address)
            assert found.failed == ("consistent",)
            assert "what stands as the checkpoint" in found.consistent.words
            connection.execute("UPDATE checkpoint SET note = ?", (before,))


def test_bodies_that_were_pruned(write: Callable[..., None], signer: SigningKey, address: Path) -> None:
    """What the log's owner pruned stays consistent, signed and complete, once or several times, and is told of."""
    write(signer, 6)
    retain(address, before=datetime.now(UTC), signing_key=signer)
    write(signer, 4)
    retain(address, before=datetime.now(UTC), signing_key=signer)
    write(signer, 2)
    found = _verified(address, signer, deep=True)
    assert (found.failed, bool(found.signed), bool(found.complete)) == ((), True, True), found
    assert "10 bodies were pruned, under signed notes" in found.consistent.words
    with closing(sqlite3.connect(address, isolation_level=None)) as connection:
        (seq,) = connection.execute("SELECT max(seq) FROM pruned").fetchone()
        connection.execute("UPDATE pruned SET leaf_hash = zeroblob(31) WHERE seq = ?", (seq,))
    assert _verified(address, signer).first_bad_seq == seq


def test_what_another_key_pruned(write: Callable[..., None], signer: SigningKey, address: Path) -> None:
    """Under a given key, only that key may have signed the pruning."""
    write(signer, 4)
    retain(address, before=datetime.now(UTC), signing_key=SigningKey.generate("example.com/thief")[0])
    found = _verified(address, signer)
    assert "consistent" in found.failed
    assert "not signed with a key that counts" in found.consistent.words
    assert _verified(address).consistent


def test_the_root_is_the_one_that_the_checkpoint_has(write: Callable[..., None], address: Path) -> None:
    """One bit of a stored root, and the file does not agree with itself any more."""
    write(None, 3)
    with closing(sqlite3.connect(address, isolation_level=None)) as connection:
        (note,) = connection.execute("SELECT note FROM checkpoint").fetchone()
        checkpoint = parse_checkpoint(note)
        flipped = bytes([checkpoint.root[0] ^ 1, *checkpoint.root[1:]])
        other = type(checkpoint)(checkpoint.origin, checkpoint.size, flipped)
        connection.execute("UPDATE checkpoint SET note = ?", (str(other),))
    found = _verified(address)
    assert (found.failed, found.first_bad_seq) == (("consistent",), checkpoint.size)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["CREATE TABLE mine (a)"], "a foreign table"),
        (["CREATE INDEX mine ON entry (seq)"], "a foreign index"),
        (["CREATE VIEW mine AS SELECT 1"], "a foreign view"),
        (["CREATE TRIGGER mine AFTER INSERT ON log BEGIN SELECT 1; END"], "a foreign trigger"),
        (["DROP INDEX entry_task"], "the index entry_task is missing"),
        (["ALTER TABLE entry ADD COLUMN mine TEXT"], "the table entry is not defined as it was made"),
        (["DROP INDEX entry_task", "CREATE INDEX entry_task ON entry (kind)"], "entry_task is not defined"),
        (["ANALYZE"], ""),
    ],
)
def test_what_deep_finds(statements: list[str], words: str, write: Callable[..., None], address: Path) -> None:
    """What is not ours in the schema, or not as it was made, is named by its kind; statistics are no harm."""
    write(None, 2)
    with closing(sqlite3.connect(address, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    found = _verified(address, deep=True)
    assert (found.failed, words in found.deep.words) == (("consistent", "deep") if words else (), True)
    assert _verified(address).deep.state is State.NOT_ASKED


def test_deep_on_postgresql(postgres: str, key: FingerprintKey) -> None:
    """A database of PostgreSQL is examined, too, and everything else is judged as ever."""
    with AuditLog.open(postgres, fingerprint_key=key):
        pass
    with AuditReader.open(postgres) as reader:
        found = reader.verify(deep=True)
    assert (found.deep.state, found.failed, bool(found.consistent), bool(found.complete)) == (
        State.PROVEN,
        (),
        True,
        True,
    )

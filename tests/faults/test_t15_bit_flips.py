"""T15: bit flips in the files of a log: each that changes what it holds is seen, and none stops the verification."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity.chain import Chain
from counterfoil.schemas import Action, CredentialUse, FingerprintKey, Resource, StoreError, Token

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from conftest import Tally
    from frame import Scale

    from counterfoil.audit.integrity.chain import Row

pytestmark = pytest.mark.faults

KEY = FingerprintKey(bytes.fromhex("6b" * 32))
WHAT = "single bit flips in the database and in -wal"
_HANGS = 20
"""Seconds after which a verification hangs."""
_LIVE = (
    "SELECT seq, CAST(body AS BLOB), leaf_hash, chain_hash FROM entry ORDER BY seq",
    "SELECT log_id FROM log",
    "SELECT size, CAST(note AS BLOB) FROM checkpoint ORDER BY size",
)
_SCHEMA = "SELECT type, name, tbl_name, CAST(sql AS BLOB) FROM sqlite_schema WHERE tbl_name = 'entry'"


@dataclass
class Flips:
    """What the flips came to."""

    tried: int = 0
    live: int = 0
    """How many changed what the log holds."""
    schema: int = 0
    """How many changed how it is read."""
    unseen: int = 0


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the files of a log: some entries in the database, some in -wal alone, and what a witness keeps."""
    folder = tmp_path_factory.mktemp("good")
    made = folder / "made"
    made.mkdir()
    with AuditLog.open(made / "audit.db", fingerprint_key=KEY) as log:
        for number in range(30):
            log.record(_use(number))
    with AuditLog.open(made / "audit.db", fingerprint_key=KEY) as log:
        for number in range(20):
            log.record(_use(number))
        receipt = log.record(_use(20))
        kept = folder / "kept"
        kept.mkdir()
        for name in ("audit.db", "audit.db-wal"):  # as a crash leaves them
            shutil.copy(made / name, kept / name)
    assert (kept / "audit.db-wal").stat().st_size > 10_000
    seen = {"log_id": receipt.log_id, "seq": receipt.seq, "chain_hash": receipt.chain_hash}
    (folder / "seen.jsonl").write_text(json.dumps(seen), "utf-8")
    return kept


def _use(number: int) -> CredentialUse:
    return CredentialUse(
        token=Token(), resource=Resource(uri=f"https://api.example/{number}"), action=Action(name="read_mail")
    )


def _held(folder: Path) -> tuple[Any, Any]:
    """Return what SQLite reads of the log's rows, and of its schema; None where it cannot."""
    live: Any = None
    schema: Any = None
    try:
        with closing(sqlite3.connect(f"file:{folder / 'audit.db'}?mode=ro", uri=True)) as connection:
            schema = connection.execute(_SCHEMA).fetchall()
            live = [connection.execute(statement).fetchall() for statement in _LIVE]
    except (sqlite3.Error, UnicodeDecodeError):
        pass
    return live, schema


@contextmanager
def _no_hang() -> Generator[None]:
    def stop(*_: object) -> None:
        raise AssertionError(f"the verification hangs for {_HANGS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _is_seen(folder: Path, *, deep: bool) -> bool:
    """Whether the log fails, or cannot be opened at all. Anything but our own errors is a crash."""
    try:
        with _no_hang(), AuditReader.open(folder / "audit.db") as reader:
            return bool(reader.verify(witnesses=[folder.parent / "seen.jsonl"], deep=deep).failed)
    except StoreError:
        return True


def _flip(good: Path, times: int, seed: int) -> Flips:
    chance, found = random.Random(seed), Flips()
    before = _held(_copy(good))
    for _ in range(times):
        folder = _copy(good)
        victim = folder / chance.choice(("audit.db", "audit.db-wal"))
        content = bytearray(victim.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        victim.write_bytes(content)
        live, schema = _held(folder)
        found.tried += 1
        if schema != before[1]:
            found.schema += 1
            found.unseen += not _is_seen(folder, deep=True)
        elif live != before[0]:
            found.live += 1
            found.unseen += not _is_seen(folder, deep=False)
        else:
            _is_seen(folder, deep=True)
    return found


def _copy(good: Path) -> Path:
    folder = good.parent / "flipped"
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(good, folder)


def test_every_flip_in_what_a_log_holds_is_seen(good: Path, scale: Scale, tally: Tally) -> None:
    """A changed row, log id, checkpoint or schema fails, or cannot be opened; nothing crashes, nothing hangs."""
    assert not _is_seen(_copy(good), deep=True)
    found = _flip(good, scale(120, 1000), seed=15)
    assert found.unseen == 0
    assert found.live > found.tried / 10
    tally(
        test="T15",
        what=WHAT,
        injected=found.tried,
        tried=found.tried,
        false_alarms=0,
        note=f"{found.live} changed rows and {found.schema} the schema: all seen; no crash, no hang",
    )


def _every_row_holds(chain: Chain, rows: Sequence[Row]) -> Sequence[Row]:
    chain.entries = rows[-1][0]
    return rows


def test_a_verifier_that_does_not_hash_is_noticed(good: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally) -> None:
    """Without the comparison of hashes flips of bodies pass."""
    monkeypatch.setattr(Chain, "take", _every_row_holds)
    assert _flip(good, 60, seed=15).unseen > 0
    tally.defect("T15", "hashes are not compared: flips of bodies are not seen")

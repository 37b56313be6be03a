"""Verification: every change of a row is found at its number; what cannot be found is said."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity import State, Verification, verify_rows
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import StoreError
from counterfoil.schemas.entry import GENESIS, chain_hash, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.schemas import FingerprintKey

_ENTRIES = 8
_LOG_ID = "ab" * 16
Row = tuple[int, bytes | None, bytes, bytes]


@pytest.fixture
def closed(log: AuditLog, address: Path, a_use: MakeUse) -> Path:
    """Give the file of a closed log with eight entries: created, opened, five uses, closed."""
    for number in range(_ENTRIES - 3):
        log.record(a_use(f"action_{number}"))
    log.close()
    return address


def _tamper(address: Path, *statements: str) -> None:
    """Change the file with SQL, as somebody could who can write to it and knows a little."""
    with closing(sqlite3.connect(address, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def _verified(address: Path) -> Verification:
    with AuditReader.open(address) as reader:
        return reader.verify()


def test_a_log_as_it_was_written(closed: Path) -> None:
    """All entries hold, and the head is the one that the last entry has."""
    found = _verified(closed)
    assert (found.consistent.state, found.entries, found.first_bad_seq) == (State.PROVEN, _ENTRIES, None)
    with AuditReader.open(closed) as reader:
        last = reader.entry(_ENTRIES)
        assert last is not None
        assert (found.log_id, found.chain_hash) == (reader.log_id, last.chain_hash.hex())


_COPY = "INSERT INTO entry (seq, body, leaf_hash, chain_hash) SELECT"


@pytest.mark.parametrize(
    ("statements", "seq", "problem"),
    [
        (["UPDATE entry SET body = replace(body, 'action_1', 'action_9') WHERE seq = 4"], 4, "the body"),
        (["UPDATE entry SET body = body || ' ' WHERE seq = 4"], 4, "the body"),
        (["UPDATE entry SET body = '{}' WHERE seq = 4"], 4, "the body"),
        (["UPDATE entry SET body = body || char(0) || 'x' WHERE seq = 4"], 4, "the body"),
        (["UPDATE entry SET leaf_hash = zeroblob(32) WHERE seq = 4"], 4, "the body"),
        (["UPDATE entry SET leaf_hash = x'' WHERE seq = 4"], 4, "the body"),
        (["UPDATE entry SET chain_hash = zeroblob(32) WHERE seq = 4"], 4, "the chain hash"),
        (["UPDATE entry SET chain_hash = zeroblob(32) WHERE seq = 8"], 8, "the chain hash"),
        (["DELETE FROM entry WHERE seq = 4"], 4, "missing"),
        (["DELETE FROM entry WHERE seq = 1"], 1, "missing"),
        (["DELETE FROM entry WHERE seq = 4", "UPDATE entry SET seq = seq - 1 WHERE seq > 4"], 4, "the chain hash"),
        (["DELETE FROM entry"], 1, "its own creation"),
        (["UPDATE entry SET seq = 99 WHERE seq = 4", "UPDATE entry SET seq = 4 WHERE seq = 5"], 4, "the chain hash"),
        ([f"{_COPY} 9, '{{}}', leaf_hash, chain_hash FROM entry WHERE seq = 8"], 9, "the body"),
        ([f"{_COPY} 0, '{{}}', x'', x''"], 0, "below 1"),
        ([f"{_COPY} -5, '{{}}', x'', x''"], -5, "below 1"),
        ([f"{_COPY} {-(2**63)}, '{{}}', x'', x''"], -(2**63), "below 1"),
        ([f"{_COPY} {2**63 - 1}, '{{}}', x'', x''"], 9, "missing"),
        (["UPDATE log SET log_id = zeroblob(16)"], 1, "the chain hash"),
    ],
)
def test_every_clumsy_change_is_found(statements: list[str], seq: int, problem: str, closed: Path) -> None:
    """Edit, delete, insert, move: the first entry that is not as it was sealed is named, with what is wrong there."""
    _tamper(closed, *statements)
    found = _verified(closed)
    assert not found.consistent
    assert found.first_bad_seq == seq
    assert found.problem is not None
    assert problem in found.problem
    assert found.entries == max(seq, 1) - 1


def test_swapped_bodies_are_found(closed: Path) -> None:
    """Two entries whose rows changed places are found at the first of them."""
    _tamper(closed, *(f"UPDATE entry SET seq = {new} WHERE seq = {old}" for old, new in ((4, 99), (5, 4), (99, 5))))
    assert _verified(closed).first_bad_seq == 4


def test_rows_of_another_log_are_found(closed: Path, tmp_path: Path, key: FingerprintKey) -> None:
    """Rows of another log, though good in themselves, are not this log's: not one, and not all of them."""
    with AuditLog.open(tmp_path / "other.db", fingerprint_key=key):
        pass
    whole = tmp_path / "whole.db"
    shutil.copy(closed, whole)
    attach = f"ATTACH '{tmp_path / 'other.db'}' AS other"
    copied = (
        "INSERT INTO entry (seq, body, leaf_hash, chain_hash) SELECT seq, body, leaf_hash, chain_hash FROM other.entry"
    )
    _tamper(closed, attach, "DELETE FROM entry WHERE seq = 2", f"{copied} WHERE seq = 2")
    assert _verified(closed).first_bad_seq == 2
    _tamper(whole, attach, "DELETE FROM entry", copied)
    assert _verified(whole).first_bad_seq == 1


def test_a_body_that_is_no_text_is_found(closed: Path) -> None:
    """Bytes that are not UTF-8 do not stop the verification before it names the entry."""
    content = closed.read_bytes()
    assert content.count(b'"name":"action_1"') == 1
    closed.write_bytes(content.replace(b'"name":"action_1"', b'"name":"action_\xff"'))
    assert _verified(closed).first_bad_seq == 4


def test_a_body_of_another_type_is_found(closed: Path) -> None:
    """Also where somebody made the table take bytes in place of text."""
    _tamper(
        closed,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'entry'",
    )
    _tamper(closed, "UPDATE entry SET body = CAST('{}' AS BLOB) WHERE seq = 4")
    assert _verified(closed).first_bad_seq == 4


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_single_byte_of_any_row(data: st.DataObject, many_rows: list[Row]) -> None:
    """One byte, anywhere in a body or a hash, changed to any other value, is found at its own row."""
    at = data.draw(st.integers(0, len(many_rows) - 1), label="row")
    part = data.draw(st.integers(1, 3), label="column")
    columns: list[Any] = list(many_rows[at])
    changed = bytearray(columns[part])
    place = data.draw(st.integers(0, len(changed) - 1), label="place")
    changed[place] ^= data.draw(st.integers(1, 255), label="difference")
    columns[part] = bytes(changed)
    seq, body, leaf, chain = columns
    found = verify_rows([*many_rows[:at], (seq, body, leaf, chain), *many_rows[at + 1 :]], _LOG_ID)
    assert (found.consistent.state, found.first_bad_seq, found.entries) == (State.FAILED, seq, at)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_change_of_order(data: st.DataObject, many_rows: list[Row]) -> None:
    """Rows left out, repeated or moved are found; only cutting rows off the end is not (see below)."""
    rows = data.draw(st.lists(st.sampled_from(many_rows), max_size=len(many_rows) + 3))
    beginning = rows == many_rows[: len(rows)] and rows != []
    assert bool(verify_rows(rows, _LOG_ID).consistent) == beginning


@pytest.fixture(scope="module")
def many_rows() -> list[Row]:
    """Make a chain of thirty rows, without a store."""
    rows = _chain(30)
    assert verify_rows(rows, _LOG_ID).consistent
    return rows


def _chain(length: int) -> list[Row]:
    rows, head = list[Row](), GENESIS
    for seq in range(1, length + 1):
        body = f'{{"kind":"log","change":"created","log_id":"{_LOG_ID}"}}' if seq == 1 else f'{{"number":{seq}}}'
        leaf = leaf_hash(body.encode())
        head = chain_hash(bytes.fromhex(_LOG_ID), seq, head, leaf)
        rows.append((seq, body.encode(), leaf, head))
    return rows


def test_what_the_chain_alone_cannot_show(closed: Path) -> None:
    """Rows cut from the end leave a shorter log that is good in itself: only a head kept elsewhere shows it."""
    head = _verified(closed).chain_hash
    _tamper(closed, "DELETE FROM entry WHERE seq > 5", "DELETE FROM checkpoint")
    found = _verified(closed)
    assert (found.consistent.state, found.entries) == (State.PROVEN, 5)
    assert found.chain_hash != head


def test_a_rewrite_from_some_row_on_cannot_be_shown_either(closed: Path) -> None:
    """Who can write the file and knows the rules can seal everything anew: again only another head shows it."""
    before = _verified(closed)
    with AuditReader.open(closed) as reader:
        bodies = [entry.body.replace("action_1", "action_9") for entry in reader.find(Filter())]
    head, log_id = GENESIS, bytes.fromhex(before.log_id)
    _tamper(closed, "DELETE FROM checkpoint")
    with closing(sqlite3.connect(closed, isolation_level=None)) as connection:
        for seq, body in enumerate(bodies, start=1):
            leaf = leaf_hash(body.encode())
            head = chain_hash(log_id, seq, head, leaf)
            connection.execute(
                "UPDATE entry SET body = ?, leaf_hash = ?, chain_hash = ? WHERE seq = ?", (body, leaf, head, seq)
            )
    found = _verified(closed)
    assert found.consistent
    assert found.chain_hash != before.chain_hash


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"kind":"log","change":"created","log_id":"00"}']
)
def test_a_log_begins_with_its_own_creation(body: bytes) -> None:
    """A first entry that is anything else is refused, however well its hashes hold, and however strange it is."""
    leaf = leaf_hash(body)
    row = (1, body, leaf, chain_hash(bytes.fromhex(_LOG_ID), 1, GENESIS, leaf))
    found = verify_rows([row], _LOG_ID)
    assert (found.consistent.state, found.first_bad_seq, found.problem) == (
        State.FAILED,
        1,
        "the log does not begin with its own creation",
    )


def test_nothing_is_not_consistent() -> None:
    """An empty log proves nothing: it has lost its creation."""
    assert not verify_rows([], _LOG_ID).consistent


def test_progress_is_told() -> None:
    """Whoever waits hears every 10,000 entries how far it is."""
    told: list[int] = []
    assert verify_rows(_chain(20_000), _LOG_ID, on_progress=told.append).entries == 20_000
    assert told == [10_000, 20_000]


def test_memory_does_not_grow_with_the_log() -> None:
    """Ten times as many rows take the same memory."""
    peaks: list[int] = []
    for length in (3_000, 30_000):
        rows = _streamed(length)
        tracemalloc.start()
        assert verify_rows(rows, _LOG_ID).entries == length
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2


def _streamed(length: int) -> Iterator[Row]:
    head = GENESIS
    for seq, body, _, _ in _chain(1):
        leaf = leaf_hash(body or b"")
        head = chain_hash(bytes.fromhex(_LOG_ID), seq, head, leaf)
        yield seq, body, leaf, head
    for seq in range(2, length + 1):
        body = b'{"text":"%01000d"}' % seq
        leaf = leaf_hash(body)
        head = chain_hash(bytes.fromhex(_LOG_ID), seq, head, leaf)
        yield seq, body, leaf, head


def test_random_damage_never_stops_the_verification(closed: Path) -> None:
    """Bit flips in the file end in a verdict or in an error of ours, and never in a traceback or a hang."""
    good = closed.read_bytes()
    for _ in range(60):
        damaged = bytearray(good)
        for _ in range(3):
            damaged[int.from_bytes(os.urandom(4)) % len(good)] ^= 1 << os.urandom(1)[0] % 8
        closed.write_bytes(damaged)
        try:
            _verified(closed)
        except StoreError:
            continue


def test_a_copy_that_was_made_under_load_verifies(log: AuditLog, address: Path, tmp_path: Path, a_use: MakeUse) -> None:
    """SQLite's own backup of a live log is a log that holds."""
    for _ in range(5):
        log.record(a_use())
    with closing(sqlite3.connect(address)) as live, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        live.backup(copy)
    found = _verified(tmp_path / "copy.db")
    assert (found.consistent.state, found.entries) == (State.PROVEN, 7)

"""Reading: every filter, in order, page by page, and with no means to change anything."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from counterfoil.exporters.filter import Filter
from counterfoil.exporters.sql import LogReader, Pending, SqliteReader, Writer, open_reader, open_writer
from counterfoil.schemas import (
    Action,
    Agent,
    Approval,
    Binding,
    Context,
    CredentialUse,
    Fingerprint,
    FingerprintKey,
    LogEvent,
    Proof,
    Resource,
    Sha256,
    SignerProcess,
    Thumbprint,
    Token,
    Tool,
    canonical_bytes,
    leaf_hash,
)
from counterfoil.schemas.events import EVENT_TYPES, stated

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from conftest import Connections, Seal

_NOON = "2026-11-23T12:00:00.000000Z"
_ONE_O_CLOCK = "2026-11-23T13:00:00.000000Z"
_TOKEN = Fingerprint.of("token", FingerprintKey(b"a key of this test"))
_INBOUND = Fingerprint.of("inbound", FingerprintKey(b"a key of this test"))
_KEY = Thumbprint.of_certificate(b"certificate")
_PROOF = Sha256.of(b"proof")
_USE = "00000000-0000-4000-8000-000000000007"


def _use(*, uri: str = "https://api.example/other", **parts: Any) -> CredentialUse:
    given = {"token": Token(), "resource": Resource(uri=uri), "action": Action(name="x"), **parts}
    return CredentialUse.model_validate(given)


_WANTED = _use(
    uri="https://api.example/mail",
    context=Context.model_validate(
        {
            "occurred_at": _NOON,
            "observer": "gateway",
            "agent": Agent(id="mail-agent"),
            "task": "t-42",
            "tenant": "acme",
            "tool": Tool(name="send_mail"),
            "trace_id": "a" * 32,
            "use_id": _USE,
            "inbound": _INBOUND,
        }
    ),
    token=Token.model_validate(
        {"token_class": "bearer_opaque", "fingerprint": _TOKEN, "audience": ["https://a.example", "https://b.example"]}
    ),
    binding=Binding.model_validate({"method": "dpop", "key_thumbprint": _KEY}),
    proof=Proof.model_validate({"result": "fail", "proof_id": _PROOF}),
    approval=Approval.model_validate({"approval_id": "a-1", "requirement": "required", "decision": "denied"}),
    action=Action.model_validate({"name": "send_mail", "phase": "outcome", "outcome": "refused"}),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    """Name a log that does not exist yet, in each of the databases."""
    named = request.getfixturevalue("address" if request.param == "sqlite" else "postgres")
    return str(named)


@pytest.fixture
def writer(place: str) -> Iterator[Writer]:
    """Open the log for writing, and close it."""
    opened = open_writer(place, deadline=10.0, fingerprint_key_id="00000000")
    yield opened
    opened.close()


@pytest.fixture
def reader(writer: Writer, place: str) -> Iterator[LogReader]:
    """Read the log while it is open for writing."""
    assert not writer.closed
    opened = open_reader(place)
    yield opened
    opened.close()


def _found(reader: LogReader, **wanted: Any) -> list[int]:
    return [entry.seq for entry in reader.find(Filter(**wanted))]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token_fingerprint", _TOKEN),
        ("inbound", _INBOUND),
        ("key_thumbprint", _KEY),
        ("token_class", "bearer_opaque"),
        ("binding_method", "dpop"),
        ("audience", "https://a.example"),
        ("audience", "https://b.example"),
        ("resource", "https://api.example/mail"),
        ("agent", "mail-agent"),
        ("task", "t-42"),
        ("tenant", "acme"),
        ("tool", "send_mail"),
        ("trace_id", "a" * 32),
        ("use_id", _USE),
        ("approval_id", "a-1"),
        ("requirement", "required"),
        ("decision", "denied"),
        ("proof_result", "fail"),
        ("proof_id", _PROOF),
        ("outcome", "refused"),
        ("phase", "outcome"),
        ("observer", "gateway"),
        ("kind", "credential_use"),
    ],
)
def test_a_filter_finds_what_it_names(name: str, value: str, seal: Seal, writer: Writer, reader: LogReader) -> None:
    """Each filter finds the one entry that has the value, and nothing under any other value."""
    writer.append(seal(LogEvent.model_validate({"change": "gap"})))
    writer.append(seal(_WANTED))
    assert _found(reader, **{name: value}) == [2]
    assert _found(reader, **{name: f"{value}x"}) == []
    assert _found(reader, **{name: "' OR 1=1 --"}) == []


_NOTHING_STATED: dict[str, dict[str, Any]] = {
    "credential_use": {"token": {}, "resource": {"uri": "urn:x"}, "action": {"name": "x"}},
    "credential_change": {"change": "issued", "token": {}},
    "approval": {"approval_id": "a", "state": "granted", "action": {"name": "x"}},
    "compromise": {"leaked": "key"},
    "log": {"change": "opened"},
}


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [
        (Filter(token_class="unknown"), {"credential_use", "credential_change"}),
        (Filter(binding_method="unknown"), {"credential_use", "credential_change"}),
        (Filter(proof_result="unknown"), {"credential_use"}),
        (Filter(outcome="unknown"), {"credential_use", "approval"}),
        (Filter(phase="complete"), {"credential_use", "approval"}),
    ],
)
def test_what_nobody_stated_is_found_as_it_is_read(
    writer: Writer, reader: LogReader, wanted: Filter, kinds: set[str]
) -> None:
    """Unknown, in events of a kind that could say it: a change of a credential has neither proof nor outcome."""
    for kind, parts in _NOTHING_STATED.items():
        event = EVENT_TYPES[kind].model_validate(parts)
        body = canonical_bytes(stated(event))
        writer.append(Pending(str(event.context.event_id), body, leaf_hash(body)))
    assert {entry.event.kind for entry in reader.find(wanted)} == kinds


def test_what_cannot_be_stored_is_not_found(seal: Seal, writer: Writer, reader: LogReader) -> None:
    """NUL, a lone surrogate, or a number beyond 64 bits is in no entry, and asking for it is no error."""
    writer.append(seal(_WANTED))
    for text in ("\ud800", "\x00", "t-42\x00"):
        assert _found(reader, task=text) == _found(reader, audience=text) == _found(reader, resource=text) == []
        assert _found(reader, checks={text: "fail"}) == []
    assert reader.by_event_id("\ud800") is None
    assert (reader.entry(2**63), reader.entry(2**70), reader.entry(-(2**70))) == (None, None, None)


def test_filters_hold_together(seal: Seal, writer: Writer, reader: LogReader) -> None:
    """Of two filters both must hold; of none, everything is found."""
    writer.append(seal(_use(context=Context(task="t-42"))))
    writer.append(seal(_WANTED))
    assert _found(reader, task="t-42") == [1, 2]
    assert _found(reader, task="t-42", tenant="acme") == [2]
    assert _found(reader) == [1, 2]


def test_since_includes_and_until_excludes(seal: Seal, writer: Writer, reader: LogReader) -> None:
    """Two windows that meet share no entry and leave none out."""
    for moment in (_NOON, _ONE_O_CLOCK):
        writer.append(seal(_use(context=Context.model_validate({"occurred_at": moment}))))
    assert _found(reader, since=_NOON, until=_ONE_O_CLOCK) == [1]
    assert _found(reader, since=_ONE_O_CLOCK) == [2]
    assert _found(reader, until=_NOON) == []


@pytest.mark.parametrize(
    "uris",
    [
        ("https://a.example/mail", "https://a.example/mail/7", "https://a.example/mailbox"),
        ("https://a.example/mail/", "https://a.example/mail/7", "https://a.example/mail"),
        ("https://a.example", "https://a.example/mail", "https://a.example.evil"),
        ("https://a.example/50%", "https://a.example/50%/x", "https://a.example/500/x"),
        ("https://a.example/a_b", "https://a.example/a_b/x", "https://a.example/a-b/x"),
        ("https://a.example/[ab]*", "https://a.example/[ab]*/x", "https://a.example/a/x"),
        ("https://a.example/Mail", "https://a.example/Mail/x", "https://a.example/mail/x"),
        ("https://a.example/\\", "https://a.example/\\/x", "https://a.example/x"),
    ],
)
def test_a_resource_includes_what_lies_below(
    uris: tuple[str, str, str], seal: Seal, writer: Writer, reader: LogReader
) -> None:
    """A path matches itself and what lies below, and not its neighbour: nothing in it is a wildcard."""
    for uri in uris:
        writer.append(seal(_use(uri=uri)))
    assert _found(reader, resource=uris[0]) == [1, 2]


_CHECKS = {"dpop.06_signature": "pass", "dpop.12b_jkt": "fail", "dpop.13_jti_replay": "not_performed"}


def _checked(**outcomes: str) -> CredentialUse:
    checks = [{"id": name, "outcome": outcome} for name, outcome in outcomes.items()]
    return _use(proof=Proof.model_validate({"checks": checks}))


@pytest.mark.parametrize(
    ("checks", "found"),
    [
        ({"dpop.12b_jkt": "fail"}, [1]),
        ({"dpop.12b_jkt": "pass"}, [2]),
        ({"dpop.13_jti_replay": "not_performed"}, [1, 2]),
        (_CHECKS, [1]),
        ({**_CHECKS, "dpop.13_jti_replay": "pass"}, []),
        ({"dpop.08_htm": "not_performed"}, []),
        ({"dpop.12b": "fail"}, []),
        ({"' OR 1=1 --": "fail"}, []),
        ({"\ud800": "fail"}, []),
    ],
)
def test_checks_are_found_by_how_they_ended(
    checks: dict[str, str], found: list[int], seal: Seal, writer: Writer, reader: LogReader
) -> None:
    """Each of them ended so in the entry; one that the entry does not name ended in no way at all."""
    for outcome in ("fail", "pass"):
        writer.append(seal(_checked(**{**_CHECKS, "dpop.12b_jkt": outcome})))
    writer.append(seal(_use()))
    writer.append(seal(LogEvent.model_validate({"change": "gap"})))
    assert _found(reader, checks=checks) == found


def test_an_event_without_a_token_has_no_audience(seal: Seal, writer: Writer, reader: LogReader) -> None:
    """Where there is no list of audiences, nothing is found and nothing fails."""
    writer.append(seal(LogEvent.model_validate({"change": "gap"})))
    assert _found(reader, audience="https://a.example") == []


def test_who_used_a_credential_or_a_key(seal: Seal, writer: Writer, reader: LogReader) -> None:
    """A row for each tenant and process, as agents recorded it, with its first and last entry."""
    token, bound = Token(fingerprint=_TOKEN), Binding(key_thumbprint=_KEY)
    other = Token(fingerprint=_INBOUND)
    for tenant, pid, observer, used in (
        ("acme", 1, "agent", token),
        ("globex", 1, "agent", other),
        ("acme", 1, "agent", token),
        ("acme", 2, "agent", token),
        ("initech", 1, "resource_server", token),
    ):
        context = Context.model_validate({"tenant": tenant, "observer": observer})
        signer = SignerProcess(pid=pid, host="agents-1")
        writer.append(seal(_use(context=context, token=used, binding=bound, signer=signer)))
    told = [
        (each.tenant, each.host, each.pid, each.first, each.last, each.uses) for each in reader.holders(token=_TOKEN)
    ]
    assert told == [("acme", "agents-1", 1, 1, 3, 2), ("acme", "agents-1", 2, 4, 4, 1)]
    assert [(each.tenant, each.first) for each in reader.holders(key=_KEY)] == [("acme", 1), ("globex", 2), ("acme", 4)]
    assert reader.holders(key="x") == []


def test_how_a_producer_counted(seal: Seal, writer: Writer, reader: LogReader) -> None:
    """Its own entries in the window, with their numbers, what it declared, and what changed."""
    for producer, number, raised in (("p", 1, []), ("q", 1, []), ("p", 4, [2, 3]), ("p", 5, [])):
        facts = {"id": producer, "seq": number, "raised": raised, "pid": 1, "host": "h", "library": "l"}
        context = Context.model_validate({"producer": facts})
        writer.append(seal(LogEvent.model_validate({"change": "gap", "context": context})))
    told = [(each.seq, each.number, each.raised, each.change) for each in reader.numbered("p", 1, 3)]
    assert told == [(1, 1, (), "gap"), (3, 4, (2, 3), "gap")]


@pytest.mark.parametrize("limit", [None, 1, 499, 500, 501, 1000, 1200, 5000])
def test_pages_join_without_a_seam(limit: int | None, reader: LogReader, many: int) -> None:
    """More entries than a page holds come in order, each once, up to the limit."""
    found = [entry.seq for entry in reader.find(Filter(task="t-42"), limit=limit)]
    assert found == [number for number in range(1, many + 1) if number > 99][:limit]


@pytest.fixture
def many(place: str, writer: Writer) -> int:
    """Fill the log quickly with 2,400 entries, all but the first 99 in a task."""
    assert writer.head() == 0
    tasks = [{"task": "t-42"} if number > 99 else {} for number in range(1, 2401)]
    bodies = [{"context": {"event_id": str(number), **task}} for number, task in enumerate(tasks, start=1)]
    _put_in(place, [(number, json.dumps(body)) for number, body in enumerate(bodies, start=1)])
    return 2400


def test_rows_to_verify_come_page_by_page(place: str, reader: LogReader, many: int) -> None:
    """All rows are read as they stand, also one that was put in where no entry can be."""
    lowest = -(2**63)
    _put_in(place, [(lowest, "{}")])
    assert [row[0] for row in reader.stored()] == [lowest, *range(1, many + 1)]
    assert next(reader.stored()) == (lowest, b"{}", b"", b"")


def _put_in(place: str, rows: list[tuple[int, str]]) -> None:
    """Put rows into the table past the writer."""
    if place.startswith("postgresql"):
        statement = "COPY entry (seq, body, leaf_hash, chain_hash) FROM STDIN"
        with psycopg.connect(place.replace("+psycopg", "")) as database, database.cursor().copy(statement) as copy:
            for seq, body in rows:
                copy.write_row((seq, body, b"", b""))
        return
    connection = sqlite3.connect(place, isolation_level=None)
    connection.executemany("INSERT INTO entry (seq, body, leaf_hash, chain_hash) VALUES (?, ?, x'', x'')", rows)
    connection.close()


def test_one_entry(seal: Seal, writer: Writer, reader: LogReader) -> None:
    """An entry is found by its number and by its event, with the very bytes that were sealed."""
    pending = seal(_WANTED)
    writer.append(pending)
    for entry in (reader.entry(1), reader.by_event_id(str(_WANTED.context.event_id))):
        assert entry is not None
        assert entry.body.encode() == pending.body
        assert (entry.leaf_hash, entry.chain_hash) == (pending.leaf_hash, pending.chain_hash)
        assert entry.event.context.event_id == _WANTED.context.event_id
        assert entry.event.model_copy(update={"context": _WANTED.context}) == _WANTED
    assert (reader.entry(2), reader.by_event_id("x")) == (None, None)
    assert (reader.head(), reader.entries_after(1, 9)) == (1, [])
    assert [entry.seq for entry in reader.entries_after(0, 9)] == [1]


def test_reading_cannot_write(seal: Seal, address: Path, connections: Connections) -> None:
    """The connection that a reader opens refuses every statement that would change the log."""
    writer = open_writer(address, deadline=2.0, fingerprint_key_id="00000000")
    writer.append(seal())
    writer.close()
    reader = SqliteReader(address)
    (connection,) = connections.reading
    for statement in ("DELETE FROM entry", "UPDATE log SET schema_version = 2", "PRAGMA user_version = 2", "VACUUM"):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute(statement)
    reader.close()


def test_a_reader_sees_new_entries(seal: Seal, writer: Writer, reader: LogReader) -> None:
    """No snapshot is held between two questions."""
    for expected in (1, 2):
        writer.append(seal())
        assert reader.head() == expected


def test_a_copy_in_a_read_only_folder(seal: Seal, address: Path, tmp_path: Path) -> None:
    """``immutable`` reads a copy where SQLite may not make its own files, and leaves nothing behind."""
    writer = open_writer(address, deadline=2.0, fingerprint_key_id="00000000")
    writer.append(seal())
    writer.close()
    folder = tmp_path / "evidence"
    folder.mkdir()
    shutil.copy(address, folder)
    with _read_only(folder):
        reader = SqliteReader(folder / "audit.db", immutable=True)
        assert reader.head() == 1
        reader.close()
    assert [file.name for file in folder.iterdir()] == ["audit.db"]


@contextmanager
def _read_only(folder: Path) -> Generator[None]:
    """Let nobody make a file in ``folder``, root neither."""
    folder.chmod(0o500)
    subprocess.run(["chattr", "+i", folder], capture_output=True, check=False)  # chmod does not bind root
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("no means to make a folder read-only for root here")
        yield
    finally:
        subprocess.run(["chattr", "-i", folder], capture_output=True, check=False)
        folder.chmod(0o700)

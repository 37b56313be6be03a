"""``counterfoil record``: JSON lines on stdin, a receipt for each, and no line lost for another's fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from conftest import MakeUse, Run

    from counterfoil.schemas import Entry

    Entries = Callable[[], list[Entry]]
    Leaks = Callable[..., list[str]]


@pytest.fixture
def line(a_use: MakeUse) -> Callable[[], bytes]:
    """Give lines that can be recorded, each with an event of its own."""
    return lambda: a_use().model_dump_json(exclude_none=True).encode() + b"\n"


def test_each_line_gets_a_receipt(run: Run, line: Callable[[], bytes], entries: Entries) -> None:
    """One JSON line a receipt, in the order of the input; empty lines are nothing."""
    ended = run("record", stdin=line() + b"\n  \n" + line().rstrip())
    receipts = [json.loads(each) for each in ended.out.splitlines()]
    assert (ended.code, ended.err) == (0, "")
    assert [set(each) for each in receipts] == [{"seq", "event_id", "chain_hash"}] * 2
    assert [(each["seq"], each["event_id"], each["chain_hash"]) for each in receipts] == [
        (entry.seq, str(entry.event.context.event_id), entry.chain_hash.hex()) for entry in entries()
    ]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (b"hunter2", "this is not JSON"),
        (b'{"kind":"credential_use","hunter2":1}', "<unknown, 7 characters>"),
        (b'{"kind":"credential_use","token":{"fingerprint":"hunter2"}}', "token.fingerprint"),
        (b'{"kind":"hunter2"}', "no event kind"),
        (b'{"token":"hunter2"}', "`kind` is missing"),
        (b'{"kind":"log","change":"gap","reason":"a","reason":"hunter2"}', "given more than once"),
        (b'{"kind":"log","change":"gap","context":{"attributes":{"x":NaN}}}', "context.attributes"),
        (b'{"kind":"log","change":"gap","reason":"\\u0000"}', "NUL"),
        (b'{"kind":"log","change":"gap","reason":"\\ud800"}', "not JSON"),
        (b'{"kind":"log","change":"gap","context":{"occurred_at":"2026-01-01T00:00:00"}}', "zone"),
        (b'{"kind":"log","change":"gap","count":-1}', "count"),
        (b'{"kind":"log","change":"gap","reason":"hunter2\xff"}', "not"),
        (b'{"kind":"log","change":"gap","context":{"attributes":' + b'{"x":' * 1000 + b"1" + b"}" * 1002, "too deep"),
        (b'{"kind":"log","change":"gap","reason":"' + b"x" * 10_000_000 + b'"}', "limit"),
    ],
    ids=str,
)
def test_a_bad_line_is_named_by_number_and_path(
    bad: bytes, named: str, run: Run, line: Callable[[], bytes], entries: Entries
) -> None:
    """The error says which line and which member, never the value; the lines around it are recorded; exit code 1."""
    ended = run("record", stdin=line() + bad + b"\n" + line())
    assert ended.code == 1
    assert ended.err.startswith("line 2: ")
    assert named in ended.err
    assert len(ended.err) < 400
    assert "hunter2" not in ended.err
    assert len(ended.out.splitlines()) == len(entries()) == 2


def test_a_repeated_line_gets_the_same_receipt(run: Run, line: Callable[[], bytes], entries: Entries) -> None:
    """Recording a file twice records nothing twice; the same id with other content is refused."""
    given = line()
    first, again = run("record", stdin=given), run("record", stdin=given)
    assert first.out == again.out
    conflict = run("record", stdin=given.replace(b"read_mail", b"send_mail"))
    assert (conflict.code, conflict.out) == (1, "")
    assert "already entry 3" in conflict.err
    assert len(entries()) == 1


def test_what_query_prints_can_be_recorded_elsewhere(run: Run, line: Callable[[], bytes], tmp_path: Path) -> None:
    """The ``event`` of a line of ``query --json`` is itself a line for ``record``, into another log."""
    run("record", stdin=line())
    (shown,) = run("query", "--json", "--kind", "credential_use").out.splitlines()
    event = json.dumps(json.loads(shown)["event"]).encode()
    other = tmp_path / "other.db"
    assert run("record", "--db", other, stdin=event).code == 0
    (copied,) = run("query", "--db", other, "--json", "--kind", "credential_use").out.splitlines()
    assert json.loads(copied)["event"]["context"]["event_id"] == json.loads(event)["context"]["event_id"]


def test_a_raw_credential_does_not_reach_the_log(
    run: Run, secret: str, address: Path, line: Callable[[], bytes], leaks: Leaks
) -> None:
    """In free-form members it is redacted, in our own fields refused, and it is never shown."""
    event = json.loads(line())
    event["context"]["attributes"] = {"authorization": f"Bearer {secret}"}
    ended = run("record", stdin=json.dumps(event).encode())
    assert ended.code == 0
    event["token"]["fingerprint"] = secret
    refused = run("record", stdin=json.dumps(event).encode())
    assert refused.code == 1
    assert leaks(secret, ended.out + ended.err, refused.out + refused.err, *address.parent.glob("audit.db*")) == []


def test_a_store_that_fails_on_the_way(
    run: Run, busy: Callable[[], AbstractContextManager[None]], line: Callable[[], bytes], entries: Entries
) -> None:
    """Exit code 3, and what was recorded before stays."""
    run("record", stdin=line())
    with busy():
        ended = run("record", stdin=line())
    assert (ended.code, ended.out) == (3, "")
    assert "audit.db was locked by another process" in ended.err
    assert len(entries()) == 1

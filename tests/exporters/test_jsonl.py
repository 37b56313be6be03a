"""Entries as lines: JSON that holds the sealed event, a readable line that no stored string can forge."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.exporters import forward
from counterfoil.exporters.jsonl import LineExporter, ascii_json_line, json_line, last_entry, readable_line
from counterfoil.exporters.position import Position
from counterfoil.exporters.sql import SqliteSource
from counterfoil.schemas import (
    Action,
    Agent,
    Context,
    CredentialUse,
    Entry,
    ExportFailed,
    Resource,
    Token,
    canonical_bytes,
    leaf_hash,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from counterfoil.exporters.sql import Writer

HASH = b"\xab" * 32


def entry_of(body: str, seq: int = 1) -> Entry:
    """Make an entry of any body."""
    return Entry(seq, body, leaf_hash(body.encode("utf-8", "surrogatepass")), HASH)


def use(**members: Any) -> CredentialUse:
    """Make a use."""
    return CredentialUse(
        context=Context(occurred_at="2026-11-23T12:00:00Z", **members),
        token=Token(token_class="api_key"),
        resource=Resource(uri="https://api.example/mail"),
        action=Action(name="read_mail", method="GET", outcome="executed", status_code=200),
    )


def sealed(event: CredentialUse) -> str:
    """Return the body of an event."""
    return canonical_bytes(event.model_dump(mode="json", exclude_none=True)).decode()


def lines_of(*entries: Entry, render: Any = json_line) -> list[bytes]:
    """Return what an exporter writes."""
    stream = io.BytesIO()
    LineExporter(stream, name="test", render=render).export(entries)
    return stream.getvalue().splitlines(keepends=True)


def test_a_line_is_number_chain_hash_and_event() -> None:
    """In this order, and nothing else: no level, no time of export."""
    body = sealed(use())
    assert lines_of(entry_of(body, 7)) == [f'{{"seq":7,"chain_hash":"{"ab" * 32}","event":{body}}}\n'.encode()]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=100))
def test_the_event_stands_there_byte_for_byte(text: str) -> None:
    """So that its leaf hash can be computed from the line."""
    entry = entry_of(sealed(use(task=text)))
    [line] = lines_of(entry)
    event = line.split(b'"event":', 1)[1][:-2]
    assert leaf_hash(event) == entry.leaf_hash


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=100))
def test_on_a_terminal_the_line_is_ascii(text: str) -> None:
    """The same event, in characters that no terminal obeys."""
    body = sealed(use(task=text))
    [line] = lines_of(entry_of(body), render=ascii_json_line)
    assert line[:-1].isascii()
    assert all(byte >= 0x20 for byte in line[:-1])
    assert json.loads(line)["event"] == json.loads(body)


@pytest.mark.parametrize(
    "body", ["", "not JSON", "[1]", '"text"', '{"kind":NaN}', '{"a":' * 100_000 + "1" + "}" * 100_000]
)
def test_a_body_that_is_no_event_gives_its_stub(body: str) -> None:
    """One line all the same, and JSON."""
    [line] = lines_of(entry_of(body, 3))
    found = json.loads(line)
    assert found["seq"] == 3
    assert found["event"] == {"kind": "stub", "context": {}, "of": {"kind": "unreadable", "size": len(body)}}


def test_a_body_with_a_line_break_or_a_lone_surrogate_is_still_one_line() -> None:
    """Only somebody who wrote into the store by hand makes such a body."""
    [line] = lines_of(entry_of('{\n"kind":"log",\n"x":"\\ud800"}'))
    assert json.loads(line)["event"] == {"kind": "log", "x": "\ud800"}


def test_the_applications_structlog_is_not_used() -> None:
    """An application that drops everything below error, and renders in its own way, changes nothing here."""
    before = structlog.get_config()
    structlog.configure(
        processors=[lambda _logger, _method, _event: "theirs"],
        wrapper_class=structlog.make_filtering_bound_logger(40),
    )
    try:
        [line] = lines_of(entry_of(sealed(use())))
    finally:
        structlog.configure(**before)
    assert json.loads(line)["seq"] == 1


def test_a_batch_is_written_at_once() -> None:
    """A stream that fails takes either the whole batch, or may be sent it again."""

    class Stream(io.BytesIO):
        writes = 0

        def write(self, lines: Any, /) -> int:
            self.writes += 1
            return super().write(lines)

    stream = Stream()
    exporter = LineExporter(stream, name="test")
    exporter.export([entry_of("{}", seq) for seq in range(5)])
    exporter.export([entry_of("{}", 9)])
    assert stream.writes == 2
    assert [json.loads(line)["seq"] for line in stream.getvalue().splitlines()] == [0, 1, 2, 3, 4, 9]


def test_a_stream_that_fails_is_an_export_that_failed() -> None:
    """And the batch is not kept, to be written twice when it is sent again."""

    class Full(io.BytesIO):
        full = True

        def write(self, lines: Any, /) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(lines)

    stream = Full()
    exporter = LineExporter(stream, name="jsonl:test")
    with pytest.raises(ExportFailed, match="jsonl:test did not take the batch"):
        exporter.export([entry_of("{}", 1)])
    stream.full = False
    exporter.export([entry_of("{}", 1)])
    assert len(stream.getvalue().splitlines()) == 1


def test_a_reader_that_left_is_not_a_failed_export() -> None:
    """``| head`` ends the command, and no try is made again."""

    class Left(io.BytesIO):
        def write(self, _lines: Any, /) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        LineExporter(Left(), name="test").export([entry_of("{}")])


def test_a_readable_line_tells_the_main_facts() -> None:
    """Number, time, kind, and what is known of who, what, where and how it ended."""
    [line] = lines_of(entry_of(sealed(use(agent=Agent(id="mail-agent"), task="t 1")), 12), render=readable_line)
    assert line.decode() == (
        '12 2026-11-23T12:00:00.000000Z credential_use observer=agent agent=mail-agent task="t 1" method=GET'
        " action=read_mail resource=https://api.example/mail token=api_key phase=complete outcome=executed status=200\n"
    )


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=100))
def test_no_stored_string_forges_a_fact_or_steers_the_terminal(text: str) -> None:
    """Whatever is not plain is quoted: ANSI, bidi controls, spaces, quotes, line breaks."""
    hostile = f"{text} outcome=refused\x1b[2J\u202e"
    [line] = lines_of(entry_of(sealed(use(task=hostile))), render=readable_line)
    shown = line.decode("ascii").rstrip("\n")
    assert shown.isprintable()
    before, quoted, after = shown.partition(json.dumps(hostile))
    assert before.endswith("task=")
    assert quoted
    assert after.startswith(" method=GET")


@pytest.mark.parametrize(
    "body", ['{"kind":7,"context":[],"action":"x"}', '{"kind":{"a":1},"context":{"agent":"x"}}', "x"]
)
def test_a_damaged_body_has_a_readable_line_too(body: str) -> None:
    """Members of any type are met without a failure."""
    [line] = lines_of(entry_of(body, 4), render=readable_line)
    assert line.startswith(b"4 - ")


def test_the_last_line_tells_where_to_go_on() -> None:
    """``seq`` and ``chain_hash``; anything else is not such a line."""
    [line] = lines_of(entry_of("{}", 7))
    assert last_entry(line) == (7, "ab" * 32)
    for other in (b"", b"x", b"[]", b"{}", b'{"seq":"x","chain_hash":"y"}', b"7"):
        with pytest.raises(ValueError, match="not a line"):
            last_entry(other)


def test_a_log_becomes_a_stream(writer: Writer, seal: Callable[[], Any], address: Path) -> None:
    """Through ``forward``, like any other exporter: one protocol."""
    for _ in range(10):
        writer.append(seal())
    source, stream = SqliteSource(address), io.BytesIO()
    assert forward(Position(source), LineExporter(stream, name="jsonl:test"), batch=3).sent == 10
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(each["seq"], each["chain_hash"]) for each in found] == [
        (entry.seq, entry.chain_hash.hex()) for entry in source.entries_after(0, 100)
    ]
    assert source.cursor("jsonl:test") == 0
    source.close()

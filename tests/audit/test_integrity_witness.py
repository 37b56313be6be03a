"""Witnesses: what was kept elsewhere is found out and compared; what cannot be used is an error, never left out."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit import AuditReader
from counterfoil.audit.integrity import State, Verdict, Witnesses
from counterfoil.schemas import ConfigurationError, CounterfoilError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeUse, Run

    from counterfoil.audit import AuditLog

_ID = "ab" * 16


@pytest.fixture
def written(log: AuditLog, address: Path, a_use: MakeUse) -> Path:
    """Give a closed log of eight entries."""
    for number in range(5):
        log.record(a_use(f"action_{number}"))
    log.close()
    return address


def _seen(address: Path, *files: Path) -> Verdict:
    with AuditReader.open(address) as reader:
        return reader.verify(witnesses=files).witnessed


def _head(address: Path, seq: int) -> dict[str, Any]:
    with AuditReader.open(address) as reader:
        entry = reader.entry(seq)
        assert entry is not None
        return {"log_id": reader.log_id, "seq": seq, "chain_hash": entry.chain_hash.hex()}


def _note(address: Path) -> str:
    with AuditReader.open(address) as reader:
        return str(reader.commitment().checkpoint)


def _span(head: dict[str, Any], number: Callable[[int], Any] = str) -> dict[str, Any]:
    attributes = [
        {"key": "counterfoil.log.id", "value": {"stringValue": head["log_id"]}},
        {"key": "counterfoil.entry.seq", "value": {"intValue": number(head["seq"])}},
        {"key": "counterfoil.entry.chain_hash", "value": {"stringValue": head["chain_hash"]}},
    ]
    other = {"name": "somebody else's", "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}]}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [other, {"name": "ours", "attributes": attributes}]}]}]}


def test_what_commands_print_is_a_witness(written: Path, run: Run, tmp_path: Path) -> None:
    """Exported lines, spans as OTLP JSON, verify's own JSON, a checkpoint: each is found out, and vouches."""
    kept = tmp_path / "kept"
    run("export", "jsonl", kept.with_suffix(".jsonl"))
    run("export", "otel", "--to", "file", kept.with_suffix(".otlp"))
    kept.with_suffix(".verify").write_text(run("verify", "--json").out, "utf-8")
    kept.with_suffix(".note").write_text(run("checkpoint").out, "utf-8")
    files = [kept.with_suffix(f".{form}") for form in ("jsonl", "otlp", "verify", "note")]
    for file in files:
        found = _seen(written, file)
        assert (found.state, found.reach) == (State.PROVEN, 8), (file, found)
    ended = run("verify", *(each for file in files for each in ("--witness", file)), "--require", "witnessed")
    assert ended.code == 0
    assert "witnessed: yes, up to entry 8: by 8 heads and 1 checkpoint in 4 files." in ended.out


def test_a_receipt_is_a_witness(written: Path, tmp_path: Path) -> None:
    """With or without its log; one that was only accepted says nothing, and is passed over beside others."""
    head, kept = _head(written, 5), tmp_path / "receipts"
    queued = {"log_id": head["log_id"], "seq": 0, "chain_hash": ""}
    for receipts in ([head], [{**head, "log_id": None}], [queued, head, head]):
        kept.write_text("\n".join(map(json.dumps, receipts)) + "\n\n", "utf-8")
        found = _seen(written, kept)
        assert (found.state, found.reach) == (State.PROVEN, 5)
        assert "3 entries beyond it are not" in found.words
    kept.write_text(json.dumps(queued), "utf-8")
    with pytest.raises(ConfigurationError, match="nothing in it can witness"):
        _seen(written, kept)


@pytest.mark.parametrize("number", [int, str])
@pytest.mark.parametrize("indent", [None, 2])
def test_spans_in_any_form(number: Callable[[int], Any], indent: int | None, written: Path, tmp_path: Path) -> None:
    """64-bit numbers as text or as numbers, one request a line or one for the file, other spans between."""
    kept = tmp_path / "spans"
    kept.write_text(json.dumps(_span(_head(written, 6), number), indent=indent), "utf-8")
    assert _seen(written, kept).reach == 6


def test_a_rewrite_is_told_with_its_place(written: Path, tmp_path: Path) -> None:
    """The words name the entry, the file and the line of the witness that disagrees, and how far they agree."""
    right, wrong = _head(written, 3), {**_head(written, 5), "chain_hash": "0" * 64}
    kept = tmp_path / "receipts"
    kept.write_text(f"{json.dumps(right)}\n{json.dumps(wrong)}\n", "utf-8")
    found = _seen(written, kept)
    assert (found.state, found.first_bad, found.reach) == (State.FAILED, 5, 3)
    assert f"{kept}, line 2," in found.words


def test_a_log_that_was_cut(written: Path, tmp_path: Path) -> None:
    """A witness of more entries than there are fails, whatever kind of witness it is."""
    for kept, text in (
        (tmp_path / "head", json.dumps({**_head(written, 8), "seq": 9})),
        (tmp_path / "note", _note(written).replace("\n8\n", "\n9\n")),
    ):
        kept.write_text(text, "utf-8")
        found = _seen(written, kept)
        assert (found.state, found.first_bad) == (State.FAILED, 9)
        assert "saw 9 entries; 8 hold" in found.words


def test_witnesses_that_contradict_each_other(written: Path, tmp_path: Path) -> None:
    """Two heads at one number, or two roots at one size, in one file or in two: one of them was shown another log."""
    head, note = _head(written, 5), _note(written)
    other = {**head, "chain_hash": "1" * 64}
    root = note.splitlines()[2]
    twin = note.replace(root, "A" * 43 + "=")
    one, two = tmp_path / "one", tmp_path / "two"
    for first, second in ((json.dumps(head), json.dumps(other)), (note, twin)):
        one.write_text(first, "utf-8")
        two.write_text(second, "utf-8")
        for files in ((one, two), (two, one)):
            assert _seen(written, *files).state is State.FAILED
        one.write_text(f"{first}\n{second}", "utf-8")
        found = _seen(written, one)
        assert found.state is State.FAILED
        assert "saw different entries" in found.words


def test_a_witness_of_another_log(written: Path, tmp_path: Path) -> None:
    """A file that is about other logs alone fails; about this one among others it serves."""
    head, kept = _head(written, 5), tmp_path / "kept"
    foreign = {"log_id": _ID, "seq": 5, "chain_hash": "0" * 64}
    for text in (json.dumps(foreign), json.dumps(_span(foreign)), _note(written).replace(head["log_id"], _ID)):
        kept.write_text(text, "utf-8")
        found = _seen(written, kept)
        assert (found.state, "another log" in found.words) == (State.FAILED, True)
    kept.write_text(f"{json.dumps(foreign)}\n{json.dumps(head)}\n", "utf-8")
    assert _seen(written, kept)


_HASH = "0" * 64
_DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "nothing in it"),
        (b"\n\n", "nothing in it"),
        (b"{}", "line 1: this names no entry"),
        (b"[]", "nothing in it"),
        (b"[1]", "line 1: this is no JSON object"),
        (b'{"resourceSpans":[]}', "nothing in it"),
        (b'{"resourceSpans":{}}', "line 1: this is no export of spans"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[7]}]}]}', "line 1: this is no export of spans"),
        (b'{"seq":1}', "line 1: this names no entry"),
        (f'{{"seq":true,"chain_hash":"{_HASH}"}}'.encode(), "line 1: this names no entry"),
        (f'{{"seq":-1,"chain_hash":"{_HASH}"}}'.encode(), "line 1: this names no entry"),
        (f'{{"seq":"01","chain_hash":"{_HASH}"}}'.encode(), "line 1: this names no entry"),
        (f'{{"seq":{2**63},"chain_hash":"{_HASH}"}}'.encode(), "line 1: this names no entry"),
        (f'{{"seq":{"9" * 5000},"chain_hash":"{_HASH}"}}'.encode(), "line 1: it is no JSON"),
        (f'{{"seq":1e3,"chain_hash":"{_HASH}"}}'.encode(), "line 1: this names no entry"),
        (b'{"seq":1,"chain_hash":"' + b"A" * 64 + b'"}', "line 1: this names no entry"),
        (f'{{"log_id":"x","seq":1,"chain_hash":"{_HASH}"}}'.encode(), "line 1: this is no id of a log"),
        (f'{{"seq":1,"chain_hash":"{_HASH}"}}\n{{"seq":1,'.encode(), "line 2: it is no JSON"),
        (f'\n\n{{"seq":1,"chain_hash":"{_HASH}"}}\nhello'.encode(), "line 4: it is no JSON"),
        (_DEEP.encode(), "line 1: it is no JSON"),
        (b'{"a":' + _DEEP.encode(), "line 1: it is no JSON"),
        (b"hello\n", "line 1"),
        (b"\x00\xff", "line 1"),
        (b"counterfoil/x\n1\n", "line 1"),
        (b"\xef\xbb\xbf{}", "line 1"),
    ],
)
def test_what_cannot_be_used_is_an_error(text: bytes, problem: str, written: Path, tmp_path: Path, run: Run) -> None:
    """The error names file and line, the exit code is 2, and nothing of the file is shown."""
    kept = tmp_path / "hostile"
    kept.write_bytes(text)
    ended = run("verify", "--witness", kept)
    assert (ended.code, ended.out) == (2, "")
    assert str(kept) in ended.err
    assert problem in ended.err
    assert "hello" not in ended.err
    assert written.exists()


def test_what_is_no_file_is_an_error(written: Path, tmp_path: Path, run: Run) -> None:
    """A missing file, a folder, a pipe without a writer, a device without an end: at once, and by name."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "missing", tmp_path, tmp_path / "pipe", "/dev/zero", "a\x00b"):
        ended = run("verify", "--witness", place)
        assert (ended.code, ended.out) == (2, "")
        assert "witness file" in ended.err
    assert written.exists()


def test_a_line_without_an_end(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read that is longer than the limit, be it a line, a document or a text of notes."""
    monkeypatch.setattr("counterfoil.audit.integrity.witness.MAX_LINE", 1000)
    monkeypatch.setattr("counterfoil.audit.integrity.anchors.MAX_LINE", 1000)
    kept = tmp_path / "long"
    for text in ('{"a":"' + "x" * 2000 + '"}', "x" * 2000, "{\n" + "\n" * 2000, "note\n" * 500):
        kept.write_text(text, "utf-8")
        with pytest.raises(ConfigurationError, match="longer than 1,000 bytes"):
            _seen(written, kept)


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9)),
                lambda inner: st.one_of(
                    st.lists(inner, max_size=3),
                    st.dictionaries(
                        st.sampled_from(["seq", "chain_hash", "log_id", "event", "kind", "resourceSpans", "spans"]),
                        inner,
                    ),
                ),
            ).map(lambda found: json.dumps(found).encode()),
        ),
        max_size=4,
    )
)
def test_anything_ends_in_our_error(lines: list[bytes]) -> None:
    """Whatever a witness file holds, it is read or refused with an error of ours."""
    witnesses = Witnesses(_ID)
    try:
        witnesses.read("hostile", [line + b"\n" for line in lines])
    except CounterfoilError:
        return
    assert witnesses.verdict(0).state is State.FAILED

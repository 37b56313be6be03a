"""A file of lines that is its own cursor: whole lines only, on the disk, and those of this log."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.exporters import forward
from counterfoil.exporters.jsonl import LineExporter, last_entry
from counterfoil.exporters.line_file import LineFile
from counterfoil.exporters.position import Position, position_after
from counterfoil.exporters.sql import SqliteSource
from counterfoil.schemas import ConfigurationError, ExportFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from counterfoil.exporters.sql import Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file that does not exist yet."""
    return tmp_path / "lines.jsonl"


@pytest.fixture
def source(writer: Writer, seal: Callable[[], Any], address: Path) -> Iterator[SqliteSource]:
    """Give a log with ten entries."""
    for _ in range(10):
        writer.append(seal())
    with closing(SqliteSource(address)) as opened:
        yield opened


def export(source: SqliteSource, path: Path, batch: int = 3) -> int:
    """Export to a file as the command line does, and return how many entries were written."""
    with closing(LineFile(path)) as lines:
        position = position_after(source, lines.last_line(), last_entry)
        return forward(position, LineExporter(lines, name="jsonl:test"), batch=batch).sent


def seqs_in(path: Path) -> list[int]:
    """Return the sequence numbers in a file."""
    return [json.loads(line)["seq"] for line in path.read_bytes().splitlines()]


def test_only_the_owner_can_read_it(path: Path) -> None:
    """Entries say who did what."""
    LineFile(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_there_stays(path: Path) -> None:
    """A file only grows."""
    path.write_bytes(b"one\n")
    with closing(LineFile(path)) as lines:
        lines.write(b"two\nthree\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("content", "kept"), [(b"", b""), (b"torn", b""), (b"whole\n", b"whole\n"), (b"whole\ntorn", b"whole\n")]
)
def test_a_torn_last_line_is_cut_off(path: Path, content: bytes, kept: bytes) -> None:
    """It is what a crash leaves; the entry is written again."""
    path.write_bytes(content)
    with closing(LineFile(path)) as lines:
        assert lines.last_line() == kept.rstrip(b"\n")
    assert path.read_bytes() == kept


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 200_000])
def test_lines_may_be_long(path: Path, size: int) -> None:
    """The search for the line break goes back block by block."""
    path.write_bytes(b"first\n" + b"x" * size + b"\n" + b"torn" * size)
    with closing(LineFile(path)) as lines:
        assert lines.last_line() == b"x" * size


def test_flushing_waits_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a batch counts as arrived."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with closing(LineFile(path)) as lines:
        LineExporter(lines, name="test").export([])
    assert len(synced) == 1


def test_a_write_in_pieces_is_completed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``write`` may take less than it was given, without an error."""
    write = os.write

    def write_some(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[:7])

    with closing(LineFile(path)) as lines:
        monkeypatch.setattr(os, "write", write_some)
        lines.write(b"a line that is longer than seven bytes\n")
    assert path.read_bytes() == b"a line that is longer than seven bytes\n"


def test_a_full_disk_leaves_whole_lines(path: Path) -> None:
    """Half of a batch is taken back, and the error says why, with the name of the file only."""
    path.write_bytes(b"whole\n")
    program = (
        "import pathlib, resource, signal, sys\n"
        "from counterfoil.exporters.line_file import LineFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "LineFile(pathlib.Path(sys.argv[1])).write(b'x' * 200 + b'\\n')\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    ran = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    last = ran.stderr.strip().splitlines()[-1]
    assert last.endswith(f"ExportFailed: cannot write to lines.jsonl: {os.strerror(errno.EFBIG)}")
    assert path.read_bytes() == b"whole\n"


@pytest.mark.parametrize("name", ["", "missing/lines.jsonl"])
def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path, name: str) -> None:
    """A folder, or a file in a folder that is not there."""
    with pytest.raises(ExportFailed, match="cannot write to"):
        LineFile(tmp_path / name)


def test_a_file_is_its_own_cursor(source: SqliteSource, path: Path, writer: Writer, seal: Any) -> None:
    """A second export writes what is new; when the file is gone, everything."""
    assert export(source, path) == 10
    writer.append(seal())
    assert export(source, path) == 1
    assert seqs_in(path) == list(range(1, 12))
    path.unlink()
    assert export(source, path) == 11


def test_after_a_crash_each_entry_is_there_once(source: SqliteSource, path: Path) -> None:
    """Wherever the file was cut off."""
    export(source, path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        export(source, path)
        assert path.read_bytes() == whole


def test_a_file_of_another_log_is_refused(source: SqliteSource, path: Path) -> None:
    """Its numbers mean other entries: going on behind them would leave some out."""
    for line in (b'{"seq":3,"chain_hash":"00"}\n', b'{"seq":99,"chain_hash":"00"}\n', b"something else\n"):
        path.write_bytes(line)
        with pytest.raises(ConfigurationError, match="does not end with an entry of this log"):
            export(source, path)
        assert path.read_bytes() == line


def test_a_position_is_a_source_of_its_own(source: SqliteSource) -> None:
    """It reads the log, and leaves the cursors in the store alone."""
    position = Position(source, 4)
    assert (position.log_id, position.head(), position.cursor("any")) == (source.log_id, 10, 4)
    position.move_cursor("any", 9)
    assert position.cursor("any") == 9
    assert source.cursor("any") == 0
    assert [entry.seq for entry in position.entries_after(8, 5)] == [9, 10]

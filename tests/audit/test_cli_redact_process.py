"""`counterfoil redact` as a process: memory that stays flat, the bar, and the ways in which a pipe can end."""

from __future__ import annotations

import json
import os
import pty
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "ghp_" + secrets.token_hex(18)
MEGABYTE = 1024 * 1024

RUN = "from counterfoil.audit.cli.main import main; main()"
COMMAND = [sys.executable, "-c", RUN, "redact"]
MEASURED = f"""
import atexit, resource, sys
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
{RUN}
"""
IMPATIENT = f"""
from counterfoil.audit.cli import progress
progress._PATIENCE = -1
{RUN}
"""
PROSE = "the report for the region is ready and was sent to the team; " * 30


def _lines(size: int) -> Iterator[str]:
    yield from (f"{PROSE}{KEY}\n" for _ in range(size // 1900))


def _one_line(size: int) -> Iterator[str]:
    yield from (f"{PROSE}{KEY} " for _ in range(size // 1900))


def _document(size: int) -> Iterator[str]:
    member = json.dumps({"name": "Ada", "amount": 12, "note": PROSE, "key": KEY})
    yield '{\n  "entries": [\n'
    yield from (f"    {member},\n" for _ in range(size // 1960))
    yield f"    {member}\n  ]\n}}\n"


def _one_string(size: int) -> Iterator[str]:
    yield '{"log": "'
    yield from (f"{PROSE}{KEY}\\n" for _ in range(size // 1900))
    yield '"}'


def _bytes(size: int) -> Iterator[str]:
    yield from ("\udcff\0\udc80\\%4\udcfe" * 300 + f" {KEY} " for _ in range(size // 2100))


SHAPES = (_lines, _one_line, _document, _one_string, _bytes)


def _most_memory(shape: Callable[[int], Iterator[str]], megabytes: int, folder: Path) -> int:
    """Redact a file of this size, and return the most memory that it took, in MB."""
    path, out = folder / f"{megabytes}", folder / f"{megabytes}.out"
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(shape(megabytes * MEGABYTE))
    with path.open("rb") as stdin, out.open("wb") as stdout:
        command = [sys.executable, "-c", MEASURED, "redact"]
        ran = subprocess.run(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, check=True)
    raw, redacted = path.read_bytes(), out.read_bytes()
    path.unlink()
    out.unlink()
    assert KEY.encode() not in redacted
    assert redacted == raw.replace(KEY.encode(), b"[redacted:github]")
    return int(ran.stderr) // 1024


@pytest.mark.parametrize("shape", [_one_line, _document])
def test_memory_stays_flat(shape: Callable[[int], Iterator[str]], tmp_path: Path) -> None:
    """Four times the input, in one line or one document, takes no more memory."""
    assert _most_memory(shape, 8, tmp_path) - _most_memory(shape, 2, tmp_path) < 6


@pytest.mark.big
@pytest.mark.parametrize("shape", SHAPES)
def test_memory_stays_flat_at_any_length(shape: Callable[[int], Iterator[str]], tmp_path: Path) -> None:
    """The same with 50 MB, of lines, a long string in JSON and binary data too."""
    assert _most_memory(shape, 50, tmp_path) - _most_memory(shape, 3, tmp_path) < 9


def _on_terminal(stdin: IO[bytes] | int, raw: bytes = b"") -> str:
    """Redact with stderr on a terminal, and return what that shows."""
    parent, child = pty.openpty()
    command = [sys.executable, "-c", IMPATIENT, "redact"]
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=child) as running:
        os.close(child)
        if running.stdin:
            running.stdin.write(raw)
            running.stdin.close()
        shown = b""
        try:
            while piece := os.read(parent, 65536):
                shown += piece
        except OSError:  # the other end is closed
            pass
        assert running.wait(30) == 0
    os.close(parent)
    return shown.decode()


def test_a_terminal_is_shown_how_far_it_is(tmp_path: Path) -> None:
    """Of a file in per cent, of a pipe in bytes. No word of the data is in it."""
    raw = f"used {KEY}\n".encode() * 100
    path = tmp_path / "input"
    path.write_bytes(raw)
    with path.open("rb") as stdin:
        of_file = _on_terminal(stdin)
    assert "redacting" in of_file
    assert "100%" in of_file
    of_pipe = _on_terminal(subprocess.PIPE, raw)
    assert "/?" in of_pipe
    assert "100%" not in of_pipe
    for shown in (of_file, of_pipe):
        assert "used" not in shown
        assert KEY not in shown


def test_a_reader_that_leaves_hears_no_complaint() -> None:
    """`counterfoil redact | head -1` says nothing about a broken pipe."""
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdin
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        running.stdin.write(f"used {KEY}\n".encode())
        running.stdin.close()
        assert running.stderr.read() == b""
        assert running.wait(30) == 1


def test_a_full_disk_is_a_sentence() -> None:
    """Exit code 1, and nothing of the data."""
    with Path("/dev/full").open("wb") as full:
        raw = f"used {KEY}\n".encode()
        ran = subprocess.run(COMMAND, input=raw, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ran.returncode == 1
    assert ran.stderr == b"counterfoil: stdout did not take all of it: No space left on device; the end is missing\n"


def test_ctrl_c_ends_it_between_two_pieces() -> None:
    """What was read is written, and nothing is raw: exit 130, without a word."""
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdin
        assert running.stdout
        assert running.stderr
        running.stdin.write(f"used {KEY}\npassword={KEY}".encode())
        running.stdin.flush()
        assert running.stdout.readline() == b"used [redacted:github]\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
        assert running.stdout.read() == b""
        assert running.stderr.read() == b""

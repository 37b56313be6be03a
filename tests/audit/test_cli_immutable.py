"""``--immutable``: an auditor's copy in a folder that nobody can write, read by whom its modes bind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from counterfoil.audit import AuditReader
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import MakeUse, Ran, Run

    from counterfoil.audit import AuditLog

_MAIN = "from counterfoil.audit.cli.main import main; main()"
# Root is bound by no mode, unless it gives up being that.
_BOUND = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.fixture
def copy(log: AuditLog, address: Path, a_use: MakeUse, tmp_path: Path) -> Iterator[Path]:
    """Give the file of a closed log, read-only, in a folder in which nobody can make a file."""
    log.record(a_use())
    log.close()
    folder = tmp_path / "copies"
    folder.mkdir()
    shutil.copyfile(address, folder / "copy.db")
    (folder / "copy.db").chmod(0o444)
    folder.chmod(0o555)
    assert subprocess.run([*_BOUND, "touch", folder / "new"], capture_output=True, check=False).returncode == 1
    yield folder / "copy.db"
    folder.chmod(0o755)


def _read(copy: Path, *arguments: str) -> tuple[int, str, str]:
    command = [*_BOUND, sys.executable, "-c", _MAIN, *arguments, "--db", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


READING = [
    ["query", "--json"],
    ["query", "--outcome", "unknown"],
    ["show", "3"],
    ["incident", "t-42"],
    ["verify"],
    ["verify", "--json"],
    ["verify", "--deep"],
    ["checkpoint"],
    ["db", "info", "--json"],
    ["export", "jsonl"],
    ["export", "text"],
    ["export", "otel", "--to", "console"],
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_every_reading_verb_reads_it(arguments: list[str], copy: Path) -> None:
    """With ``--immutable`` each one answers, and nothing is made beside the copy."""
    code, out, err = _read(copy, *arguments, "--immutable")
    assert code == (1 if "incident" in arguments else 0), err  # no such task
    assert "incident" in arguments or out
    assert "Traceback" not in err
    assert [each.name for each in copy.parent.iterdir()] == ["copy.db"]


def test_without_it_the_advice_says_so(copy: Path) -> None:
    """SQLite wants to make files beside a log in WAL mode: the error names the way that needs none."""
    code, out, err = _read(copy, "query", "--json")
    assert (code, out) == (3, "")
    assert "--immutable" in err


def test_an_export_of_a_copy_goes_on_where_the_log_had_come(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """How far a destination has come is read from the copy, and remembered without writing to it."""
    for _ in range(3):
        log.record(a_use())
    log.close()
    live = open_source(str(address))
    live.move_cursor("otel", 3)
    live.close()
    before = address.read_bytes()
    source = open_source(str(address), immutable=True)
    assert (source.cursor("otel"), source.cursor("another")) == (3, 0)
    source.move_cursor("otel", 5)
    source.move_cursor("otel", 4)
    assert source.cursor("otel") == 5
    assert [entry.seq for entry in source.entries_after(5, 9)] == [6]
    source.close()
    assert address.read_bytes() == before


@pytest.mark.parametrize("beside", ["-wal", "-journal"])
def test_what_it_would_overlook_is_refused(
    beside: str, log: AuditLog, address: Path, a_use: MakeUse, tmp_path: Path
) -> None:
    """Of a log in use the newest entries are in the -wal, which is not read so: refused, with the way out."""
    log.record(a_use())
    assert (tmp_path / "audit.db-wal").stat().st_size > 0
    log.close()
    (tmp_path / f"audit.db{beside}").write_bytes(b"not empty")
    with pytest.raises(ConfigurationError, match=f"audit.db{beside} lies beside") as caught:
        AuditReader.open(address, immutable=True)
    assert "db backup" in caught.value.advice


def test_of_a_log_in_use_it_is_wrong_use(log: AuditLog, run: Run, a_use: MakeUse) -> None:
    """Every reading verb exits 2 rather than show less than there is."""
    log.record(a_use())
    for arguments in READING:
        ended: Ran = run(*arguments, "--immutable")
        assert (ended.code, ended.out) == (2, ""), arguments


def test_an_empty_wal_hides_nothing(log: AuditLog, address: Path, run: Run) -> None:
    """What a reader left beside a closed log does not count."""
    log.close()
    Path(f"{address}-wal").touch()
    assert json.loads(run("db", "info", "--json", "--immutable").out)["entries"] == 3


def test_there_is_nothing_to_follow(log: AuditLog, run: Run) -> None:
    """``--follow`` waits for entries, which nobody adds to such a copy."""
    log.close()
    ended = run("export", "text", "--follow", "--immutable")
    assert (ended.code, ended.out) == (2, "")
    assert "nothing to follow" in ended.err

"""``counterfoil db`` and ``counterfoil schema``: about the file, and about what can be recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from counterfoil.schemas import event_json_schema

if TYPE_CHECKING:
    from conftest import Run

    from counterfoil.audit import AuditLog


@pytest.mark.parametrize("written", ["audit.db", "sqlite:///audit.db"])
def test_which_file_an_address_means(written: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``db path`` prints the absolute path, and neither opens nor makes it."""
    monkeypatch.chdir(tmp_path)
    ended = run("db", "path", "--db", written)
    assert (ended.code, ended.out) == (0, f"{tmp_path / 'audit.db'}\n")
    assert not (tmp_path / "audit.db").exists()


def test_the_environment_names_the_log(run: Run, address: Path) -> None:
    """Without ``--db`` the address is that of COUNTERFOIL_DB."""
    assert run("db", "path").out == f"{address}\n"


def test_the_facts_of_a_file(log: AuditLog, run: Run, address: Path) -> None:
    """``db info`` shows log, key, size and durability, as a table and as JSON."""
    facts = json.loads(run("db", "info", "--json").out)
    assert (facts["path"], facts["entries"], facts["journal_mode"]) == (str(address), 2, "wal")
    assert facts["fingerprint_key_id"] == log.fingerprint_key.key_id
    shown = dict(line.split(None, 1) for line in run("db", "info").out.splitlines())
    assert {name: value.strip() for name, value in shown.items() if name != "what"} == {
        name: str(value) for name, value in facts.items()
    }


def test_the_schema_is_the_librarys(run: Run) -> None:
    """``schema`` prints the JSON Schema of every event, and nothing else."""
    assert json.loads(run("schema").out) == event_json_schema()

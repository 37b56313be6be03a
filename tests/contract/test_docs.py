"""The documentation runs: each page's Python and console blocks, in order, in an empty folder of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A reader who pastes a page from top to bottom sees no error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for variable in ("DB", "FINGERPRINT_KEY", "FINGERPRINT_KEY_FILE", "SIGNING_KEY", "SIGNING_KEY_FILE"):
        monkeypatch.delenv(f"COUNTERFOIL_{variable}", raising=False)
    if page.name == "postgresql.md":  # which is about a server that its reader has
        monkeypatch.setenv("COUNTERFOIL_DB", request.getfixturevalue("postgres"))
    names: dict[str, Any] = {"__name__": "page"}
    exported: list[str] = []
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(block, f"{page.name}", "exec"), names)
        else:
            commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
            _run([*exported, *commands])
            exported += [command for command in commands if command.startswith("export ")]


def _run(commands: list[str]) -> None:
    script = "\n".join(["set -e -o pipefail", *commands])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"


def test_a_broken_block_is_noticed(tmp_path: Path) -> None:
    """The runner fails where a command fails, so that a page cannot rot unseen."""
    with pytest.raises(AssertionError):
        _run([f"cat {tmp_path}/missing"])


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link of the documentation names a file of the repository."""
    pages = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs" / "decisions").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

"""The examples run, each in an empty folder, and none leaves a trace of the secret that it was given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs(example: Path, tmp_path: Path, secret: str, leaks: Callable[..., list[str]]) -> None:
    """A reader who starts an example as its docstring says sees no error, and no secret."""
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "EXAMPLE_TOKEN": secret}
    command = [sys.executable, "-W", "error", str(example)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert leaks(secret, done.stdout, done.stderr, tmp_path) == []
    assert "redacted" in (done.stdout + done.stderr).lower() or not example.stem.startswith("guarded")

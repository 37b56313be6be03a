"""The wheel holds exactly what is tracked, all of it under ``counterfoil/``."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("audit", "exporters", "schemas")


@pytest.mark.packaging
def test_members_equal_the_tracked_files(tmp_path: Path) -> None:
    """What a user installs is what the repository tracks, and nothing at the top but our name and the dist-info."""
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    members = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    ours = {name for name in members if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", *FLOORS], cwd=source, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {f"counterfoil/{name}" for name in tracked} == ours


def test_every_package_is_listed() -> None:
    """Each folder with an ``__init__`` is named in pyproject, so that no sub-package is left out of the wheel."""
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {
        "counterfoil." + ".".join(init.parent.relative_to(ROOT).parts)
        for floor in FLOORS
        for init in (ROOT / floor).rglob("__init__.py")
    }
    assert set(settings["packages"]) == found

"""The three floors: nothing imports upward, nothing goes in circles, and the ground floor stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("schemas", "exporters", "audit")
FOLDERS = (*FLOORS, "tests", "bench", "docs", "examples")
HEAVY = ("sqlmodel", "sqlalchemy", "opentelemetry", "structlog", "typer", "rich", "cryptography", "httpx", "sqlite3")


def modules(*folders: str) -> list[Path]:
    """Return the Python files of the given folders."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def absolute_imports(source: str, path: Path) -> Iterator[str]:
    """Yield each module that the source imports, or imports from, by its full name, wherever it does so."""
    package = ("counterfoil", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join((*above, *([node.module] if node.module else [])))


def test_the_walk_sees_every_import() -> None:
    """The walk under these tests finds imports of every form, also inside functions."""
    source = "import a.b\ndef f():\n    from c import d\n    from . import x\n    from ..e.g import h\n"
    found = list(absolute_imports(source, ROOT / "audit" / "cli" / "module.py"))
    assert found == ["a.b", "c", "counterfoil.audit.cli", "counterfoil.audit.e.g"]


@pytest.mark.parametrize("path", modules(*FOLDERS), ids=lambda path: str(path.relative_to(ROOT)))
def test_floors_are_imported_by_their_full_names(path: Path) -> None:
    """``audit``, ``schemas`` and ``exporters`` are words of other people's code: ours are ``counterfoil.*``."""
    assert [name for name in absolute_imports(path.read_text("utf-8"), path) if name.split(".")[0] in FLOORS] == []


@pytest.mark.parametrize("path", modules(*FLOORS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_a_face_above_it(path: Path) -> None:
    """No inner module imports the ``__init__`` of a package it stands in: there the circles begin."""
    parts = path.relative_to(ROOT).parts[:-1]
    faces = {".".join(("counterfoil", *parts[: depth + 1])) for depth in range(len(parts))}
    if path.name == "__init__.py":
        faces.discard(".".join(("counterfoil", *parts)))
    assert faces.intersection(absolute_imports(path.read_text("utf-8"), path)) == set()


def test_the_import_contracts_hold() -> None:
    """Layers and cycles, as pyproject.toml states them."""
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_the_ground_floor_is_light() -> None:
    """``import counterfoil.schemas`` brings Pydantic and the standard library, and no heavy dependency."""
    code = "import sys, counterfoil.schemas; print(*sys.modules, sep='\\n')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert "pydantic" in loaded
    assert loaded.intersection(HEAVY) == set()
    assert not {"counterfoil.audit", "counterfoil.exporters"}.intersection(result.stdout.split())

"""Generated files are what docs/generate.py writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def _generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


GENERATOR: Any = _generator()


@pytest.mark.parametrize("page", GENERATOR.PAGES)
def test_a_page_has_not_drifted(page: str) -> None:
    """``uv run python docs/generate.py`` would change nothing."""
    assert GENERATOR.PAGES[page]() == (ROOT / page).read_text("utf-8"), "run: uv run python docs/generate.py"


def test_links_within_the_schema_page_lead_somewhere() -> None:
    """Each type that the page links to has its heading or its row."""
    text = (ROOT / "docs" / "schema.md").read_text("utf-8")
    targets = {line.removeprefix("### ").lower() for line in text.splitlines() if line.startswith("### ")}
    targets |= {part.split("'")[0] for part in text.split("<a id='")[1:]}
    links = {part.split(")")[0] for part in text.split("](#")[1:]}
    assert len(links) > 30
    assert links <= targets

"""The frame itself: rows add up, and the table goes between its marks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Tally

pytestmark = pytest.mark.faults


def test_rows_add_up(tally: Tally) -> None:
    """Numbers of the same row add up, what was not counted stays empty, and the defect stands below."""
    own = type(tally)()
    own(test="T10", what="down", injected=2, lost=0, note="p99 1 ms")
    own(test="T10", what="down", injected=3, lost=0, note="p99 1 ms")
    own(test="T2", what="power cut", acknowledged=1_000)
    own.defect("T2", "NORMAL")
    _head, _rule, second, tenth, *_, defect = own.lines()
    assert second == "| T2 | power cut |  |  | 1,000 |  |  |  |  |"
    assert tenth == "| T10 | down | 5 |  |  |  | 0 |  | p99 1 ms |"
    assert defect == "- T2: NORMAL"


def test_the_table_goes_between_its_marks(tally: Tally, tmp_path: Path) -> None:
    """The prose of the page stays, and what stood between the marks is replaced; what failed is named."""
    page = tmp_path / "reliability.md"
    text = Path("docs/reliability.md").read_text("utf-8")
    page.write_text(text, "utf-8")
    for lost in (4321, 1234):
        own = type(tally)()
        own(test="T1", what="kill -9", lost=lost)
        own.failed.append("tests/faults/test_t01.py::test_it")
        own.write(page, full=True)
    written = page.read_text("utf-8")
    begin, end = written.index("<!-- From here"), written.index("<!-- Here ends")
    assert text.startswith(written[:begin])
    assert text.endswith(written[end:])
    assert "1,234" in written
    assert "4,321" not in written
    assert "- failed: `tests/faults/test_t01.py::test_it`" in written


def test_a_page_without_marks_is_left_alone(tally: Tally, tmp_path: Path) -> None:
    """A wrong page is named, and not overwritten."""
    page = tmp_path / "page.md"
    page.write_text("prose", "utf-8")
    with pytest.raises(pytest.UsageError, match=r"page\.md lacks the marks"):
        tally.write(page, full=False)
    assert page.read_text("utf-8") == "prose"

"""The library's own diagnostics: silent unless asked for, on stderr, and apart from the application's structlog."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from counterfoil.exporters.diagnostics import diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """Make a new logger in each test, and leave none that writes to a closed stream."""
    diagnostics.cache_clear()
    yield
    diagnostics.cache_clear()


@pytest.mark.parametrize("level", [None, "", "loud"])
def test_silent_unless_asked_for(
    level: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a level, or with one that does not exist, nothing is said."""
    if level is not None:
        monkeypatch.setenv("COUNTERFOIL_LOG", level)
    diagnostics().error("something happened")
    assert capsys.readouterr() == ("", "")


def test_silence_costs_nothing() -> None:
    """What says nothing does not load structlog either, which a program at its end would have to wait for."""
    code = (
        "import sys; from counterfoil.exporters.diagnostics import diagnostics;"
        "diagnostics().warning('unheard', code=1); print('structlog' in sys.modules)"
    )
    unset = {name: value for name, value in os.environ.items() if name != "COUNTERFOIL_LOG"}
    ran = subprocess.run([sys.executable, "-c", code], env=unset, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("False\n", "")


def test_a_level_is_a_threshold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is at the level or above goes to stderr, with its time, and nothing to stdout."""
    monkeypatch.setenv("COUNTERFOIL_LOG", "Warning")
    diagnostics().info("not this")
    diagnostics().warning("this", code="unavailable")
    out, err = capsys.readouterr()
    assert out == ""
    assert "not this" not in err
    assert "level='warning' event='this' code='unavailable'" in err
    assert err.startswith("timestamp='20")


def test_the_applications_structlog_is_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An application that configured structlog otherwise is not disturbed, and does not disturb."""
    monkeypatch.setenv("COUNTERFOIL_LOG", "info")
    seen: list[structlog.typing.EventDict] = []

    def drop(_: object, __: str, event: structlog.typing.EventDict) -> str:
        seen.append(event)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[drop])
    try:
        diagnostics().info("ours")
        structlog.get_logger().info("theirs")
    finally:
        structlog.configure(**before)
    assert [event["event"] for event in seen] == ["theirs"]
    assert "ours" in capsys.readouterr().err

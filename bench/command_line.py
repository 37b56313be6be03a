"""How long the command line and the library take to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .figure import Figure, alternately

_TIMES = 15
_IMPORT = "from counterfoil.audit import AuditLog"


def measure(_: Path) -> list[Figure]:
    """Measure against a bare ``import pydantic``, each in a new process."""
    baseline = [sys.executable, "-c", "import pydantic"]
    return [
        _against(baseline, "`counterfoil --help`", [str(Path(sys.executable).with_name("counterfoil")), "--help"]),
        _against(baseline, "`from counterfoil.audit import AuditLog`", [sys.executable, "-c", _IMPORT]),
    ]


def _against(baseline: list[str], what: str, command: list[str]) -> Figure:
    measured, other = alternately(lambda: _run(command), lambda: _run(baseline), _TIMES)
    return Figure(
        what,
        f"{measured * 1e3:,.0f} ms",
        f"`python -c 'import pydantic'`: {other * 1e3:,.0f} ms",
        f"{measured / other:.2f}",
        "≤ 3.5",
    )


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

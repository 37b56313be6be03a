"""T9: seven ways to end, durable and queued, with and without signal handlers: what was promised of each is kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.schemas import CredentialUse, LogChange, LogEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Tally

pytestmark = pytest.mark.faults

_CODES = {"return": 0, "exception": 1, "sys.exit": 3, "SIGTERM": -15, "SIGINT": -2, "os._exit": 5, "SIGKILL": -9}
_ORDERLY = ("return", "exception", "sys.exit", "SIGINT")
_OTHERS = ("3.11", "3.12", "3.13")
_COUNT = 200
CLOSED: LogChange = LogChange.CLOSED
_SOON = 5.0  # seconds in which a process has to be gone


@dataclass
class Left:
    """How one process ended."""

    code: int
    receipts: int
    names: list[str]
    closed: bool
    seconds: float
    said: str


def _order(how: str, delivery: str, **more: Any) -> dict[str, Any]:
    plain = {"handlers": False, "defect": False, "exporter": False, "locked": False, "count": _COUNT}
    return {"how": how, "delivery": delivery, **plain, **more}


def _run(python: str, orders: list[dict[str, Any]], folder: Path) -> Iterator[tuple[dict[str, Any], Left]]:
    """Run one process for each order, two at once, and yield how each ended."""
    addresses = [folder / f"{number}.db" for number in range(len(orders))]
    with ThreadPoolExecutor(2) as pool:
        yield from zip(orders, pool.map(partial(_one, python), orders, addresses), strict=True)


def _one(python: str, order: dict[str, Any], address: Path) -> Left:
    script = str(Path(__file__).with_name("leaver.py"))
    ran = subprocess.run(
        [python, script, address, json.dumps(order)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": "", "COUNTERFOIL_FINGERPRINT_KEY": "ab" * 32},
    )
    return _left(ran.returncode, ran.stdout, ran.stderr, address)


def _left(code: int, out: str, said: str, address: Path) -> Left:
    *receipts, last = out.split("\n")[:-1]
    seconds = time.time() - float(last.split()[1])
    with AuditReader.open(address) as reader:
        assert reader.verify().consistent
        found = list(reader.find(Filter()))
    names = [entry.event.action.name for entry in found if isinstance(entry.event, CredentialUse)]
    closed = any(isinstance(entry.event, LogEvent) and entry.event.change is CLOSED for entry in found)
    return Left(code, len(receipts), names, closed, seconds, said)


def _promised(order: dict[str, Any]) -> bool:
    """Whether everything that was accepted has to be in the log."""
    if order["delivery"] == "durable" or order["how"] in _ORDERLY:
        return True
    return order["how"] == "SIGTERM" and order["handlers"]


def _check(order: dict[str, Any], left: Left) -> None:
    """Raise ``AssertionError`` unless the process ended as it had to."""
    assert left.code == _CODES[order["how"]], left.said
    assert left.receipts == _COUNT
    ended = order["how"] in _ORDERLY or (order["how"] == "SIGTERM" and order["handlers"])
    assert left.closed == ended, "a log whose process was let go in an orderly way says so, and no other"
    assert left.names == [str(number) for number in range(len(left.names))], "what a crash takes is the end"
    if _promised(order):
        assert len(left.names) == _COUNT


@pytest.fixture(scope="module")
def pythons(full: bool, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:  # noqa: FBT001 -- a fixture
    """Give the interpreters: this one, and in the full run those of the others that are installed."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = {own: sys.executable}
    uv = os.environ.get("UV")
    for version in _OTHERS if full else ():
        base = _installed(version)
        if uv is None or base is None or version == own:
            continue
        folder = tmp_path_factory.mktemp(f"python-{version}") / "venv"
        found[version] = str(folder / "bin" / "python")
        subprocess.run([uv, "venv", "-q", "--python", base, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", found[version], "."], check=True)
    return found


def _installed(version: str) -> str | None:
    """Return an interpreter of this version, from pyenv or from the path."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    managed = sorted(root.glob(f"versions/{version}.*/bin/python"))
    return str(managed[-1]) if managed else shutil.which(f"python{version}")


def test_every_way_to_end(pythons: dict[str, str], full: bool, tmp_path: Path, tally: Tally) -> None:  # noqa: FBT001
    """Durable loses nothing ever; queued loses the end where nobody could write it, and does not say closed then."""
    orders = [
        _order(how, delivery, handlers=handlers)
        for how in _CODES
        for delivery in ("durable", "queued")
        for handlers in (False, True)
        if full or (delivery == "queued" and handlers)
    ]
    for version, python in pythons.items():
        folder = tmp_path / version
        folder.mkdir()
        for order, left in _run(python, orders, folder):
            _check(order, left)
            lost = _COUNT - len(left.names)
            what = "queued, without an exit: lost as documented" if lost else "ended"
            tally(
                "T9",
                what,
                injected=1,
                acknowledged=left.receipts,
                stored=len(left.names),
                lost=lost,
                note=f"Python {version}",
            )


@pytest.mark.parametrize("trouble", ["exporter", "locked"])
def test_trouble_does_not_hold_a_process_back(
    trouble: str,
    full: bool,  # noqa: FBT001 -- a fixture
    tmp_path: Path,
    tally: Tally,
) -> None:
    """With an exporter that hangs, and with a store that another process has locked, the end takes 5 s at most."""
    ways = ("return", "exception", "sys.exit", "SIGTERM", "SIGINT") if full else ("SIGTERM", "SIGINT")
    orders = [
        _order(how, delivery, handlers=True, **{trouble: True})
        for how in ways
        for delivery in (("durable", "queued") if full else ("queued",))
    ]
    slowest = 0.0
    for order, left in _run(sys.executable, orders, tmp_path):
        slowest = max(slowest, left.seconds)
        assert left.code == _CODES[order["how"]], left.said
        if order["delivery"] == "durable" or trouble == "exporter":
            assert len(left.names) == _COUNT
        elif len(left.names) < _COUNT:
            assert "entries waiting" in left.said, "a loss is never silent"
    assert slowest < _SOON
    tally("T9", f"{trouble}: the end", injected=len(orders), note=f"slowest {slowest:.1f} s")


def test_defects_are_seen(tmp_path: Path, tally: Tally) -> None:
    """Without the exit hook, and without the handler where one is promised, the check of the entries fails."""
    defects = {"no exit hook": _order("return", "queued", defect=True), "no handler": _order("SIGTERM", "queued")}
    for (order, left), what in zip(_run(sys.executable, list(defects.values()), tmp_path), defects, strict=True):
        promised = {**order, "handlers": True}
        with pytest.raises(AssertionError):
            _check(promised, left)
        tally.defect("T9", what)

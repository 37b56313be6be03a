"""The same event through two other recorders, beside ours: ``uv run --group peers python -m bench peers``.

Each is given what it asks for, in the form of its API that comes nearest, and is measured by turns with ours. They
promise different things for an event, which the table says; the figures compare only with that in mind.
"""

from __future__ import annotations

import json
import secrets
import statistics
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from counterfoil.audit import AuditLog
from counterfoil.audit.scope import scope

from .figure import Figure, by_turns, micro
from .record import recording
from .sample import KEY, SURROUNDINGS, event, rows_like

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIMES = 300
_WARM = 20


def measure(folder: Path) -> list[Figure]:
    """Measure those that are installed."""
    figures: list[Figure] = []
    with AuditLog.open(folder / "ours.db", fingerprint_key=KEY) as log, scope(**SURROUNDINGS):
        log.record(event())
        told = _told(folder / "ours.db")
        for name, promise, made in (
            ("agent-runtime-governance", "chain, HMAC, lock; line and state file synced", _governance),
            ("halo-record", "chain, lock; flushed, not synced", _halo),
        ):
            try:
                installed = version(name)
            except PackageNotFoundError:
                continue
            peer = made(folder, told)
            by_turns(lambda peer=peer: peer, recording(log), _WARM)
            theirs, ours = by_turns(lambda peer=peer: peer, recording(log), _TIMES)
            measured, baseline = statistics.median(theirs), statistics.median(ours)
            figures.append(
                Figure(
                    f"a peer: {name} {installed} ({promise})",
                    micro(measured),
                    f"durable `record()` (chain, lock; synced): {micro(baseline)}",
                    f"{measured / baseline:.1f}",
                )
            )
    return figures


def _told(path: Path) -> dict[str, Any]:
    """Return what our entry says of the event, without what the log adds: what the peers are told."""
    told: dict[str, Any] = json.loads(next(rows_like(path))[1])
    for name in ("producer", "recorded_at", "redactions", "salt"):
        del told["context"][name]
    return told


def _governance(folder: Path, told: dict[str, Any]) -> Callable[[], object]:
    sink = import_module("agent_runtime_governance").JSONLAuditSink(
        folder / "governance.jsonl", sign_key=secrets.token_hex(32)
    )
    return lambda: sink.write(told)


def _halo(folder: Path, told: dict[str, Any]) -> Callable[[], object]:
    halo = import_module("halo_record")
    recorder = halo.Recorder(str(folder / "halo.jsonl"))
    return lambda: recorder.append(
        halo.build("network", "security", tool="read_mail", tool_input=told, agent="mail-agent", session_id="t-42")
    )

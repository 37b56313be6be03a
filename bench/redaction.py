"""Redacting an event of two kilobytes, beside Logfire's scrubber if it is installed; a stream; each pattern by itself.

``uv run --isolated --group backends python -m bench redaction`` has Logfire, which would hook into your environment.
"""

from __future__ import annotations

import copy
import io
import json
import secrets
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.patterns import PATTERNS
from counterfoil.audit.redaction.stream import redact_stream
from counterfoil.schemas.events import stated

from .figure import Figure, alternately, median, micro, seconds
from .sample import event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIMES = 3000
_PROSE = "The quarterly report for the northern region is ready and was sent to the whole team for review. "


def measure(_: Path) -> list[Figure]:
    """Measure an event with nothing to hide, and one with five secrets."""
    benign = _two_kilobytes({"note": _PROSE * 9, "rows": [{"name": "Ada", "amount": 12}, {"name": "Bo", "amount": 7}]})
    secret = secrets.token_urlsafe(24)
    hiding = _two_kilobytes(
        {
            "headers": {"Authorization": f"Bearer {secret}", "Cookie": f"sid={secret}"},
            "password": secret,
            "link": f"https://api.example/cb?code={secret}&x=1",
            "note": _PROSE * 7 + f"it said ghp_{secret}{secret} and went on",
        }
    )
    return [
        _event("nothing to hide", benign, "≤ 35 µs"),
        _event("five secrets", hiding, "≤ 80 µs"),
        *(_stream(name, raw) for name, raw in _streams().items()),
        _slowest_pattern(),
    ]


def _event(what: str, body: dict[str, Any], goal: str) -> Figure:
    ours, scrubber = _redacting(body), _logfire(body)
    what = f"redaction of {_size(body):,} bytes, {what}"
    if scrubber is None:
        return Figure(what, micro(median(ours, _TIMES)), goal=goal)
    measured, theirs = alternately(ours, scrubber, _TIMES)
    baseline = f"scrubber of logfire {version('logfire')}: {micro(theirs)}"
    return Figure(what, micro(measured), baseline, f"{measured / theirs:.2f}", f"{goal}, ≤ 0.33")


def _logfire(body: dict[str, Any]) -> Callable[[], object] | None:
    """Return what scrubs copies of the event with Logfire's default patterns."""
    try:
        version("logfire")
    except PackageNotFoundError:
        return None
    scrubber = import_module("logfire._internal.scrubbing").Scrubber(None)
    bodies = iter([copy.deepcopy(body) for _ in range(_TIMES)])
    return lambda: scrubber.scrub_value((), next(bodies))


def _streams() -> dict[str, bytes]:
    lines = [
        f"2026-11-25T07:00:00.{number % 1000:03d}Z INFO app.server[{number % 97}] 10.0.3.{number % 255} "
        f'"GET /api/v1/items/{number}?page={number % 9} HTTP/1.1" 200 {_PROSE}'
        + (f"Authorization: Bearer {secrets.token_urlsafe(24)}" if number % 200 == 7 else "")
        for number in range(20_000)
    ]
    rows = [json.dumps({"level": "info", "status": 200, "id": number, "msg": _PROSE}) for number in range(20_000)]
    return {
        "lines of a log, a secret in 200": "\n".join(lines).encode(),
        "JSON lines": "\n".join(rows).encode(),
        "one line": (_PROSE * 40_000).encode(),
        "one document": json.dumps([json.loads(row) for row in rows], indent=2).encode(),
    }


def _stream(name: str, raw: bytes) -> Figure:
    redactor = Redactor()
    took = median(lambda: [piece.read for piece in redact_stream(io.BytesIO(raw), redactor)], 3)
    return Figure(f"`redact` of {name}", f"{len(raw) / took / 1e6:.1f} MB/s", goal="≥ 10 MB/s")


def _slowest_pattern() -> Figure:
    """Search a megabyte of log lines for each pattern, whether or not its keywords occur."""
    text = _streams()["lines of a log, a secret in 200"].decode()[:1_000_000]
    took, rule = max((seconds(lambda row=row: row.regex.findall(text)), row.rule) for row in PATTERNS)
    return Figure(f"slowest pattern (`{rule}`) on 1 MB of a log", f"{took * 1e3:.0f} ms", goal="≤ 50 ms")


def _two_kilobytes(attributes: dict[str, Any]) -> dict[str, Any]:
    body = stated(event())
    body["context"]["attributes"] = attributes
    return body


def _size(body: dict[str, Any]) -> int:
    return len(json.dumps(body))


def _redacting(body: dict[str, Any]) -> Callable[[], object]:
    redactor = Redactor()
    bodies = iter([copy.deepcopy(body) for _ in range(_TIMES)])
    return lambda: redactor.event(next(bodies))

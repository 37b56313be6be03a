"""Redacting an event of two kilobytes."""

from __future__ import annotations

import copy
import json
import secrets
from typing import TYPE_CHECKING, Any

from counterfoil.audit.redaction import Redactor
from counterfoil.schemas.events import stated

from .figure import Figure, median, micro
from .sample import event

if TYPE_CHECKING:
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
        Figure(f"redaction of {_size(benign):,} bytes, nothing to hide", micro(_redacting(benign)), goal="≤ 60 µs"),
        Figure(f"redaction of {_size(hiding):,} bytes, five secrets", micro(_redacting(hiding))),
    ]


def _two_kilobytes(attributes: dict[str, Any]) -> dict[str, Any]:
    body = stated(event())
    body["context"]["attributes"] = attributes
    return body


def _size(body: dict[str, Any]) -> int:
    return len(json.dumps(body))


def _redacting(body: dict[str, Any]) -> float:
    redactor = Redactor()
    bodies = iter([copy.deepcopy(body) for _ in range(_TIMES)])
    return median(lambda: redactor.event(next(bodies)), _TIMES)

"""What looking for known secrets adds to the search of a text, with 1,000 remembered; and the memory that they take."""

from __future__ import annotations

import json
import secrets
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING

from counterfoil.audit.redaction import KnownSecrets, Redactor

from .figure import Figure, alternately, micro

if TYPE_CHECKING:
    from pathlib import Path

_TIMES = 2000
_PROSE = "The quarterly report for the northern region is ready and was sent to the whole team for review. "
_ROW = {"id": 17, "name": "mail-agent", "link": "https://api.example/v1/mail/17?folder=inbox", "state": "unread"}


def measure(_: Path) -> list[Figure]:
    """Measure prose and JSON, with tokens known, and with short passwords and such without a long run as well."""
    tokens = [secrets.token_urlsafe(32) for _ in range(1000)]
    passwords = [f"{secrets.token_hex(3)}Z!{secrets.token_hex(3)}" for _ in range(500)]
    short = [f"{secrets.token_hex(5)}Z9" for _ in range(500)]
    texts = {"prose": _PROSE * 20, "JSON": json.dumps([_ROW] * 16)}
    sets = {"tokens": tokens, "passwords of three kinds": [*short, *passwords]}
    figures = [
        _added(f"known secrets, 1,000 {kind}, in 1 KB of {name}", text, remembered)
        for kind, remembered in sets.items()
        for name, text in texts.items()
    ]
    return [*figures, _memory()]


def _added(what: str, text: str, remembered: list[str]) -> Figure:
    """Compare with a redactor that knows none, and say the difference for a kilobyte."""
    known = KnownSecrets()
    for each in remembered:
        known.remember(each)
    without, with_them = Redactor(known=KnownSecrets()), Redactor(known=known)
    base, whole = alternately(partial(without.text, text), partial(with_them.text, text), _TIMES)
    kilobytes = len(text) / 1024
    added = max(whole - base, 0) / kilobytes
    return Figure(f"{what}: added", micro(added), micro(base / kilobytes), f"+{(whole / base - 1):.0%}", "≤ 15 µs")


def _memory() -> Figure:
    tracemalloc.start()
    try:
        known = KnownSecrets()
        for _ in range(10_000):
            known.remember(secrets.token_urlsafe(32))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Figure(f"memory of known secrets after 10,000, {len(known):,} kept", f"{peak / 1e6:.2f} MB", goal="≤ 1 MB")

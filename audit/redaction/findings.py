"""What one redaction has found: the receipts so far, and the strings that still wait to be searched by pattern.

The strings are searched together at the end, because asking all of them for a keyword at once costs least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from counterfoil.schemas.values import Hostile

from .pattern import Pattern
from .patterns import PATTERNS
from .plan import Field
from .receipt import BARE, Path, Receipt, marker, receipt
from .search import suspects, without_secrets
from .uri import structure

if TYPE_CHECKING:
    from collections.abc import Collection


class Findings:
    """Collects while a value is walked through. ``keep_query`` names the parameters that may stay in URIs."""

    def __init__(self, keep_query: Collection[str] = ()) -> None:
        self.receipts: list[Receipt] = []
        self.waiting: list[tuple[Any, Any, Path, Field]] = []
        self._keep_query = keep_query
        self._structured: tuple[str, tuple[str, list[tuple[str, int]]]] = "", ("", [])

    def removed(self, path: Path, rule: str, length: int) -> None:
        """Leave the receipt of one value of ``length`` characters."""
        self.receipts.append(receipt(path, rule, length))

    def without_values(self, uri: str, path: Path, field: Field) -> str:
        """Apply the URI rule, all but the search by pattern."""
        if uri != self._structured[0]:  # a request is often both what was done and where it went
            self._structured = uri, structure(uri, self._keep_query)
        kept, removed = self._structured[1]
        for rule, length in removed:
            self.removed(path, rule, length)
        return self.fitted(kept, path, field) if removed else kept

    def search(self) -> list[Receipt]:
        """Search the strings that wait, replace what is found, and return all receipts."""
        try:
            found = suspects([into[key] for into, key, _, _ in self.waiting])
        except Exception:  # noqa: BLE001 -- then each is searched for everything
            found = {place: [*PATTERNS] for place in range(len(self.waiting))}
        for place, patterns in found.items():
            into, key, path, field = self.waiting[place]
            applying = [pattern for pattern in patterns if pattern.rule not in field.keeping]
            into[key] = self._searched(into[key], applying, path, field)
        return self.receipts

    def _searched(self, text: str, patterns: list[Pattern], path: Path, field: Field) -> str:
        is_uri = field.hostile is Hostile.URI
        try:
            found, removed = without_secrets(text, patterns, _bare if is_uri else marker)
        except Exception:  # noqa: BLE001 -- whatever went wrong, the text may hold a secret
            found, removed = marker("error"), [("error", len(text))]
        for rule, length in removed:
            self.removed(path, rule, length)
        if not removed:
            return text
        found = self.fitted(found, path, field)
        # Without its secrets, what was hardly a URI can be one.
        return self.without_values(found, path, field) if is_uri else found

    def fitted(self, text: str, path: Path, field: Field) -> str:
        """Markers can be longer than what they replace, and a field over its limit could not be read back."""
        if field.limit is None or len(text) <= field.limit:
            return text
        self.removed(path, "overlong", len(text))
        without_query = f"{text.partition('?')[0]}?{BARE}"
        return without_query if field.hostile is Hostile.URI and len(without_query) <= field.limit else BARE


def _bare(rule: str) -> str:  # noqa: ARG001 -- in a URI all markers are the same
    return BARE

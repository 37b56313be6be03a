"""What one redaction has found: the receipts so far, and the strings that still wait to be searched by pattern.

The strings are searched together at the end, because asking all of them for a keyword at once costs least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from counterfoil.schemas.values import Hostile

from .encoded import encoded_secrets
from .nested import DEEPEST, is_json, pieces_of, without_values
from .patterns import PATTERNS
from .plan import TEXT, Field
from .receipt import BARE, Path, Receipt, fingerprint_of, marker, receipt
from .search import INNOCENT, SEEN, acquit, suspects, without_secrets
from .uri import structure

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from counterfoil.schemas import FingerprintKey

    from .known import KnownSecrets
    from .pattern import Pattern

_ROUNDS = 4
_SAYS_MORE = frozenset("={[\n\r\0")
"""Where one of these is, something may be written, which the name around the text has a say in."""


class Findings:
    """Collects while a value is walked through. ``keep_query`` names the parameters that may stay in URIs.

    ``known`` is searched for as well. ``level`` counts the strings around this one, each of which is written inside
    another. With a ``key``, the receipt of a credential has its fingerprint.
    """

    def __init__(
        self,
        keep_query: Collection[str] = (),
        known: KnownSecrets | None = None,
        level: int = 0,
        *,
        key: FingerprintKey | None = None,
    ) -> None:
        self.receipts: list[Receipt] = []
        self.waiting: list[tuple[Any, Any, Path, Field]] = []
        self._keep_query = keep_query
        self._level = level
        self._key = key
        self.known = known
        self.innocent = INNOCENT if known is None else known.innocent
        """Texts that need no search."""
        self._structured: tuple[str, tuple[str, list[tuple[str, int]]]] = "", ("", [])

    def removed(self, path: Path, rule: str, length: int, secret: str = "") -> None:
        """Leave the receipt of one value of ``length`` characters. ``secret`` is the value where it is a credential."""
        left = receipt(path, rule, length)
        if secret and self._key is not None and (fingerprint := fingerprint_of(secret, self._key)):
            left["fingerprint"] = fingerprint
        self.receipts.append(left)

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
        news, clean = self.known.news if self.known is not None else 0, list[str]()
        try:
            found = suspects([into[key] for into, key, _, _ in self.waiting], self.known)
        except Exception:  # noqa: BLE001 -- then each is searched for everything
            found = {place: [*PATTERNS, SEEN] for place in range(len(self.waiting))}
        for place, patterns in found.items():
            into, key, path, field = self.waiting[place]
            applying = [pattern for pattern in patterns if pattern.rule not in field.keeping]
            text: str = into[key]
            into[key] = self._searched(text, applying, path, field)
            whole = not patterns or (len(applying) == len(patterns) and field.hostile is not Hostile.URI)
            if whole and into[key] == text and _SAYS_MORE.isdisjoint(text.rstrip("=")):
                clean.append(text)
        if clean and not self._level:  # what is written deep inside is not looked at to the bottom
            acquit(clean, self.known, news)
        return self.receipts

    def _searched(self, text: str, patterns: Sequence[Pattern], path: Path, field: Field) -> str:
        before, is_uri = len(self.receipts), field.hostile is Hostile.URI
        try:
            found = self._without(text, patterns, path, field)
        except Exception as error:  # noqa: BLE001 -- whatever went wrong, the text may hold a secret
            rule = "depth" if isinstance(error, RecursionError) else "error"
            del self.receipts[before:]
            self.removed(path, rule, len(text))
            found = marker(rule)
        if len(self.receipts) == before:
            return text
        found = self.fitted(found, path, field)
        # Without its secrets, what was hardly a URI can be one.
        return self.without_values(found, path, field) if is_uri else found

    def _without(self, text: str, patterns: Sequence[Pattern], path: Path, field: Field) -> str:
        """Remove by position what is written inside, then by pattern, by turns, as one can uncover the other."""
        is_uri = field.hostile is Hostile.URI
        hide = _bare if is_uri else marker
        given = text
        text, whole = (text, False) if is_uri else self._without_nested(text, path)
        if text != given:
            patterns = [*patterns, SEEN]
        for _ in range(_ROUNDS):
            if whole:
                return text
            secrets: list[str] = []
            plain, removed = without_secrets(text, patterns, hide, self.known, secrets) if patterns else (text, [])
            secrets.append("")  # for what is entangled, which is no credential
            for (rule, length), secret in zip(removed, secrets, strict=False):
                self.removed(path, rule, length, secret)
            decoded = self._without_encoded(plain, path, hide)
            if decoded == text:
                return text
            text, whole = (decoded, False) if is_uri else self._without_nested(decoded, path)
            asked = suspects([text], self.known).get(0, ())
            before, patterns = patterns, [row for row in asked if row.rule not in field.keeping]
            if text == plain and all(row in before for row in patterns):
                return text
        self.removed(path, "entangled", len(text))
        return hide("entangled")

    def _without_nested(self, text: str, path: Path) -> tuple[str, bool]:
        """Redact what is written inside the text. Tells whether that was all."""
        pieces = pieces_of(text)
        if not pieces:
            return text, False
        whole = is_json(text, pieces)
        if self._level < DEEPEST:
            inner = Findings(self._keep_query, self.known, self._level + 1, key=self._key)
            text = without_values(text, pieces, path, inner)
            self.receipts += inner.receipts
        elif any(isinstance(piece.value, dict | list) for piece in pieces):
            self.removed(path, "depth", len(text))
            return marker("depth"), True
        return text, whole

    def _without_encoded(self, text: str, path: Path, hide: Callable[[str], str]) -> str:
        """Remove what hides a secret in base64 or in hex."""
        spans = list(encoded_secrets(text, self._hides)) if self._level < DEEPEST else []
        for start, end in reversed(spans):
            self.removed(path, "encoded", end - start)
            text = f"{text[:start]}{hide('encoded')}{text[end:]}"
        return text

    def _hides(self, text: str) -> bool:
        inner, holder = Findings(self._keep_query, self.known, self._level + 1), [text]
        inner.waiting.append((holder, 0, None, TEXT))
        return bool(inner.search())

    def fitted(self, text: str, path: Path, field: Field) -> str:
        """Markers can be longer than what they replace, and a field over its limit could not be read back."""
        if field.limit is None or len(text) <= field.limit:
            return text
        self.removed(path, "overlong", len(text))
        without_query = f"{text.partition('?')[0]}?{BARE}"
        return without_query if field.hostile is Hostile.URI and len(without_query) <= field.limit else BARE


def _bare(rule: str) -> str:  # noqa: ARG001 -- in a URI all markers are the same
    return BARE

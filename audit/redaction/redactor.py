"""The redactor: what removes secrets from an event before its first byte is written.

Position first (``positions``), pattern second (``patterns``), URIs by a rule of their own (``uri``). Our own typed
fields are never matched by name; of them only those marked ``Hostile`` are looked at (``plan``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from counterfoil.schemas.values import Hostile

from .findings import Findings
from .plan import FREE_FORM, TEXT, URI, Field, Plan, Step, plan_of
from .receipt import Path, Receipt, marker, receipt
from .walk import Walk

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import JsonValue

_MOST_RECEIPTS = 256
_TEXT = Hostile.TEXT


class Redactor:
    """Removes credentials from events, free-form JSON, text and URIs. Keeps no value; safe to share between threads.

    ``keep_query`` names query parameters whose values may stay in recorded URIs. Each method returns the receipts of
    what it removed, in the JSON form of ``schemas.Redaction``. What was redacted before is left as it is.
    """

    def __init__(self, *, keep_query: Collection[str] = ()) -> None:
        self._keep_query = frozenset(keep_query)

    def event(self, body: dict[str, Any]) -> list[Receipt]:
        """Redact the JSON form of an event in place.

        A field on which redaction fails becomes ``[redacted:error]``, and the rest goes on. The receipts beyond 256 are
        counted in one, so that they cannot outgrow the event.
        """
        run = _Run(self._keep_query)
        run.part(body, plan_of(str(body.get("kind"))), None)
        return _bounded(run.findings.search())

    def value(self, value: JsonValue) -> tuple[JsonValue, list[Receipt]]:
        """Return a redacted copy of free-form JSON."""
        return self._one(value, FREE_FORM)

    def text(self, text: str) -> tuple[str, list[Receipt]]:
        """Return the text without the secrets that the patterns recognise."""
        return self._one(text, TEXT)

    def uri(self, uri: str) -> tuple[str, list[Receipt]]:
        """Return the URI without userinfo, query values and fragment, and without secrets in its path."""
        return self._one(uri, URI)

    def _one(self, value: Any, field: Field) -> tuple[Any, list[Receipt]]:
        run, holder = _Run(self._keep_query), [value]
        run.field(holder, 0, field, None)
        receipts = run.findings.search()
        return holder[0], receipts


class _Run:
    """One value on its way through."""

    def __init__(self, keep_query: frozenset[str]) -> None:
        self.findings = Findings(keep_query)
        self._waiting = self.findings.waiting
        self._walk = Walk(self.findings)

    def part(self, members: dict[str, Any], plan: Plan, path: Path) -> None:
        """Redact the fields of one part. What the models do not declare is free-form, names included."""
        undeclared: list[str] = []
        for name, value in members.items():
            step = plan.get(name, FREE_FORM)
            if step is None or (type(step) is frozenset and type(value) is str and value in step):
                continue
            if type(value) is str and type(step) is Field and step.hostile is _TEXT:
                self._waiting.append((members, name, (path, name), step))
            elif name in plan:
                self.field(members, name, step, (path, name))
            else:
                undeclared.append(name)
        if undeclared:
            holder: list[Any] = [{name: members.pop(name) for name in undeclared}]
            self.field(holder, 0, FREE_FORM, path)
            members.update(holder[0])

    def field(self, into: Any, key: Any, step: Step, path: Path) -> None:
        """Redact ``into[key]``."""
        value = into[key]
        try:
            if isinstance(value, str):
                self._string(into, key, step, path)
            elif isinstance(value, dict) and isinstance(step, dict):
                self.part(cast("dict[str, Any]", value), step, path)
            elif isinstance(value, list) and step is not FREE_FORM:
                items = cast("list[object]", value)
                for index in range(len(items)):
                    self.field(items, index, step, (path, index))
            else:
                self._walk.put(into, key, value, path)
        except Exception:  # noqa: BLE001 -- whatever went wrong, the field may hold a secret
            self.findings.removed(path, "error", len(value) if isinstance(value, str) else 0)
            into[key] = {marker("error"): True} if isinstance(value, dict) else marker("error")

    def _string(self, into: Any, key: Any, step: Step, path: Path) -> None:
        field = step if isinstance(step, Field) else TEXT  # a term that a newer release added is text
        if isinstance(step, frozenset) and into[key] in step:
            return
        if field.hostile is Hostile.URI:
            into[key] = self.findings.without_values(into[key], path, field)
        self._waiting.append((into, key, path, field))


def _bounded(receipts: list[Receipt]) -> list[Receipt]:
    more = len(receipts) - _MOST_RECEIPTS
    if more <= 0:
        return receipts
    return [*receipts[:_MOST_RECEIPTS], receipt(((None, "context"), "redactions"), "more", more)]

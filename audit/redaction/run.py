"""One value on its way through redaction: its typed fields by plan, everything else by position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from counterfoil.schemas.values import Hostile

from .findings import Findings
from .plan import FREE_FORM, TEXT, Field, Plan, Step
from .receipt import Path, marker
from .walk import Walk

if TYPE_CHECKING:
    from counterfoil.schemas import FingerprintKey

    from .known import KnownSecrets

_TEXT = Hostile.TEXT


class Run:
    """Redacts in place, and collects what waits to be searched by pattern."""

    def __init__(
        self, keep_query: frozenset[str], known: KnownSecrets | None = None, key: FingerprintKey | None = None
    ) -> None:
        self.findings = Findings(keep_query, known, key=key)
        self.waiting = self.findings.waiting
        self._walk = Walk(self.findings)

    def part(self, members: dict[str, Any], plan: Plan, path: Path) -> None:
        """Redact the fields of one part. What the models do not declare is free-form, names included."""
        undeclared: list[str] = []
        route = plan.routes.get(tuple(members))
        if route is None:
            undeclared = [name for name in members if name not in plan]
            route = plan.route([name for name in members if name in plan])
        for name, step, known in route:
            value = members[name]
            if type(value) is str:
                if known is None:
                    self.waiting.append((members, name, (path, name), cast("Field", step)))
                    continue
                if value in known:
                    continue
            self.field(members, name, step, (path, name))
        if undeclared:
            self._undeclared(members, undeclared, path)

    def _undeclared(self, members: dict[str, Any], names: list[str], path: Path) -> None:
        holder: list[Any] = [{name: members.pop(name) for name in names}]
        before = len(self.waiting)
        self.field(holder, 0, FREE_FORM, path)
        (copy,) = holder
        members.update(copy)
        self.waiting[before:] = [  # what is found there is to be replaced here
            (members if into is copy else into, key, where, step) for into, key, where, step in self.waiting[before:]
        ]

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
                for index, item in enumerate(items):
                    if step is TEXT and type(item) is str:
                        self.waiting.append((items, index, (path, index), TEXT))
                    else:
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
        self.waiting.append((into, key, path, field))

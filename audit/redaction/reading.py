"""An event read out of its models: redacted, and put in canonical order, in one walk.

It comes to what ``stated``, ``Redactor.event`` and sorting the members come to one after the other, in half the time.
It knows what a caller can build. Free-form members, what a newer release wrote, and values of a type that no field has
are left to those three, and so is whatever nobody thought of.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from counterfoil.schemas import Fingerprint, KeyedDigest, Sha256, Thumbprint
from counterfoil.schemas.entry import LOG_MEMBERS
from counterfoil.schemas.terms import Vocabulary
from counterfoil.schemas.values import Hostile, rfc3339

from .plan import Field, Plan, Shape, plan_of

if TYPE_CHECKING:
    from counterfoil.schemas import Event
    from counterfoil.schemas.part import Part

    from .plan import Step
    from .receipt import Path
    from .run import Run

_NUMBERS: Final = frozenset({int, bool})
_TEXTS: Final = frozenset({Fingerprint, KeyedDigest, Sha256, Thumbprint, UUID})
_CONTEXT: Final = (None, "context")
_LEFT: Final = LOG_MEMBERS | {"attributes"}
_APART: Final = frozenset({"kind", "context"})
_MOST_SHAPES: Final = 1024

_time = lru_cache(1024)(rfc3339)  # the times of a token come again with each of its uses


class Unplanned(Exception):
    """The event holds what only its JSON form can be redacted in."""


def read_out(event: Event, context: dict[str, Any], parts: dict[str, Any], run: Run) -> dict[str, Any]:
    """Return the redacted body of an event with what surrounds it, which is redacted in place. Raises ``Unplanned``."""
    plan = plan_of(event.kind.term)
    if "context" in event.__pydantic_fields_set__:
        own = _context(event, context, plan, run)
        body = _part(event, plan, None, run)
    else:  # the same, in the order in which its JSON form is redacted
        body = _part(event, plan, None, run)
        own = _context(event, context, plan, run)
    run.part(parts, plan, None)
    run.findings.search()
    own |= {"event_id": str(event.context.event_id), "observer": event.context.observer.term, **context}
    body |= {"kind": event.kind.term, "context": own, **parts}
    return dict(sorted(body.items()))


def _context(event: Event, around: dict[str, Any], plan: Plan, run: Run) -> dict[str, Any]:
    step = cast("Plan", plan["context"])
    own = _part(event.context, step, _CONTEXT, run)
    if not _LEFT.isdisjoint(own.keys() | around.keys()):
        raise Unplanned
    run.part(around, step, _CONTEXT)
    return own


def _part(part: Part, plan: Plan, path: Path, run: Run) -> dict[str, Any]:
    if type(part) is not plan.model or part.__pydantic_extra__:
        raise Unplanned
    said = frozenset(part.__pydantic_fields_set__)
    terms, others, blank = plan.shapes.get(said) or _shape(plan, said)
    values, body = part.__dict__, blank.copy()
    innocent = run.findings.innocent
    for name, known in terms:
        value = values[name]
        if isinstance(value, Vocabulary) and value.term in known:
            body[name] = value.term
        else:
            _terms(body, name, value, known)
    for name, step, text in others:
        value = values[name]
        if type(value) is str:
            body[name] = value
            if text is not None:
                if value not in innocent:
                    run.waiting.append((body, name, (path, name), text))
            elif step is not None:
                run.field(body, name, step, (path, name))
        elif value is None:
            del body[name]
        else:
            body[name] = _value(value, step, (path, name), run)
    return body


def _value(value: object, step: Step, path: Path, run: Run) -> Any:
    kind = type(value)
    if kind is tuple:
        return _items(cast("tuple[Any, ...]", value), step, path, run)
    if isinstance(step, Plan):
        return _part(cast("Part", value), step, path, run)
    if step is None:
        if kind in _NUMBERS:
            return value
        if kind in _TEXTS:
            return str(value)
        if isinstance(value, datetime):
            return _time(value)
    raise Unplanned


def _items(items: tuple[Any, ...], step: Step, path: Path, run: Run) -> list[Any]:
    if isinstance(step, Plan):
        return [_part(item, step, (path, place), run) for place, item in enumerate(items)]
    body = list(items)
    for place, item in enumerate(items):
        if type(item) is str:
            run.field(body, place, step, (path, place))
        elif step is not None or type(item) not in _NUMBERS:
            raise Unplanned
    return body


def _terms(body: dict[str, Any], name: str, value: object, known: frozenset[str]) -> None:
    """Write several terms, or none. Raises ``Unplanned`` for one that is not known: a newer release wrote it."""
    if value is None:
        del body[name]
        return
    if type(value) is not tuple:
        raise Unplanned
    terms = cast("tuple[object, ...]", value)
    listed = [term.term for term in terms if isinstance(term, Vocabulary) and term.term in known]
    if len(listed) < len(terms):
        raise Unplanned
    body[name] = listed


def _shape(plan: Plan, said: frozenset[str]) -> Shape:
    """Find out once what there is to do for a part that states these. Raises ``Unplanned``."""
    if not said <= plan.keys():
        raise Unplanned
    if len(plan.shapes) >= _MOST_SHAPES:
        plan.shapes.clear()
    steps = [(name, step) for name, step in plan.items() if name in said and name not in _APART]
    shape = plan.shapes[said] = Shape(
        tuple((name, step) for name, step in steps if isinstance(step, frozenset)),
        tuple((name, step, _text(step)) for name, step in steps if not isinstance(step, frozenset)),
        dict.fromkeys(sorted(name for name, _ in steps)),
    )
    return shape


def _text(step: Step) -> Field | None:
    return step if isinstance(step, Field) and step.hostile is Hostile.TEXT else None

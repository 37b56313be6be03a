"""Which fields of an event are text, URI or free-form: read once from the models, by the ``Hostile`` marks.

A field that the models declare and that cannot hold free text (a digest, a number, a time, an id of fixed form) needs
no redaction. Whatever the models do not declare is free-form, so that nothing passes for want of a mark.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin
from uuid import UUID

from annotated_types import MaxLen
from pydantic import BaseModel, StringConstraints

from counterfoil.schemas import Token, UnlistedEvent
from counterfoil.schemas.events import EVENT_TYPES
from counterfoil.schemas.values import Digest, Hostile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Field:
    """How one field is redacted."""

    hostile: Hostile
    """As text, as a URI, or as free-form JSON."""
    limit: int | None = None
    """How many characters the field may have."""
    keeping: frozenset[str] = frozenset()
    """Pattern rules that do not apply, because the field exists to hold just that."""


class Plan(dict[str, "Step"]):
    """The fields of one part, by name, in the order of its model."""

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__({name: _declared(model, name, field) for name, field in model.model_fields.items()})
        self.model = model
        self.shapes: dict[frozenset[str], Shape] = {}
        """For ``reading``: what there is to do for a part, by which fields it states."""
        self.routes: dict[tuple[str, ...], Route] = {}
        """For ``run``: what there is to do for the JSON form of a part, by its members."""

    def route(self, members: Sequence[str]) -> Route:
        """Find out once what there is to do for these members, each of which is declared."""
        names = tuple(members)
        if names not in self.routes:
            if len(self.routes) >= _MOST_ROUTES:
                self.routes.clear()
            steps = [(name, self[name]) for name in names]
            self.routes[names] = tuple((name, step, _known(step)) for name, step in steps if step is not None)
        return self.routes[names]


def _known(step: Step) -> frozenset[str] | None:
    """Return the strings that need no redaction; for text, none that can be told."""
    if isinstance(step, Field) and step.hostile is Hostile.TEXT:
        return None
    return step if isinstance(step, frozenset) else frozenset()


class Shape(NamedTuple):
    """Which fields a part states, by what is to be done with them."""

    terms: tuple[tuple[str, frozenset[str]], ...]
    """Terms of a vocabulary."""
    others: tuple[tuple[str, Step, Field | None], ...]
    """The rest, in the order in which it is redacted. What is text has its step twice."""
    blank: dict[str, Any]
    """All of them, in canonical order."""


Step: TypeAlias = "Field | Plan | frozenset[str] | None"
"""A field; the plan of a nested part; the terms of a vocabulary, beyond which it is text; or nothing to redact.
A list is redacted item by item."""

Route: TypeAlias = "tuple[tuple[str, Step, frozenset[str] | None], ...]"
"""Each member with something to do: its name, its step, and the strings that may stay; ``None`` where it is text."""

FREE_FORM: Final = Field(Hostile.FREE_FORM)
TEXT: Final = Field(Hostile.TEXT)
URI: Final = Field(Hostile.URI)

_PUBLIC: Final[dict[tuple[type[BaseModel], str], frozenset[str]]] = {(Token, "key_id"): frozenset({"aws_key_id"})}
"""Fields that exist to hold a public identifier which a pattern takes for part of a credential."""

_MOST_ROUTES = 1024

_HARMLESS = (Digest, UUID, datetime, int, float, bool)


@cache
def plan_of(kind: str) -> Plan:
    """Return the plan for an event of this kind; an unknown kind has only what every event has."""
    return Plan(EVENT_TYPES.get(kind, UnlistedEvent))


def _declared(model: type[BaseModel], name: str, field: FieldInfo) -> Step:
    step = _step(field.annotation, field.metadata)
    public = _PUBLIC.get((model, name))
    return replace(step, keeping=public) if public and isinstance(step, Field) else step


def _step(annotation: Any, marks: Sequence[Any] = ()) -> Step:
    """Return what to do with a value of this type. ``marks`` are what ``Annotated`` adds to it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _step(arguments[0], (*arguments[1:], *marks))
    if origin in (Union, types.UnionType):
        return _only([_step(each, marks) for each in arguments if each is not type(None)])
    if origin is tuple:
        return _step(arguments[0])
    hostile = next((mark for mark in marks if isinstance(mark, Hostile)), None)
    if hostile:
        return Field(hostile, _limit(marks))
    return None if origin is Literal else _by_type(annotation, marks)


def _by_type(annotation: Any, marks: Sequence[Any]) -> Step:
    if not isinstance(annotation, type):
        return FREE_FORM
    if issubclass(annotation, BaseModel):
        return Plan(annotation)
    if issubclass(annotation, Enum):
        return frozenset(str(member.value) for member in annotation)
    if issubclass(annotation, _HARMLESS) or any(isinstance(mark, StringConstraints) and mark.pattern for mark in marks):
        return None
    return TEXT if annotation is str else FREE_FORM


def _only(steps: Sequence[Step]) -> Step:
    return steps[0] if len(steps) == 1 else FREE_FORM


def _limit(marks: Sequence[Any]) -> int | None:
    limits = [mark.max_length for mark in marks if isinstance(mark, StringConstraints | MaxLen)]
    return min([limit for limit in limits if limit is not None], default=None)

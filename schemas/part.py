"""The model class that every part of a record is built on: frozen, strict for callers, silent about values.

Pydantic shows the offending input in its errors, and a caller's mistake is often a raw token in the wrong place.
So each way in raises our ``InvalidEvent``, which names the path and never the value.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InvalidEvent
from .values import Digest
from .vocabulary import Kind, keep_unlisted_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

_SHOWABLE = (Enum, Digest, bool, int, UUID, datetime)


def refuse(error: ValidationError) -> NoReturn:
    """Raise ``InvalidEvent`` for a Pydantic error: same paths, no values, nothing chained."""
    problems = tuple(
        (_path(each["loc"], unknown=each["type"] == "extra_forbidden"), _sentence(each["type"], each["msg"]))
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )
    raise InvalidEvent(problems) from None


def _sentence(error_type: str, message: str) -> str:
    """Say what is wrong. Some of Pydantic's sentences quote the input; those get one of ours."""
    if error_type == "extra_forbidden":
        return "unknown member"
    if error_type in _SENTENCES:
        return _SENTENCES[error_type]
    return message[:1].lower() + message[1:]


_KINDS = frozenset(Kind)

_SENTENCES = {
    "json_invalid": "this is not JSON",
    "union_tag_invalid": "no event kind of this name",
    "union_tag_not_found": "the member `kind` is missing",
    "uuid_parsing": "this is not a UUID (RFC 9562)",
    "datetime_from_date_parsing": "this is not an RFC 3339 time",
    "datetime_parsing": "this is not an RFC 3339 time",
    "value_error": "this value is not allowed here",
    "string_pattern_mismatch": "this does not have the form of its type; a raw secret is never accepted here",
    "string_unicode": "this is not valid Unicode text",
    "recursion_loop": "nested too deep, or containing itself",
}


def _path(loc: tuple[int | str, ...], *, unknown: bool) -> str:
    steps = list(loc)
    if steps and steps[0] in _KINDS:
        del steps[0]  # the tag by which Pydantic chose the kind, not a member
    shown = [shown_step(step) for step in steps]
    if unknown:
        shown[-1] = f"<unknown, {len(str(steps[-1]))} characters>"
    return ".".join(shown)


def shown_step(step: int | str) -> str:
    """Show one of our own names; describe any other, since a member's name can be a secret."""
    if isinstance(step, int):
        return str(step)
    return step if step in _known_names() else f"<member, {len(step)} characters>"


def _known_names() -> set[str]:
    if not _NAMES:
        pending: list[type[BaseModel]] = [Part]
        while pending:
            model = pending.pop()
            _NAMES.update(model.model_fields)
            pending.extend(model.__subclasses__())
    return _NAMES


_NAMES: set[str] = set()


class _QuietErrors(ModelMetaclass):
    if not TYPE_CHECKING:  # type checkers know the constructor from the fields

        def __call__(cls, /, **fields: Any) -> Any:  # noqa: N805 -- on a metaclass, self is a class
            """Construct, refusing unknown members, with our error instead of Pydantic's."""
            return cls._checked(lambda: cls.__pydantic_validator__.validate_python(fields, extra="forbid"))


class Part(BaseModel, metaclass=_QuietErrors):
    """One part of a record. Frozen; a caller's unknown member is an error; a reader keeps what it does not know."""

    # "allow" is what lets unknown members of a newer log survive; every way in for a caller passes "forbid".
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, validate_default=False)

    @classmethod
    def read_json(cls, body: str | bytes) -> Self:
        """Parse what a log holds, keeping members and terms that a newer release added. Raises ``InvalidEvent``."""
        with keep_unlisted_terms():
            return cast("Self", cls._checked(lambda: cls.__pydantic_validator__.validate_json(body, extra="allow")))

    @classmethod
    def _checked(cls, validate: Callable[[], Any]) -> Any:
        try:
            return validate()
        except ValidationError as error:
            refuse(error)

    if not TYPE_CHECKING:

        @classmethod
        def model_validate(cls, obj: Any, **options: Any) -> Self:
            """Validate Python data. Raises ``InvalidEvent``."""
            options.setdefault("extra", "forbid")
            return cls._checked(lambda: cls.__pydantic_validator__.validate_python(obj, **options))

        @classmethod
        def model_validate_json(cls, json_data: Any, **options: Any) -> Self:
            """Validate JSON. Raises ``InvalidEvent``."""
            options.setdefault("extra", "forbid")
            return cls._checked(lambda: cls.__pydantic_validator__.validate_json(json_data, **options))

        def model_copy(self, *, update: Any = None, deep: bool = False) -> Self:  # noqa: ARG002 -- Pydantic's signature
            """Return a copy with some members replaced, validated like any input."""
            fields = {name: getattr(self, name) for name in self.model_fields_set} | (update or {})
            return type(self)(**fields)

        @classmethod
        def model_construct(cls, _fields_set: Any = None, **values: Any) -> Self:
            """Construct with validation all the same: an unchecked record could hold a secret."""
            return cls(**values)

        def __setattr__(self, name: str, value: Any) -> None:
            """Refuse without Pydantic's error, which would carry the value."""
            raise AttributeError("a part of a record is frozen; use model_copy(update=…)")

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show terms, digests, numbers and times; of any text only its length, since it is not redacted yet."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, (Part, *_SHOWABLE)):
                yield name, value
            elif value:
                yield name, _Described(value)

    __str__ = BaseModel.__repr__


class _Described:
    __slots__ = ("_text",)

    def __init__(self, value: Any) -> None:
        self._text = f"<{type(value).__name__}, {len(value)}>" if hasattr(value, "__len__") else "<…>"

    def __repr__(self) -> str:
        return self._text

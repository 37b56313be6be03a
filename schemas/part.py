"""The model class that every part of a record is built on: frozen, strict for callers, silent about values.

Each way in raises our ``InvalidEvent``, which names the path and never the value; Pydantic's own errors show it.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from .document import strictly
from .domain import check_domain
from .errors import OutOfDomain
from .refusal import FIELD_NAMES, checked
from .terms import is_reading, keep_unlisted_terms
from .values import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

_SHOWABLE = (Enum, Digest, bool, int, UUID, datetime)


class _QuietErrors(ModelMetaclass):
    if not TYPE_CHECKING:  # type checkers know the constructor from the fields

        def __call__(cls, /, **fields: Any) -> Any:  # noqa: N805 -- on a metaclass, self is a class
            """Construct, refusing unknown members, with our error instead of Pydantic's."""
            return checked(lambda: cls.__pydantic_validator__.validate_python(fields, extra="forbid"))


class Part(BaseModel, metaclass=_QuietErrors):
    """One part of a record. Frozen; a caller's unknown member is an error; a reader keeps what it does not know."""

    # "allow" is what lets unknown members of a newer log survive; every way in for a caller passes "forbid".
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Let errors show the names of this part's fields."""
        FIELD_NAMES.update(cls.model_fields)

    def model_post_init(self, _context: Any, /) -> None:
        """Refuse unknown members also where a part stands in a model, or an adapter, that is not ours.

        What a reader keeps can be recorded again, and so has to be of the domain.
        """
        if not self.__pydantic_extra__:
            return
        if not is_reading():
            raise PydanticCustomError("unknown_member", "a part of a record has an unknown member")
        try:
            check_domain(self.__pydantic_extra__)
        except OutOfDomain:
            outside = True
        else:
            outside = False
        if outside:
            raise PydanticCustomError("out_of_domain", "an unknown member has no portable JSON form")

    @classmethod
    def read_json(cls, body: str | bytes) -> Self:
        """Parse what a log holds, keeping members and terms that a newer release added. Raises ``InvalidEvent``."""
        with keep_unlisted_terms():
            return cast("Self", checked(lambda: cls.__pydantic_validator__.validate_json(body, extra="allow")))

    if not TYPE_CHECKING:

        @classmethod
        def model_validate(cls, obj: Any, **options: Any) -> Self:
            """Validate Python data. Raises ``InvalidEvent``."""
            options.setdefault("extra", "forbid")
            return checked(lambda: cls.__pydantic_validator__.validate_python(obj, **options))

        @classmethod
        def model_validate_json(cls, json_data: Any, **options: Any) -> Self:
            """Validate JSON. Raises ``InvalidEvent`` and ``EventTooLarge``."""
            options.setdefault("extra", "forbid")
            return strictly(json_data, lambda body: cls.__pydantic_validator__.validate_json(body, **options))

        def model_copy(self, *, update: Any = None, deep: bool = False) -> Self:  # noqa: ARG002 -- Pydantic's signature
            """Return a copy with some members replaced, validated like any input; what a reader kept stays."""
            changes = update or {}
            copy = type(self)(**(self.__dict__ | changes))
            object.__setattr__(copy, "__pydantic_fields_set__", self.model_fields_set | changes.keys())
            object.__setattr__(copy, "__pydantic_extra__", self.__pydantic_extra__)
            return copy

        @classmethod
        def model_construct(cls, _fields_set: Any = None, **values: Any) -> Self:
            """Construct with validation all the same: an unchecked record could hold a secret."""
            return cls(**values)

        @classmethod
        def _closed(cls, *_arguments: Any, **_options: Any) -> NoReturn:
            """Close the ways in that would skip validation, or raise errors that show the value."""
            raise TypeError("use the constructor, model_validate, model_validate_json or model_copy")

        copy = from_orm = parse_file = parse_raw = model_validate_strings = _closed

        def __setattr__(self, name: str, *_value: Any) -> NoReturn:
            """Refuse without Pydantic's error, which would carry the value."""
            raise AttributeError("a part of a record is frozen; use model_copy(update=…)")

        __delattr__ = __setattr__

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


def complete_parts() -> None:
    """Build every part that was not used yet: parts are built when they first are, under a lock of Pydantic's.

    To be called before a fork. A lock that another thread holds at that moment stays held in the child for ever.
    """
    waiting = [Part]
    while waiting:
        part = waiting.pop()
        waiting += part.__subclasses__()
        if not part.__pydantic_complete__:
            part.model_rebuild()

"""The published form of the schemas: JSON Schema, with the docstrings of the fields as descriptions.

``schemas/json/event.schema.json`` and ``docs/schema.md`` are generated from here, and tests hold them to it.
"""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from .events import EVENT

if TYPE_CHECKING:
    from types import ModuleType

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

    from .part import Part


class _Published(GenerateJsonSchema):
    """What a caller may give: described, without titles that only repeat names, and closed to unknown members."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 -- Pydantic's signature
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        part: type[Part] = schema["cls"]
        published = super().model_schema(schema)
        for name, sentence in attribute_docstrings(part).items():
            published["properties"][name]["description"] = sentence
        published["additionalProperties"] = False
        if "kind" in part.model_fields:  # a default in Python, and in JSON the member that tells the events apart
            published["required"] = ["kind", *published.get("required", [])]
        return published


def event_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what ``parse_event`` accepts. A reader also keeps members not named there."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://counterfoil.invalid/schemas/json/event.schema.json",
        "title": "Counterfoil event, schema version 1",
        **EVENT.json_schema(mode="validation", schema_generator=_Published),
    }


def attribute_docstrings(owner: type | ModuleType) -> dict[str, str]:
    """Return the docstring under each annotated name of a class or module, on one line.

    Empty where Python runs without its source files.
    """
    try:
        tree: ast.Module | ast.ClassDef = ast.parse(dedent(inspect.getsource(owner)))
    except OSError:
        return {}
    if isinstance(tree.body[0], ast.ClassDef):
        tree = tree.body[0]
    return {
        name.target.id: " ".join(text.value.value.split())
        for name, text in pairwise(tree.body)
        if isinstance(name, ast.AnnAssign)
        and isinstance(name.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }

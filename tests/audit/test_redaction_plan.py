"""The plan: which fields of an event are text, URI or free-form, read from the models."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.plan import Field, Plan, plan_of
from counterfoil.schemas import LogChange, LogEvent
from counterfoil.schemas.events import EVENT_TYPES, stated
from counterfoil.schemas.values import Hostile

if TYPE_CHECKING:
    from collections.abc import Iterator

all_kinds = pytest.mark.parametrize("kind", EVENT_TYPES)


def _fields(plan: Plan, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, step in plan.items():
        if isinstance(step, dict):
            yield from _fields(step, f"{path}{name}.")
        else:
            yield f"{path}{name}", step


def _of(kind: str, hostile: Hostile) -> set[str]:
    return {path for path, step in _fields(plan_of(kind)) if isinstance(step, Field) and step.hostile is hostile}


@all_kinds
def test_only_the_attributes_are_free_form(kind: str) -> None:
    """No declared field fell through to free-form for want of a mark."""
    assert _of(kind, Hostile.FREE_FORM) == {"context.attributes"}


@all_kinds
def test_every_declared_field_has_a_step(kind: str) -> None:
    """The plan has the names of the model, at every level."""

    def agrees(plan: Plan, model: type[BaseModel]) -> None:
        assert plan.keys() == model.model_fields.keys()

    agrees(plan_of(kind), EVENT_TYPES[kind])


def test_uris_and_texts_of_a_use() -> None:
    """The fields that a request fills are looked at, those of fixed form are not."""
    assert _of("credential_use", Hostile.URI) >= {
        "resource.uri",
        "resource.metadata",
        "action.target",
        "context.reference",
    }
    texts = _of("credential_use", Hostile.TEXT)
    assert texts >= {"token.jti", "token.audience", "token.names", "context.principal.actors", "proof.checks.observed"}
    steps = dict(_fields(plan_of("credential_use")))
    harmless = ("token.fingerprint", "context.trace_id", "context.salt", "context.event_id", "token.lifetime.seconds")
    assert [steps[path] for path in harmless] == [None] * len(harmless)
    assert "executed" in steps["action.outcome"]


def test_what_verifies_a_log_is_left_as_it_is() -> None:
    """A key and a note are of fixed form: a signature with one byte removed would tell of an attack that never was."""
    name = "bearer"  # the word before a credential, to every pattern
    note = f"counterfoil/{'0f' * 16}\n7\n{'A' * 43}=\n\n— {name} {'eyJhbGciOiJIUzI1NiJ9' * 4}\n"
    key_id = hashlib.sha256(f"{name}\n".encode() + b"\x01" + bytes(32)).hexdigest()[:8]
    material = base64.b64encode(b"\x01" + bytes(32)).decode()
    key = f"{name}+{key_id}+{material}"
    body = stated(LogEvent(change=LogChange.PRUNED, verification_key=key, note=note))
    assert Redactor().event(body) == []
    assert (body["verification_key"], body["note"]) == (key, note)
    assert Redactor().text(note)[0] != note


def test_limits_are_those_of_the_strings() -> None:
    """A limit on how many items a list has is none on how long they are."""
    steps = dict(_fields(plan_of("credential_use")))
    assert (steps["token.prefix"].limit, steps["token.jti"].limit) == (8, 512)
    assert steps["context.principal.actors"].limit == 512


def test_an_unknown_kind_has_the_common_context() -> None:
    """An event of a newer release is free-form but for its context."""
    assert plan_of("invented").keys() == {"kind", "context"}
    assert plan_of("invented")["context"] == plan_of("log")["context"]

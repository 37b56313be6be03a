"""The published JSON Schema: valid, described, and of one mind with the parser."""

from __future__ import annotations

import inspect
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from counterfoil.schemas import Event, InputError, Token, event_json_schema, parse_event, values
from counterfoil.schemas.published import attribute_docstrings

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = event_json_schema()
VALIDATOR: Any = Draft202012Validator(SCHEMA)

SMALL: dict[str, Any] = {
    "kind": "credential_use", "token": {}, "resource": {"uri": "https://api.example"}, "action": {"name": "read"},
}  # fmt: skip


def parses(document: object) -> bool:
    """Whether a caller's JSON is accepted."""
    try:
        parse_event(json.dumps(document))
    except InputError:
        return False
    return True


def test_the_schema_is_valid() -> None:
    """It is a JSON Schema of the 2020-12 dialect."""
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


def test_the_published_file_is_the_schema() -> None:
    """The file in the package is what the function returns."""
    published_file = files("counterfoil.schemas") / "json" / "event.schema.json"
    assert json.loads(published_file.read_text("utf-8")) == SCHEMA


def test_everything_is_described() -> None:
    """Whoever reads only the schema learns what each member is for."""
    assert len(SCHEMA["$defs"]) > 40
    for name, definition in SCHEMA["$defs"].items():
        if name != "JsonValue":
            assert definition["description"]
        for member, schema in definition.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{member}"


def test_events_are_valid(samples: tuple[Event, ...]) -> None:
    """Each kind of event, full and small, is valid by the schema."""
    for event in samples:
        VALIDATOR.validate(json.loads(event.model_dump_json()))
    VALIDATOR.validate(SMALL)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": None},
        {"kind": "novelty"},
        {"novelty": 1},
        {"token": {"novelty": 1}},
        {"token": {"fingerprint": "a raw token"}},
        {"token": {"token_class": "novelty"}},
        {"token": {"lifetime": {"seconds": -1}}},
        {"token": {"lifetime": {"issued_at": 1700000000}}},
        {"token": {"lifetime": {"issued_at": "2026-11-23T12:00:00"}}},
        {"token": {"audience": "https://api.example"}},
        {"signer": {"pid": "7"}},
        {"signer": {"pid": 2**53}},
        {"key_custody": {"exportable": "yes"}},
        {"resource": {"uri": ""}},
        {"context": {"trace_id": "0AF7651916CD43DD8448EB211C80319C"}},
        {"context": {"attributes": []}},
        {"action": {}},
    ],
    ids=json.dumps,
)
def test_what_the_parser_refuses_the_schema_refuses(change: dict[str, Any]) -> None:
    """A caller who validates first is not surprised later; the member `kind` may not be left out either."""
    document = {name: member for name, member in (SMALL | change).items() if member is not None}
    assert not parses(document)
    assert not VALIDATOR.is_valid(document)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data(), junk=st.sampled_from([None, True, 0, -1, 2**53, 0.5, "x", "x" * 600, [], ["x"], {}, {"x": "x"}]))
def test_schema_and_parser_agree(data: st.DataObject, junk: Any, wreck: Callable[..., Any]) -> None:
    """Whichever member is replaced by whatever, both say the same; only the schema leaves UUIDs unchecked."""
    document, path = wreck(data, junk)
    assume(path[-1] not in {"event_id", "use_id"})
    assert VALIDATOR.is_valid(document) == parses(document)


def test_docstrings_are_read_from_classes_and_modules() -> None:
    """The sentence under a name belongs to that name."""
    assert (
        attribute_docstrings(Token)["jti"] == "``jti`` (RFC 7519 §4.1.7): the issuer's identifier of an access token."
    )
    assert attribute_docstrings(values)["Count"] == "A whole number from 0 on, given as a number."


def test_without_source_files_there_are_no_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema is printed all the same where Python runs without its sources."""

    def no_source(_owner: object) -> str:
        raise OSError

    monkeypatch.setattr(inspect, "getsource", no_source)
    assert attribute_docstrings(Token) == {}
    assert event_json_schema()["$defs"]["Token"]["properties"].keys() == Token.model_fields.keys()

"""Pydantic's errors as ours: the same places, our sentences, no values."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, TypeAdapter, ValidationError

from counterfoil.schemas import InvalidEvent, Lifetime
from counterfoil.schemas.refusal import FIELD_NAMES, checked, problems_in, shown_name, shown_step


def failure(annotation: Any, value: object, *, json: bool = False) -> ValidationError:
    """Return Pydantic's error for a value of the wrong kind."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_json(str(value)) if json else adapter.validate_python(value)
    return caught.value


def quoting(value: str) -> str:
    """Make the classic mistake of a validator."""
    raise ValueError(f"bad value {value}")


def test_another_error_is_not_quoted(secret: str) -> None:
    """A validator's own message may quote the input, so that it is not passed on."""
    error = failure(Annotated[str, AfterValidator(quoting)], secret)
    assert secret in str(error)
    assert problems_in(error) == (("", "this value is not allowed here"),)


def test_nothing_is_chained(secret: str) -> None:
    """Pydantic's error, which carries the value, hangs nowhere on ours."""
    adapter = TypeAdapter(int)
    with pytest.raises(InvalidEvent) as caught:
        checked(lambda: adapter.validate_python(secret))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_what_is_right_is_returned() -> None:
    """``checked`` adds nothing to a success."""
    assert checked(lambda: 7) == 7


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a" 1}', "this is not JSON, at line 1, column 6"),
        ('{\n "a": 1,}', "this is not JSON, at line 2, column 9"),
        ("", "this is not JSON, at line 1, column 0"),
        ("[" * 1000 + "]" * 1000, "nested too deep"),
    ],
)
def test_bad_json_is_placed(text: str, sentence: str) -> None:
    """A person finds the place in a JSON text by line and column."""
    assert problems_in(failure(Any, text, json=True)) == (("", sentence),)


def test_only_our_own_names_are_shown(secret: str) -> None:
    """A member's name can be a secret; the names of our fields are none."""
    assert "token" in FIELD_NAMES
    assert [shown_step(step) for step in (3, "token", secret)] == ["3", "token", "<member, 43 characters>"]
    assert shown_name("") == "<member, 0 characters>"


def test_a_number_as_a_name_is_no_position() -> None:
    """A key that is no string is described like any other name."""
    assert problems_in(failure(dict[str, int], {424242: 1})) == (
        ("<member, 6 characters>", "input should be a valid string"),
    )
    with pytest.raises(InvalidEvent) as caught:
        Lifetime.model_validate({424242: 1})
    assert caught.value.problems == (("<member, 6 characters>", "a member's name is not a string"),)


def test_the_tag_is_not_part_of_the_path() -> None:
    """Pydantic puts the tag of a union in front of each path; nobody wrote it there."""
    error = failure(dict[str, dict[str, int]], {"log": {"token": "x"}})
    assert problems_in(error)[0][0] == "<member, 3 characters>.token"
    assert problems_in(error, tagged=True)[0][0] == "token"

"""The error tree: as drawn, told apart by code, with advice, and whole after pickling."""

from __future__ import annotations

import inspect
import pickle
import re
from typing import Any

import pytest

from counterfoil.schemas import errors
from counterfoil.schemas.errors import CounterfoilError

CLASSES = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, CounterfoilError)]

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "InvalidEvent": ((("token.fingerprint", "no"), ("", "no")),),
    "InvalidDigest": ("Fingerprint", "a form"),
    "OutOfDomain": ("context.task", "no"),
    "EventTooLarge": (10, 5),
    "EventConflict": ("01940000-0000-7000-8000-000000000000", 7),
    "KeyMismatch": ("00112233", "44556677"),
    "AlreadyDecided": (),
    "LogClosed": (),
    "MissingExtra": ("otlp",),
}


def made(error_type: type[CounterfoilError]) -> CounterfoilError:
    """Return an error of this type as the library makes it."""
    return error_type(*ARGUMENTS.get(error_type.__name__, ("a sentence",)))


def test_the_tree_is_as_drawn() -> None:
    """The picture at the top of the module has every class, in the order of the file, under its parent."""
    drawn: list[tuple[str, str]] = []
    above = {-1: "Exception"}
    for line in inspect.getdoc(errors).splitlines():  # pyright: ignore[reportOptionalMemberAccess] -- it has one
        node = re.match(r"    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(\s{2,}\w.*)?$", line)
        if node:
            depth = len(node["branch"]) // 4
            above[depth] = node["name"]
            drawn.append((node["name"], above[depth - 1]))
    assert drawn == [(each.__name__, each.__bases__[0].__name__) for each in CLASSES]


def test_codes_are_unique() -> None:
    """A program tells errors apart by ``code`` alone."""
    codes = [vars(each).get("code") for each in CLASSES]
    assert len(set(codes)) == len(CLASSES)
    assert None not in codes


@pytest.mark.parametrize("error_type", CLASSES, ids=lambda each: each.__name__)
def test_every_error_has_a_sentence_and_advice(error_type: type[CounterfoilError]) -> None:
    """A person reads what is wrong and what to do next, which the class itself says."""
    assert "advice" in vars(error_type) or error_type.__name__ == "MissingExtra"
    assert str(made(error_type)).strip()
    assert made(error_type).advice.endswith((".", ")", "'"))


@pytest.mark.parametrize("error_type", CLASSES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(error_type: type[CounterfoilError], protocol: int) -> None:
    """An error of a worker process reaches its parent as it was."""
    error = made(error_type)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is error_type
    assert (str(again), again.advice, vars(again)) == (str(error), error.advice, vars(error))


def test_an_invalid_event_names_five_places_and_counts_the_rest() -> None:
    """A sentence stays readable however much is wrong; ``problems`` has it all."""
    error = errors.InvalidEvent(tuple((f"place{number}", "wrong") for number in range(7)))
    assert str(error).endswith("place4: wrong; and 2 more")
    assert len(error.problems) == 7
    assert str(errors.InvalidEvent((("", "wrong"),))) == "event: wrong"


def test_advice_can_be_given_where_it_is_known_better() -> None:
    """Advice of the place goes before advice of the class."""
    assert errors.ConfigurationError("no", advice="Do this.").advice == "Do this."


def test_the_module_stands_alone() -> None:
    """Errors import nothing of Counterfoil, so that every module can import them."""
    source = inspect.getsource(errors)
    assert "from ." not in source
    assert "counterfoil." not in source

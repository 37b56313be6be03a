"""JSON as a caller wrote it: of bounded size, and no member given twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.schemas import CredentialUse, EventTooLarge, InvalidEvent, LogEvent, Token, parse_event
from counterfoil.schemas.document import MAX_INPUT, strictly

if TYPE_CHECKING:
    from collections.abc import Callable

Refusal: TypeAlias = "Callable[..., Any]"


def anything(body: str | bytes) -> Any:
    """Stand for a validation that accepts every JSON text."""
    return json.loads(body)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"token":1,"token":1}', "token"),
        ('{"token":1,"tok\\u0065n":2}', "token"),
        ('{"a":{},"token":[{"b":1},{"issuer":1,"issuer":2}]}', "token.1.issuer"),
        ('{"context":{"attributes":{"a":[[{"x":0,"yy":1,"yy":1}]]}}}',
         "context.attributes.<member, 1 characters>.0.0.<member, 2 characters>"),
        ('{"":1,"":1}', "<member, 0 characters>"),
    ],
)  # fmt: skip
def test_a_member_given_twice_is_placed(text: str, place: str, refusal: Refusal) -> None:
    """The place is named, in whichever way the name was escaped; a caller's name is only described."""
    for body in (text, text.encode()):
        error = refusal(InvalidEvent, lambda body=body: strictly(body, anything))
        assert error.problems == ((place, "given more than once"),)


def test_a_name_given_twice_can_be_a_secret(refusal: Refusal, secret: str) -> None:
    """A duplicate of an unknown name shows neither name nor values."""
    text = f'{{"context":{{"attributes":{{"{secret}":1,"{secret}":"{secret}"}}}},"kind":"log","change":"gap"}}'
    error = refusal(InvalidEvent, lambda: parse_event(text), secret)
    assert error.problems == (("context.attributes.<member, 43 characters>", "given more than once"),)


@pytest.mark.parametrize("parse", [parse_event, LogEvent.model_validate_json])
def test_every_way_in_for_json_looks(parse: Callable[[str], object], refusal: Refusal) -> None:
    """``parse_event`` and ``model_validate_json`` agree."""
    refusal(InvalidEvent, lambda: parse('{"kind":"log","change":"gap","change":"closed"}'))


Tree: TypeAlias = "int | list[Tree] | tuple[tuple[str, Tree], ...]"

names = st.sampled_from(["a", "b", "token", "\u00e9", "\\"])
trees: st.SearchStrategy[Tree] = st.recursive(
    st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(names, inner), max_size=3).map(tuple),
    max_leaves=12,
)


def written(tree: Tree) -> str:
    """Write a tuple of pairs as an object, twins included."""
    if isinstance(tree, tuple):
        return "{" + ",".join(f"{json.dumps(name)}:{written(member)}" for name, member in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(written(member) for member in tree) + "]"
    return json.dumps(tree)


def has_twins(tree: Tree) -> bool:
    """Whether an object in the tree has two members of one name."""
    if isinstance(tree, tuple):
        return len({name for name, _ in tree}) < len(tree) or any(has_twins(member) for _, member in tree)
    return isinstance(tree, list) and any(has_twins(member) for member in tree)


@given(trees)
def test_twins_are_refused_and_nothing_else(tree: Tree) -> None:
    """However deep, two members of one name are found; the same name in two objects is fine."""
    text = written(tree)
    if has_twins(tree):
        with pytest.raises(InvalidEvent, match="given more than once"):
            strictly(text, anything)
    else:
        assert strictly(text, anything) == json.loads(text)


def test_a_large_text_is_refused_before_it_is_read(refusal: Refusal) -> None:
    """A text over the limit is not parsed at all."""
    text = '"' + "x" * MAX_INPUT + '"'
    read: list[str | bytes] = []
    for body in (text, text.encode()):
        error = refusal(EventTooLarge, lambda body=body: strictly(body, read.append))
        assert str(error) == "the event is 1,048,578 bytes long; the limit is 1,048,576"
    assert read == []
    assert strictly('"' + "x" * (MAX_INPUT - 2) + '"', len) == MAX_INPUT


def test_many_members_are_searched_in_linear_time(refusal: Refusal) -> None:
    """A hostile text of 100,000 members costs no more than reading it."""
    text = "{" + ",".join(f'"{number}":0' for number in range(80_000)) + ',"7":0}'
    assert len(text) < MAX_INPUT
    assert refusal(InvalidEvent, lambda: strictly(text, len)).problems[0][0] == "<member, 1 characters>"


def test_no_room_on_the_stack_is_a_refusal(refusal: Refusal) -> None:
    """Deep JSON that the caller's stack leaves no room for is refused like any that is too deep."""
    text = "[" * 100_000 + "]" * 100_000
    assert refusal(InvalidEvent, lambda: strictly(text, len)).problems == (("", "nested too deep"),)


def test_two_readers_must_agree(refusal: Refusal) -> None:
    """What only one of two readers calls JSON is refused: nobody would know what it says."""
    assert refusal(InvalidEvent, lambda: strictly("{'a': 1}", len)).problems == (("", "this is not JSON"),)


def test_each_member_once_is_fine() -> None:
    """The smallest event of a caller's JSON."""
    event = parse_event('{"kind":"credential_use","token":{},"resource":{"uri":"https://a"},"action":{"name":"a"}}')
    assert isinstance(event, CredentialUse)
    assert event.token == Token()

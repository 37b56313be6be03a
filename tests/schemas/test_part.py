"""The model class of every part: frozen, strict for callers, silent about values."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich.pretty import pretty_repr

from counterfoil import schemas
from counterfoil.schemas import (
    Action,
    CredentialUse,
    Entry,
    Event,
    InvalidEvent,
    Lifetime,
    Receipt,
    Resource,
    Token,
    canonical_bytes,
    read_event,
)
from counterfoil.schemas.part import Part
from counterfoil.schemas.published import attribute_docstrings

if TYPE_CHECKING:
    from collections.abc import Callable

Refusal: TypeAlias = "Callable[..., Any]"

PARTS = [each for each in vars(schemas).values() if isinstance(each, type) and issubclass(each, Part)]


@pytest.fixture
def use() -> CredentialUse:
    """Make the smallest event."""
    return CredentialUse(token=Token(), resource=Resource(uri="https://api.example"), action=Action(name="read"))


class TestFrozen:
    """A part stays what it was when it was validated."""

    def test_a_member_cannot_be_set(self, secret: str) -> None:
        """Setting or deleting a member, known or not, is refused without the value."""
        token: Any = Token()
        for name in ("issuer", "unheard_of"):
            with pytest.raises(AttributeError, match="frozen") as caught:
                setattr(token, name, secret)
            assert secret not in repr(caught.value)
        with pytest.raises(AttributeError, match="frozen"):
            del token.issuer
        assert token == Token()

    def test_a_copy_is_validated(self, refusal: Refusal, secret: str) -> None:
        """``model_copy`` is no way around validation."""
        token = Token(issuer="https://as.example")
        assert token.model_copy(update={"subject": "someone"}) == Token(issuer="https://as.example", subject="someone")
        refusal(InvalidEvent, lambda: token.model_copy(update={"fingerprint": secret}), secret)
        refusal(InvalidEvent, lambda: token.model_copy(update={secret: 1}), secret)

    def test_a_copy_is_the_same_event(self, use: CredentialUse) -> None:
        """Members that were made when the event was, such as its ``event_id``, are not made again."""
        assert use.model_copy(update={"action": Action(name="write")}).context is use.context
        assert use.context.model_copy(update={"task": "t"}).event_id == use.context.event_id
        assert use.model_copy() == use
        assert use.model_copy().model_fields_set == use.model_fields_set

    def test_a_copy_keeps_what_a_reader_kept(self) -> None:
        """A member that a newer release added stays in a copy; another cannot join it."""
        event = read_event('{"kind":"log","change":"gap","novelty":7}')
        assert event.model_copy(update={"count": 1}).model_dump()["novelty"] == 7
        with pytest.raises(InvalidEvent):
            event.model_copy(update={"novelty": 8})

    def test_construct_validates(self, refusal: Refusal, secret: str) -> None:
        """``model_construct`` does not skip validation."""
        refusal(InvalidEvent, lambda: Token.model_construct(fingerprint=secret), secret)
        refusal(InvalidEvent, lambda: Token.model_construct(None, **{secret: 1}), secret)

    @pytest.mark.parametrize("name", ["copy", "from_orm", "parse_file", "parse_raw", "model_validate_strings"])
    def test_other_ways_in_are_closed(self, name: str, secret: str) -> None:
        """Pydantic's further constructors skip validation or show values."""
        with pytest.raises(TypeError) as caught:
            getattr(Token(), name)({secret: secret})
        assert secret not in str(caught.value)

    def test_parts_survive_copying_and_pickling(self, samples: tuple[Event, ...]) -> None:
        """An event reaches another process or thread as it was."""
        for event in samples:
            for again in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
                assert again == event
                assert canonical_bytes(again.model_dump(mode="json")) == canonical_bytes(event.model_dump(mode="json"))


class TestUnknownMembers:
    """A caller's unknown member is an error, whose text does not show the name."""

    def test_in_python(self, refusal: Refusal, secret: str) -> None:
        """The constructor and ``model_validate`` refuse it wherever it stands."""
        member: dict[str, Any] = {secret: "x"}
        ways_in: dict[str, Callable[[], object]] = {
            "": lambda: Token(**member),
            "lifetime.": lambda: Token.model_validate({"lifetime": member}),
            "proof.checks.0.": lambda: CredentialUse.model_validate({"proof": {"checks": [member]}}),
        }
        for place, way_in in ways_in.items():
            error = refusal(InvalidEvent, way_in, secret)
            assert f"{place}<unknown, 43 characters>" in [path for path, _ in error.problems]

    def test_in_json(self, refusal: Refusal, secret: str) -> None:
        """``model_validate_json`` refuses it."""
        error = refusal(InvalidEvent, lambda: Token.model_validate_json(f'{{"{secret}":"x"}}'), secret)
        assert error.problems == (("<unknown, 43 characters>", "unknown member"),)

    @pytest.mark.parametrize("name", [*schemas.Kind, "issuer", "0"])
    def test_a_name_of_ours_in_the_wrong_place(self, name: str, refusal: Refusal) -> None:
        """Also a name that means something elsewhere is unknown here, and the path says where here is."""
        error = refusal(InvalidEvent, lambda: Lifetime.model_validate({name: 1}))
        assert error.problems == ((f"<unknown, {len(name)} characters>", "unknown member"),)

    def test_inside_a_model_of_somebody_else(self, secret: str) -> None:
        """A part that stands in a foreign model, where foreign rules hold, takes no unknown member either."""

        class Foreign(BaseModel):
            token: Token

        for act in (
            lambda: Foreign.model_validate({"token": {secret: "x"}}),
            lambda: TypeAdapter(Token).validate_python({secret: "x"}),
        ):
            with pytest.raises(ValidationError) as caught:
                act()
            assert [each["msg"] for each in caught.value.errors()] == ["a part of a record has an unknown member"]

    def test_a_reader_keeps_it(self) -> None:
        """``read_json`` keeps what it does not know."""
        assert Lifetime.read_json('{"novelty":[1]}').model_dump(exclude_none=True) == {"novelty": [1]}


class TestPaths:
    """An error names the place in the caller's own terms."""

    def test_the_path_of_a_member_named_like_a_kind(self, use: CredentialUse, refusal: Refusal) -> None:
        """``approval`` is a member of one kind and the name of another: the path keeps it."""
        approval: Any = {"decision": "perhaps"}
        error = refusal(InvalidEvent, lambda: use.model_copy(update={"approval": approval}))
        assert [path for path, _ in error.problems] == ["approval.decision"]

    def test_every_problem_is_told(self, refusal: Refusal) -> None:
        """One refusal names all places at once."""
        wrong: Any = {"seconds": -1, "expires_at": 5, "issued_at": None}
        error = refusal(InvalidEvent, lambda: Lifetime(**wrong))
        assert sorted(path for path, _ in error.problems) == ["expires_at", "seconds"]

    def test_a_position_is_shown(self, refusal: Refusal) -> None:
        """Members of a list are counted from 0."""
        scopes: Any = ("read", "")
        assert refusal(InvalidEvent, lambda: Token(scopes=scopes)).problems[0][0] == "scopes.1"


class TestRepr:
    """What a part shows of itself: terms, digests, numbers and times, and of any text only its length."""

    def test_no_free_text_is_shown(self, samples: tuple[Event, ...], mark: str) -> None:
        """Neither repr nor str, nor a formatter built on them, shows a text that is not redacted yet."""
        for event in samples:
            assert mark in event.model_dump_json()
            for shown in (repr(event), str(event), f"{event}", pretty_repr(event), repr([event])):
                assert mark not in shown

    def test_what_a_reader_kept_is_not_shown(self, secret: str) -> None:
        """Neither an unknown member nor an unknown term of a log that somebody wrote is shown."""
        event = read_event(f'{{"kind":"log","change":"{secret}","{secret}":"{secret}"}}')
        other = read_event(f'{{"kind":"{secret}"}}')
        assert secret in event.model_dump_json()
        assert secret not in repr(event) + str(event) + repr(other) + str(other)

    def test_an_entry_does_not_show_its_body(self, secret: str) -> None:
        """The body holds the redacted texts of an event, which are still nobody's business in a log line."""
        assert secret not in repr(Entry(1, f'{{"task":"{secret}"}}', bytes(32), bytes(32)))

    def test_facts_are_shown(self, use: CredentialUse) -> None:
        """What is no free text is there for debugging."""
        receipt = Receipt("00" * 16, 7, use.context.event_id, "11" * 32)
        assert "seq=7" in repr(receipt)
        assert str(use.context.event_id) in repr(use)
        assert "uri=<str, 19>" in repr(use)
        assert "<TokenClass.UNKNOWN: 'unknown'>" in str(use)
        assert str(use) == repr(use)


@pytest.mark.parametrize("part", PARTS, ids=lambda each: each.__name__)
def test_every_field_is_explained(part: type[Part]) -> None:
    """Each part has a docstring, and so has each of its fields."""
    assert part.__doc__
    assert part.__doc__ != Part.__doc__
    assert [name for name in part.model_fields if not attribute_docstrings(part).get(name)] == []


def test_every_part_is_on_the_face() -> None:
    """Whoever can record a part can import it."""
    assert set(Part.__subclasses__()) - {each for each in PARTS if each.__module__.startswith("counterfoil")} == set()

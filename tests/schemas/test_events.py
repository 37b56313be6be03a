"""The five kinds of event: strict for a caller, tolerant for a reader."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.schemas import (
    Action,
    Check,
    CredentialUse,
    Event,
    InvalidEvent,
    Kind,
    LogEvent,
    Resource,
    Token,
    UnlistedEvent,
    canonical_bytes,
    parse_event,
    read_event,
)
from counterfoil.schemas.events import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

Refusal: TypeAlias = "Callable[..., Any]"

SMALLEST: dict[str, dict[str, Any]] = {
    "credential_use": {"token": {}, "resource": {"uri": "https://api.example"}, "action": {"name": "read"}},
    "credential_change": {"token": {}, "change": "issued"},
    "approval": {"approval_id": "a-1", "state": "requested", "action": {"name": "send"}},
    "compromise": {"leaked": "token"},
    "log": {"change": "opened"},
}


def smallest(kind: str, **more: Any) -> dict[str, Any]:
    """Return the smallest event of a kind, as JSON would have it."""
    return {"kind": kind, **SMALLEST[kind], **more}


PORTABLE = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
"""Texts that every JSON reader keeps, also as names."""


class TestKinds:
    """What each kind needs, and what nobody stated."""

    def test_every_kind_has_its_class(self) -> None:
        """The union, the table of classes and the vocabulary agree."""
        assert set(EVENT_TYPES) == set(Kind) == set(SMALLEST)
        assert set(EVENT_TYPES.values()) == set(get_args(Event))
        for kind, event_type in EVENT_TYPES.items():
            assert event_type.model_fields["kind"].default is Kind(kind)

    @pytest.mark.parametrize("kind", Kind)
    def test_the_smallest_event(self, kind: str) -> None:
        """A few members make an event; each of them is needed."""
        event = parse_event(json.dumps(smallest(kind)))
        assert type(event) is EVENT_TYPES[kind]
        for name in SMALLEST[kind]:
            incomplete = {member: value for member, value in smallest(kind).items() if member != name}
            with pytest.raises(InvalidEvent, match=f"^{name}: field required$"):
                parse_event(json.dumps(incomplete))

    def test_three_arguments_make_a_use(self) -> None:
        """What nobody stated is an honest unknown, and no two events share an identifier."""
        token, resource, action = Token(), Resource(uri="https://api.example"), Action(name="read")
        use, other = (CredentialUse(token=token, resource=resource, action=action) for _ in range(2))
        facts = use.model_dump(mode="json", exclude_none=True)
        assert use.context.event_id != other.context.event_id
        assert facts["binding"] == dict.fromkeys(("declared", "presented", "verified", "method"), "unknown")
        assert facts["key_custody"] == {"store": "unknown", "isolation": "unknown", "source": "unknown"}
        assert facts["signer"] == {"source": "unknown"}
        assert facts["approval"] == {"requirement": "unknown", "decision": "none"}
        assert facts["token"]["token_class"] == facts["proof"]["result"] == facts["action"]["outcome"] == "unknown"
        assert facts["context"]["observer"] == "agent"

    def test_events_come_back(self, samples: tuple[Event, ...]) -> None:
        """Every member of every kind survives JSON, for a caller and for a reader."""
        for event in samples:
            text = event.model_dump_json()
            assert parse_event(text) == parse_event(text.encode()) == read_event(text) == event

    def test_the_samples_leave_nothing_out(self, samples: tuple[Event, ...]) -> None:
        """The samples of these tests set every member of every part."""
        for event in samples:
            text = event.model_dump_json()
            assert [empty for empty in ("null", "[]", "{}", '""', '"unknown"') if empty in text] == []

    def test_a_check_that_no_list_has_is_refused(self, refusal: Refusal, secret: str) -> None:
        """A check has an id of ours."""
        identifier: Any = secret
        error = refusal(InvalidEvent, lambda: Check(id=identifier, outcome="pass"), secret)
        assert [path for path, _ in error.problems] == ["id"]


class TestReader:
    """A log of a newer release stays readable, and is passed on whole."""

    @pytest.mark.parametrize("kind", Kind)
    def test_unknown_members_are_kept(self, kind: str) -> None:
        """Unknown members survive at every level; a caller may not use them."""
        novelty = {"novelty": {"deep": [1, {"er": "text"}]}}
        body = smallest(kind, **novelty, context={**novelty, "tool": {"name": "t", **novelty}})
        if kind == "credential_use":
            body |= {"proof": {"checks": [{"id": "jose.crit", "outcome": "pass", **novelty}]}}
        event = read_event(json.dumps(body))
        kept = event.model_dump(mode="json")
        for place in (kept, kept["context"], kept["context"]["tool"]):
            assert place["novelty"] == novelty["novelty"]
        if kind == "credential_use":
            assert kept["proof"]["checks"][0]["novelty"] == novelty["novelty"]
        assert read_event(canonical_bytes(kept)) == event
        with pytest.raises(InvalidEvent, match="unknown member"):
            parse_event(json.dumps(body))

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            (smallest("log", change="novelty"), "change"),
            (smallest("credential_use", token={"token_class": "novelty", "methods": ["novelty"]}), "token.token_class"),
            (smallest("credential_use", proof={"checks": [{"id": "novelty", "outcome": "novelty"}]}),
             "proof.checks.0.id"),
            (smallest("log", context={"redactions": [{"path": "p", "rule": "r", "length": "novelty"}]}),
             "context.redactions.0.length"),
        ],
    )  # fmt: skip
    def test_unknown_terms_are_kept(self, body: dict[str, Any], path: str) -> None:
        """A term that a newer release added stays as it stands; a caller may not use it."""
        sealed = canonical_bytes(read_event(json.dumps(body)).model_dump(mode="json"))
        assert b"novelty" in sealed
        assert read_event(sealed) == read_event(json.dumps(read_event(sealed).model_dump(mode="json")))
        with pytest.raises(InvalidEvent) as caught:
            parse_event(json.dumps(body))
        assert path in [place for place, _ in caught.value.problems]

    def test_unknown_kinds_are_kept(self) -> None:
        """An event of a newer kind keeps its members; a caller may not use it."""
        body = {"kind": "novelty", "context": {"task": "t", "more": 1}, "what": ["ever"], "change": "opened"}
        event = read_event(json.dumps(body))
        assert isinstance(event, UnlistedEvent)
        kept = event.model_dump(mode="json")
        assert (kept["kind"], kept["what"], kept["change"]) == ("novelty", ["ever"], "opened")
        assert (kept["context"]["task"], kept["context"]["more"]) == ("t", 1)
        with pytest.raises(InvalidEvent, match=r"^event: no event kind of this name$"):
            parse_event(json.dumps(body))

    def test_reading_leaves_no_trace(self) -> None:
        """After a reader was here, with or without an error, a caller's rules hold again."""
        for body in ('{"kind":"log","change":"novelty"}', "{"):
            with suppress(InvalidEvent):
                read_event(body)
            with pytest.raises(InvalidEvent):
                parse_event('{"kind":"log","change":"novelty"}')

    @pytest.mark.parametrize(
        "body", ["", "[]", "null", "{}", '{"kind":5}', '{"kind":"log"}', '{"kind":"log","change":5}', "\x00"]
    )
    def test_what_is_no_event_is_refused(self, body: str, refusal: Refusal) -> None:
        """Tolerance ends where a member that every release has is missing or of another shape."""
        refusal(InvalidEvent, lambda: read_event(body))

    def test_an_unknown_member_outside_the_domain_is_refused(self, refusal: Refusal) -> None:
        """What no log can have sealed is not kept, since a kept event can be recorded again."""
        refusal(InvalidEvent, lambda: read_event('{"kind":"log","change":"opened","novelty":[90071992547409931]}'))

    @given(st.dictionaries(PORTABLE, st.none() | st.integers(-9, 9) | PORTABLE, max_size=4))
    def test_any_members_are_kept(self, more: dict[str, Any]) -> None:
        """Whatever the members of a newer release are called, they come back."""
        body = {name: member for name, member in more.items() if name not in LogEvent.model_fields} | smallest("log")
        kept = read_event(json.dumps(body).encode()).model_dump(mode="json")
        assert {name: kept[name] for name in body} == body

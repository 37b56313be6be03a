"""The sealed entry: one canonical form, and hashes that anybody can compute."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from counterfoil.schemas import (
    Context,
    Entry,
    Event,
    EventTooLarge,
    InvalidEvent,
    LogChange,
    LogEvent,
    OutOfDomain,
    UnlistedEvent,
    canonical_bytes,
    chain_hash,
    leaf_hash,
    parse_event,
    read_event,
)
from counterfoil.schemas.domain import MAX_DEPTH
from counterfoil.schemas.entry import GENESIS, LOG_MEMBERS, MAX_BODY, same_content, sealed_bytes
from counterfoil.schemas.events import stated

if TYPE_CHECKING:
    from collections.abc import Callable

Refusal: TypeAlias = "Callable[..., Any]"

MAX_INTEGER = 2**53 - 1

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00", max_codepoint=0xFFFF), max_size=8)
fractions = st.one_of(st.floats(1e-4, MAX_INTEGER), st.floats(-MAX_INTEGER, -1e-4)).filter(lambda x: not x.is_integer())
scalars = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | fractions | texts
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=16,
)
bodies = st.dictionaries(names, documents, max_size=4)


class TestCanonicalBytes:
    """RFC 8785 within our domain; a refusal outside of it."""

    @given(bodies)
    @example({"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\u0080": 5, "\u00f6": 6, "\uffff": 7, "\ue000": 8})
    @example(
        {
            "a": [
                '\u2028\x7f\x1f\b\t\n\f\r"\\/',
                "\U0001f600",
                "\x80",
                1e-4,
                0.1,
                4500000000000000.5,
                MAX_INTEGER,
                -MAX_INTEGER,
            ]
        }
    )
    def test_the_form_is_that_of_rfc_8785(self, body: dict[str, Any]) -> None:
        """Within our domain the bytes are what an independent implementation writes."""
        assert canonical_bytes(body) == rfc8785.dumps(body)

    @given(bodies)
    def test_the_form_holds_the_whole_document(self, body: dict[str, Any]) -> None:
        """Reading the bytes gives the document back; sealing that again gives the bytes back."""
        sealed = canonical_bytes(body)
        assert json.loads(sealed) == body
        assert canonical_bytes(json.loads(sealed)) == sealed

    def test_the_order_of_members_does_not_count(self) -> None:
        """Two ways to write one document have one form."""
        assert canonical_bytes({"b": 1, "a": (True, None)}) == canonical_bytes({"a": [True, None], "b": 1})

    OUTSIDE: tuple[tuple[Any, str], ...] = (
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        (-float("inf"), "not finite"),
        (2**53, "2^53"),
        (-(2**53), "2^53"),
        (10**400, "2^53"),
        (1e300, "2^53"),
        (2.0, "without a fraction"),
        (-0.0, "without a fraction"),
        (5e-324, "below 0.0001"),
        (0.00009, "below 0.0001"),
        ("a\x00b", "NUL"),
        ("\ud800", "lone surrogate"),
        ("\udfff\ud800", "lone surrogate"),
        (b"bytes", "bytes has no JSON form"),
        ({1, 2}, "set has no JSON form"),
        (object(), "object has no JSON form"),
        (1j, "complex has no JSON form"),
        ({5: 1}, "name is not a string"),
        ({None: 1}, "name is not a string"),
        ({b"x": 1}, "name is not a string"),
        ({"\x00": 1}, "NUL"),
        ({"\udc00": 1}, "lone surrogate"),
        ({"\U0001f600": 1}, "beyond U+FFFF"),
    )

    @pytest.mark.parametrize(("value", "problem"), OUTSIDE, ids=lambda each: repr(each)[:20])
    @given(name=st.text(st.characters(codec="ascii", categories=["Lu"]), min_size=12, max_size=12), data=st.data())
    def test_outside_the_domain_is_refused(self, value: Any, problem: str, name: str, data: st.DataObject) -> None:
        """Wherever the value stands, the error says what is wrong and shows neither value nor names of the caller's."""
        body: Any = value
        for wrap in data.draw(st.lists(st.sampled_from(["list", "name"]), max_size=6)):
            body = [0, body] if wrap == "list" else {"a": 1, name: body}
        with pytest.raises(OutOfDomain) as caught:
            canonical_bytes({"context": body})
        assert problem in str(caught.value)
        assert caught.value.path.startswith("context")
        assert name not in str(caught.value)
        assert caught.value.__context__ is None

    def test_a_name_that_is_no_string_is_not_shown(self, refusal: Refusal) -> None:
        """A number used as a name is a caller's value like any other."""
        number = 4242_4242_4242
        error = refusal(OutOfDomain, lambda: canonical_bytes({"context": {number: 1}}), str(number))  # type: ignore[dict-item]
        assert error.path == "context.<member>"

    def test_the_place_is_named(self, refusal: Refusal, secret: str) -> None:
        """Our own names and positions are shown, a caller's are described."""
        body = {"context": {"attributes": {secret: [0, {"issuer": secret + "\x00"}]}}}
        error = refusal(OutOfDomain, lambda: canonical_bytes(body), secret)
        assert error.path == "context.attributes.<member, 43 characters>.1.issuer"

    @pytest.mark.parametrize("container", [list, dict])
    def test_depth_has_a_limit(self, container: type, refusal: Refusal) -> None:
        """64 levels, the body itself included, are sealed; 65, or 100,000, are refused without a crash."""

        def wrap(inner: Any) -> Any:
            return [inner] if container is list else {"a": inner}

        body: Any = 1
        for _ in range(MAX_DEPTH - 1):
            body = wrap(body)
        assert canonical_bytes({"a": body}) == rfc8785.dumps({"a": body})
        refusal(OutOfDomain, lambda: canonical_bytes({"a": wrap(body)}))
        for _ in range(100_000):
            body = [body]
        refusal(OutOfDomain, lambda: canonical_bytes({"a": body}))

    def test_a_cycle_is_refused(self, refusal: Refusal) -> None:
        """A document that contains itself is too deep."""
        cycle: dict[str, Any] = {}
        cycle["a"] = [cycle]
        assert "nested deeper than 64" in str(refusal(OutOfDomain, lambda: canonical_bytes(cycle)))

    def test_size_has_a_limit(self, refusal: Refusal, secret: str) -> None:
        """256 KiB of UTF-8 are sealed, one byte more is refused."""
        frame = len(canonical_bytes({"a": ""}))
        assert len(canonical_bytes({"a": "x" * (MAX_BODY - frame)})) == MAX_BODY
        error = refusal(EventTooLarge, lambda: canonical_bytes({"a": "x" * (MAX_BODY - frame + 1)}))
        assert str(error) == "the event is 262,145 bytes long; the limit is 262,144"
        refusal(EventTooLarge, lambda: canonical_bytes({"a": "\u20ac" * (MAX_BODY // 3)}))
        refusal(EventTooLarge, lambda: canonical_bytes({"a": secret * 250_000}), secret)

    def test_every_kind_is_sealed(self, samples: tuple[Event, ...]) -> None:
        """An event, sealed and read back, is the same event."""
        for event in samples:
            sealed = canonical_bytes(event.model_dump(mode="json"))
            assert sealed == rfc8785.dumps(event.model_dump(mode="json"))
            assert read_event(sealed) == parse_event(sealed) == event


class TestHashes:
    """Rules 3 and 4 of the module."""

    @given(st.binary())
    def test_the_leaf_hash(self, body: bytes) -> None:
        """``SHA-256(0x00 ‖ body)``."""
        assert leaf_hash(body) == hashlib.sha256(b"\x00" + body).digest()

    def test_the_leaf_hash_of_nothing(self) -> None:
        """The leaf of an empty body (RFC 9162 §2.1.1), computed by hand."""
        assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"

    hashes = st.binary(min_size=32, max_size=32)

    @given(log_id=st.binary(min_size=16, max_size=16), seq=st.integers(1, 2**63), previous=hashes, leaf=hashes)
    def test_the_chain_hash(self, log_id: bytes, seq: int, previous: bytes, leaf: bytes) -> None:
        """``SHA-256("counterfoil/1" ‖ 0x00 ‖ log_id ‖ seq ‖ previous ‖ leaf)``."""
        parts = [b"counterfoil/1", b"\x00", log_id, seq.to_bytes(8, "big"), previous, leaf]
        assert chain_hash(log_id, seq, previous, leaf) == hashlib.sha256(b"".join(parts)).digest()

    def test_the_first_predecessor(self) -> None:
        """The predecessor of the first entry is 32 zero bytes."""
        assert bytes(32) == GENESIS


class TestEntry:
    """One entry as it stands in the log."""

    def test_the_event_is_parsed_once(self) -> None:
        """An entry knows its event, when asked."""
        entry = Entry(1, '{"change":"gap","kind":"log","novelty":1}', bytes(32), bytes(32))
        assert entry.event is entry.event
        assert entry.event.model_dump()["novelty"] == 1

    def test_the_event_of_a_newer_kind(self) -> None:
        """An entry of a kind that this release does not know is still an entry."""
        assert isinstance(Entry(1, '{"kind":"novelty"}', bytes(32), bytes(32)).event, UnlistedEvent)

    def test_a_damaged_body_is_refused(self, refusal: Refusal, secret: str) -> None:
        """A body that is no event any more says so, without its text."""
        entry = Entry(1, f'{{"kind":"log","change":"gap","count":"{secret}"', bytes(32), bytes(32))
        refusal(InvalidEvent, lambda: entry.event, secret)


class TestSameContent:
    """When two bodies tell the same event."""

    def test_what_the_log_gives_does_not_count(self, samples: tuple[Event, ...]) -> None:
        """A retry differs in what the log itself adds, and in nothing else."""
        for event in samples:
            body = event.model_dump(mode="json")
            bare = body | {"context": {k: v for k, v in body["context"].items() if k not in LOG_MEMBERS}}
            assert same_content(canonical_bytes(body).decode(), canonical_bytes(bare))
            for member in set(body) - {"kind", "context"}:
                assert not same_content(canonical_bytes(body).decode(), canonical_bytes(bare | {member: "other"}))
            for changed in ({"task": "other"}, {"attributes": bare["context"]["attributes"] | {"a": 1}}):
                other = bare | {"context": bare["context"] | changed}
                assert not same_content(canonical_bytes(body).decode(), canonical_bytes(other))

    def test_true_is_not_one(self) -> None:
        """Python takes 1 for True; a record does not."""
        one, true = (f'{{"context":{{"attributes":{{"a":{value}}}}}}}' for value in ("1", "true"))
        assert same_content(one, one.encode())
        assert not same_content(one, true.encode())


class TestSealedBytes:
    """The quick way to the canonical form of an event."""

    @given(
        st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.floats() | st.text(max_size=3), max_size=3),
        st.text(min_size=1, max_size=9),
    )
    def test_it_is_the_canonical_form(self, attributes: dict[str, Any], task: str) -> None:
        """What an event states is sealed in the same bytes, or refused alike, as by the whole walk."""
        try:
            event = LogEvent(change=LogChange.GAP, context=Context(attributes=attributes, task=task))
        except InvalidEvent:
            return
        outcomes: list[object] = []
        for seal in (canonical_bytes, sealed_bytes):
            try:
                outcomes.append(seal(stated(event)))
            except OutOfDomain as refusal:
                outcomes.append(str(refusal))
        assert outcomes[0] == outcomes[1]

    def test_attributes_that_were_changed_afterwards_are_refused(self) -> None:
        """A frozen event can hold a mutable dictionary; what was put there later is looked at all the same."""
        event = LogEvent(change=LogChange.GAP, context=Context(attributes={"n": 1}))
        event.context.attributes["n"] = 2**60
        with pytest.raises(OutOfDomain):
            sealed_bytes(stated(event))

"""An event read out of its models in one walk: the very bytes that the walks through its JSON form come to."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, cast, get_args, get_origin
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, StringConstraints

from counterfoil.audit.redaction import Redactor
from counterfoil.audit.redaction.patterns import PATTERNS
from counterfoil.audit.scope import scope
from counterfoil.audit.sealing import Redacted, body_of, redacted, sealed
from counterfoil.schemas import (
    Context,
    Fingerprint,
    FingerprintKey,
    InputError,
    InvalidEvent,
    KeyedDigest,
    Sha256,
    Thumbprint,
    Token,
    read_event,
)
from counterfoil.schemas.entry import LOG_MEMBERS
from counterfoil.schemas.events import EVENT_TYPES
from counterfoil.schemas.values import Hostile

if TYPE_CHECKING:
    from conftest import MakeUse

    from counterfoil.schemas import Event

KEY = FingerprintKey(secrets.token_bytes(16))
DIGESTS = [Fingerprint.of("a", KEY), KeyedDigest.of(b"a", KEY), Sha256.of(b"a"), Thumbprint.of(b"a")]
texts = st.lists(
    st.sampled_from(
        [
            *[pattern.example for pattern in PATTERNS],
            *"=:&?;#@\"'\\/%+ \n\t-_.,[]{}()\x00\x7f",
            *("mail-agent", "api.example", "REDACTED", "[redacted:header]", "%20", "é", "令牌", "😀", "Bearer "),
            *("password", "token", "code", "?folder=inbox", "hunter2", "0123456789abcdef"),
        ]
    ),
    min_size=1,
    max_size=4,
).map("".join)
uris = st.tuples(
    st.sampled_from(["https://api.example/mail", "https://a:b@api.example:8443/x", "mailto:", "/"]), texts
).map("".join)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    NoneType: st.none(),
    UUID: st.uuids(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    bool: st.booleans(),
    int: st.integers(1, 999),
}
_SALT = re.compile(rb'"salt":"[0-9a-f]{32}"')
_SCOPED = {"agent", "task", "tenant", "conversation", "tool", "principal", "observer", "inbound", "attributes"}
_LEFT = LOG_MEMBERS | {"attributes"}


class _Wider(Token):
    colour: str = ""


def _values(annotation: Any, marks: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Return values that a field of this type may have."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        found = _values(arguments[0], (*arguments[1:], *marks))
    elif origin in (Union, UnionType):
        found = st.one_of([_values(each, marks) for each in arguments])
    elif origin is tuple:
        found = st.lists(_values(arguments[0]), max_size=3).map(tuple)
    elif Hostile.FREE_FORM in marks:
        found = st.dictionaries(texts, texts, max_size=1)
    elif annotation is str:
        found = _strings(marks)
    elif issubclass(annotation, BaseModel):
        found = _parts(annotation)
    elif issubclass(annotation, Enum):
        found = st.sampled_from(list(annotation))
    else:
        found = SCALARS.get(annotation, st.sampled_from([each for each in DIGESTS if type(each) is annotation] or [0]))
    return found


def _strings(marks: tuple[Any, ...]) -> st.SearchStrategy[str]:
    for mark in marks:
        if isinstance(mark, StringConstraints) and isinstance(mark.pattern, str):
            return st.from_regex(mark.pattern.replace("$", r"\Z"))
    return uris if Hostile.URI in marks else texts


def _parts(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Return the members of a part, or of an event: each stated or not."""
    stated = {name: field for name, field in model.model_fields.items() if name != "kind"}
    fields = {name: _values(field.annotation, tuple(field.metadata)) for name, field in stated.items()}
    needed = {name for name, field in stated.items() if field.is_required()}
    return st.fixed_dictionaries(
        {name: fields[name] for name in needed}, optional={name: fields[name] for name in fields.keys() - needed}
    )


def _outcome(found: Redacted) -> bytes | str:
    """Return what would be stored, but for the salt; or the refusal."""
    producer: dict[str, Any] = {"host": "h", "id": "i", "library": "l", "pid": 1, "raised": [], "seq": 1}
    try:
        return _SALT.sub(b"", sealed(found, producer, datetime(2026, 1, 1, tzinfo=UTC)))
    except InputError as refusal:
        return refusal.code  # of two texts that are refused, either may be named


def _both_ways(event: Event) -> Redacted:
    """Seal in one walk, and by one walk after the other; return what the one walk found."""
    redactor, found = Redactor(keep_query=["page"]), redacted(event, Redactor(keep_query=["page"]))
    body = body_of(event)
    by_turns = Redacted(body, redactor.event(body), ordered=False)
    assert _outcome(found) == _outcome(by_turns)
    return found


@pytest.mark.parametrize("kind", EVENT_TYPES)
@given(st.data())
@settings(max_examples=100, deadline=None)
def test_both_ways_come_to_the_same_bytes(kind: str, data: st.DataObject) -> None:
    """Whatever an event and its scope state, the order of the receipts included; and the one walk is taken."""
    members, around = data.draw(_parts(EVENT_TYPES[kind])), data.draw(_parts(Context))
    surroundings = {name: around[name] for name in _SCOPED & around.keys()}
    try:
        event = EVENT_TYPES[kind].model_validate(members)
        surrounding = scope(**surroundings)
        with surrounding:
            found = _both_ways(event)
    except InvalidEvent:
        return
    stated = {name for name in event.context.model_fields_set if getattr(event.context, name) is not None}
    assert found.ordered == _LEFT.isdisjoint(stated | surroundings.keys())


def test_what_only_a_reader_meets_is_left_to_the_other_way(a_use: MakeUse) -> None:
    """Members and terms of a newer release, and values that no field has, are redacted in their JSON form."""
    secret = f"ghp_{secrets.token_hex(18)}"
    body = {"kind": "credential_use", "token": {}, "resource": {"uri": "https://a.example"}, "action": {"name": "x"}}
    strange: list[Event] = [
        cast("Event", read_event(json.dumps({**body, "token": newer})))
        for newer in ({"colour": secret}, {"token_class": secret}, {"methods": [secret]})
    ]
    strange += [
        a_use(token=_Wider(colour=secret)),
        a_use(context=Context(attributes={"password": secret})),
    ]
    for event in strange:
        found = _both_ways(event)
        assert not found.ordered
        assert secret not in repr(found)


def test_a_redactor_of_another_class_is_asked_itself(a_use: MakeUse) -> None:
    """Whoever gives a redactor of their own has it applied to every event."""

    class Own(Redactor):
        def event(self, body: dict[str, Any]) -> list[dict[str, str]]:
            body["action"]["name"] = "hidden"
            return super().event(body)

    assert redacted(a_use("shown"), Own()).body["action"]["name"] == "hidden"

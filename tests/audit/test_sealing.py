"""The copy of an event that waits in a queue: the same body, of known size, and nothing outside the domain."""

from __future__ import annotations

import json
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.audit import AuditLog
from counterfoil.audit.redaction import Redactor
from counterfoil.audit.sealing import OVERHEAD, body_of, body_of_taken, take
from counterfoil.schemas import (
    Context,
    EventTooLarge,
    FingerprintKey,
    InputError,
    InvalidEvent,
    LogChange,
    LogEvent,
    OutOfDomain,
)
from counterfoil.schemas.entry import MAX_BODY, canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.audit.queued import Delivery

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), _JSON, max_size=3), st.text(min_size=1, max_size=9), st.booleans())
def test_it_is_the_body_of_the_event(attributes: dict[str, Any], text: str, later: bool) -> None:  # noqa: FBT001
    """Whatever an event says, its copy says the same, or is refused where sealing would refuse it."""
    try:
        event = LogEvent(change=LogChange.GAP, reason=text, context=Context(attributes={} if later else attributes))
    except InvalidEvent:
        return
    if later:
        event.context.attributes.update(attributes)
    try:
        expected = canonical_bytes(body_of(event))
    except OutOfDomain:
        with pytest.raises(OutOfDomain):
            take(event)
    else:
        assert canonical_bytes(body_of_taken(take(event))) == expected


def test_a_copy_does_not_change(a_use: MakeUse) -> None:
    """What is done to the event or to a sealed body afterwards changes neither the copy nor the scope."""
    event = a_use(context=Context.model_validate({"attributes": {"a": [1]}}))
    with AuditLog.scope(task="t-42", principal="user-7"):
        taken = take(event)
        again = take(event)
    event.context.attributes["a"] = [2]
    body = body_of_taken(taken)
    assert (body["context"]["attributes"], body["context"]["task"]) == ({"a": [1]}, "t-42")
    body["context"]["principal"]["subject"] = "[redacted]"
    assert body_of_taken(again)["context"]["principal"] == {"subject": "user-7"}


def test_its_size_is_that_of_event_and_scope(a_use: MakeUse) -> None:
    """The size counts every byte of the event and of what surrounds it, within the overhead."""
    event = a_use()
    with AuditLog.scope(task="t" * 500, attributes={"x": "é" * 5000}):
        taken = take(event)
        length = len(json.dumps(body_of(event), ensure_ascii=False).encode())
    assert length - OVERHEAD < taken.size < length + OVERHEAD


def test_the_limit_is_that_of_a_body(a_use: MakeUse) -> None:
    """What could not be sealed is refused, wherever it is too large: in the event, in its scope, or in both."""
    half = {"x": ["y" * 60] * (MAX_BODY // 100)}
    with AuditLog.scope(attributes=half):
        take(a_use())
        take(a_use(context=Context(task="t-42")))
    both = {"x": half["x"], "z": half["x"]}
    with pytest.raises(EventTooLarge):
        take(a_use(context=Context.model_validate({"attributes": both})))
    with AuditLog.scope(attributes=both), pytest.raises(EventTooLarge):
        take(a_use())


class _Quoting(Redactor):
    """A caller's own redactor, which fails and quotes the event."""

    def event(self, body: dict[str, Any]) -> Any:
        if body["kind"] == "log":
            return []
        raise RuntimeError(json.dumps(body))


class _Talkative:
    """An object that no JSON can hold, and that tells a secret however it is looked at."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        raise ValueError(self._secret)


@pytest.mark.parametrize("delivery", ["durable", "queued"])
def test_what_fails_on_the_way_is_not_quoted(  # noqa: PLR0913, PLR0917 -- one argument a fixture
    delivery: Delivery, address: Path, key: FingerprintKey, a_use: MakeUse, secret: str, leaks: Callable[..., list[str]]
) -> None:
    """An error of a caller's own redactor, or of an object without a JSON form, becomes one of ours, by its type."""
    changed = a_use(context=Context(attributes={"note": secret}))
    attributes: dict[str, Any] = changed.context.attributes
    with (
        AuditLog.open(address, fingerprint_key=key, redactor=_Quoting()) as failing,
        AuditLog.open(address, fingerprint_key=key, delivery=delivery) as log,
    ):
        for recording, value, expected in (
            (failing, secret, "the entry could not be made (RuntimeError); nothing was written"),
            (log, _Talkative(secret), "event: a value was changed to one that has no JSON form"),
            (log, secret.encode(), "event: a value was changed to one that has no JSON form"),
            (log, {None: secret}, "context.attributes: a member's name was changed to one that has no JSON form"),
        ):
            attributes["note"] = value
            with pytest.raises(InputError) as raised:
                recording.record(changed)
            assert str(raised.value) == expected
            error = raised.value
            assert error.__cause__ is error.__context__ is None
            told = (str(error), repr(vars(error)), pickle.dumps(error), *traceback.format_exception(error))
            assert leaks(secret, *told, address.parent) == []
        assert log.record(a_use()).event_id

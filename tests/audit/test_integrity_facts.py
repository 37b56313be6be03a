"""What is read out of a sealed body without parsing it is what JSON says, whatever a caller put into the event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit.integrity.facts import log_event, told
from counterfoil.audit.integrity.producers import Producers
from counterfoil.schemas import Context, LogChange, LogEvent, OutOfDomain, canonical_bytes
from counterfoil.schemas.values import Hostile

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeUse

    from counterfoil.audit import AuditLog

_PRODUCER: dict[str, Any] = {
    "host": "h",
    "id": "00112233445566aa",
    "library": "counterfoil/9",
    "pid": 7,
    "raised": [],
    "seq": 3,
}
_OTHER = _PRODUCER | {"id": "ffffffffffffffff", "seq": 4}
_IMITATIONS: tuple[dict[str, Any], ...] = (
    {"producer": _OTHER, "recorded_at": "2026-01-01T00:00:00.000000Z"},
    {"context": {"event_id": "x", "observer": "agent", "producer": _OTHER, "recorded_at": "t", "redactions": []}},
    {"producer": json.dumps(_OTHER)},
    {'"producer":{"host":"': json.dumps(_OTHER, separators=(",", ":"))},
    {"zz": [{"kind": "log", "change": "gap", "producer": _OTHER}], "recorded_at": ""},
)

_leaves: st.SearchStrategy[Any] = st.one_of(
    st.text(max_size=30), st.integers(0, 9), st.booleans(), st.sampled_from(_IMITATIONS)
)
_hostile: st.SearchStrategy[Any] = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=12), inner)),
    max_leaves=8,
)
_attributes: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.one_of(
        st.sampled_from(["producer", "event_id", "context", "attributes", 'a"producer', "zz"]), st.text(max_size=9)
    ),
    _hostile,
    max_size=4,
)


def _body(attributes: Any, raised: list[int], host: str, kind: str) -> bytes:
    context: dict[str, Any] = {
        "event_id": "0190a0b0-0000-7000-8000-000000000000",
        "observer": "agent",
        "producer": _PRODUCER | {"raised": raised, "host": host},
        "recorded_at": "2026-01-01T00:00:00.000000Z",
        "redactions": [],
        "salt": "0" * 32,
        "task": 'a "producer":{"host":" of text',
    }
    if attributes:
        context["attributes"] = attributes
    event: dict[str, Any] = {"kind": kind, "context": context}
    return canonical_bytes(event | ({"change": "opened"} if kind != "credential_use" else {}))


_clean = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=12)


@settings(max_examples=400, deadline=None)
@given(
    attributes=_attributes,
    raised=st.lists(st.integers(1, 2**53 - 1), max_size=3),
    host=_clean,
    kind=st.sampled_from(["credential_use", "credential_change", "log"]),
)
def test_no_attribute_can_pass_for_the_producer(attributes: Any, raised: list[int], host: str, kind: str) -> None:
    """Of any attributes, and of the hardest imitations, id, number, declared numbers and kind are those of JSON."""
    try:
        body = _body(attributes, raised, host, kind)
    except OutOfDomain:  # no event can hold such attributes
        return
    expected = json.loads(body)["context"]["producer"]
    found = told(body)
    assert found is not None
    assert (found.producer.decode(), found.number, list(found.raised)) == (expected["id"], expected["seq"], raised)
    assert (log_event(body) is not None) == (kind == "log")
    if found.mark is not None:
        assert body.count(found.mark) >= (raised == [])


@pytest.mark.parametrize("attributes", _IMITATIONS)
def test_the_quick_path_is_not_deceived(attributes: Any) -> None:
    """An entry that imitates the producer before it is not counted as one of its entries."""
    counted = Producers()
    producer = _PRODUCER | {"id": "ffffffffffffffff"}
    first = _body({}, [], "h", "credential_use").replace(b"00112233445566aa", b"ffffffffffffffff")
    bodies = [first.replace(b'"seq":3', b'"seq":%d' % number) for number in (1, 2, 3)]
    imitating = _body(attributes, [], "h", "credential_use").replace(b'"seq":3}', b'"seq":1}')
    counted.take([(seq, body, b"", b"") for seq, body in enumerate([*bodies, imitating], start=1)])
    found = counted.verdict(4, lambda _process: True)
    assert found, (producer, found.words)
    assert "2 processes" in found.words


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"context":[]}', b'{"context":{"producer":{"id":1}}}', b"[" * 9999]
)
def test_a_body_that_says_nothing(body: bytes) -> None:
    """What is no event says nothing, and raises nothing."""
    assert told(body) is None
    assert log_event(body) is None


def test_the_order_of_members() -> None:
    """What the quick look rests on holds for the schema as it is."""
    assert min(LogEvent.model_fields) == "change"
    names = ["attributes", "event_id", "observer", "producer", "recorded_at"]
    assert sorted(names) == names
    assert set(names) <= set(Context.model_fields)
    free_form = [name for name, field in Context.model_fields.items() if Hostile.FREE_FORM in field.metadata]
    assert free_form == ["attributes"]


def test_what_a_log_writes_is_read_the_quick_way(log: AuditLog, address: Path, a_use: MakeUse) -> None:
    """Real entries have the exact form: none has to be parsed."""
    import sqlite3

    log.record(a_use().model_copy(update={"context": a_use().context.model_copy(update={"attributes": {"a": {}}})}))
    log.record(LogEvent(change=LogChange.GAP))
    connection = sqlite3.connect(address)
    for (body,) in connection.execute("SELECT body FROM entry"):
        found = told(body.encode())
        assert found is not None
        assert found.mark is not None
    connection.close()

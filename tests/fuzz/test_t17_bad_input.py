"""T17: bad input, and arbitrary JSON from Hypothesis, through every door of a log.

It is stored exactly, with what redaction replaced told in receipts; or refused with an error of ours. Nothing crashes,
hangs, changes in silence, or stands in the way of what comes after it.
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.redaction import Redactor
from counterfoil.exporters import forward
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.jsonl import LineExporter
from counterfoil.exporters.sql import open_source
from counterfoil.schemas import (
    Action,
    Context,
    CredentialUse,
    InputError,
    LogEvent,
    Resource,
    Token,
    parse_event,
)
from counterfoil.schemas.entry import sealed_bytes
from counterfoil.schemas.values import new_event_id

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from conftest import Tally
    from frame import Scale

    from counterfoil.schemas import FingerprintKey

    Door = Callable[["Trial", "UUID", "Json"], None]

Json: TypeAlias = Any

pytestmark = pytest.mark.fuzz

LONGEST: Final = 1.0
"""Seconds of its thread's time that a call may take."""

_NASTY: Final = (
    "\x00", "\ud800", "\udfff", "\x1b[2J\x1b]0;t\x07", "\u202egnp.exe\u2066", "é", "e\u0301", "\ufeff", "\u2028",
    "\U0001f600", "{{7*7}}", "%s%n", "'; DROP TABLE entry; --", "[redacted:error]", "REDACTED", "\\u0000", "\\", '"',
    "a" * 300,
)  # fmt: skip
_TEXTS = st.text(max_size=12) | st.sampled_from(_NASTY) | st.lists(st.sampled_from(_NASTY), max_size=3).map("".join)
_NUMBERS = st.integers() | st.floats() | st.sampled_from([2**53, -(2**53), 2**64, 10**400, 0.1, 1e-5, 1e22, -0.0, 1.0])
DOCUMENTS: Final = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXTS, inner, max_size=5),
    max_leaves=20,
)


def _deep(depth: int, *, members: bool = False) -> Json:
    value: Json = "x"
    for _ in range(depth):
        value = {"a": value} if members else [value]
    return value


def _cycle() -> Json:
    value: dict[str, Json] = {"n": 1}
    value["again"] = [value]
    return value


class _Odd:
    """An object that fails however it is looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __hash__ = __bool__ = __len__ = __iter__ = __repr__  # type: ignore[assignment]


class Inexpressible(Exception):
    """JSON has no form for this."""


class _Text(str):
    """A string of another type."""

    __slots__ = ()


CORPUS: Final[dict[str, Callable[[], Json]]] = {
    "a lone surrogate": lambda: "x\ud800",
    "a lone surrogate in a name": lambda: {"x\udfff": 1},
    "an integer of 64 bits": lambda: 2**64,
    "an integer beyond 2^53": lambda: 2**53 + 1,
    "an integer of 5,000 digits": lambda: 10**4999,
    "NaN": lambda: float("nan"),
    "Infinity": lambda: [float("inf"), -float("inf")],
    "a whole float": lambda: 3.0,
    "a tiny float": lambda: 5e-324,
    "minus zero": lambda: -0.0,
    "depth 60": lambda: _deep(55),
    "depth 300": lambda: _deep(300, members=True),
    "depth 5,000": lambda: _deep(5_000),
    "a cycle": _cycle,
    "bytes": lambda: b"\xff\x00",
    "a Decimal": lambda: Decimal("1.10"),
    "a set": lambda: {1, 2},
    "a number as name": lambda: {1: "x"},
    "None as name": lambda: {None: "x"},
    "a tuple as name": lambda: {(1, 2): "x"},
    "an object": object,
    "a class": lambda: _Odd,
    "an object that fails": _Odd,
    "an exception": lambda: ValueError("x"),
    "a generator": lambda: (each for each in "ab"),
    "a string of another type": lambda: _Text("x"),
    "an ellipsis": lambda: ...,
    "a complex number": lambda: 1j,
    "NUL": lambda: "a\0b",
    "NUL in a name": lambda: {"a\0b": 1},
    "a text of 300,000": lambda: "x" * 300_000,
    "a text of 5 MB": lambda: "x" * 5_000_000,
    "50,000 members": lambda: {str(number): number for number in range(50_000)},
    "100,000 items": lambda: [0] * 100_000,
    "many small objects": lambda: [{"password": "x"} for _ in range(5_000)],
    "escapes of terminals": lambda: "\x1b[2J\x1b]8;;https://evil.example\x1b\\link\x9b31m",
    "twins in two normal forms": lambda: {"é": 1, unicodedata.normalize("NFD", "é"): 2},
    "a name beyond U+FFFF": lambda: {"\U0001f600": 1},
    "noncharacters": lambda: "\ufffe\uffff\U0010ffff",
    "a name that is empty": lambda: {"": {"": ""}},
    "members of the log": lambda: {"salt": "0" * 32, "redactions": [], "producer": {}, "event_id": "x"},
    "markers": lambda: ["[redacted:error]", "REDACTED", "[redacted:", {"[redacted:name]": 1}],
    "percent signs": lambda: "%" * 20_000,
    "backslashes": lambda: "\\" * 20_000,
    "JSON in JSON in JSON": lambda: json.dumps(json.dumps(json.dumps({"a": [1, "\\"]}))),
    "equals signs": lambda: "password=" * 5_000,
    "an endless key": lambda: "-----BEGIN PRIVATE KEY-----" * 500,
    "much base64": lambda: "QUJD" * 20_000,
}  # fmt: skip
"""Bad input, as Python objects. What JSON can express is given as JSON, too."""


def _through_json(trial: Trial, event_id: UUID, value: Json) -> None:
    """As a caller's JSON."""
    try:
        text = json.dumps({"v": value})
    except (TypeError, ValueError, RecursionError):
        raise Inexpressible from None
    trial.expected[str(event_id)] = json.loads(text)["v"]
    head = f'{{"kind":"log","change":"key_rotated","context":{{"event_id":"{event_id}","attributes":'
    trial.log.record(parse_event(f"{head}{text}}}}}"))


def _as_objects(trial: Trial, event_id: UUID, value: Json) -> None:
    """As Python objects."""
    trial.log.record(LogEvent(change="key_rotated", context=Context(event_id=event_id, attributes={"v": value})))


def _changed_afterwards(trial: Trial, event_id: UUID, value: Json) -> None:
    """As Python objects that get into the event after it was validated."""
    event = LogEvent(change="key_rotated", context=Context(event_id=event_id, attributes={"v": 1}))
    cast("dict[str, Any]", event.context.attributes)["v"] = value
    trial.log.record(event)


def _around(trial: Trial, event_id: UUID, value: Json) -> None:
    """As what surrounds the event."""
    with trial.log.scope(attributes={"v": value}):
        trial.log.record(LogEvent(change="key_rotated", context=Context(event_id=event_id)))


def _as_arguments(trial: Trial, event_id: UUID, value: Json) -> None:
    """As arguments of a tool, of which a digest is kept."""
    digest = trial.log.arguments_digest("a", {"v": value})
    action = Action(name="a", arguments_digest=digest)
    context = Context(event_id=event_id, attributes={"v": 1})
    trial.log.record(CredentialUse(token=Token(), resource=Resource(uri="x:"), action=action, context=context))
    trial.expected[str(event_id)] = 1


DOORS: Final = (_through_json, _as_objects, _changed_afterwards, _around, _as_arguments)


@dataclass
class Trial:
    """Tries inputs, and holds what the log has of them against what was given."""

    log: AuditLog
    expected: dict[str, Json] = field(default_factory=dict[str, Json])
    """What each entry must hold, by its id."""
    tried: int = 0
    stored: int = 0
    redacted: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    slowest: tuple[float, str] = 0.0, ""
    wrong: list[str] = field(default_factory=list[str])

    def __call__(self, door: Door, value: Json, what: str) -> None:
        """Try one input through one door."""
        event_id = new_event_id()
        self.expected[str(event_id)] = value
        began = time.thread_time()
        try:
            door(self, event_id, value)
        except Inexpressible:
            del self.expected[str(event_id)]
            return
        except InputError as error:
            self.refused[type(error).__name__] += 1
            del self.expected[str(event_id)]
        except Exception as error:  # noqa: BLE001 -- nothing else may be raised
            self.wrong.append(f"{what}, {door.__doc__}: raised {type(error).__name__}")
            del self.expected[str(event_id)]
        self.tried += 1
        took = time.thread_time() - began
        self.slowest = max(self.slowest, (took, what))
        if took > LONGEST:
            self.wrong.append(f"{what}, {door.__doc__}: took {took:.1f} s")

    def compare(self, address: Path) -> None:
        """Hold what the log has against what was given."""
        with AuditReader.open(address) as reader:
            assert reader.verify().consistent
            for entry in reader.find(Filter()):
                body: Json = json.loads(entry.body)
                event_id = body["context"]["event_id"]
                if event_id in self.expected:
                    self._hold(body["context"], self.expected.pop(event_id))
        if self.expected:
            self.wrong.append(f"{len(self.expected)} were accepted and are not in the log")

    def _hold(self, context: Json, given: Json) -> None:
        self.stored += 1
        held = context["attributes"]["v"]
        if context["redactions"]:
            self.redacted += 1
            (given, receipts) = Redactor().value({"v": given})
            given = cast("dict[str, Json]", given)["v"] if receipts else held
        if not same(held, given):
            self.wrong.append("an entry is not what was given")


def same(held: Json, given: Json) -> bool:
    """Whether two values are the same JSON: a tuple is a list there, and there is one kind of number (RFC 8785)."""
    if isinstance(given, dict):
        members = cast("dict[Any, Json]", given)
        return type(held) is dict and held.keys() == members.keys() and all(same(held[n], members[n]) for n in members)
    if isinstance(given, list | tuple):
        items = cast("list[Json]", given)
        found = cast("list[Json]", held) if isinstance(held, list) else None
        return found is not None and len(found) == len(items) and all(map(same, found, items))
    if isinstance(given, float):
        return type(held) in {int, float} and held == given
    return isinstance(given, type(held)) and held == given and isinstance(given, bool) == isinstance(held, bool)


@pytest.fixture
def durable(tmp_path: Path, key: FingerprintKey) -> Iterator[Trial]:
    """Give a trial of a log."""
    with AuditLog.open(tmp_path / "audit.db", fingerprint_key=key, deadline=60) as log:
        yield Trial(log)


def test_bad_input(durable: Trial, tmp_path: Path, scale: Scale, tally: Tally) -> None:
    """Each case of the corpus, through each door: stored exactly, or refused with an error of ours."""
    for _ in range(scale(1, 10)):
        for what, make in CORPUS.items():
            for door in DOORS:
                durable(door, make(), what)
                durable(door, [{"deeper": make()}], what)
        durable.log.record(LogEvent(change="key_rotated"))  # nothing stands in the way
    _settle(durable, tmp_path, tally, "a corpus of bad input")


def test_arbitrary_json(tmp_path: Path, key: FingerprintKey, scale: Scale, tally: Tally) -> None:
    """Whatever JSON there is: stored exactly, or refused with an error of ours; durable and queued."""
    with AuditLog.open(tmp_path / "audit.db", fingerprint_key=key, deadline=60, delivery="queued") as log:
        trial = Trial(log)

        @settings(
            max_examples=scale(250, 24_000),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        )
        @given(DOCUMENTS)
        def each(value: Json) -> None:
            for door in DOORS[:4]:
                trial(door, value, "arbitrary JSON")

        each()
        log.flush(deadline=120)
        log.record(LogEvent(change="key_rotated"))
        log.flush(deadline=60)
        _settle(trial, tmp_path, tally, "recursive JSON from Hypothesis")


def _settle(trial: Trial, folder: Path, tally: Tally, what: str) -> None:
    address = folder / "audit.db"
    trial.compare(address)
    with closing(open_source(str(address))) as source:
        head = source.head()
        assert forward(source, LineExporter(BytesIO(), name="lines")).sent == head
    refused = trial.refused.total()
    assert trial.stored + refused + len(trial.wrong) >= trial.tried
    tally("T17", what, events=trial.tried,
          note=f"{trial.stored:,} stored exactly, {trial.redacted:,} of them with receipts; {refused:,} refused; "
          f"the slowest took {trial.slowest[0]:.2f} s ({trial.slowest[1]})")  # fmt: skip
    assert Counter(trial.wrong) == {}


def test_a_silent_change_is_seen(durable: Trial, tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeded defect writes null for what JSON cannot hold, as some serialisers do: the comparison turns red."""

    def lenient(body: Json, **options: Any) -> bytes:
        return sealed_bytes(_with_nulls(body), **options)

    monkeypatch.setattr("counterfoil.audit.sealing.sealed_bytes", lenient)
    durable(_changed_afterwards, [1, float("nan")], "NaN")
    durable.compare(tmp_path / "audit.db")
    assert durable.wrong == ["an entry is not what was given"]
    tally.defect("T17", "NaN becomes null")


def _with_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _with_nulls(member) for name, member in cast("dict[str, Json]", value).items()}
    if isinstance(value, list):
        return [_with_nulls(item) for item in cast("list[Json]", value)]
    return None if value != value else value  # noqa: PLR0124 -- which is NaN alone


def test_arbitrary_order(rng: random.Random) -> None:
    """Comparing is strict: types, members and order of items count."""
    assert same({"a": [1, [True, None]]}, {"a": (1, (True, None))})
    value = rng.choice([{"a": 1.5}, {"b": 1}, {"a": True}, {"a": "1"}, {"a": None}, {"a": [1]}, {}])
    assert not same(value, {"a": 1})

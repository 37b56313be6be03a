"""One entry, one span: its ids, times, name, kind and status, and what happens when the exporter fails."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource as OtelResource
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from counterfoil.exporters.otel import SCHEMA_URL, OtelExporter, resource_of, span_of
from counterfoil.exporters.stub import stub_of
from counterfoil.schemas import (
    Action,
    ApprovalEvent,
    Compromise,
    Context,
    CredentialChange,
    CredentialUse,
    Entry,
    Event,
    ExportFailed,
    Fingerprint,
    LogEvent,
    Resource,
    Token,
    Tool,
    canonical_bytes,
    leaf_hash,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

LOG_ID = "00112233445566778899aabbccddeeff"
NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
NOON_NS = 1795435200_123456_000
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def entry_of(event: Event | None = None, *, seq: int = 7, body: str | None = None) -> Entry:
    """Seal an event the way a log does, or take a body as it is."""
    if event is not None:
        body = canonical_bytes(event.model_dump(mode="json", exclude_none=True)).decode()
    sealed = (body or "").encode("utf-8", "surrogatepass")
    return Entry(seq, body or "", leaf_hash(sealed), hashlib.sha256(b"chain" + sealed).digest())


def use(context: Context | None = None, **action: Any) -> CredentialUse:
    """Make a small use of a credential."""
    return CredentialUse(
        context=context or Context(occurred_at=NOON),
        token=Token(token_class="bearer_opaque"),
        resource=Resource(uri="https://api.example/mail"),
        action=Action(**{"name": "read_mail", **action}),
    )


def span(event: Event | None = None, **options: Any) -> ReadableSpan:
    """Return the span of an event."""
    return span_of(entry_of(event, **options), LOG_ID, resource_of())


def ids(of: ReadableSpan) -> tuple[int, int]:
    """Return trace id and span id."""
    context = of.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def test_a_resend_is_the_same_span() -> None:
    """Nothing in it comes from the clock, a counter or chance."""
    entry = entry_of(use())
    first, second = (span_of(entry, LOG_ID, resource_of()) for _ in range(2))
    assert first.to_json() == second.to_json()
    assert ids(first) == ids(second)


def test_the_ids_are_those_of_every_release() -> None:
    """They are worked out from the event's id as documented, so that another release sends the same."""
    event_id = UUID("01940000-0000-7000-8000-000000000001")
    trace_id, span_id = ids(span(use(Context(event_id=event_id))))
    assert trace_id == int.from_bytes(
        hashlib.sha256(b"counterfoil/otel/trace/1\0" + event_id.bytes).digest()[:16], "big"
    )
    assert span_id == int.from_bytes(hashlib.sha256(b"counterfoil/otel/span/1\0" + event_id.bytes).digest()[:8], "big")


@given(st.uuids(), st.uuids())
def test_different_events_are_different_spans(one: UUID, other: UUID) -> None:
    """An id is never zero, which would be invalid, and never that of another event."""
    first, second = ids(span(use(Context(event_id=one)))), ids(span(use(Context(event_id=other))))
    assert all(first)
    assert (first == second) == (one == other)


def test_an_id_is_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero is no valid id (W3C Trace Context), and one hash in 2^64 begins with that many zeros."""

    class Zeros:
        def __init__(self, _message: bytes) -> None:
            """Take a message."""

        def digest(self) -> bytes:
            return bytes(32)

    entry = entry_of(use())
    monkeypatch.setattr(hashlib, "sha256", Zeros)
    assert ids(span_of(entry, LOG_ID, resource_of())) == (1, 1)


def test_a_span_joins_the_trace_of_its_event() -> None:
    """The surrounding span is the parent."""
    made = span(use(Context(trace_id=TRACE, span_id=PARENT)))
    assert ids(made)[0] == int(TRACE, 16)
    assert made.parent is not None
    assert (made.parent.trace_id, made.parent.span_id) == (int(TRACE, 16), int(PARENT, 16))


@pytest.mark.parametrize(
    "context",
    [
        Context(span_id=PARENT),
        Context(trace_id="0" * 32, span_id=PARENT),
        Context(trace_id=TRACE, span_id="0" * 16),
        Context(trace_id=TRACE),
    ],
)
def test_half_a_parent_is_no_parent(context: Context) -> None:
    """A parent needs both ids; an id of zeros is none (W3C Trace Context)."""
    made = span(use(context))
    assert made.parent is None
    assert all(ids(made))


def test_intent_and_outcome_make_a_trace_of_their_own() -> None:
    """Without a trace around them they share the one that follows from their use id, as two spans."""
    use_id = UUID("01940000-0000-7000-8000-000000000002")
    intent = span(use(Context(use_id=use_id), phase="intent", outcome="pending"))
    outcome = span(use(Context(use_id=use_id), phase="outcome", outcome="executed"))
    assert ids(intent)[0] == ids(outcome)[0]
    assert ids(intent)[1] != ids(outcome)[1]


def test_an_intent_is_a_moment() -> None:
    """It has no length, whatever its action says."""
    made = span(use(phase="intent", started_at=NOON - timedelta(seconds=1), ended_at=NOON + timedelta(seconds=1)))
    assert (made.start_time, made.end_time) == (NOON_NS, NOON_NS)


@pytest.mark.parametrize("phase", ["outcome", "complete"])
def test_an_outcome_lasts_as_long_as_the_action(phase: str) -> None:
    """From its start to its end, in nanoseconds, exactly."""
    made = span(use(phase=phase, started_at=NOON - timedelta(microseconds=1), ended_at=NOON + timedelta(seconds=2)))
    assert (made.start_time, made.end_time) == (NOON_NS - 1_000, NOON_NS + 2_000_000_000)


@pytest.mark.parametrize(
    ("action", "start", "end"),
    [
        ({}, NOON_NS, NOON_NS),
        ({"started_at": NOON - timedelta(seconds=1)}, NOON_NS - 1_000_000_000, NOON_NS),
        ({"ended_at": NOON + timedelta(seconds=1)}, NOON_NS, NOON_NS + 1_000_000_000),
        ({"started_at": NOON, "ended_at": NOON - timedelta(seconds=1)}, NOON_NS, NOON_NS),
    ],
)
def test_the_moment_of_the_event_stands_in_for_a_missing_time(action: dict[str, Any], start: int, end: int) -> None:
    """And no span ends before it starts."""
    made = span(use(phase="outcome", **action))
    assert (made.start_time, made.end_time) == (start, end)


def test_the_time_of_recording_is_the_last_resort() -> None:
    """Somebody has to say when."""
    assert span(use(Context(recorded_at=NOON))).start_time == NOON_NS


@pytest.mark.parametrize(
    ("year", "expected"),
    [(1, 0), (1970, 0), (9999, 2**63 - 1)],
)
def test_times_out_of_range_stay_sendable(year: int, expected: int) -> None:
    """OTLP has no time before 1970, and many backends none after 2262."""
    assert span(use(Context(occurred_at=datetime(year, 1, 1, tzinfo=UTC)))).start_time == expected


TOOL = Context(tool=Tool(name="send_mail"))
SERVER = Context(observer="resource_server")


@pytest.mark.parametrize(
    ("event", "name", "kind"),
    [
        (use(method="GET"), "GET read_mail", SpanKind.CLIENT),
        (use(), "read_mail", SpanKind.CLIENT),
        (use(TOOL, method="GET"), "execute_tool send_mail", SpanKind.INTERNAL),
        (use(SERVER, method="GET"), "GET read_mail", SpanKind.SERVER),
        (use(Context(observer="gateway")), "read_mail", SpanKind.SERVER),
        (CredentialChange(change="refreshed", token=Token()), "credential_change refreshed", SpanKind.CLIENT),
        (
            CredentialChange(context=Context(observer="authorization_server"), change="issued", token=Token()),
            "credential_change issued",
            SpanKind.SERVER,
        ),
        (
            ApprovalEvent(approval_id="a", state="granted", action=Action(name="x")),
            "approval granted",
            SpanKind.INTERNAL,
        ),
        (Compromise(leaked="both"), "compromise both", SpanKind.INTERNAL),
        (LogEvent(change="gap"), "log gap", SpanKind.INTERNAL),
    ],
)
def test_name_and_kind(event: Event, name: str, kind: SpanKind) -> None:
    """The name is one of few (GenAI convention where there is one); the kind follows from who saw it."""
    made = span(event)
    assert (made.name, made.kind) == (name, kind)


def test_a_name_has_an_end() -> None:
    """A hostile tool name does not fill the list of span names."""
    assert len(span(use(Context(tool=Tool(name="x" * 512)))).name) == 128


@pytest.mark.parametrize("outcome", ["executed", "refused", "failed", "pending", "unknown"])
def test_only_refused_and_failed_are_errors(outcome: str) -> None:
    """The status has no description: what it would say could be anything."""
    status = span(use(outcome=outcome)).status
    assert status.status_code is (StatusCode.ERROR if outcome in {"refused", "failed"} else StatusCode.UNSET)
    assert status.description is None


def test_the_scope_names_the_library_and_the_table() -> None:
    """A backend can tell which version of the attributes it has."""
    scope = span(use()).instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.schema_url) == ("counterfoil", SCHEMA_URL)
    assert scope.version


def test_the_resource_follows_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Default, ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_SERVICE_NAME``, and the name that is given, in this order."""
    assert dict(resource_of().attributes) == {"service.name": "counterfoil"}
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=a")
    assert dict(resource_of().attributes) == {"service.name": "a", "deployment.environment.name": "test"}
    monkeypatch.setenv("OTEL_SERVICE_NAME", "b")
    assert resource_of().attributes["service.name"] == "b"
    assert resource_of("c").attributes["service.name"] == "c"


def test_a_kind_of_a_newer_release_is_exported() -> None:
    """With its name and whatever of the table it has; what has another type there is left out."""
    body = {
        "kind": "credential_audit",
        "context": {"event_id": "01940000-0000-7000-8000-000000000001", "occurred_at": "2026-11-23T12:00:00.123456Z"},
        "token": {"token_class": "quantum", "audience": ["a", 5], "issuer": {"x": 1}, "lifetime": {"seconds": True}},
        "count": 3,
        "state": 4,
    }
    made = span(body=json.dumps(body))
    assert made.name == "credential_audit"
    assert made.start_time == NOON_NS
    attributes = dict(made.attributes or {})
    assert attributes["counterfoil.token.class"] == "quantum"
    assert attributes["counterfoil.token.audience"] == ("a",)
    assert attributes["counterfoil.log.count"] == 3
    assert not {"counterfoil.token.issuer", "counterfoil.token.lifetime", "counterfoil.approval.state"} & set(
        attributes
    )


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not JSON",
        "[]",
        '"text"',
        "{}",
        '{"kind":7}',
        '{"kind":"credential_use"}',
        '{"kind":"credential_use","context":[]}',
        '{"kind":"credential_use","context":{"recorded_at":"yesterday"}}',
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"kind":"\\ud800"}',
        '{"kind":"\x1b[31m"}',
        "\ud800",
    ],
    ids=range(13),
)
def test_a_body_that_cannot_be_read_makes_a_stub(body: str) -> None:
    """The span still says where the entry stands and what its hashes are; its ids follow from the chain hash."""
    entry = entry_of(body=body)
    made, again = (span_of(entry, LOG_ID, resource_of()) for _ in range(2))
    attributes = dict(made.attributes or {})
    assert made.name == "stub"
    assert attributes["counterfoil.entry.seq"] == 7
    assert attributes["counterfoil.entry.chain_hash"] == entry.chain_hash.hex()
    assert attributes["counterfoil.stub.size"] == len(body.encode("utf-8", "replace"))
    assert ids(made) == ids(again)
    assert (made.start_time or 0) > NOON_NS - 10**18


def test_a_stub_tells_kind_size_and_time_only() -> None:
    """Whatever made the destination refuse the entry is not in it."""
    entry = entry_of(use(Context(recorded_at=NOON, task="t-1"), method="GET"))
    made = span_of(stub_of(entry), LOG_ID, resource_of())
    assert dict(made.attributes or {}) == {
        "counterfoil.log.id": LOG_ID,
        "counterfoil.entry.seq": 7,
        "counterfoil.entry.chain_hash": entry.chain_hash.hex(),
        "counterfoil.entry.leaf_hash": entry.leaf_hash.hex(),
        "counterfoil.event.kind": "stub",
        "counterfoil.event.recorded_at": "2026-11-23T12:00:00.123456Z",
        "counterfoil.stub.kind": "credential_use",
        "counterfoil.stub.size": len(entry.body),
    }
    assert made.start_time == NOON_NS


def test_an_event_without_an_id_still_has_one_span() -> None:
    """A body that lost its event id gets ids from the chain hash, not new ones each time."""
    body = '{"kind":"log","change":"gap","context":{}}'
    assert ids(span(body=body)) == ids(span(body=body))


def test_the_exporter_hands_over_one_span_an_entry_in_order() -> None:
    """Any ``SpanExporter`` will do; closing closes it."""
    memory = InMemorySpanExporter()
    exporter = OtelExporter(memory, log_id=LOG_ID, name="otel:memory")
    exporter.export([entry_of(use(), seq=seq) for seq in (1, 2, 3)])
    finished = memory.get_finished_spans()
    assert [dict(each.attributes or {})["counterfoil.entry.seq"] for each in finished] == [1, 2, 3]
    assert [each.resource for each in finished] == [resource_of()] * 3
    exporter.close()
    assert memory.export([]) is SpanExportResult.FAILURE


class Failing(SpanExporter):
    """An exporter that fails in the way it is told."""

    def __init__(self, act: Any) -> None:
        self._act = act

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 -- the SDK's signature
        """Fail."""
        if isinstance(self._act, Exception):
            raise self._act
        result: SpanExportResult = self._act
        return result


def test_a_failure_is_an_error_without_the_foreign_text(secret: str) -> None:
    """What another library says can quote a header; neither the error nor what is chained to it shows it."""
    for act in (SpanExportResult.FAILURE, None, RuntimeError(f"metadata was invalid: authorization={secret}")):
        exporter = OtelExporter(Failing(act), log_id=LOG_ID, name="otel:test", resource=OtelResource({}))
        with pytest.raises(ExportFailed, match="otel:test did not take the batch") as caught:
            exporter.export([entry_of(use())])
        assert secret not in f"{caught.value!r} {caught.value.__cause__!r} {caught.getrepr(chain=True)}"
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_instrumentations_are_told_to_look_away() -> None:
    """Otherwise an instrumented HTTP client would record each export, and each record be exported."""
    from opentelemetry.context import (
        _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage] -- as the SDK's own processors set it
        get_value,
    )

    seen: list[object] = []

    class Looking(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 -- the SDK's signature
            seen.append(get_value(_SUPPRESS_INSTRUMENTATION_KEY))
            return SpanExportResult.SUCCESS

    OtelExporter(Looking(), log_id=LOG_ID, name="otel:test").export([entry_of(use())])
    assert seen == [True]
    assert get_value(_SUPPRESS_INSTRUMENTATION_KEY) is None


def test_a_fingerprint_is_found_under_one_name_in_every_kind() -> None:
    """A search for a leaked credential finds its uses, its changes and the report."""
    fingerprint = Fingerprint.plain_sha256_of("x" * 32)
    token = Token(fingerprint=fingerprint)
    events: list[Event] = [
        use().model_copy(update={"token": token}),
        CredentialChange(change="issued", token=token),
        Compromise(leaked="token", fingerprint=fingerprint),
    ]
    found = [dict(span(event).attributes or {})["counterfoil.token.fingerprint"] for event in events]
    assert found == [fingerprint] * 3

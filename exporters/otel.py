"""Entries as OpenTelemetry spans, handed to a ``SpanExporter`` directly: no processor that drops, no sampler.

One entry is one span. Its ids derive from the event, so that a resend is the same span; an outcome lasts from
``started_at`` to ``ended_at``, anything else is a moment. ``otel_attributes`` is the table of what a span says.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage] -- the SDK's own processors use it
    attach,
    detach,
    set_value,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from counterfoil.schemas import (
    Action,
    ApprovalEvent,
    Compromise,
    Context,
    CredentialChange,
    CredentialUse,
    ExportFailed,
    InvalidEvent,
    LogEvent,
    Observer,
    Outcome,
    Phase,
    Tool,
)

from .diagnostics import diagnostics
from .otel_attributes import Subject
from .otel_values import attributes_of
from .stub import stub_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from opentelemetry.sdk.trace.export import SpanExporter

    from counterfoil.schemas import Entry, Event, UnlistedEvent

SCHEMA_URL: Final = "https://counterfoil.invalid/schemas/opentelemetry/1.0.0"
"""The version of the attribute table."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = 2**63 - 1  # many backends keep nanoseconds as a signed 64-bit integer
_LONGEST_NAME = 128


class OtelExporter:
    """Sends entries as spans through any ``SpanExporter``, which it closes."""

    def __init__(
        self, span_exporter: SpanExporter, *, log_id: str, name: str, resource: Resource | None = None
    ) -> None:
        """``log_id`` says which log, ``name`` which destination; the default of ``resource`` is ``resource_of()``."""
        self._span_exporter = span_exporter
        self._log_id = log_id
        self._name = name
        self._resource = resource or resource_of()

    @property
    def name(self) -> str:
        """The destination."""
        return self._name

    def export(self, entries: Sequence[Entry]) -> None:
        """Send one span for each entry. Raises ``ExportFailed``."""
        spans = [span_of(entry, self._log_id, self._resource) for entry in entries]
        try:
            with _uninstrumented():
                result = self._span_exporter.export(spans)
        except (ExportFailed, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is, the batch did not arrive, and it may quote a header
            raise ExportFailed(f"{self._name} did not take the batch ({type(error).__name__})") from None
        if result is not SpanExportResult.SUCCESS:
            raise ExportFailed(f"{self._name} did not take the batch")

    def close(self) -> None:
        """Close the ``SpanExporter``."""
        self._span_exporter.shutdown()


def span_of(entry: Entry, log_id: str, resource: Resource) -> ReadableSpan:
    """Return the span of an entry. A body that cannot be read any more makes the span of its stub."""
    try:
        event = entry.event
    except InvalidEvent:
        diagnostics().warning("the body of an entry cannot be read; its stub is exported", seq=entry.seq)
        event = stub_of(entry).event
    start, end = _times(event)
    trace_id, span_id, parent_id = _ids(event, entry)
    return ReadableSpan(
        name=_name(event),
        context=_span_context(trace_id, span_id),
        parent=_span_context(trace_id, parent_id) if parent_id else None,
        resource=resource,
        attributes=attributes_of(Subject(entry, event, log_id)),
        kind=_span_kind(event),
        status=Status(StatusCode.ERROR if _failed(event) else StatusCode.UNSET),
        start_time=start,
        end_time=end,
        instrumentation_scope=_scope(),
    )


def resource_of(service_name: str | None = None) -> Resource:
    """Return the resource: ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME``, unless a name is given here."""
    found = Resource({"service.name": "counterfoil"}).merge(OTELResourceDetector().detect())
    return found.merge(Resource({"service.name": service_name})) if service_name else found


@cache
def _scope() -> InstrumentationScope:
    return InstrumentationScope("counterfoil", version("counterfoil"), SCHEMA_URL)


def _name(event: Event | UnlistedEvent) -> str:
    """Return a name of low cardinality (OpenTelemetry, trace semantic conventions)."""
    match event:
        case CredentialUse(context=Context(tool=Tool(name=tool))):
            name = f"execute_tool {tool}"
        case CredentialUse(action=Action(method=str(method), name=action)):
            name = f"{method} {action}"
        case CredentialUse():
            name = event.action.name
        case CredentialChange() | LogEvent():
            name = f"{event.kind} {event.change}"
        case ApprovalEvent():
            name = f"{event.kind} {event.state}"
        case Compromise():
            name = f"{event.kind} {event.leaked}"
        case _:
            name = event.kind
    return name[:_LONGEST_NAME]


def _span_kind(event: Event | UnlistedEvent) -> SpanKind:
    if isinstance(event, CredentialUse) and event.context.tool:
        return SpanKind.INTERNAL
    if isinstance(event, CredentialUse | CredentialChange):
        return SpanKind.CLIENT if event.context.observer == Observer.AGENT else SpanKind.SERVER
    return SpanKind.INTERNAL


def _failed(event: Event | UnlistedEvent) -> bool:
    return isinstance(event, CredentialUse) and event.action.outcome in {Outcome.FAILED, Outcome.REFUSED}


def _times(event: Event | UnlistedEvent) -> tuple[int, int]:
    """Return start and end, in nanoseconds since 1970. An intent is a moment, and so is what has no action."""
    moment = event.context.occurred_at or event.context.recorded_at
    if not isinstance(event, CredentialUse) or event.action.phase == Phase.INTENT:
        at = _nanoseconds(moment)
        return at, at
    start, end = _nanoseconds(event.action.started_at or moment), _nanoseconds(event.action.ended_at or moment)
    return start, max(start, end)


def _nanoseconds(moment: datetime | None) -> int:
    """Return the time since 1970, exactly. A body that cannot be read tells no time: then it is that of the export."""
    if moment is None:
        return time.time_ns()
    return min(max((moment - _EPOCH) // _MICROSECOND * 1000, 0), _LAST)


def _ids(event: Event | UnlistedEvent, entry: Entry) -> tuple[int, int, int]:
    """Return trace id, span id and parent span id; 0 for no parent.

    The trace is the one that the event was part of; otherwise the intent and the outcome of a use make a trace.
    """
    context = event.context
    known = "event_id" in context.model_fields_set
    identity = context.event_id.bytes if known else entry.chain_hash
    trace_id = int(context.trace_id or "0", 16)
    parent_id = int(context.span_id or "0", 16) if trace_id else 0
    joined = context.use_id.bytes if context.use_id else identity
    return trace_id or _derived("trace", joined, 16), _derived("span", identity, 8), parent_id


def _derived(domain: str, identity: bytes, size: int) -> int:
    """Return an id of ``size`` bytes that is the same whenever it is made. Zero is no valid id (W3C Trace Context)."""
    digest = hashlib.sha256(f"counterfoil/otel/{domain}/1".encode() + b"\x00" + identity).digest()
    return int.from_bytes(digest[:size], "big") or 1


def _span_context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


@contextmanager
def _uninstrumented() -> Generator[None]:
    """Keep instrumentations from tracing, or recording, the export itself: that would never end."""
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: FBT003 -- OpenTelemetry's signature
    try:
        yield
    finally:
        detach(token)

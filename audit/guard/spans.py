"""The redactor for the application's own OpenTelemetry spans, around whatever processes or exports them.

::

    provider.add_span_processor(RedactingSpanProcessor(BatchSpanProcessor(OTLPSpanExporter())))

A span that has ended cannot be changed, so what is inside gets a redacted copy: name, attributes, events (what
``record_exception`` left there too), links, the description of the status, the attributes of the resource. Times, ids,
kind, scope and counts stay. ``RedactingSpanExporter`` does the same where only an exporter can be given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import Link, SpanContext, Status, TraceState

from .reading import FAILED, Reading, as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span
    from opentelemetry.sdk.trace.export import SpanExportResult

    from ..redaction.redactor import Redactor

_URIS: Final = frozenset({"url.full", "http.url", "http.target", "url.original"})
_QUERIES: Final = frozenset({"url.query"})


class RedactingSpanProcessor(SpanProcessor):
    """Gives the processor inside redacted copies of the spans that end. Never raises by itself, never drops.

    At its start a span is still the application's: a processor that reads attributes there reads them as they are.
    """

    def __init__(self, inside: SpanProcessor, redactor: Redactor | None = None) -> None:
        self._inside = inside
        self._reading = Reading(redactor)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass the live span on."""
        self._inside.on_start(span, parent_context)

    def _on_ending(self, span: Span) -> None:
        ending = getattr(self._inside, "_on_ending", None)  # a newer hook of the SDK, still private
        if ending is not None:
            ending(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass a redacted copy on."""
        self._inside.on_end(redacted_span(span, self._reading))

    def shutdown(self) -> None:
        """Shut down the processor inside."""
        self._inside.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the processor inside."""
        return self._inside.force_flush(timeout_millis)


class RedactingSpanExporter(SpanExporter):
    """Gives the exporter inside redacted copies of the spans."""

    def __init__(self, inside: SpanExporter, redactor: Redactor | None = None) -> None:
        self._inside = inside
        self._reading = Reading(redactor)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the copies."""
        return self._inside.export([redacted_span(span, self._reading) for span in spans])

    def shutdown(self) -> None:
        """Shut down the exporter inside."""
        self._inside.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the exporter inside."""
        return self._inside.force_flush(timeout_millis)


def redacted_span(span: ReadableSpan, reading: Reading) -> ReadableSpan:
    """Return the redacted copy. One that fails has its ids and times, and says so in the place of its name."""
    try:
        return _Copy(
            span,
            name=reading.shown(span.name),
            context=_context(span.context, reading),
            parent=_context(span.parent, reading),
            resource=redacted_resource(span.resource, reading),
            attributes=redacted_attributes(span.attributes, reading),
            events=[_event(event, reading) for event in span.events],
            links=[_link(link, reading) for link in span.links],
            status=_status(span.status, reading),
        )
    except Exception:  # noqa: BLE001 -- whatever went wrong, the span may hold a secret
        said = Status(span.status.status_code)
        return _Copy(span, name=FAILED, context=span.context, parent=span.parent, resource=Resource({}), status=said)


class _Copy(ReadableSpan):
    """A span in the place of another, with the counts of what that one had lost."""

    def __init__(self, span: ReadableSpan, **changed: Any) -> None:
        super().__init__(
            kind=span.kind,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
            **changed,
        )
        self._lost = span.dropped_attributes, span.dropped_events, span.dropped_links

    @property
    def dropped_attributes(self) -> int:
        return self._lost[0]

    @property
    def dropped_events(self) -> int:
        return self._lost[1]

    @property
    def dropped_links(self) -> int:
        return self._lost[2]


def redacted_attributes(attributes: Mapping[str, Any] | None, reading: Reading) -> BoundedAttributes:
    """Return attributes by position and pattern, URLs among them by the URI rule. The count of the lost ones stays."""
    given = attributes or {}
    read = {name: _without_values(name, value, reading) for name, value in given.items()}
    redacted = {name: as_given(read.get(name), value) for name, value in reading.members(read).items()}
    copy = BoundedAttributes(attributes=redacted, immutable=False)
    copy.dropped = getattr(attributes, "dropped", 0)
    return copy


def as_given(value: Any, redacted: Any) -> Any:
    """Return the value itself where redaction found nothing: bytes stay bytes."""
    return value if redacted == as_json(value) else redacted


def _without_values(name: str, value: object, reading: Reading) -> object:
    if isinstance(value, str) and name in _URIS:
        return reading.uri(value)
    if isinstance(value, str) and name in _QUERIES:
        return reading.uri(f"?{value}").removeprefix("?")
    return value


def _event(event: Event, reading: Reading) -> Event:
    return Event(reading.shown(event.name), redacted_attributes(event.attributes, reading), event.timestamp)


def _link(link: Link, reading: Reading) -> Link:
    context = _context(link.context, reading)
    return Link(context or link.context, redacted_attributes(link.attributes, reading))


def _context(context: SpanContext | None, reading: Reading) -> SpanContext | None:
    """Return the same ids; what vendors have put into the trace state is text (W3C Trace Context §3.3)."""
    if context is None or not context.trace_state:
        return context
    state = [(key, reading.shown(value)) for key, value in context.trace_state.items()]
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, TraceState(state))


def _status(status: Status, reading: Reading) -> Status:
    return Status(status.status_code, reading.shown(status.description)) if status.description else status


def redacted_resource(resource: Resource, reading: Reading) -> Resource:
    """Return a resource with redacted attributes, ``process.command_args`` among them."""
    attributes = dict(resource.attributes)
    redacted = dict(redacted_attributes(attributes, reading))
    return resource if redacted == attributes else Resource(cast("Any", redacted), resource.schema_url)

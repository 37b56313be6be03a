"""Spans as OTLP/JSON lines: one ``ExportTraceServiceRequest`` a line, as the Collector's OTLP JSON file receiver reads.

OTLP, "JSON Protobuf Encoding": trace and span ids in hex, enums as numbers, 64-bit integers as strings.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import format_span_id, format_trace_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from .jsonl import Stream

_HAS_IS_REMOTE = 0x100  # opentelemetry/proto/trace/v1, SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK


class OtlpJsonLines(SpanExporter):
    """Writes each batch as one line of OTLP/JSON."""

    def __init__(self, stream: Stream) -> None:
        """``stream`` stays open when the exporter is closed."""
        self._stream = stream

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the line, and flush. Raises what the stream raises."""
        self._stream.write(otlp_json(spans).encode() + b"\n")
        self._stream.flush()
        return SpanExportResult.SUCCESS


def otlp_json(spans: Sequence[ReadableSpan]) -> str:
    """Return the request that carries ``spans``, which share resource and scope. ASCII only."""
    resource, scope = spans[0].resource, spans[0].instrumentation_scope
    in_scope: dict[str, Any] = {"spans": [_span(span) for span in spans]}
    if scope:
        in_scope |= {"scope": {"name": scope.name, "version": scope.version}, "schemaUrl": scope.schema_url}
    request = {"resource": {"attributes": _attributes(resource.attributes)}, "scopeSpans": [in_scope]}
    return json.dumps({"resourceSpans": [request]}, separators=(",", ":"))


def last_entry(line: bytes) -> tuple[int, str]:
    """Return ``seq`` and ``chain_hash`` of the last span in a line. Raises ``ValueError`` if it is no such line."""
    try:
        span = json.loads(line)["resourceSpans"][-1]["scopeSpans"][-1]["spans"][-1]
        found = {each["key"]: each["value"] for each in span["attributes"]}
        return int(found["counterfoil.entry.seq"]["intValue"]), str(
            found["counterfoil.entry.chain_hash"]["stringValue"]
        )
    except (IndexError, KeyError, TypeError, ValueError):
        raise ValueError("not a line of exported spans") from None


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    if context is None:
        raise ValueError("a span without ids cannot be exported")
    parent = {"parentSpanId": format_span_id(span.parent.span_id)} if span.parent else {}
    return {
        "traceId": format_trace_id(context.trace_id),
        "spanId": format_span_id(context.span_id),
        **parent,
        "flags": _HAS_IS_REMOTE,
        "name": span.name,
        "kind": span.kind.value + 1,  # OTLP begins with "unspecified"
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_value(item) for item in value]}}

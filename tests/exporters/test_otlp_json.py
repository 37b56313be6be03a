"""OTLP/JSON says what OTLP/protobuf says: both are read by the same programs."""

from __future__ import annotations

import base64
import importlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from counterfoil.exporters.otel import OtelExporter, resource_of, span_of
from counterfoil.exporters.otlp_json import OtlpJsonLines, last_entry, otlp_json
from counterfoil.schemas import (
    Action,
    Context,
    CredentialUse,
    Entry,
    KeyCustody,
    LogEvent,
    Resource,
    Token,
    canonical_bytes,
)

if TYPE_CHECKING:
    from counterfoil.schemas import Event

json_format: Any = importlib.import_module("google.protobuf.json_format")

EVENTS: list[Event] = [
    LogEvent(context=Context(occurred_at="2026-11-23T12:00:00Z"), change="created"),
    CredentialUse(
        context=Context(
            occurred_at="2026-11-23T12:00:00.123456Z", task="ä😀\x1b",
            trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331",
        ),
        token=Token(audience=("a", "b")),
        key_custody=KeyCustody(exportable=False),
        resource=Resource(uri="https://api.example/mail"),
        action=Action(name="x", method="GET", phase="outcome", outcome="failed", started_at="2026-11-23T12:00:00Z"),
    ),
]  # fmt: skip


def entries() -> list[Entry]:
    """Return an entry of each event."""
    bodies = [canonical_bytes(event.model_dump(mode="json", exclude_none=True)).decode() for event in EVENTS]
    return [Entry(seq, body, b"\x01" * 32, bytes([seq]) * 32) for seq, body in enumerate(bodies, 1)]


def test_the_json_is_the_same_message_as_the_protobuf() -> None:
    """Every field, read back by protobuf's own JSON parser; only ids are hex there, base64 here."""
    spans = [span_of(entry, "00" * 16, resource_of()) for entry in entries()]
    request = json.loads(otlp_json(spans))
    for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in {"traceId", "spanId", "parentSpanId"} & set(span):
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    assert json_format.ParseDict(request, ExportTraceServiceRequest()) == encode_spans(spans)


def test_the_encoding_is_that_of_otlp_json() -> None:
    """Ids in lower-case hex, 64-bit integers as strings, enums as numbers; one line of ASCII."""
    text = otlp_json([span_of(entry, "00" * 16, resource_of()) for entry in entries()])
    assert text.isascii()
    assert "\n" not in text
    span = json.loads(text)["resourceSpans"][0]["scopeSpans"][0]["spans"][1]
    assert (span["traceId"], span["parentSpanId"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert (span["startTimeUnixNano"], span["kind"], span["status"]) == ("1795435200000000000", 3, {"code": 2})


def test_a_batch_is_a_line_and_the_last_one_tells_where_to_go_on() -> None:
    """As ``last_entry`` of the other lines does."""
    stream = io.BytesIO()
    exporter = OtelExporter(OtlpJsonLines(stream), log_id="00" * 16, name="otel:test")
    exporter.export(entries())
    exporter.export(entries()[:1])
    first, second = stream.getvalue().splitlines()
    assert last_entry(first) == (2, "02" * 32)
    assert last_entry(second) == (1, "01" * 32)


@pytest.mark.parametrize("line", [b"", b"x", b"[]", b"{}", b'{"resourceSpans":[]}', b'{"seq":1,"chain_hash":"00"}'])
def test_another_line_tells_nothing(line: bytes) -> None:
    """It raises, so that the file is not taken for one of ours."""
    with pytest.raises(ValueError, match="not a line of exported spans"):
        last_entry(line)

"""Queued ``record()`` against an OpenTelemetry span of the same facts, and how fast a full queue is written."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from counterfoil.audit import AuditLog
from counterfoil.audit.scope import scope
from counterfoil.exporters.otel import OtelExporter
from counterfoil.exporters.sql import open_source

from .figure import Figure, micro, seconds
from .sample import KEY, SURROUNDINGS, event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.util.types import AttributeValue

_FILL = 8_000


class _Nowhere(SpanExporter):
    """A destination that costs nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 -- the SDK's signature
        """Take all."""
        return SpanExportResult.SUCCESS


def measure(folder: Path) -> list[Figure]:
    """Measure what a caller pays, and what is written behind it."""
    attributes = _attributes(folder / "span.db")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    tracer = provider.get_tracer("bench")

    def span() -> None:
        tracer.start_span("read_mail", attributes=attributes).end()

    baseline = f"SDK span of {len(attributes)} attributes, batch processor"
    with AuditLog.open(folder / "queued.db", fingerprint_key=KEY, delivery="queued") as log, scope(**SURROUNDINGS):
        tight = _caller(log, span, f"queued `record()`, its caller, in a tight loop|{baseline}", 2000, 0)
        calm = _caller(log, span, f"queued `record()`, its caller, once in 2 ms|{baseline}", 500, 0.002)
        behind = _behind(log)
    provider.shutdown()
    return [tight, calm, behind]


def _attributes(path: Path) -> dict[str, AttributeValue]:
    """Return the event of the benches as the attributes of a span."""
    with AuditLog.open(path, fingerprint_key=KEY) as log, scope(**SURROUNDINGS):
        seq = log.record(event()).seq
    source, spans = open_source(str(path)), InMemorySpanExporter()
    OtelExporter(spans, log_id=source.log_id, name="bench").export(source.entries_after(seq - 1, 1))
    source.close()
    return dict(spans.get_finished_spans()[0].attributes or {})


def _caller(log: AuditLog, span: Callable[[], None], names: str, times: int, pause: float) -> Figure:
    """Time both by turns, each after the same pause, during which other code could run."""
    left: list[float] = []
    right: list[float] = []
    for each in [event() for _ in range(times)]:
        time.sleep(pause)
        left.append(seconds(lambda given=each: log.record(given)))
        time.sleep(pause)
        right.append(seconds(span))
    log.flush(deadline=60)
    what, baseline = names.split("|")
    measured, expected = statistics.median(left), statistics.median(right)
    return Figure(what, micro(measured), f"{baseline}: {micro(expected)}", f"{measured / expected:.2f}", "≤ 1.5")


def _behind(log: AuditLog) -> Figure:
    """Fill the queue, and time from the first call until everything is on disk."""
    events = [event() for _ in range(_FILL)]
    began = time.perf_counter()
    for each in events:
        log.record(each)
    accepted = time.perf_counter() - began
    log.flush(deadline=60)
    took = time.perf_counter() - began
    what = f"queued, {_FILL:,} entries from one thread, until all are on disk"
    return Figure(what, f"{_FILL / took:,.0f} entries/s; accepted at {_FILL / accepted:,.0f}/s")

"""Turning entries into spans, against making the same span with the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from counterfoil.exporters.otel import OtelExporter
from counterfoil.exporters.sql import open_source

from .figure import Figure, alternately, micro
from .sample import full_log

if TYPE_CHECKING:
    from pathlib import Path

_BATCH = 500


def measure(folder: Path) -> list[Figure]:
    """Measure the time for one span."""
    full_log(folder / "full.db", _BATCH)
    source = open_source(str(folder / "full.db"))
    entries = source.entries_after(0, _BATCH)
    ours = InMemorySpanExporter()
    exporter = OtelExporter(ours, log_id=source.log_id, name="bench")
    exporter.export(entries)
    attributes = dict(ours.get_finished_spans()[-1].attributes or {})
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    tracer = provider.get_tracer("bench")

    def with_the_sdk() -> None:
        for _ in range(_BATCH):
            tracer.start_span("read_mail", attributes=attributes).end()

    def fresh() -> None:
        ours.clear()
        exporter.export(source.entries_after(0, _BATCH))

    measured, baseline = (each / _BATCH for each in alternately(fresh, with_the_sdk, 10))
    source.close()
    what = f"one entry read, parsed and made a span of {len(attributes)} attributes"
    return [
        Figure(what, micro(measured), f"SDK span, simple processor: {micro(baseline)}", f"{measured / baseline:.2f}")
    ]

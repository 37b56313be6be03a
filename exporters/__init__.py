"""Where records go: the SQL store, and destinations that follow it with a cursor.

Quick start::

    from counterfoil.exporters import forward
    from counterfoil.exporters.otlp import otlp_exporter
    from counterfoil.exporters.sql import open_source

    source = open_source("sqlite:///audit.db")
    forward(source, otlp_exporter(source.log_id, endpoint="http://localhost:4318"))

The destinations are modules, imported when they are wanted: ``otel`` (any ``SpanExporter``), ``otlp`` (a collector;
needs the extra ``otlp``), ``otlp_json`` (OTLP in a file), ``jsonl`` (lines).
"""

from .forward import Forwarded, follow, forward
from .protocol import Exporter, Source

__all__ = ["Exporter", "Forwarded", "Source", "follow", "forward"]

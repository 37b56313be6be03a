"""The redactor around the exporter of an application's own spans: one line where the provider is made.

Run it: ``python guarded_spans.py``. With ``OTEL_EXPORTER_OTLP_ENDPOINT`` it sends them there, otherwise it prints them.
"""

import os
import secrets

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from counterfoil.audit.guard.spans import RedactingSpanProcessor
from counterfoil.audit.redaction.known import remember_secret


def read_mail(token: str) -> None:
    """Fail, and say for whom."""
    raise PermissionError(f"refused for {token}")


def main() -> None:
    """Throw a secret through attributes, an event, an exception and the status of a span."""
    exporter = OTLPSpanExporter() if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ else ConsoleSpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(RedactingSpanProcessor(BatchSpanProcessor(exporter)))
    token = os.environ.get("EXAMPLE_TOKEN") or secrets.token_urlsafe(32)
    remember_secret(token)  # it has no form by which it could be told; what capture has seen is remembered by itself
    try:
        with provider.get_tracer("mail").start_as_current_span("read_mail") as span:
            span.set_attribute("url.full", f"https://mail.example/inbox?q={token}")
            span.set_attribute("http.request.header.authorization", [f"Bearer {token}"])
            span.add_event("answered", {"body": f"{token} is unknown here"})
            read_mail(token)
    except PermissionError:
        provider.shutdown()


if __name__ == "__main__":
    main()

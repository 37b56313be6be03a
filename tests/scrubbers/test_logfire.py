"""Logfire's SDK in its default configuration: what its scrubber does to spans on each way that they can take."""

from __future__ import annotations

import importlib
import json
import re
import secrets
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import cycle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.otel_attributes import Subject
from counterfoil.exporters.otel_values import attributes_of
from counterfoil.schemas import Action, Context, CredentialUse, FingerprintKey, Resource, Token
from counterfoil.schemas.vocabulary import Observer, TokenClass

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from conftest import Value

    Through = Callable[[dict[str, Value]], dict[str, Value]]

pytestmark = pytest.mark.backends


def pipeline(**options: Any) -> Through:
    """Return a way through a Logfire that is configured like this: attributes of a span, as they come out."""
    logfire: Any = importlib.import_module("logfire")
    spans = InMemorySpanExporter()
    processors = [SimpleSpanProcessor(spans)]
    configured = logfire.configure(
        local=True, send_to_logfire=False, console=False, additional_span_processors=processors, **options
    )
    tracer = configured.config.get_tracer_provider().get_tracer("counterfoil")

    def through(attributes: dict[str, Value]) -> dict[str, Value]:
        tracer.start_span("execute_tool send_mail", attributes=attributes).end()
        (span,) = spans.get_finished_spans()
        spans.clear()
        found: dict[str, Value] = json.loads(span.to_json())["attributes"]
        return {name: value for name, value in found.items() if not name.startswith("logfire.")}

    return through


@pytest.fixture
def through() -> Through:
    """Give the way through a Logfire as it is when nobody configures its scrubber."""
    return pipeline()


def test_every_name_and_typical_value_passes(through: Through, typical: dict[str, Value]) -> None:
    """No name of the table is searched for, and neither are digests, times, ids and ordinary addresses."""
    assert through(typical) == typical


def test_the_scrubber_is_at_work(through: Through) -> None:
    """In this very pipeline a name or a value with one of its words is blanked: silence means something."""
    assert through({"counterfoil.jwt.class": "x"}) != {"counterfoil.jwt.class": "x"}
    assert through({"counterfoil.token.class": "a secret"}) != {"counterfoil.token.class": "a secret"}


def test_the_terms_that_are_blanked_are_those_on_the_page(
    through: Through, spans_of_terms: list[dict[str, Value]], listed: Callable[[str], list[str]]
) -> None:
    """Each term, at each attribute that can say it, comes out as it went in, or is listed."""
    blanked: set[object] = set()
    for span in spans_of_terms:
        passed = through(span)
        assert set(passed) == set(span)
        blanked |= {term for name, value in span.items() if passed[name] != value for term in _items(value)}
    assert sorted(listed("blanked by Logfire")) == sorted(map(str, blanked))


def _items(value: Value) -> list[object]:
    return [*value] if isinstance(value, list) else [value]


def test_the_callback_on_the_page_keeps_everything(
    page: str, unlucky: dict[str, Value], spans_of_terms: list[dict[str, Value]]
) -> None:
    """Every term and every unlucky value, at all attributes; and nothing of other people's spans."""
    keeping = pipeline(**_options_on(page))
    for span in (unlucky, *spans_of_terms):
        assert keeping(span) == span
    blanked = {name for name, value in unlucky.items() if pipeline()(unlucky)[name] != value}
    assert {"counterfoil.token.issuer", "counterfoil.token.scopes", "server.address", "gen_ai.agent.id"} <= blanked
    assert keeping({"app.note": "a secret"}) != {"app.note": "a secret"}


def _options_on(page: str) -> dict[str, Any]:
    """Run the page's example, and return what it configures."""
    logfire: Any = importlib.import_module("logfire")
    found: dict[str, Any] = {}
    known = SimpleNamespace(
        ScrubMatch=logfire.ScrubMatch, ScrubbingOptions=logfire.ScrubbingOptions, configure=found.update
    )
    (example,) = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(compile(example, "opentelemetry.md", "exec"), {"logfire": known})
    return found


APPLICATION = """
import sys
import logfire, sentry_sdk
from counterfoil.exporters import forward
from counterfoil.exporters.otlp import otlp_exporter
from counterfoil.exporters.sql import open_source

logfire.configure(send_to_logfire=False, console=False)
sentry_sdk.init(dsn="http://public@127.0.0.1:9/1", traces_sample_rate=1.0, auto_enabling_integrations=False)
source = open_source(sys.argv[1])
with logfire.span("exporting"), sentry_sdk.start_transaction(name="exporting"):
    forward(source, otlp_exporter(source.log_id, endpoint=sys.argv[2]))
"""
"""An application with both SDKs, as their manuals have it, that exports in its own process."""


def test_spans_that_go_to_an_endpoint_pass_no_scrubber(tmp_path: Path) -> None:
    """What the collector receives is what was sent, also from within an application that both SDKs watch."""
    path = tmp_path / "audit.db"
    with AuditLog.open(path, fingerprint_key=FingerprintKey(secrets.token_bytes(32))) as log:
        for observer, token_class in zip(cycle(Observer), TokenClass, strict=False):
            token = Token(token_class=token_class, issuer="https://auth.example/session", basis="verified_jwt")
            resource, action = Resource(uri="https://auth.example/oauth"), Action(name="authorize")
            context = Context(observer=observer)
            log.record(CredentialUse(context=context, token=token, resource=resource, action=action))
    with _collector() as (endpoint, received):
        ran = subprocess.run(
            [sys.executable, "-c", APPLICATION, path, endpoint], capture_output=True, timeout=60, check=False
        )
    assert ran.returncode == 0, ran.stderr
    with AuditReader.open(path) as reader:
        sent = [attributes_of(Subject(entry, entry.event, reader.log_id)) for entry in reader.find(Filter())]
    assert received == sent
    assert len(sent) > len(TokenClass)


@contextmanager
def _collector() -> Generator[tuple[str, list[dict[str, Any]]]]:
    """Run an OTLP collector. Yield where it is, and the attributes of the spans that it receives."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            spans = [
                span for resource in request.resource_spans for each in resource.scope_spans for span in each.spans
            ]
            received.extend({each.key: _value(each.value) for each in span.attributes} for span in spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name in http.server
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _value(value: Any) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    return getattr(value, kind)

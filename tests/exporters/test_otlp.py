"""Spans over real sockets: what a collector receives over HTTP and gRPC, and what happens when it does not."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from counterfoil.exporters import forward
from counterfoil.exporters.otel import OtelExporter, resource_of, span_of
from counterfoil.exporters.otlp import LONGEST_TIMEOUT, otlp_exporter, resolve
from counterfoil.exporters.sql import SqliteSource
from counterfoil.schemas import (
    Action,
    Agent,
    ApprovalEvent,
    Compromise,
    ConfigurationError,
    Context,
    CredentialChange,
    CredentialUse,
    Event,
    ExportFailed,
    LogEvent,
    MissingExtra,
    Resource,
    Token,
    Tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span
    from opentelemetry.sdk.trace import ReadableSpan

    from counterfoil.exporters.sql import Pending, Writer

    Behaviour: TypeAlias = Callable[[ExportTraceServiceRequest], str]
    Seal: TypeAlias = Callable[..., Pending]

grpc: Any = importlib.import_module("grpc")
trace_service: Any = importlib.import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(Protocol):
    """An OTLP collector on loopback."""

    protocol: str
    endpoint: str
    requests: list[ExportTraceServiceRequest]
    headers: list[dict[str, str]]
    behave: Behaviour
    """What to do with a request: ok, refuse, busy, unauthenticated, hang, close, reject, too large, redirect."""


def always(behaviour: str) -> Behaviour:
    """Do the same with every request."""
    return lambda _request: behaviour


def spans_of(*requests: ExportTraceServiceRequest) -> list[Span]:
    """Return every span of the requests."""
    return [
        span for request in requests for each in request.resource_spans for scope in each.scope_spans
        for span in scope.spans
    ]  # fmt: skip


def seqs_of(*requests: ExportTraceServiceRequest) -> list[int]:
    """Return the sequence numbers of the entries that arrived whole."""
    attributes = [plain_attributes(span) for span in spans_of(*requests)]
    return [each["counterfoil.entry.seq"] for each in attributes if each["counterfoil.event.kind"] != "stub"]


def plain_attributes(of: Any) -> dict[str, Any]:
    """Return protobuf attributes as Python values."""
    return {each.key: plain_value(each.value) for each in of.attributes}


def plain_value(value: Any) -> Any:
    """Return a protobuf value as a Python value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(plain_value(item) for item in value.array_value.values)
    return getattr(value, kind)


class HttpCollector:
    """OTLP over HTTP (OTLP §otlphttp): protobuf in, protobuf out, at ``/v1/traces`` only."""

    protocol = "http"

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.behave: Behaviour = always("ok")
        self.released = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                request = ExportTraceServiceRequest.FromString(body)
                behaviour = collector.behave(request)
                if behaviour == "hang":
                    collector.released.wait(30)
                elif behaviour == "close":
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
                    self.answer(404)
                elif behaviour in STATUSES:
                    self.answer(STATUSES[behaviour])
                else:
                    collector.requests.append(request)
                    self.answer(200, answer_to(behaviour).SerializeToString())

            def answer(self, status: int, body: bytes = b"") -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(body)))
                if status == 302:
                    self.send_header("Location", f"{collector.endpoint}/login")
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                """Be the login page that a redirect leads to."""
                self.answer(200)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name in http.server
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        """Stop, and let go of requests that hang."""
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


STATUSES = {"refuse": 500, "busy": 503, "unauthenticated": 401, "redirect": 302, "too large": 413}


def answer_to(behaviour: str) -> ExportTraceServiceResponse:
    """Return the answer to a request that was taken, wholly or in part."""
    answer = ExportTraceServiceResponse()
    if behaviour == "reject":
        answer.partial_success.rejected_spans = 2
        answer.partial_success.error_message = "two of them look odd"
    return answer


class GrpcCollector:
    """OTLP over gRPC (OTLP §otlpgrpc)."""

    protocol = "grpc"

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.behave: Behaviour = always("ok")
        self.released = threading.Event()
        collector = self

        class Servicer(trace_service.TraceServiceServicer):
            def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802 -- the name in opentelemetry-proto
                collector.headers.append({each.key: each.value for each in context.invocation_metadata()})
                behaviour = collector.behave(request)
                if behaviour == "hang":
                    collector.released.wait(30)
                elif behaviour in CODES:
                    context.abort(CODES[behaviour], "no")
                collector.requests.append(request)
                return answer_to(behaviour)

        self.server = grpc.server(ThreadPoolExecutor(16))
        trace_service.add_TraceServiceServicer_to_server(Servicer(), self.server)
        self.endpoint = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def close(self) -> None:
        """Stop, and let go of requests that hang."""
        self.released.set()
        self.server.stop(None).wait()


CODES = {
    "refuse": grpc.StatusCode.INTERNAL,
    "busy": grpc.StatusCode.UNAVAILABLE,
    "close": grpc.StatusCode.UNAVAILABLE,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "too large": grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but the test say where the collector is."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(importlib.import_module("counterfoil.exporters.forward"), "_FIRST_PAUSE", 0.001)


@pytest.fixture(params=[HttpCollector, GrpcCollector], ids=["http", "grpc"])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    """Run a collector of each protocol."""
    with closing(request.param()) as running:
        yield running


@pytest.fixture
def source(writer: Writer, seal: Seal, address: Path) -> Iterator[SqliteSource]:
    """Give a log with one event of each kind, and uses as the demo makes them."""
    for event in samples():
        writer.append(seal(event))
    with closing(SqliteSource(address)) as opened:
        yield opened


def samples() -> list[Event]:
    """Return events of every kind."""
    around = Context(
        occurred_at="2026-11-23T12:00:00.123456Z", trace_id=TRACE, span_id=PARENT, task="t-42", tenant="ä€😀",
        agent=Agent(id="mail-agent"), tool=Tool(name="send_mail", call_id="c-1"),
    )  # fmt: skip
    token = Token(token_class="bearer_opaque", audience=("https://api.example", "b"), scopes=("mail.send",))
    sending = Action(
        name="send_mail", method="POST", target="https://api.example/mail", status_code=403, outcome="refused",
        phase="outcome", started_at="2026-11-23T12:00:00Z", ended_at="2026-11-23T12:00:00.123456Z",
    )  # fmt: skip
    resource = Resource(uri="https://api.example/mail")
    moments = (Context(occurred_at=f"2026-11-23T12:00:0{second}Z") for second in range(5))
    return [
        LogEvent(context=next(moments), change="created"),
        CredentialUse(context=around, token=token, resource=resource, action=sending),
        CredentialUse(
            context=next(moments), token=token, resource=resource,
            action=Action(name="read", phase="intent", outcome="pending"),
        ),
        CredentialChange(context=next(moments), change="issued", token=token),
        ApprovalEvent(context=next(moments), approval_id="ap-1", state="granted", action=sending, approver="bob"),
        Compromise(context=next(moments), leaked="token", place="tool_trace"),
    ]  # fmt: skip


def exporter_to(collector: Collector, source: SqliteSource) -> OtelExporter:
    """Return the exporter to a collector."""
    return otlp_exporter(source.log_id, endpoint=collector.endpoint, protocol=collector.protocol)


def assert_same(received: Span, sent: ReadableSpan) -> None:
    """Compare a received span with the one that was sent: ids, times, name, kind, status, every attribute."""
    context = sent.get_span_context()
    assert context is not None
    assert received.trace_id == context.trace_id.to_bytes(16, "big")
    assert received.span_id == context.span_id.to_bytes(8, "big")
    assert received.parent_span_id == (sent.parent.span_id.to_bytes(8, "big") if sent.parent else b"")
    assert (received.name, received.kind) == (sent.name, sent.kind.value + 1)
    assert (received.start_time_unix_nano, received.end_time_unix_nano) == (sent.start_time, sent.end_time)
    assert (received.status.code, received.status.message) == (sent.status.status_code.value, "")
    assert plain_attributes(received) == dict(sent.attributes or {})
    assert (received.dropped_attributes_count, len(received.events), len(received.links)) == (0, 0, 0)


def test_a_collector_receives_what_the_log_holds(collector: Collector, source: SqliteSource) -> None:
    """Every span, attribute by attribute; ids and nanoseconds are equal; resource and scope are ours."""
    with closing(exporter_to(collector, source)) as exporter:
        assert forward(source, exporter).sent == 6
    received = spans_of(*collector.requests)
    sent = [span_of(entry, source.log_id, resource_of()) for entry in source.entries_after(0, 100)]
    assert len(received) == len(sent) == 6
    for one, other in zip(received, sent, strict=True):
        assert_same(one, other)
    of_resource = collector.requests[0].resource_spans[0]
    assert plain_attributes(of_resource.resource) == {"service.name": "counterfoil"}
    assert of_resource.scope_spans[0].scope.name == "counterfoil"
    assert of_resource.scope_spans[0].schema_url.startswith("https://counterfoil.invalid/")


def test_the_parent_and_the_length_arrive(collector: Collector, source: SqliteSource) -> None:
    """Not compared with our own span, but with what the event says."""
    with closing(exporter_to(collector, source)) as exporter:
        forward(source, exporter)
    span = spans_of(*collector.requests)[1]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 123_456_000
    assert (span.name, span.status.code) == ("execute_tool send_mail", 2)
    assert plain_attributes(span)["counterfoil.tenant"] == "ä€😀"
    assert plain_attributes(span)["counterfoil.token.audience"] == ("https://api.example", "b")


def test_a_repeated_export_sends_the_same_bytes(collector: Collector, source: SqliteSource) -> None:
    """So a backend that knows span ids counts an entry once."""
    entries = source.entries_after(0, 100)
    with closing(exporter_to(collector, source)) as exporter:
        exporter.export(entries)
        exporter.export(entries)
    first, second = collector.requests
    assert first == second


@pytest.mark.parametrize("behaviour", ["refuse", "busy", "unauthenticated", "hang", "close", "reject", "too large"])
def test_any_answer_but_success_is_a_failure_and_moves_no_cursor(
    collector: Collector, source: SqliteSource, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded, the sentence says what happened, and when the collector is well again all arrives."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
    collector.behave = always(behaviour)
    started = time.monotonic()
    with closing(exporter_to(collector, source)) as exporter:
        with pytest.raises(ExportFailed) as caught:
            forward(source, exporter)
        assert source.cursor(exporter.name) == 0
        assert time.monotonic() - started < 6
        assert str(caught.value) == f"{exporter.name} {SENTENCES[collector.protocol][behaviour]}"
        collector.behave = always("ok")
        collector.requests.clear()
        assert forward(source, exporter).sent == 6
    assert seqs_of(*collector.requests) == [1, 2, 3, 4, 5, 6]


_UNREACHED = "cannot be reached, or closed the connection"
SENTENCES = {
    "http": {
        "refuse": "answered HTTP 500", "busy": "answered HTTP 503", "unauthenticated": "answered HTTP 401",
        "hang": "did not answer in time", "close": _UNREACHED, "reject": "rejected 2 of the spans",
        "too large": "answered HTTP 413",
    },
    "grpc": {
        "refuse": "answered INTERNAL", "busy": _UNREACHED, "unauthenticated": "answered UNAUTHENTICATED",
        "hang": "did not answer in time", "close": _UNREACHED, "reject": "rejected 2 of the spans",
        "too large": "answered RESOURCE_EXHAUSTED",
    },
}  # fmt: skip


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_unreachable_collector_is_named_soon(source: SqliteSource, protocol: str) -> None:
    """Host and port stand in the error, and nothing was counted."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        started = time.monotonic()
        with closing(otlp_exporter(source.log_id, endpoint=endpoint, protocol=protocol)) as exporter:
            with pytest.raises(ExportFailed, match=f"otel:{endpoint} cannot be reached"):
                forward(source, exporter)
            assert source.cursor(exporter.name) == 0
    assert time.monotonic() - started < 5


def test_one_attempt_is_one_request(collector: Collector, source: SqliteSource) -> None:
    """The SDK's own repetitions, of up to a minute, are not added to ours."""
    collector.behave = always("busy")
    with closing(exporter_to(collector, source)) as exporter:
        with pytest.raises(ExportFailed):
            exporter.export(source.entries_after(0, 100))
        assert len(collector.headers) == 1


def test_a_redirect_is_not_arrival(source: SqliteSource) -> None:
    """An expired login answers 302, and the page behind it 200; the SDK would call both a success."""
    with closing(HttpCollector()) as collector:
        collector.behave = always("redirect")
        with closing(exporter_to(collector, source)) as exporter, pytest.raises(ExportFailed, match="HTTP 302"):
            exporter.export(source.entries_after(0, 100))


def test_a_poison_entry_is_stubbed_over_the_wire(collector: Collector, source: SqliteSource) -> None:
    """A collector that refuses one span gets its stub, which names the entry, and all the others."""
    collector.behave = lambda request: "refuse" if 2 in seqs_of(request) else "ok"
    with closing(exporter_to(collector, source)) as exporter:
        assert forward(source, exporter).stubbed == (2,)
        assert source.cursor(exporter.name) == 6
    assert seqs_of(*collector.requests) == [1, 3, 4, 5, 6]
    stub = next(span for span in spans_of(*collector.requests) if span.name == "stub")
    refused = source.entries_after(1, 1)[0]
    attributes = plain_attributes(stub)
    assert attributes["counterfoil.entry.chain_hash"] == refused.chain_hash.hex()
    assert attributes["counterfoil.stub.size"] == len(refused.body.encode())


EXPORT = """
import sys
from counterfoil.exporters import forward
from counterfoil.exporters.otlp import otlp_exporter
from counterfoil.exporters.sql import open_source
source = open_source(sys.argv[1])
forward(source, otlp_exporter(source.log_id, endpoint=sys.argv[2], protocol=sys.argv[3]), batch=5)
"""


@pytest.mark.parametrize("killed_in", [1, 9])
def test_a_killed_export_goes_on_and_leaves_nothing_out(
    collector: Collector, writer: Writer, seal: Seal, address: Path, killed_in: int
) -> None:
    """SIGKILL while the collector has a batch that nobody was told of; the next run sends it again."""
    for _ in range(47):
        writer.append(seal())
    held, killed = threading.Event(), threading.Event()

    def hold(_request: ExportTraceServiceRequest) -> str:
        if len(collector.headers) == killed_in:
            held.set()
            killed.wait(20)
        return "ok"

    collector.behave = hold
    command = [sys.executable, "-c", EXPORT, str(address), collector.endpoint, collector.protocol]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as export:
        assert held.wait(20), export.communicate()
        export.send_signal(signal.SIGKILL)
        assert export.wait() == -signal.SIGKILL
    killed.set()
    deadline = time.monotonic() + 10
    while len(collector.requests) < killed_in and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seqs_of(*collector.requests) == list(range(1, 5 * killed_in + 1))
    collector.behave = always("ok")
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    arrived = seqs_of(*collector.requests)
    assert sorted(set(arrived)) == list(range(1, 48))
    assert len(arrived) == 47 + 5


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("spoilt", ["", "\r\n", "%00", "€"])
def test_no_header_is_ever_shown(  # noqa: PLR0913, PLR0917 -- every place where one could show
    protocol: str,
    spoilt: str,
    source: SqliteSource,
    secret: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Headers hold the backend's key. With a good one or a bad one, no error, log line or output quotes it."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{secret}{spoilt}x")
    monkeypatch.setenv("COUNTERFOIL_LOG", "debug")
    with pytest.raises((ExportFailed, ConfigurationError)) as caught:
        forward(source, otlp_exporter(source.log_id, endpoint="http://127.0.0.1:9", protocol=protocol))
    error = caught.value
    shown = [str(error), repr(error), error.advice, repr(error.__cause__), str(caught.getrepr()), caplog.text]
    assert not [position for position, text in enumerate([*shown, *capfd.readouterr()]) if secret in text]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_headers_that_cannot_be_read_are_an_error_that_does_not_show_them(
    protocol: str, secret: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK would log the header, and go on without it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization: Bearer {secret}")
    with pytest.raises(ConfigurationError) as caught:
        otlp_exporter("00" * 16, protocol=protocol)
    assert secret not in f"{caught.getrepr()} {caplog.text} {caught.value!r}"
    assert "HEADERS" in caught.value.advice


def test_headers_arrive(collector: Collector, source: SqliteSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what most backends know a customer by."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme,authorization=Bearer%20t")
    with closing(exporter_to(collector, source)) as exporter:
        exporter.export(source.entries_after(0, 1))
    assert collector.headers[0]["x-tenant"] == "acme"
    assert collector.headers[0]["authorization"] == "Bearer t"


def test_other_exporters_keep_their_log(caplog: pytest.LogCaptureFixture, source: SqliteSource) -> None:
    """Ours say nothing through ``logging``; those of the application say what they said before."""
    with closing(otlp_exporter(source.log_id, endpoint="http://127.0.0.1:9")) as exporter, pytest.raises(ExportFailed):
        exporter.export(source.entries_after(0, 1))
    assert caplog.text == ""
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").error("the application's own")
    assert "the application's own" in caplog.text


def test_a_certificate_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With gRPC it would otherwise be logged, and the default certificates used."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent/ca.pem")
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_"):
        otlp_exporter("00" * 16, endpoint="https://127.0.0.1:9", protocol="grpc")


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact line to install it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "counterfoil.exporters.otlp_http", raising=False)
    with pytest.raises(MissingExtra) as caught:
        otlp_exporter("00" * 16, protocol="http")
    assert "counterfoil[otlp]" in caught.value.advice


@pytest.mark.parametrize(
    ("variables", "arguments", "protocol", "url", "name"),
    [
        ({}, {}, "http", "http://localhost:4318/v1/traces", "otel:http://localhost:4318"),
        ({}, {"protocol": "grpc"}, "grpc", "http://localhost:4317", "otel:http://localhost:4317"),
        ({"PROTOCOL": "grpc"}, {}, "grpc", "http://localhost:4317", "otel:http://localhost:4317"),
        ({"PROTOCOL": "grpc", "TRACES_PROTOCOL": "http/protobuf"}, {}, "http", None, "otel:http://localhost:4318"),
        ({"ENDPOINT": "https://c/"}, {}, "http", "https://c/v1/traces", "otel:https://c:443"),
        ({"ENDPOINT": ""}, {}, "http", "http://localhost:4318/v1/traces", "otel:http://localhost:4318"),
        ({"ENDPOINT": "http://c:1"}, {"endpoint": "http://d:2"}, "http", "http://d:2/v1/traces", "otel:http://d:2"),
        ({"TRACES_ENDPOINT": "http://c:1/"}, {}, "http", "http://c:1/", "otel:http://c:1"),
        ({}, {"endpoint": "http://c:1/v1/traces"}, "http", "http://c:1/v1/traces", "otel:http://c:1"),
        ({}, {"endpoint": "http://u:pw@[::1]:1"}, "http", "http://u:pw@[::1]:1/v1/traces", "otel:http://[::1]:1"),
    ],
)
def test_where_the_collector_is(  # noqa: PLR0913, PLR0917 -- one column each
    variables: dict[str, str],
    arguments: dict[str, str],
    protocol: str,
    url: str | None,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arguments before variables, those for traces before the general ones, then localhost; a base gets the path."""
    for variable, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{variable}", value)
    found = resolve(**arguments)
    assert (found.protocol, found.name) == (protocol, name)
    assert url is None or found.url == url


def test_two_paths_on_one_host_are_two_destinations() -> None:
    """Each has its own cursor; the path, which may be a key, is not in the name."""
    first, second = (resolve(f"https://h/{tenant}").name for tenant in ("tenant-a", "tenant-b"))
    assert first != second
    assert "tenant" not in first + second


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENDPOINT", "localhost:4318"),
        ("ENDPOINT", "ftp://h"),
        ("ENDPOINT", "http:///x"),
        ("ENDPOINT", "http://h:99999"),
        ("ENDPOINT", "http://[broken"),
        ("PROTOCOL", "http/json"),
        ("TIMEOUT", "soon"),
        ("TIMEOUT", "-1"),
        ("TIMEOUT", "nan"),
        ("COMPRESSION", "brotli"),
    ],
)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_variable_without_meaning_is_an_error(
    protocol: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not replaced by a default in silence, and its value is not shown."""
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{variable}", value)
    with pytest.raises(ConfigurationError) as caught:
        otlp_exporter("00" * 16, protocol=None if variable == "PROTOCOL" else protocol)
    assert "OTEL_EXPORTER_OTLP_" in f"{caught.value} {caught.value.advice}"
    assert value not in str(caught.value)


def test_the_wait_has_an_end_whatever_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other SDKs read milliseconds there: 10000 would be almost three hours."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "10000")
    assert resolve().timeout == LONGEST_TIMEOUT
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2.5")
    assert resolve().timeout == 2.5

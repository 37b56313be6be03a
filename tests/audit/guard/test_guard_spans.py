"""The guards of an application's own spans, with the real SDK in front and a real OTLP exporter behind."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from counterfoil.audit.guard.reading import Reading
from counterfoil.audit.guard.spans import RedactingSpanExporter, RedactingSpanProcessor, redacted_span
from counterfoil.audit.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "ghp_" + secrets.token_hex(18)
TOKEN = secrets.token_urlsafe(32)


def _fail(token: str) -> None:
    raise ValueError(f"{token} is bad") from KeyError(token)


def _trace(provider: TracerProvider) -> None:
    """Make one span with a secret at every place where one can stand."""
    state = TraceState([("vendor", KEY)])
    other = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    span = provider.get_tracer("app").start_span(
        f"call {KEY}",
        kind=SpanKind.CLIENT,
        attributes={"url.full": f"https://a.example/x?q={TOKEN}", "url.query": f"q={TOKEN}", "retries": 2},
        links=[Link(other, {"note": KEY})],
    )
    span.set_attributes(
        {
            "http.request.header.authorization": [f"Bearer {TOKEN}"],
            "http.request.header.x-my-key": TOKEN,
            "db.password": TOKEN,
            "args": ["--token", TOKEN],
            "ok": True,
            "ratio": 0.5,
            "numbers": [1, 2],
        }
    )
    span.add_event("sent", {"body": json.dumps({"client_secret": TOKEN})})
    try:
        _fail(KEY)
    except ValueError as error:
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, f"failed for {KEY}"))
    span.end()


def _provider(resource: dict[str, Any] | None = None) -> tuple[TracerProvider, InMemorySpanExporter]:
    return TracerProvider(resource=Resource(resource or {}), shutdown_on_exit=False), InMemorySpanExporter()


def _bytes(exported: InMemorySpanExporter) -> bytes:
    return encode_spans(exported.get_finished_spans()).SerializeToString()


@pytest.mark.parametrize("at", ["processor", "exporter"])
def test_a_span_leaves_without_secrets(at: str, leaks: Callable[..., list[str]]) -> None:
    """Name, attributes, events, exceptions, status, links, trace state and resource; the rest stays."""
    provider, exported = _provider({"service.name": "app", "process.command_args": ["app", "--token", TOKEN]})
    if at == "processor":
        provider.add_span_processor(RedactingSpanProcessor(SimpleSpanProcessor(exported)))
    else:
        provider.add_span_processor(SimpleSpanProcessor(RedactingSpanExporter(exported)))
    _trace(provider)
    (span,) = exported.get_finished_spans()
    shown = _bytes(exported) + (span.to_json() or "").encode()
    assert leaks(KEY, shown) + leaks(TOKEN, shown) == []
    attributes = dict(span.attributes or {})
    assert attributes.pop("url.full") == "https://a.example/x?q=REDACTED"
    assert attributes.pop("url.query") == "q=REDACTED"
    assert attributes.pop("http.request.header.authorization") == ("Bearer [redacted:authorization]",)
    assert attributes.pop("args") == ("--token", "[redacted:argv]")
    assert attributes.pop("http.request.header.x-my-key") == "[redacted:header]"
    assert attributes.pop("db.password") == "[redacted:member]"
    assert attributes == {"retries": 2, "ok": True, "ratio": 0.5, "numbers": (1, 2)}
    assert (span.name, span.kind) == ("call [redacted:github]", SpanKind.CLIENT)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "failed for [redacted:github]")
    sent, raised = span.events
    assert json.loads(str((sent.attributes or {})["body"]))["client_secret"].startswith("[redacted:")
    assert "ValueError: [redacted:github] is bad" in str((raised.attributes or {})["exception.stacktrace"])
    assert span.links[0].context.span_id == 2
    assert span.links[0].context.trace_state == {"vendor": "[redacted:github]"}
    assert span.resource.attributes["service.name"] == "app"
    assert span.start_time is not None
    assert span.end_time is not None


def test_without_the_guard_it_is_all_there(leaks: Callable[..., list[str]]) -> None:
    """So that the test above means something."""
    provider, exported = _provider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    _trace(provider)
    assert leaks(KEY, _bytes(exported))
    assert leaks(TOKEN, _bytes(exported))


def test_what_is_clean_stays_the_same() -> None:
    """Ids, parent, times, scope, resource, and the counts of what the SDK had to drop."""
    provider = TracerProvider(
        resource=Resource({"service.name": "app"}),
        span_limits=SpanLimits(max_span_attributes=1, max_events=1, max_links=1),
        shutdown_on_exit=False,
    )
    guarded, plain = InMemorySpanExporter(), InMemorySpanExporter()
    provider.add_span_processor(RedactingSpanProcessor(SimpleSpanProcessor(guarded)))
    provider.add_span_processor(SimpleSpanProcessor(plain))
    with provider.get_tracer("app", "1.0").start_as_current_span("outer") as outer:
        outer.set_attributes({"a": 1, "b": [1.5, 2.5]})
        outer.add_event("one", {"c": "d"})
        outer.add_event("two", {"c": "d"})
        with provider.get_tracer("app").start_as_current_span("inner"):
            pass
    assert [span.to_json() for span in guarded.get_finished_spans()] == [
        span.to_json() for span in plain.get_finished_spans()
    ]
    assert _bytes(guarded) == _bytes(plain)


def test_a_redactor_that_fails_drops_no_span(leaks: Callable[..., list[str]]) -> None:
    """Nothing of it is shown but its ids, its times and its status."""

    class Broken(Redactor):
        def text(self, text: str) -> Any:
            raise RuntimeError(text)

        value = uri = text  # pyright: ignore[reportAssignmentType]

    provider, exported = _provider()
    provider.add_span_processor(RedactingSpanProcessor(SimpleSpanProcessor(exported), Broken()))
    _trace(provider)
    (span,) = exported.get_finished_spans()
    assert (span.name, span.status.status_code) == ("[redacted:error]", StatusCode.ERROR)
    assert span.context is not None
    assert leaks(KEY, _bytes(exported)) + leaks(TOKEN, _bytes(exported)) == []


def test_a_span_that_cannot_be_read_says_only_that() -> None:
    """It has its ids and times."""

    class Odd(ReadableSpan):
        @property
        def events(self) -> Any:
            raise RuntimeError(KEY)

    context = SpanContext(1, 2, is_remote=False)
    copy = redacted_span(Odd(KEY, context=context, start_time=1, end_time=2), Reading())
    assert (copy.name, copy.context, copy.start_time, copy.end_time) == ("[redacted:error]", context, 1, 2)
    assert KEY not in (copy.to_json() or "")


def test_flushing_and_shutting_down_reach_what_is_inside() -> None:
    """As the SDK asks for it."""
    asked: list[str] = []

    class Inside(InMemorySpanExporter):
        def force_flush(self, timeout_millis: int = 30000) -> bool:
            asked.append(f"flush {timeout_millis}")
            return True

        def shutdown(self) -> None:
            asked.append("shutdown")

    exporter = RedactingSpanExporter(Inside())
    assert exporter.force_flush(5)
    processor = RedactingSpanProcessor(SimpleSpanProcessor(exporter))
    assert processor.force_flush()
    processor.shutdown()
    assert asked == ["flush 5", "shutdown"]

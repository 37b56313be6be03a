"""OTLP, over HTTP or gRPC: where the collector is, and what to make of its answers.

The SDK's exporters do the sending, and read certificates, compression and headers from the standard
``OTEL_EXPORTER_OTLP_*`` variables. Three things of theirs are changed. They are given one attempt a batch, since
``forward`` does the repeating. An answer that means loss (a redirect, a partial success) is a failure. And their log
messages, which can quote headers, become the one sentence of an ``ExportFailed``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from counterfoil.schemas import ConfigurationError, ExportFailed, MissingExtra

from .otel import OtelExporter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

LONGEST_TIMEOUT: Final = 60.0
"""A batch is given up after so many seconds, whatever ``OTEL_EXPORTER_OTLP_TIMEOUT`` says."""

_PROTOCOLS = {"http": "http", "http/protobuf": "http", "grpc": "grpc"}
_DEFAULTS = {"http": "http://localhost:4318", "grpc": "http://localhost:4317"}
_TRACES_PATH = "/v1/traces"


def otlp_exporter(
    log_id: str, *, endpoint: str | None = None, protocol: str | None = None, resource: Resource | None = None
) -> OtelExporter:
    """Return the exporter to an OTLP collector.

    ``endpoint`` is a base URL, to which HTTP adds ``/v1/traces``; ``protocol`` is ``http`` or ``grpc``. Both default
    to the standard variables, and then to HTTP on localhost. Raises ``MissingExtra`` and ``ConfigurationError``.
    """
    destination = resolve(endpoint, protocol)
    return OtelExporter(OtlpSpanExporter(destination), log_id=log_id, name=destination.name, resource=resource)


@dataclass(frozen=True, slots=True)
class Destination:
    """An OTLP collector."""

    protocol: str
    """``http`` or ``grpc``."""
    url: str = field(repr=False)
    """The URL that requests go to. It may hold a password: not shown anywhere."""
    name: str
    """The same for people and for the cursor: scheme, host and port, and a digest of an unusual path."""
    timeout: float
    """Seconds for one batch."""


def resolve(endpoint: str | None = None, protocol: str | None = None) -> Destination:
    """Return the destination that arguments and environment mean. Raises ``ConfigurationError``."""
    given = protocol or _environment("PROTOCOL") or "http/protobuf"
    if given not in _PROTOCOLS:
        raise ConfigurationError(
            "the OTLP protocol has no meaning here",
            advice="Give http or grpc (OTEL_EXPORTER_OTLP_PROTOCOL: http/protobuf or grpc); http/json is not offered.",
        )
    chosen = _PROTOCOLS[given]
    url = _url(endpoint, chosen)
    return Destination(chosen, url, _name(url), _timeout())


def _environment(name: str) -> str | None:
    """Return the variable for traces, else the general one. An empty one counts as unset (OpenTelemetry §env)."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") or None


def _url(endpoint: str | None, protocol: str) -> str:
    """Return the URL. A base gets the path of traces; ``…_TRACES_ENDPOINT`` is taken as it stands (OTLP exporter)."""
    exact = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not endpoint and exact:
        return exact
    base = endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _DEFAULTS[protocol]
    if protocol == "grpc" or base.endswith(_TRACES_PATH):
        return base
    return base.rstrip("/") + _TRACES_PATH


def _name(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname:
        raise ConfigurationError(
            "the OTLP endpoint is not an http:// or https:// URL",
            advice="Expected something like http://localhost:4318, from --endpoint or OTEL_EXPORTER_OTLP_ENDPOINT.",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = parts.path in {"", "/", _TRACES_PATH} and not parts.query
    mark = "" if usual else "#" + hashlib.sha256(f"{parts.path}?{parts.query}".encode()).hexdigest()[:8]
    return f"otel:{parts.scheme}://{host}:{port}{mark}"


def _timeout() -> float:
    """Return the time for a batch in seconds, as the SDK for Python reads the variable; 10 unless told."""
    try:
        seconds = float(_environment("TIMEOUT") or 10)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ConfigurationError("OTEL_EXPORTER_OTLP_TIMEOUT is not a number of seconds above 0")
    return min(seconds, LONGEST_TIMEOUT)


class OtlpSpanExporter(SpanExporter):
    """The SDK's exporter, with one attempt a batch and a reason for every failure."""

    def __init__(self, destination: Destination) -> None:
        """Prepare sending; nothing is sent yet. Raises ``MissingExtra`` and ``ConfigurationError``."""
        self._destination = destination
        self._exporter = _made(destination)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans. Raises ``ExportFailed`` unless all of them arrived."""
        try:
            with _hushed():
                result = self._exporter.export(spans)
        except ExportFailed:
            if self._destination.protocol == "grpc":
                # On the old connection it would wait out a back-off of its own, of up to two minutes.
                self.shutdown()
                self._exporter = _made(self._destination)
            raise
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        with _hushed():
            self._exporter.shutdown()


def _made(destination: Destination) -> SpanExporter:
    make = _exporter_class(destination.protocol)
    try:
        with _hushed() as complaints:
            made = make(destination.url, destination.timeout, destination.name)
    except Exception:  # noqa: BLE001 -- the text may quote a variable
        raise _unreadable() from None
    if complaints:
        raise _unreadable()
    return made


def _unreadable() -> ConfigurationError:
    return ConfigurationError(
        "a variable OTEL_EXPORTER_OTLP_* cannot be read",
        advice="Look at HEADERS (name=value, separated by commas), COMPRESSION, and the files of CERTIFICATE, "
        "CLIENT_KEY and CLIENT_CERTIFICATE.",
    )


def _exporter_class(protocol: str) -> Callable[[str, float, str], SpanExporter]:
    try:
        if protocol == "grpc":
            from .otlp_grpc import GrpcSpanExporter

            return GrpcSpanExporter
        from .otlp_http import HttpSpanExporter
    except ImportError:
        raise MissingExtra("otlp") from None
    return HttpSpanExporter


_LOGGERS = (
    "grpc._common",
    "opentelemetry.attributes",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.common._internal",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http._common",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.util.re",
    "urllib3.connectionpool",
)


@contextmanager
def _hushed() -> Generator[list[str]]:
    """Keep what these loggers say on this thread from the application's log; yield who said something.

    A filter, for so long only: the application's own configuration, and its own exporters, are left alone.
    """
    speakers: list[str] = []
    thread = threading.get_ident()

    def ours(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        if record.levelno >= logging.WARNING:
            speakers.append(record.name)
        return False

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(ours)
    try:
        yield speakers
    finally:
        for logger in loggers:
            logger.removeFilter(ours)

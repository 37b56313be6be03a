"""OTLP over HTTP: the SDK's exporter on a session that says why a request failed, and never repeats or redirects it.

Needs the extra ``otlp``: import it when it is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from urllib3.exceptions import ProtocolError

from counterfoil.schemas import ExportFailed

from .http_deadline import WatchedAdapter, content_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult


class HttpSpanExporter(OTLPSpanExporter):
    """Raises ``ExportFailed`` with the reason, where the SDK's returns FAILURE and logs one."""

    def __init__(self, url: str, timeout: float, name: str) -> None:
        """``url`` is exact, ``timeout`` in seconds, ``name`` how errors call the collector."""
        self._requests = _OneRequest(name)
        super().__init__(endpoint=url, timeout=timeout, session=self._requests)  # type: ignore[arg-type,unused-ignore]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans in one request."""
        try:
            result = super().export(spans)
        finally:  # SDKs before 1.45 let the failure pass
            # Not kept: its traceback leads to the whole batch, in spans and in bytes.
            failure, self._requests.failure = self._requests.failure, None
        if failure:
            raise failure
        return result


class _OneRequest(requests.Session):
    """Keeps the failure of the last request: the SDK would take a redirect and a partial success for arrival."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.failure: ExportFailed | None = None
        self._watching = WatchedAdapter()
        for scheme in ("http://", "https://"):
            self.mount(scheme, self._watching)

    def request(self, *args: Any, **options: Any) -> requests.Response:
        options |= {"allow_redirects": False, "stream": True}
        with self._watching.within(options["timeout"]) as expired:
            try:
                response = super().request(*args, **options)
                content = content_of(response)
            except Exception as error:  # noqa: BLE001 -- the request did not arrive, and the text may quote a header
                raise self._failed(_IN_TIME if expired.is_set() else _reason(error)) from None
        if expired.is_set():  # headers that end with the connection look like an answer
            raise self._failed(_IN_TIME)
        if not 200 <= response.status_code < 300:
            raise self._failed(f"answered HTTP {response.status_code}")
        if rejected := _rejected(response, content):
            raise self._failed(f"rejected {rejected} of the spans")
        return response

    def _failed(self, reason: str) -> ExportFailed:
        self.failure = ExportFailed(f"{self._name} {reason}")
        return self.failure


def _reason(error: Exception) -> str:
    return next(
        (reason for kind, reason in _REASONS if isinstance(error, kind)),
        f"could not be asked ({type(error).__name__})",
    )


_IN_TIME = "did not answer in time"
_UNREACHED = "cannot be reached, or closed the connection"

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (requests.exceptions.SSLError, "failed the TLS handshake"),
    (requests.exceptions.Timeout, _IN_TIME),
    (requests.exceptions.ConnectionError, _UNREACHED),
    (ProtocolError, _UNREACHED),
    (requests.exceptions.InvalidHeader, "was not asked: a value in OTEL_EXPORTER_OTLP_HEADERS is no header value"),
    (UnicodeError, "was not asked: a value in OTEL_EXPORTER_OTLP_HEADERS is no header value"),
)


def _rejected(response: requests.Response, content: bytes) -> int:
    """Return how many spans a success leaves out (OTLP, partial success). Other content than protobuf says nothing."""
    if not response.headers.get("Content-Type", "").startswith("application/x-protobuf"):
        return 0
    try:
        return int(ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans)
    except DecodeError:
        return 0

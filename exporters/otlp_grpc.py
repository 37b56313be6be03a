"""OTLP over gRPC: the SDK's exporter with one call a batch, which says why it failed.

Needs the extra ``otlp``: import it when it is wanted.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from counterfoil.schemas import ExportFailed

_REASONS = {
    "DEADLINE_EXCEEDED": "did not answer in time",
    "UNAVAILABLE": "cannot be reached, or closed the connection",
}


class GrpcSpanExporter(OTLPSpanExporter):
    """Raises ``ExportFailed`` with the reason, where the SDK's returns FAILURE and logs one."""

    def __init__(self, url: str, timeout: float, name: str) -> None:
        """``timeout`` in seconds, ``name`` is how errors call the collector. A plain ``http`` URL means no TLS."""
        self._name = name
        insecure = urlsplit(url).scheme == "http"
        super().__init__(endpoint=url, insecure=insecure, timeout=timeout)  # type: ignore[arg-type,unused-ignore]

    # The SDK keeps its stub here, and makes a new one for a new connection; both pass through one call.
    @property
    def _client(self) -> Any:
        return self._stub_with_reasons

    @_client.setter
    def _client(self, stub: Any) -> None:
        self._stub_with_reasons = _OneCall(stub, self._name)


class _OneCall:
    """Turns any answer but full success into ``ExportFailed``, which the SDK neither repeats nor logs."""

    def __init__(self, stub: Any, name: str) -> None:
        self._stub = stub
        self._name = name

    def Export(self, **call: Any) -> Any:  # noqa: N802 -- the name in opentelemetry-proto
        try:
            answer = self._stub.Export(**call)
        except Exception as error:  # noqa: BLE001 -- the call did not arrive, and the text may quote a header
            raise ExportFailed(f"{self._name} {_reason(error)}") from None
        if rejected := answer.partial_success.rejected_spans:
            raise ExportFailed(f"{self._name} rejected {rejected} of the spans")
        return answer


def _reason(error: Exception) -> str:
    """Return what happened in words. A ``grpc.RpcError`` has a code; what else is raised concerns the metadata."""
    code: Any = getattr(error, "code", None)
    if code is None:
        return f"was not asked: a value in OTEL_EXPORTER_OTLP_HEADERS is no header value ({type(error).__name__})"
    name = str(code().name)
    return _REASONS.get(name, f"answered {name}")

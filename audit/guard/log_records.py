"""The redactor for the log records of the OpenTelemetry SDK, around whatever processes them.

::

    provider.add_log_record_processor(RedactingLogRecordProcessor(BatchLogRecordProcessor(OTLPLogExporter())))

A record may be changed on its way, and is: body, attributes (what an exception left there too), name of the event,
attributes of the resource. So processors that were added later get it redacted as well, and those before do not.

The SDK keeps its log records in a private package that still changes; this needs version 1.39 or newer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.resources import Resource

from .reading import FAILED, Reading
from .spans import as_given, redacted_attributes, redacted_resource

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadWriteLogRecord

    from ..redaction.redactor import Redactor


class RedactingLogRecordProcessor(LogRecordProcessor):
    """Redacts each record in place, then gives it to the processor inside. Never raises by itself, never drops."""

    def __init__(self, inside: LogRecordProcessor, redactor: Redactor | None = None) -> None:
        self._inside = inside
        self._reading = Reading(redactor)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Redact the record; one that fails has its times, its severity and its ids, and says so in its body."""
        try:
            self._redact(log_record)
        except Exception:  # noqa: BLE001 -- whatever went wrong, the record may hold a secret
            record = log_record.log_record
            record.body, record.attributes, record.event_name, record.exception = FAILED, {}, None, None
            log_record.resource = Resource({})
        self._inside.on_emit(log_record)

    def _redact(self, log_record: ReadWriteLogRecord) -> None:
        reading, record = self._reading, log_record.log_record
        record.exception = None  # whose attributes the SDK has set
        record.body = _body(record.body, reading)
        record.attributes = redacted_attributes(record.attributes, reading)
        for name in ("event_name", "severity_text"):
            if (text := getattr(record, name)) is not None:
                setattr(record, name, reading.shown(text))
        if log_record.resource is not None:
            log_record.resource = redacted_resource(log_record.resource, reading)

    def shutdown(self) -> None:
        """Shut down the processor inside."""
        self._inside.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the processor inside."""
        return self._inside.force_flush(timeout_millis)


def _body(body: Any, reading: Reading) -> Any:
    return as_given(body, reading.value(body))

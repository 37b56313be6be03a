"""The guard of the OpenTelemetry SDK's log records, with the real SDK in front and the OTLP encoding behind."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from counterfoil.audit.guard.log_records import RedactingLogRecordProcessor
from counterfoil.audit.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "ghp_" + secrets.token_hex(18)
PASSWORD = secrets.token_hex(12)


def _emitted(redactor: Redactor | None = None, *, guarded: bool = True) -> InMemoryLogRecordExporter:
    """Emit a record with a secret at every place where one can stand, and a clean one."""
    exported = InMemoryLogRecordExporter()
    processor: Any = SimpleLogRecordProcessor(exported)
    resource = Resource({"service.name": "app", "process.command_args": ["app", "--token", PASSWORD]})
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(RedactingLogRecordProcessor(processor, redactor) if guarded else processor)
    logger = provider.get_logger("app")
    logger.emit(
        body={"said": [f"it was {KEY}"], "password": PASSWORD},
        attributes={"http.request.header.cookie": f"sid={PASSWORD}", "n": 1},
        event_name=f"event {KEY}",
        severity_text="INFO",
        exception=ValueError(KEY),
    )
    logger.emit(body=b"\xff\x00", attributes={"list": [1, 2]}, timestamp=5)
    assert provider.force_flush()
    provider.shutdown()
    return exported


def _bytes(exported: InMemoryLogRecordExporter) -> bytes:
    return encode_logs(exported.get_finished_logs()).SerializeToString()


def test_a_record_leaves_without_secrets(leaks: Callable[..., list[str]]) -> None:
    """Body, attributes, the exception, the name of the event, the resource; what is clean stays as it is."""
    exported = _emitted()
    hiding, clean = (each.log_record for each in exported.get_finished_logs())
    assert leaks(KEY, _bytes(exported)) + leaks(PASSWORD, _bytes(exported)) == []
    assert hiding.body == {"said": ["it was [redacted:github]"], "password": "[redacted:member]"}
    assert hiding.attributes is not None
    assert hiding.attributes["http.request.header.cookie"] == "sid=[redacted:cookie]"
    assert (hiding.attributes["exception.message"], hiding.attributes["n"]) == ("[redacted:github]", 1)
    assert (hiding.event_name, hiding.severity_text) == ("event [redacted:github]", "INFO")
    assert (clean.body, clean.timestamp) == (b"\xff\x00", 5)
    assert dict(clean.attributes or {}) == {"list": (1, 2)}


def test_without_the_guard_it_is_all_there(leaks: Callable[..., list[str]]) -> None:
    """So that the test above means something."""
    exported = _emitted(guarded=False)
    assert leaks(KEY, _bytes(exported))
    assert leaks(PASSWORD, _bytes(exported))


def test_a_redactor_that_fails_drops_no_record(leaks: Callable[..., list[str]]) -> None:
    """Nothing of it is shown but its times and its severity."""

    class Broken(Redactor):
        def text(self, text: str) -> Any:
            raise RuntimeError(text)

        def value(self, value: Any) -> Any:
            raise RuntimeError(str(value))

    exported = _emitted(Broken())
    assert len(exported.get_finished_logs()) == 2
    assert leaks(KEY, _bytes(exported)) + leaks(PASSWORD, _bytes(exported)) == []

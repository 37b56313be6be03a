"""A service with a secret at every place where a runtime leaks; ``test_guard_everywhere`` runs it as a process.

``python service.py FOLDER ENDPOINT SECRETS [guarded]``: writes its log into FOLDER, and sends spans and log records to
ENDPOINT. The file SECRETS says what text to throw through which route, and which secrets are to be remembered. It ends
by an exception that nobody catches. The test searches its stdout, its stderr, what is in FOLDER, and what was sent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import linecache
import logging
import sys
import threading
import time
import urllib.request
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import structlog
import uvicorn
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, StatusCode
from rich.console import Console
from rich.logging import RichHandler

from counterfoil.audit.guard import access_log, hooks
from counterfoil.audit.guard import logging as log_guard
from counterfoil.audit.guard.log_records import RedactingLogRecordProcessor
from counterfoil.audit.guard.spans import RedactingSpanProcessor
from counterfoil.audit.guard.structlog import RedactingProcessor
from counterfoil.audit.redaction.known import remember_secret

LOGGER = logging.getLogger("service")


class AllAttributes(logging.Formatter):
    """Writes all that a record has, as formatters for JSON do."""

    def format(self, record: logging.LogRecord) -> str:
        """Add the attributes to the line."""
        line = super().format(record)
        return f"{line} {json.dumps(vars(record), default=repr)}"


class Client:
    """Shows its token, as a dataclass would."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __repr__(self) -> str:
        return f"Client({self.token!r})"


class Failing(Client):
    """Fails when it goes."""

    def __del__(self) -> None:
        raise ValueError(f"{self.token} was not closed")


def fail(token: str) -> None:
    """Fail with a token in the text, the cause, a note, a member of the group, and a local."""
    client = Client(token)
    try:
        {}[token]
    except KeyError as cause:
        group = ExceptionGroup(f"{client} failed", [OSError(2, f"no {token}"), ValueError(token)])
        group.add_note(f"It was {token}.")
        raise group from cause


def in_logging(secrets: dict[str, str]) -> None:
    """Throw secrets through the standard library's logging."""
    LOGGER.info("message " + secrets["message"])  # noqa: G003 -- that is the route
    LOGGER.info("argument %s %d", secrets["argument"], 5)
    LOGGER.info("named %(one)s", {"one": secrets["named argument"]})
    LOGGER.info("object %s", Client(secrets["object"]))
    LOGGER.info("nested %s", {"list": [{"header": ("Authorization", secrets["nested argument"])}]})
    LOGGER.info("extra", extra={"request": Client(secrets["extra object"]), "note": secrets["extra text"]})
    LOGGER.info("%d", secrets["argument that does not fit"])
    logging.getLogger(f"service.{secrets['name of a logger']}").info("named")
    threading.Thread(target=LOGGER.info, args=("x",), name=secrets["name of a thread"]).start()
    try:
        fail(secrets["exception"])
    except ExceptionGroup:
        LOGGER.exception("failed")
    try:
        fail(secrets["exception with locals"])
    except ExceptionGroup:
        logging.getLogger("service.rich").exception("failed")
    source = f"log.info('here', stack_info=True)  # {secrets['stack']}"
    linecache.cache["of a tool"] = (len(source), None, [source], "of a tool")
    exec(compile(source, "of a tool", "exec"), {"log": LOGGER})


def in_structlog(secrets: dict[str, str], guard: list[Any]) -> None:
    """Throw secrets through structlog: as text, as objects, and as an exception in each form that renderers get."""
    wide = structlog.dev.RichTracebackFormatter(width=400)  # a secret across two lines is none that the test finds
    shown = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=wide)
    json_lines = structlog.processors.JSONRenderer()
    structlog.configure(processors=[*guard, shown])
    structlog.get_logger().info("event " + secrets["structlog event"])
    structlog.get_logger().info("value", request={"client": Client(secrets["structlog value"])})
    for route, before, renderer in (
        ("structlog exception", [], shown),
        ("structlog traceback", [structlog.processors.format_exc_info], json_lines),
        ("structlog locals", [structlog.processors.dict_tracebacks], json_lines),
    ):
        structlog.configure(processors=[*before, *guard, renderer])
        try:
            fail(secrets[route])
        except ExceptionGroup:
            structlog.get_logger().exception("failed")


def in_spans(secrets: dict[str, str], tracer: Any) -> None:
    """Throw secrets through spans."""
    link = Link(SpanContext(1, 2, is_remote=True), {"note": secrets["span link"]})
    span = tracer.start_span(f"call {secrets['span name']}", links=[link])
    span.set_attribute("note", f"said {secrets['span attribute']}")
    span.set_attribute("list", ["a", secrets["span list"]])
    span.add_event(f"event {secrets['span event']}", {"note": f"said {secrets['span event attribute']}"})
    span.set_status(StatusCode.ERROR, f"refused for {secrets['span status']}")
    try:
        fail(secrets["span exception"])
    except ExceptionGroup as error:
        span.record_exception(error)
    span.end()


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Answer, or fail with what was asked for."""
    if scope["path"] == "/fail":
        raise ValueError(unquote(scope["query_string"].decode()))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mail"})


def in_server(secrets: dict[str, str]) -> None:
    """Throw secrets through a server: into its access log, and into a failure of its application."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    query, part, said = (quote(secrets[name]) for name in ("query", "path", "application"))
    for path in (f"mail?q={query}", f"in/{part}/mail", f"fail?{said}"):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}").close()
        except OSError:
            continue
    server.should_exit = True
    thread.join()


def in_hooks(secrets: dict[str, str]) -> None:
    """Throw secrets through what nobody catches."""
    warnings.warn(f"do not use {secrets['warning']}", stacklevel=1)
    thread = threading.Thread(target=fail, args=(secrets["exception in a thread"],))
    thread.start()
    thread.join()
    Failing(secrets["exception in a finalizer"])
    gc.collect()

    async def forgotten() -> None:
        task = asyncio.create_task(asyncio.to_thread(fail, secrets["exception in a task"]))
        await asyncio.wait([task])

    asyncio.run(forgotten())


def main(folder: Path, endpoint: str, secrets: dict[str, str], known: list[str], *, guarded: bool) -> None:
    """Configure all that writes or sends, guard it in one line each, and throw."""
    resource = Resource({"process.command_args": ["service", "--token", secrets["resource"]]})
    spans: Any = BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces"))
    records: Any = BatchLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs"))
    rich = RichHandler(console=Console(file=sys.stdout, width=400), rich_tracebacks=True, tracebacks_show_locals=True)
    logging.getLogger("service.rich").addHandler(rich)
    file = logging.FileHandler(folder / "service.log")
    file.setFormatter(AllAttributes("%(name)s %(threadName)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[file, logging.StreamHandler()])
    processors: list[Any] = []
    if guarded:
        remember_secret(*known)
        log_guard.install()
        access_log.install()
        hooks.install()
        processors.append(RedactingProcessor())
        spans, records = RedactingSpanProcessor(spans), RedactingLogRecordProcessor(records)
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(spans)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(records)
    in_logging(secrets)
    in_structlog(secrets, processors)
    in_spans(secrets, tracing.get_tracer("service"))
    logs.get_logger("service").emit(
        body={"said": [f"it was {secrets['log record']}"]}, attributes={"note": secrets["log record attribute"]}
    )
    in_server(secrets)
    in_hooks(secrets)
    tracing.shutdown()
    logs.shutdown()
    fail(secrets["exception that nobody catches"])


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[3]).read_text("utf-8"))
    main(Path(sys.argv[1]), sys.argv[2], given["routes"], given["known"], guarded="guarded" in sys.argv)

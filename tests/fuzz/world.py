"""A world with all the sinks that there are, each of them real: files, a collector, the command line, logs, spans."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from counterfoil.audit import AuditReader
from counterfoil.audit.guard.logging import RedactingFilter
from counterfoil.audit.guard.spans import RedactingSpanProcessor
from counterfoil.audit.guard.structlog import RedactingProcessor
from counterfoil.exporters import forward
from counterfoil.exporters.filter import Filter
from counterfoil.exporters.jsonl import LineExporter
from counterfoil.exporters.otlp import otlp_exporter
from counterfoil.exporters.sql import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canaries import Find, Search
    from planting import Planter
    from routes import Json

_ENDED: Final = re.compile(rb"\0\0the command ended with ([0-9]+)\0\0")


class Collector:
    """An OTLP collector on the loopback, which keeps every byte that it gets. It answers with this status."""

    def __init__(self, status: int = 200) -> None:
        self.bodies: list[bytes] = []
        self.status = status
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.bodies.append(str(self.headers).encode() + body)
                answer = b"" if collector.status == 200 else body  # a collector that quotes what it refuses
                self.send_response(collector.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the base class
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class World:
    """One log and everything that it ends in. All its files are below ``folder``."""

    folder: Path
    searches: tuple[Search, ...]
    finds: list[Find] = field(default_factory=list["Find"])
    _commands: list[tuple[list[str], str, int | None]] = field(default_factory=list[tuple[list[str], str, int | None]])

    @property
    def address(self) -> Path:
        """Where the log is."""
        return self.folder / "audit.db"

    def search(self, sink: str, *contents: bytes | str) -> None:
        """Look for canaries of every search."""
        for search in self.searches:
            self.finds += search(sink, *contents)

    def search_files(self) -> None:
        """Look through every file that there is: database, -wal, -shm, spilled, temporary, exported."""
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                self.search(_sink_of(file), file.read_bytes())

    def bodies(self) -> Iterator[bytes]:
        """Yield the body of every entry."""
        with AuditReader.open(self.address) as reader:
            for entry in reader.find(Filter()):
                yield entry.body.encode()

    def run(self, *arguments: object, stdin: str = "", code: int | None = None) -> None:
        """Run this command when ``run_all`` is called. ``code`` is how it must end."""
        self._commands.append(([str(each) for each in arguments], stdin, code))

    def run_all(self) -> None:
        """Run the commands in a process of their own, and search what each one says."""
        commands, self._commands = self._commands, []
        environment = {**os.environ, "COUNTERFOIL_DB": str(self.address), "COLUMNS": "2000", "COUNTERFOIL_LOG": "debug"}
        ran = subprocess.run(
            [sys.executable, "-W", "error", Path(__file__).with_name("commands.py")],
            input=json.dumps([(arguments, stdin) for arguments, stdin, _ in commands]).encode(),
            capture_output=True,
            env=environment,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        assert b"Traceback" not in ran.stderr
        said = zip(_ENDED.split(ran.stdout)[0::2], _ENDED.split(ran.stderr)[0::2], strict=True)
        for (arguments, _, code), (out, err), ended in zip(commands, said, _ENDED.findall(ran.stdout), strict=False):
            verb = " ".join([arguments[0], *[each for each in arguments[1:2] if arguments[0] in {"export", "db"}]])
            assert code in {None, int(ended)}, f"{verb} ended with {int(ended)}"
            self.search(f"stdout of {verb}", out)
            self.search(f"stderr of {verb}", err)

    def export(self, status: int = 200) -> None:
        """Send every entry to a collector that answers so, and write it as lines. Raises ``ExportFailed``."""
        collector = Collector(status)
        try:
            with closing(open_source(str(self.address))) as source:
                lines = io.BytesIO()
                forward(source, LineExporter(lines, name="lines"))
                self.search("JSON lines", lines.getvalue())
                with closing(otlp_exporter(source.log_id, endpoint=collector.endpoint)) as exporter:
                    forward(source, exporter)
        finally:
            collector.close()
            self.search("bytes of OTLP", *collector.bodies)

    def export_to_files(self) -> None:
        """Write every entry to files."""
        self.run("export", "jsonl", self.folder / "exported.jsonl", code=0)
        self.run("export", "otel", "--to", "file", self.folder / "exported.otlp", code=0)

    def export_to_terminals(self) -> None:
        """Print every entry, in every way."""
        self.run("export", "otel", "--to", "console")
        self.run("export", "text")
        self.run("export", "jsonl")
        self.run("verify", "--json")
        self.run("db", "info")

    def ask(self, planter: Planter) -> None:
        """Give the command line secrets: on stdin, where they belong, and in arguments, where they do not."""
        told = [json.dumps(planter.attributes(planter.carried())) for _ in range(planter.rng.randint(50, 100))]
        head = '{"kind":"log","change":"key_rotated","context":{"attributes":'
        self.run("record", stdin="".join(f"{head}{each}}}}}\n" for each in told))
        self.run("record", stdin="".join(f"{each}\n{head}{each}\n" for each in told))
        self.run("redact", "--explain", stdin="\n".join(told))
        self.run("redact", "--text", stdin="\n".join(planter.told_text("redact --text") for _ in told))
        for form in ((), ("--json",)):
            secret = planter.runs("inspect")
            request = f"GET /x?access_token={secret} HTTP/1.1\nHost: a.example\nAuthorization: Bearer {secret}\n\n"
            self.run("inspect", *form, stdin=request)
        secret = planter.runs("arguments of the command line")
        self.run("inspect", stdin=f"GET {secret} HTTP/1.1\n{secret}\n")
        self.run("query", "--token-stdin", stdin=secret)
        self.run("query", "--token", secret)
        self.run("query", "--since", secret)
        self.run("query", "--failed-check", secret)
        self.run("incident", secret)
        self.run("show", secret)
        self.run("export", "otel", "--endpoint", f"http://me:{secret}@127.0.0.1:9/{secret}")
        self.run("verify", "--db", f"postgresql+psycopg://me:{secret}@127.0.0.1:9/x")

    def read(self, most: int) -> None:
        """Show what the log holds; single entries and incidents ``most`` times."""
        self.run("query", "--json", code=0)
        self.run("query", "--limit", 2000, code=0)
        self.run("verify", "--deep", code=0)
        subjects: list[str] = []
        with AuditReader.open(self.address) as reader:
            for entry in reader.find(Filter()):
                self.search("repr of an entry", repr(entry))
                token = getattr(entry.event, "token", None)
                subjects += [token.fingerprint] if token is not None and token.fingerprint else []
            head = reader.head()
        for number in range(most):
            form = ("--json",) if number % 2 else ()
            self.run("show", 1 + number * head // most, *form)
            self.run("incident", subjects[number * len(subjects) // most], *form)


def _sink_of(file: Path) -> str:
    name = file.name
    for ending, sink in (("-wal", "-wal"), ("-shm", "-shm"), ("-lock", "-lock"), (".db", "database")):
        if name.endswith(ending):
            return sink
    return {"jsonl": "exported JSON lines", "otlp": "exported OTLP/JSON"}.get(name.rpartition(".")[2], "other files")


class Application:
    """An application that took our guards in: structlog, logging and spans of its own, and what they have written."""

    def __init__(self) -> None:
        self.written = {"structlog": io.StringIO(), "logging": io.StringIO(), "spans of the application": io.StringIO()}
        first, second, third = self.written.values()
        processors: list[Any] = [structlog.processors.add_log_level, structlog.processors.format_exc_info]
        processors += [RedactingProcessor(), structlog.processors.JSONRenderer()]
        self.structlog: Any = structlog.wrap_logger(structlog.PrintLogger(first), processors=processors)
        handler = logging.StreamHandler(second)
        handler.addFilter(RedactingFilter())
        self.logger = logging.Logger("fuzz")  # noqa: LOG001 -- its records are nobody else's
        self.logger.addHandler(handler)
        provider = TracerProvider(shutdown_on_exit=False)
        exporting = SimpleSpanProcessor(ConsoleSpanExporter(out=third))
        provider.add_span_processor(RedactingSpanProcessor(exporting))
        self.tracer = provider.get_tracer("fuzz")

    def say(self, text: str, value: Json) -> None:
        """Say a text and a value everywhere, also as an exception."""
        members = cast("dict[str, Any]", value)
        self.structlog.info("called", text=text, **members)
        self.logger.warning("it said %s, and %r", text, members)
        self.logger.error(f"it said {text}")  # noqa: G004 -- what applications do
        try:
            raise ValueError(text)  # noqa: TRY301 -- to be caught
        except ValueError as error:
            self.structlog.error("failed", exc_info=True)
            self.logger.exception("failed")
            with self.tracer.start_as_current_span("call") as span:
                span.set_attributes(
                    {"text": text, "value": json.dumps(members), "url.full": f"https://a.example/?q={text}"}
                )
                span.record_exception(error)

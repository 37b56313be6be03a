"""`counterfoil export`: to a collector, a file, the terminal; resumed, followed, interrupted, and down."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner, Result

from counterfoil.audit.cli.export import export_app
from counterfoil.schemas import (
    Action,
    Context,
    CredentialUse,
    ExportFailed,
    Resource,
    StoreMissing,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from counterfoil.audit import AuditLog

HOSTILE = "evil\x1b[2J\u202e[red]markup outcome=executed"
COMMAND = [sys.executable, "-c", "from counterfoil.audit.cli.main import main; main()", "export"]


class Collector:
    """An OTLP/HTTP collector on loopback that takes everything, or nothing."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.status = 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                if collector.status == 200:
                    collector.seqs += [seq for each in request.resource_spans for seq in seqs_of(each)]
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name in http.server
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def wait_for(self, count: int) -> None:
        """Wait until so many entries arrived."""
        deadline = time.monotonic() + 20
        while len(self.seqs) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.seqs) == count


def seqs_of(resource_spans: Any) -> list[int]:
    """Return the sequence numbers of spans."""
    spans = [span for scope in resource_spans.scope_spans for span in scope.spans]
    return [each.value.int_value for span in spans for each in span.attributes if each.key == "counterfoil.entry.seq"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Run a collector."""
    running = Collector()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


@pytest.fixture(autouse=True)
def named(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the log in the environment, and no collector."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COUNTERFOIL_DB", str(address))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def head(log: AuditLog) -> int:
    """Fill the log, and tell its last number."""
    seq = 0
    for task in ("t-1", HOSTILE, "t-3"):
        use = CredentialUse(
            context=Context(task=task),
            token=Token(token_class="api_key"),
            resource=Resource(uri="https://api.example/mail"),
            action=Action(name="read_mail", method="GET", outcome="executed"),
        )
        seq = log.record(use).seq
    return seq


def export(*arguments: str | Path) -> Result:
    """Run `counterfoil export` in this process; its errors are raised."""
    return CliRunner().invoke(export_app, [str(each) for each in arguments], catch_exceptions=False)


def test_spans_go_to_the_collector_and_the_next_run_goes_on(collector: Collector, head: int, log: AuditLog) -> None:
    """Stdout stays empty: nothing but data goes there."""
    first = export("otel", "--endpoint", collector.endpoint)
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr == f"otel:{collector.endpoint}: {head} entries sent; it has all up to entry {head}\n"
    assert collector.seqs == list(range(1, head + 1))
    log.record(CredentialUse(token=Token(), resource=Resource(uri="urn:x"), action=Action(name="one_more")))
    assert (
        f"1 entries sent; it has all up to entry {head + 1}" in export("otel", "--endpoint", collector.endpoint).stderr
    )
    assert collector.seqs == list(range(1, head + 2))


def test_the_standard_variables_name_the_collector(
    collector: Collector, head: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for every other exporter of OpenTelemetry."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    assert export("otel").exit_code == 0
    assert len(collector.seqs) == head


def test_a_collector_that_is_down_is_exit_1_with_a_sentence(address: Path, head: int, secret: str) -> None:
    """On stderr, with advice and without headers; a run after that, with the collector up, leaves nothing out."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        environment = os.environ | {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{secret}"}
        ran = subprocess.run(
            [*COMMAND, "otel", "--endpoint", endpoint], env=environment, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.splitlines() == [
        f"counterfoil: otel:{endpoint} cannot be reached, or closed the connection",
        f"  {ExportFailed.advice}",
    ]
    assert address.exists()
    assert head


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["otel", "--to", "file"], "name a file together with --to file"),
        (["otel", "spans.jsonl"], "name a file together with --to file"),
        (["otel", "--to", "paper"], "'paper'"),
        (["otel", "--protocol", "http/json"], "'http/json'"),
    ],
)
def test_wrong_use_is_exit_2(arguments: list[str], sentence: str) -> None:
    """And says what to do, before the log is opened."""
    result = export(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize("arguments", [["otel"], ["jsonl"], ["text"]])
def test_a_missing_log_is_not_made(arguments: list[str], address: Path) -> None:
    """Exporting from nothing is an error."""
    with pytest.raises(StoreMissing):
        export(*arguments)
    assert not address.exists()


def test_json_lines_go_to_stdout_from_the_start_each_time(head: int) -> None:
    """One line an entry, and the summary on stderr."""
    first, second = export("jsonl"), export("jsonl")
    assert first.stdout == second.stdout
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    assert [sorted(line) for line in lines] == [["chain_hash", "event", "seq"]] * head
    assert [line["seq"] for line in lines] == list(range(1, head + 1))
    assert HOSTILE in [line["event"]["context"].get("task") for line in lines]


@pytest.mark.parametrize("arguments", [["jsonl"], ["otel", "--to", "file"]])
def test_a_file_is_continued_behind_its_end(head: int, log: AuditLog, tmp_path: Path, arguments: list[str]) -> None:
    """And written from the start when it is gone."""
    file = tmp_path / "out.jsonl"
    assert export(*arguments, file).stdout == ""
    whole = file.read_bytes()
    assert "0 entries sent" in export(*arguments, file).stderr
    assert file.read_bytes() == whole
    log.record(CredentialUse(token=Token(), resource=Resource(uri="urn:x"), action=Action(name="one_more")))
    assert "1 entries sent" in export(*arguments, file).stderr
    assert file.read_bytes().startswith(whole)
    file.unlink()
    assert f"{head + 1} entries sent" in export(*arguments, file).stderr


def test_the_console_shows_spans_as_lines_of_ascii(head: int) -> None:
    """What the SDK says of a span, one a line, from the start each time."""
    result = export("otel", "--to", "console")
    lines = result.stdout.splitlines()
    assert result.stdout.isascii()
    assert [json.loads(line)["attributes"]["counterfoil.entry.seq"] for line in lines] == list(range(1, head + 1))


def test_text_is_one_readable_line_an_entry(head: int) -> None:
    """No stored string adds a line, a fact or a colour to it."""
    lines = export("text").stdout.splitlines()
    assert len(lines) == head
    assert [line.split()[0] for line in lines] == [str(seq) for seq in range(1, head + 1)]
    assert all(line.isprintable() and line.isascii() for line in lines)
    assert f"task={json.dumps(HOSTILE)}" in lines[-2]


def test_a_reader_that_leaves_hears_no_complaint(head: int) -> None:
    """`counterfoil export jsonl | head -1` says nothing about a broken pipe, and tries nothing again."""
    with subprocess.Popen([*COMMAND, "jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        assert running.stderr.read() == b""
    assert head


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_follow_sends_entries_as_they_come_until_it_is_told_to_end(
    collector: Collector, head: int, log: AuditLog, number: signal.Signals
) -> None:
    """An outage is told and waited out; Ctrl-C and SIGTERM end it in order, exit 0."""
    command = [*COMMAND, "otel", "--follow", "--endpoint", collector.endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        collector.wait_for(head)
        collector.status = 503
        log.record(CredentialUse(token=Token(), resource=Resource(uri="urn:x"), action=Action(name="one_more")))
        assert running.stderr
        assert running.stderr.readline() == f"otel:{collector.endpoint} answered HTTP 503; trying again\n"
        collector.status = 200
        collector.wait_for(head + 1)
        time.sleep(0.2)
        running.send_signal(number)
        assert running.wait(30) == 0
        assert f"{head + 1} entries sent" in running.stderr.read()


def test_a_terminal_gets_json_that_it_cannot_obey(head: int) -> None:
    """On a pseudo-terminal the same lines are ASCII."""
    parent, child = pty.openpty()
    with subprocess.Popen([*COMMAND, "jsonl"], stdout=child, stderr=subprocess.PIPE) as running:
        os.close(child)
        shown = b""
        try:
            while piece := os.read(parent, 65536):
                shown += piece
        except OSError:  # the other end is closed
            pass
        assert running.wait(30) == 0
    os.close(parent)
    assert shown.isascii()
    assert b"\x1b" not in shown
    assert [json.loads(line)["seq"] for line in shown.splitlines()] == list(range(1, head + 1))

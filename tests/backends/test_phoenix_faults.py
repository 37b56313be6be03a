"""Faults between a log and Phoenix: an exporter that is killed, a Phoenix that is. Nothing is lost, nothing doubled.

Each test has seeded defects: the same fault with a broken exporter, of which the same question must say what is wrong.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

import httpx2
import pytest

from counterfoil.audit import AuditReader
from counterfoil.exporters.sql import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from conftest import Exporting, Phoenix, Record

pytestmark = pytest.mark.backends

BATCH = 64
SMALL_BATCHES = f"""
from counterfoil.exporters import forward
forward.__kwdefaults__["batch"] = {BATCH}
"""
"""The command line sends 512 entries at once: so a short log has several batches."""

IDS_AT_RANDOM = """
import secrets, counterfoil.exporters.otel as otel
otel._derived = lambda domain, identity, size: int.from_bytes(secrets.token_bytes(size), "big")
"""
CURSOR_FIRST = """
from counterfoil.exporters.forward import _Delivery
deliver = _Delivery._deliver
def deliver_late(self, entries, tries):
    self.source.move_cursor(self.exporter.name, entries[-1].seq)
    deliver(self, entries, tries)
_Delivery._deliver = deliver_late
"""
DEAF = """
from counterfoil.exporters import otlp_http
from counterfoil.schemas import ExportFailed
from opentelemetry.sdk.trace.export import SpanExportResult
export = otlp_http.HttpSpanExporter.export
def export_anyhow(self, spans):
    try:
        return export(self, spans)
    except ExportFailed:
        return SpanExportResult.SUCCESS
otlp_http.HttpSpanExporter.export = export_anyhow
"""


class Gate:
    """Stands before Phoenix, passes batches on, and kills the exporter at one of them: before or after it arrived."""

    def __init__(self, phoenix: Phoenix, fatal: int, moment: Literal["before", "after"]) -> None:
        self.victim: subprocess.Popen[str] | None = None
        self._passed = 0
        gate, address = self, f"{phoenix.endpoint}/v1/traces"

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                gate._passed += 1
                if gate._passed == fatal and moment == "before":
                    gate.kill()
                    return
                kept = {"Content-Type": self.headers["Content-Type"]}
                answer = httpx2.post(address, content=body, headers=kept, trust_env=False, timeout=30)
                if gate._passed == fatal:
                    gate.kill()
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name in http.server
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def kill(self) -> None:
        """Send SIGKILL to the exporter."""
        assert self.victim
        os.kill(self.victim.pid, signal.SIGKILL)


@contextmanager
def gate_before(phoenix: Phoenix, fatal: int, moment: Literal["before", "after"]) -> Generator[Gate]:
    """Run a gate."""
    gate = Gate(phoenix, fatal, moment)
    thread = threading.Thread(target=gate.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield gate
    finally:
        gate.server.shutdown()
        thread.join()
        gate.server.server_close()


def told_by(stored: list[dict[str, Any]], path: Path) -> set[str]:
    """Return what is wrong with what Phoenix stored of a log."""
    found = [span["attributes"]["counterfoil.entry.seq"] for span in stored]
    with AuditReader.open(path) as reader:
        missing = set(range(1, reader.head() + 1)) - set(found)
    faults = {"missing": bool(missing), "repeated": len(found) > len(set(found))}
    return {fault for fault, seen in faults.items() if seen}


def cursor_of(path: Path, destination: str) -> int:
    """Return how far the log counts a destination to be."""
    with closing(open_source(str(path))) as source:
        return source.cursor(destination)


@pytest.mark.parametrize(
    ("moment", "defect", "wrong"),
    [
        ("before", "", set[str]()),
        ("after", "", set[str]()),
        ("before", CURSOR_FIRST, {"missing"}),
        ("after", IDS_AT_RANDOM, {"repeated"}),
    ],
    ids=["before it arrived", "after it arrived", "seeded: cursor first", "seeded: ids at random"],
)
def test_a_killed_export_goes_on(  # noqa: PLR0913, PLR0917 -- the fixtures, and the case
    tmp_path: Path,
    phoenix: Phoenix,
    record: Record,
    exporting: type[Exporting],
    moment: Literal["before", "after"],
    defect: str,
    wrong: set[str],
) -> None:
    """SIGKILL while the second batch is under way, then the same command again: every entry once."""
    path, project = tmp_path / "audit.db", tmp_path.name
    record(path, BATCH)
    command = exporting(path, project, SMALL_BATCHES + defect)
    with gate_before(phoenix, 2, moment) as gate:
        gate.victim = command.start("--endpoint", gate.endpoint)
        _, said = gate.victim.communicate(timeout=120)
        assert gate.victim.returncode == -signal.SIGKILL, said
        arrived = BATCH if moment == "before" else 2 * BATCH
        assert len(phoenix.settled(project, arrived)) == arrived
        assert cursor_of(path, f"otel:{gate.endpoint}") == BATCH * (2 if defect == CURSOR_FIRST else 1)
        code, said = command.run("--endpoint", gate.endpoint)
        assert code == 0, said
    with AuditReader.open(path) as reader:
        expected = reader.head() + {"missing": -BATCH, "repeated": BATCH}.get("".join(wrong), 0)
    stored = phoenix.settled(project, expected)
    assert len(stored) == expected
    assert told_by(stored, path) == wrong


def test_an_export_waits_out_an_outage(
    tmp_path: Path, phoenix: Phoenix, record: Record, exporting: type[Exporting]
) -> None:
    """Phoenix killed under `--follow`: the cursor stays, and when Phoenix is back all of it arrives, each once.

    Seeded beside it: an exporter that takes a failure for arrival. Its cursor moves on, and entries are missing.
    """
    paths, key = {"sound": tmp_path / "sound.db", "deaf": tmp_path / "deaf.db"}, secrets.token_bytes(32)
    destination = f"otel:{phoenix.endpoint}"
    heads = {name: _record(record, path, key) for name, path in paths.items()}
    with ExitStack() as running:
        followers = {
            name: running.enter_context(
                _following(exporting(path, f"outage-{name}", DEAF if name == "deaf" else ""), phoenix.endpoint)
            )
            for name, path in paths.items()
        }
        for name, path in paths.items():
            _wait_until(lambda name=name, path=path: cursor_of(path, destination) == heads[name], 60)
            assert len(phoenix.settled(f"outage-{name}", heads[name])) == heads[name]

        phoenix.kill()
        before, heads = heads, {name: _record(record, path, key) for name, path in paths.items()}
        _wait_until(lambda: followers["sound"].said().count("trying again") > 1, 60)
        _wait_until(lambda: cursor_of(paths["deaf"], destination) == heads["deaf"], 60)
        assert cursor_of(paths["sound"], destination) == before["sound"] < heads["sound"]

        phoenix.start()
        _wait_until(lambda: cursor_of(paths["sound"], destination) == heads["sound"], 120)
        assert [follower.end() for follower in followers.values()] == [0, 0]
    assert f"it has all up to entry {heads['sound']}" in followers["sound"].said()
    assert told_by(phoenix.settled("outage-sound", heads["sound"]), paths["sound"]) == set()
    assert told_by(phoenix.settled("outage-deaf", before["deaf"]), paths["deaf"]) == {"missing"}


@dataclass(frozen=True)
class Follower:
    """``counterfoil export otel --follow``, and what it says."""

    process: subprocess.Popen[str]
    output: Path

    def said(self) -> str:
        """Return what it said so far."""
        return self.output.read_text(encoding="utf-8")

    def end(self) -> int:
        """Stop it as a service manager would. Return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def _following(command: Exporting, endpoint: str) -> Generator[Follower]:
    output = command.log.with_suffix(".said")
    with output.open("w") as file:
        process = command.start("--follow", "--endpoint", endpoint, said=file)
    try:
        yield Follower(process, output)
    finally:
        process.kill()
        process.wait()


def _record(record: Record, path: Path, key: bytes) -> int:
    """Add entries to a log. Return its head."""
    record(path, 40, key=key)
    with AuditReader.open(path) as reader:
        return reader.head()


def _wait_until(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)

"""Answers that do not end: a request takes its time and no longer, and reads no more than is of use."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from counterfoil.exporters.http_deadline import LARGEST_ANSWER
from counterfoil.exporters.otlp import OtlpSpanExporter, resolve
from counterfoil.schemas import ExportFailed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


class Talker:
    """A server that begins an answer, and goes on with it for as long as somebody listens."""

    def __init__(self, begun: bytes, more: bytes, pause: float) -> None:
        self._given = begun, more, pause
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.said = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, suppress(OSError):
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        begun, more, pause = self._given
        connection.settimeout(5)
        connection.recv(65536)
        connection.sendall(begun)
        until = time.monotonic() + 10
        while more and time.monotonic() < until:
            connection.sendall(more)
            self.said += len(more)
            time.sleep(pause)

    def close(self) -> None:
        """Stop."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture(autouse=True)
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a batch 0.3 s."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")


@pytest.fixture
def talkers() -> Iterator[list[Talker]]:
    """Collect the servers, and stop them."""
    started: list[Talker] = []
    yield started
    for each in started:
        each.close()


@pytest.mark.parametrize(
    "begun",
    [b"H", b"HTTP/1.1 200 OK\r\nX-Slow: ", OK + b"Content-Length: 100000\r\n\r\n", OK + b"\r\n"],
    ids=["status", "header", "content", "content of any length"],
)
def test_a_byte_now_and_then_prolongs_nothing(begun: bytes, talkers: list[Talker]) -> None:
    """Wherever in the answer they come, single bytes do not keep a request alive; the time is that for all of it."""
    talkers.append(Talker(begun, b"x", pause=0.05))
    started = time.monotonic()
    with (
        _exporting(talkers[0]) as exporter,
        pytest.raises(ExportFailed, match="did not answer in time"),
    ):
        exporter.export([])
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "begun",
    [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n", OK, OK + b"Content-Le", OK + b"Content-Length: 2\r\n\r\no"],
    ids=["status", "status line", "header", "half a header", "content"],
)
def test_an_answer_that_breaks_off_is_none(begun: bytes, talkers: list[Talker]) -> None:
    """Who says 200 and goes away before the end of the answer has not taken the batch: it is sent again."""
    talkers.append(Talker(begun, b"", pause=0))
    with _exporting(talkers[0]) as exporter, pytest.raises(ExportFailed, match="closed the connection"):
        exporter.export([])


def test_an_endless_answer_is_not_read_to_its_end(talkers: list[Talker]) -> None:
    """The status counts; of what follows so much is read as may be of use."""
    talkers.append(Talker(OK + b"\r\n", bytes(65536), pause=0))
    with _exporting(talkers[0]) as exporter:
        exporter.export([])
    assert talkers[0].said < 10 * LARGEST_ANSWER  # what lies in the buffers of the sockets was sent, too


def test_an_ordinary_answer_keeps_its_connection() -> None:
    """Watching over a request does not cost the next one a connection."""
    callers: list[object] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            callers.append(self.client_address)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name in http.server
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        exporter = OtlpSpanExporter(resolve(f"http://127.0.0.1:{server.server_port}", "http"))
        for _ in range(3):
            exporter.export([])
        exporter.shutdown()
        server.shutdown()
        thread.join()
    assert len(callers) == 3
    assert len(set(callers)) == 1


@contextmanager
def _exporting(to: Talker) -> Generator[OtlpSpanExporter]:
    exporter = OtlpSpanExporter(resolve(to.endpoint, "http"))
    yield exporter
    exporter.shutdown()

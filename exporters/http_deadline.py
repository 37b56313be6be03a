"""A deadline for a whole HTTP request: a server that sends a byte now and then is given up as well.

The timeout of requests bounds each read, not their sum, nothing bounds an answer's size, and headers that break off are
taken for all of them. Needs the extra ``otlp``: import it when it is wanted.
"""

from __future__ import annotations

import io
import socket
import threading
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from collections.abc import Generator

    import requests

LARGEST_ANSWER: Final = 1 << 20
"""So many bytes of an answer are read, and no more."""


class WatchedAdapter(HTTPAdapter):
    """An adapter that knows its open connections, and can end them under a request."""

    def __init__(self) -> None:
        """Mount it for ``http://`` and ``https://``."""
        self._sockets: WeakSet[socket.socket] = WeakSet()
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Let every connection that is made be known."""
        super().init_poolmanager(*args, **options)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Do the same for connections through a proxy."""
        manager = super().proxy_manager_for(*args, **options)
        self._watch(manager)
        return manager

    @contextmanager
    def within(self, seconds: float) -> Generator[threading.Event]:
        """End what is under way after so many seconds; the event says that this happened."""
        expired = threading.Event()

        def end() -> None:
            expired.set()
            for each in list(self._sockets):
                with suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)  # not that of TLS, which would first say goodbye

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield expired
        finally:
            timer.cancel()

    def _watch(self, manager: Any) -> None:
        pools = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
        manager.pool_classes_by_scheme = {scheme: _watched(pool, self._sockets) for scheme, pool in pools.items()}


def _watched(pool: Any, sockets: WeakSet[socket.socket]) -> Any:
    def connect(connection: Any) -> None:
        pool.ConnectionCls.connect(connection)
        sockets.add(connection.sock)

    members = {"connect": connect, "response_class": _WholeResponse}
    made = type("WatchedConnection", (pool.ConnectionCls,), members)
    return type("WatchedPool", (pool,), {"ConnectionCls": made})


class _WholeResponse(HTTPResponse):
    """An answer whose lines have ends: one that says 200 and breaks off did not take anything yet."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = _Lines(self.fp.detach())


class _Lines(io.BufferedReader):
    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and len(line) != size:
            raise ConnectionResetError
        return line


def content_of(response: requests.Response) -> bytes:
    """Return the content of a streamed answer, as far as it is of a sane size, and let go of the connection."""
    try:
        return bytes(response.raw.read(LARGEST_ANSWER, decode_content=True))
    finally:
        response.close()

"""What every role of the demo begins with: reading its brief, and ending when its parent does."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from .certificates import Identity


def read_brief() -> dict[str, Any]:
    """Return what the parent wrote: one line of JSON on stdin, which then stays open as long as the parent lives."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)  # the parent has gone already
    brief: dict[str, Any] = json.loads(line)
    return brief


def end_with_parent(end: Callable[[], None] = lambda: os._exit(0)) -> None:
    """Call ``end`` when the parent closes our stdin, or is gone."""

    def wait() -> None:
        os.read(0, 1)  # the bare descriptor: a buffered reader could not be shut down while it waits
        end()

    threading.Thread(target=wait, daemon=True).start()


def serve(app: ASGIApp, brief: dict[str, Any], identity: Identity, *, lifespan: Literal["on", "off"] = "off") -> None:
    """Serve ``app`` over TLS on the inherited socket until the parent hangs up; requests under way are finished."""
    import uvicorn

    from ..instrument.uvicorn_tls import TlsProtocol

    # proxy_headers would let a caller choose the address that it is recorded with.
    config = uvicorn.Config(
        app,
        http=TlsProtocol,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        ws="none",
        lifespan=lifespan,
    )
    config.load()
    config.ssl = identity.server_context()
    server = uvicorn.Server(config)

    def end() -> None:
        server.should_exit = True

    end_with_parent(end)
    server.run(sockets=[socket.socket(fileno=brief["listening"][0])])

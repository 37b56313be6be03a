"""The redactor before the access log of a server: one line, before or after the server configures its logging.

Run it: ``python guarded_access_log.py``. It serves, asks itself once, and stops.
"""

import os
import secrets
import threading
import time
import urllib.request
from typing import Any

import uvicorn

from counterfoil.audit.guard.access_log import install


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Answer any request."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"mail"})


def main() -> None:
    """Throw a secret through the query of a request; no position and no form need tell it there."""
    install()
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    token = os.environ.get("EXAMPLE_TOKEN") or secrets.token_urlsafe(32)
    port = server.servers[0].sockets[0].getsockname()[1]
    urllib.request.urlopen(f"http://127.0.0.1:{port}/mail?page=2&q={token}").close()
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()

"""The filter for access logs, behind a real uvicorn and with the records of other servers."""

from __future__ import annotations

import io
import logging
import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.logging import AccessFormatter

from counterfoil.audit.guard.access_log import LOGGERS, AccessLogFilter, install
from counterfoil.audit.guard.logging import install as install_logging
from counterfoil.audit.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

TOKEN = secrets.token_urlsafe(32)
KEY = "ghp_" + secrets.token_hex(18)
TARGET = f"/mail?q={TOKEN}&access_token={TOKEN}"


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Answer a request, or fail where it is asked to."""
    if scope["path"] == "/fail":
        raise ValueError(KEY)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mail"})


@contextmanager
def _serving(stream: io.StringIO) -> Generator[str]:
    """Run uvicorn with its own logging configuration, which writes into ``stream``."""
    handlers = {name: {**handler, "stream": stream} for name, handler in LOGGING_CONFIG["handlers"].items()}
    log_config = {**LOGGING_CONFIG, "handlers": handlers}
    config = uvicorn.Config(app, port=0, lifespan="off", ws="none", log_config=log_config)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        for name in LOGGERS:
            logging.getLogger(name).handlers.clear()


@pytest.mark.parametrize("guard", [install, install_logging])
def test_uvicorn_writes_no_query_down(guard: Callable[[], Callable[[], None]], leaks: Callable[..., list[str]]) -> None:
    """Its access log says where a request went; installed by itself or with the guard of all loggers."""
    uninstall, stream = guard(), io.StringIO()
    with _serving(stream) as url:
        httpx2.get(url + TARGET)
        httpx2.get(f"{url}/plain")
        httpx2.get(f"{url}/fail")
    uninstall()
    assert '"GET /mail?q=REDACTED&access_token=REDACTED HTTP/1.1" 200 OK' in stream.getvalue()
    assert '"GET /plain HTTP/1.1" 200 OK' in stream.getvalue()
    assert "ValueError: [redacted:github]" in stream.getvalue()
    assert leaks(TOKEN, stream.getvalue()) + leaks(KEY, stream.getvalue()) == []


def test_without_the_guard_uvicorn_writes_it_down() -> None:
    """So that the test above means something."""
    stream = io.StringIO()
    with _serving(stream) as url:
        httpx2.get(url + TARGET)
    assert stream.getvalue().count(TOKEN) == 2


def _record(message: object, arguments: Any, redactor: Redactor | None = None) -> logging.LogRecord:
    record = logging.LogRecord("uvicorn.access", logging.INFO, __file__, 1, message, arguments, None)
    assert AccessLogFilter(redactor).filter(record)
    return record


UVICORN = '%s - "%s %s HTTP/%s" %d'


def test_the_arguments_stay_as_many_as_they_were() -> None:
    """Uvicorn's formatter takes five, and drops the line otherwise: even if all that is text must go."""
    plain = _record(UVICORN, ("127.0.0.1:5", "GET", TARGET, "1.1", 200))
    assert plain.args == ("127.0.0.1:5", "GET", "/mail?q=REDACTED&access_token=REDACTED", "1.1", 200)
    split = _record("%s%s%s HTTP/%s %d", (KEY[:10], KEY[10:20], KEY[20:], "1.1", 200))
    told = AccessFormatter("%(client_addr)s %(request_line)s %(status_code)s", use_colors=False).format(split)
    assert told == "[redacted:error] [redacted:error] [redacted:error] HTTP/[redacted:error] 200 OK"


def test_the_line_of_a_websocket_is_redacted() -> None:
    """Uvicorn writes it elsewhere, with other arguments."""
    record = _record('%s - "WebSocket %s" [accepted]', ("127.0.0.1:5", TARGET))
    assert record.getMessage() == '127.0.0.1:5 - "WebSocket /mail?q=REDACTED&access_token=REDACTED" [accepted]'


def test_parameters_can_be_kept() -> None:
    """Those that the redactor keeps in every URI."""
    record = _record(
        UVICORN, ("1.2.3.4:5", "GET", f"/mail?page=2&q={TOKEN}", "1.1", 200), Redactor(keep_query=["page"])
    )
    assert record.getMessage() == '1.2.3.4:5 - "GET /mail?page=2&q=REDACTED HTTP/1.1" 200'


def test_arguments_by_name_are_read_as_the_line_that_they_make(leaks: Callable[..., list[str]]) -> None:
    """As gunicorn and hypercorn give them: a dictionary that answers for headers that were not sent, too."""

    class Atoms(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            return super().__getitem__(name) if name in self else "-"

    atoms = Atoms(h="127.0.0.1", r=f"GET {TARGET} HTTP/1.1", s=200, f=f"https://me:{TOKEN}@a.example/x?code={TOKEN}#a")
    record = _record('%(h)s %({x-trace}i)s "%(r)s" %(s)s "%(f)s"', (atoms,))
    shown = record.getMessage()
    assert shown == (
        '127.0.0.1 - "GET /mail?q=REDACTED&access_token=REDACTED HTTP/1.1" 200 "https://a.example/x?code=REDACTED"'
    )
    assert leaks(TOKEN, repr(vars(record))) == []


def test_a_line_without_arguments_is_read_as_well() -> None:
    """Nothing but a target is taken for one."""
    assert _record(f"opened {TARGET} why? (/a?b=c) a/b?c=d", ()).getMessage() == (
        "opened /mail?q=REDACTED&access_token=REDACTED why? (/a?b=REDACTED a/b?c=d"
    )


def test_what_fails_says_only_that() -> None:
    """A line is written all the same."""

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError(TOKEN)

    assert _record("%(a)s", ({"a": Odd()},)).getMessage() == "[redacted:error]"

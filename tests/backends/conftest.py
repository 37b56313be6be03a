"""Phoenix, a real OpenTelemetry backend, as a process of its own; and logs to send there. Needs the group backends."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

import httpx2
import pytest

from counterfoil.audit import AuditLog
from counterfoil.schemas import (
    Action,
    Agent,
    ApprovalEvent,
    Binding,
    Check,
    Compromise,
    Context,
    CredentialChange,
    CredentialUse,
    Event,
    FingerprintKey,
    LogEvent,
    Proof,
    Resource,
    Token,
)
from counterfoil.schemas.vocabulary import (
    ApprovalState,
    BindingMethod,
    Change,
    CheckId,
    CheckOutcome,
    LeakPlace,
    Observer,
    Outcome,
    ProofResult,
    TokenClass,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from counterfoil.audit.redaction import Redactor

T = TypeVar("T")

_PATIENCE = 180.0
_WITH_ITS_PARENT = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from phoenix.server.main import main
main()
"""


class Phoenix:
    """A Phoenix with a folder and ports of its own. It talks to nobody outside this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = _free_ports(2)
        self.endpoint, self.grpc_endpoint = (f"http://127.0.0.1:{port}" for port in self._ports)
        self._client = httpx2.Client(base_url=self.endpoint, timeout=30, trust_env=False)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, on what it has stored before, and wait until it answers. Killed tests take it with them."""
        settings = {"HOST": "127.0.0.1", "PORT": self._ports[0], "GRPC_PORT": self._ports[1]}
        settings |= {"WORKING_DIR": self.folder, "TELEMETRY_ENABLED": False, "ALLOW_EXTERNAL_RESOURCES": False}
        settings |= {"ENABLE_MCP_SERVER": False, "DISABLE_AGENT_ASSISTANT": True}
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _WITH_ITS_PARENT, "serve"],
                env={f"PHOENIX_{name}": str(value) for name, value in settings.items()} | {"HOME": str(self.folder)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until = time.monotonic() + _PATIENCE
        while not self._answers():
            running = self._process.poll() is None and time.monotonic() < until
            assert running, (self.folder / "output").read_text(errors="replace")[-4000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process and self._process.stdin:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdin.close()
        self._process = None

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._client.close()

    def spans(self, project: str, attributes: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """Return all spans whose attributes have these values, in the order in which they were stored."""
        given = attributes or {}
        wanted = [f"{name}:{json.dumps(value)}" for name, value in given.items()]
        query: dict[str, Any] = {"attribute": wanted, "limit": 1000, "order": "asc"}
        found: list[dict[str, Any]] = []
        while True:
            answer = self._client.get(f"/v1/projects/{project}/spans", params=query)
            if answer.status_code == 404:  # so it answers before the first span
                return found
            page = answer.raise_for_status().json()
            found += page["data"]
            if not page["next_cursor"]:
                return found
            query["cursor"] = page["next_cursor"]

    def spans_where(self, project: str, condition: str) -> set[str]:
        """Return the ids of up to 1,000 spans for which ``condition`` holds, in Phoenix's own filter language."""
        answer = self._ask(
            project, "spans(first: 1000, filterCondition: $condition) { edges { node { spanId } } }", condition
        )
        return {edge["node"]["spanId"] for edge in answer["spans"]["edges"]}

    def settled(self, project: str, count: int) -> list[dict[str, Any]]:
        """Wait for so many spans, and until no more come; Phoenix stores after it answered. Return what there is."""
        until = time.monotonic() + 60
        before, stored = -1, 0
        while (stored < count or stored != before) and time.monotonic() < until:
            time.sleep(0.5)
            before, stored = (
                stored,
                self._ask(project, "recordCount(filterCondition: $condition)").get("recordCount", 0),
            )
        return self.spans(project)

    def _ask(self, project: str, wanted: str, condition: str = "") -> dict[str, Any]:
        """Return what Phoenix's GraphQL says of a project; nothing if there is none."""
        projects = self._client.get("/v1/projects", params={"limit": 1000}).raise_for_status().json()["data"]
        known = [each["id"] for each in projects if each["name"] == project]
        if not known:
            return {}
        query = f"query ($id: ID!, $condition: String) {{ node(id: $id) {{ ... on Project {{ {wanted} }} }} }}"
        asked = {"query": query, "variables": {"id": known[0], "condition": condition}}
        answer = self._client.post("/graphql", json=asked).raise_for_status().json()
        node: dict[str, Any] = answer["data"]["node"]
        return node

    def _answers(self) -> bool:
        try:
            return self._client.get("/healthz").status_code == 200
        except httpx2.TransportError:
            return False


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on. Phoenix takes numbers, not sockets, and is to come back on the same."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """Run one Phoenix for all tests, and end it whatever happens."""
    running = Phoenix(tmp_path_factory.mktemp("phoenix"))
    try:
        running.start()
        yield running
    finally:
        running.close()


@dataclass(frozen=True)
class Exporting:
    """What it takes to run ``counterfoil export otel`` on one log, into one of Phoenix's projects."""

    log: Path
    project: str
    first: str = ""
    """Python to run before the command, such as a defect to seed."""

    def start(self, *arguments: str, said: IO[str] | int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start the command. What it says goes to ``said``."""
        ours = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        ours["COUNTERFOIL_DB"] = str(self.log)
        ours["OTEL_RESOURCE_ATTRIBUTES"] = f"openinference.project.name={self.project}"
        code = f"{self.first}\nfrom counterfoil.audit.cli.main import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, "export", "otel", *arguments], env=ours, stderr=said, text=True
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the command to its end. Return exit code and what it said."""
        with self.start(*arguments) as process:
            _, said = process.communicate(timeout=120)
        return process.returncode, said


class Record(Protocol):
    """Record uses of a dozen credentials, of all classes, and every other kind of event."""

    def __call__(
        self, path: Path, uses: int, *, key: bytes | None = None, redactor: Redactor | None = None
    ) -> list[str]:
        """Return the secrets that the events were made from, the fingerprint key as the last."""
        ...


@pytest.fixture(scope="session")
def record() -> Record:
    """Give the function that fills a log."""
    return _record


@pytest.fixture(scope="session")
def exporting() -> type[Exporting]:
    """Give the command line."""
    return Exporting


def _record(path: Path, uses: int, *, key: bytes | None = None, redactor: Redactor | None = None) -> list[str]:
    key = key or secrets.token_bytes(32)
    credentials = [secrets.token_urlsafe(32) for _ in range(12)]
    with AuditLog.open(path, fingerprint_key=FingerprintKey(key), redactor=redactor) as log:
        for number in range(uses):
            log.record(_a_use(log, number, _pick(credentials, number)))
        for credential in credentials:
            for event in _other_events(log, credential):
                log.record(event)
            _record_around(log, credential)
    return [*credentials, key.hex()]


def _pick(terms: Iterable[T], number: int) -> T:
    choices = list(terms)
    return choices[number % len(choices)]


def _a_use(log: AuditLog, number: int, credential: str) -> CredentialUse:
    checks = [_pick(CheckId, number * 5 + place) for place in range(5)]
    uri = f"https://api.example/mail/{number % 9}?access_token={credential}"
    stated: dict[str, Any] = {
        "binding": Binding(method=_pick(BindingMethod, number)),
        "proof": Proof(
            result=_pick(ProofResult, number),
            checks=tuple(Check(id=each, outcome=_pick(CheckOutcome, number + n)) for n, each in enumerate(checks)),
        ),
    }
    return CredentialUse(
        context=Context(
            observer=_pick(Observer, number),
            agent=Agent(id=f"agent-{number % 5}"),
            task=f"t-{number % 10}",
            tenant=str(number % 3),
            attributes={"header": f"Authorization: Bearer {credential}"},
        ),
        token=Token(token_class=_pick(TokenClass, number), fingerprint=log.fingerprint(credential)),
        resource=Resource(uri=uri),
        action=Action(name="read_mail", method="GET", target=uri, outcome=_pick(Outcome, number)),
        **(stated if number % 7 else {}),
    )


def _other_events(log: AuditLog, credential: str) -> Iterator[Event]:
    fingerprint, reason = log.fingerprint(credential), f"it said Bearer {credential}"
    for change in Change:
        yield CredentialChange(change=change, token=Token(fingerprint=fingerprint), reason=reason)
    for state in ApprovalState:
        yield ApprovalEvent(approval_id="ap-1", state=state, action=Action(name="send_mail"), reason=reason)
    yield Compromise(leaked="token", fingerprint=fingerprint, place=LeakPlace.TOOL_TRACE, how_known=reason)
    yield LogEvent(change="gap", count=3, reason=reason)


def _record_around(log: AuditLog, credential: str) -> None:
    """Record intents and outcomes, one of an action that broke off."""
    parts: dict[str, Any] = {
        "token": Token(token_class="api_key", fingerprint=log.fingerprint(credential)),
        "resource": Resource(uri="https://api.example/mail"),
        "action": Action(name="send_mail", method="POST"),
    }
    with log.scope(agent="mail-agent", task="t-around", tool="send_mail"):
        with log.use(**parts) as use:
            use.status_code = 403
        with pytest.raises(TimeoutError), log.use(**parts):
            raise TimeoutError(credential)

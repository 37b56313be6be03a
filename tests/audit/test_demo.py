"""The demo: played whole, asked through the command line, searched for secrets, and interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog
from counterfoil.audit.cli.demo import demo
from counterfoil.audit.demo.play import Secrets, play
from counterfoil.audit.redaction import Redactor
from counterfoil.schemas import (
    Action,
    ConfigurationError,
    Context,
    CredentialUse,
    Fingerprint,
    MissingExtra,
    Resource,
    StoreError,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNTERFOIL = (sys.executable, "-W", "error", "-c", "from counterfoil.audit.cli.main import main; main()")

# Plays with secrets that the test knows, and prints what `counterfoil demo` prints.
KNOWN_PLAY = """
import json, pathlib, sys
from counterfoil.audit import AuditReader
from counterfoil.audit.cli.story import print_story
from counterfoil.audit.demo.play import Secrets, play
from counterfoil.audit.demo.story import gather_story

log = pathlib.Path("demo.db")
play(log, pathlib.Path("trace"), Secrets(**json.load(sys.stdin)))
with AuditReader.open(log) as reader:
    print_story(gather_story(reader), log)
"""


@dataclass(frozen=True)
class World:
    """A folder, and an environment, that a run of the demo has for itself."""

    folder: Path
    mark: str

    def environment(self) -> dict[str, str]:
        """Return the environment: warnings are errors, a proxy leads nowhere, and every process can be found."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
        return own | {
            "COUNTERFOIL_FINGERPRINT_KEY": "5f" * 32,
            "HTTP_PROXY": "http://127.0.0.1:9",
            "PYTHONWARNINGS": "error",
            "RUN": self.mark,
            "TMPDIR": str(self.folder / "tmp"),
            "XDG_CONFIG_HOME": str(self.folder / "configuration"),
        }

    def start(self, *command: str, **more: str) -> subprocess.Popen[str]:
        """Start a program."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment() | more, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def run(self, *arguments: str, given: str = "", **more: str) -> Ran:
        """Run ``counterfoil`` to its end."""
        process = self.start(*COUNTERFOIL, *arguments, **more)
        out, err = process.communicate(given, timeout=60)
        return Ran(process.returncode, out, err)

    def lines(self, *arguments: str, given: str = "") -> list[dict[str, Any]]:
        """Run a command that prints JSON lines, and return what it printed."""
        ran = self.run(*arguments, "--json", given=given)
        assert ran.code == 0, ran.err
        return [json.loads(line) for line in ran.out.splitlines()]

    def processes(self) -> list[int]:
        """Return every process of this run that still lives."""
        alive: list[int] = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and f"RUN={self.mark}".encode() in (entry / "environ").read_bytes():
                    alive.append(int(entry.name))
        return alive

    def processes_after(self, patience: float) -> list[int]:
        """Return those that still live when ``patience`` (seconds) is at its end, or an empty list before."""
        until = time.monotonic() + patience
        while (alive := self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        return alive

    def left_behind(self) -> list[str]:
        """Return the names of temporary files."""
        return [path.name for path in (self.folder / "tmp").iterdir()]


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a world for one run, and end what a failed test left in it."""
    world = World(tmp_path, secrets.token_hex(8))
    yield world
    for process in world.processes():
        os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Ran]:
    """Play once, as a user does, keeping the log."""
    world = World(tmp_path_factory.mktemp("played"), secrets.token_hex(8))
    return world, world.run("demo", "--db", "demo.db")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Ran, tuple[str, ...]]:
    """Play once with secrets that are known, and return them: the access token as the leaked trace has it."""
    world = World(tmp_path_factory.mktemp("known"), secrets.token_hex(8))
    given = Secrets()
    process = world.start(sys.executable, "-c", KNOWN_PLAY)
    out, err = process.communicate(json.dumps(asdict(given)), timeout=60)
    assert process.returncode == 0, err
    access_token = re.search(r"Bearer ([\w.-]+)", (world.folder / "trace").read_text("utf-8"))
    assert access_token
    signature = access_token[1].rpartition(".")[2]
    return world, Ran(0, out, err), (*asdict(given).values(), access_token[1], signature)


@pytest.fixture(scope="module")
def answers(played: tuple[World, Ran]) -> Answers:
    """Run every command that the story proposes, as a reader would paste it, asking for JSON."""
    world, ran = played
    proposed = re.findall(r"^  counterfoil (.+)$", ran.out, re.MULTILINE)
    return Answers({command: world.lines(*command.split()) for command in proposed})


@dataclass(frozen=True)
class Answers:
    """What the proposed commands printed."""

    by_command: dict[str, list[dict[str, Any]]]

    def to(self, part: str) -> list[dict[str, Any]]:
        """Return the answer to the one command that has ``part``."""
        (found,) = (lines for command, lines in self.by_command.items() if part in command)
        return found

    def events(self, part: str) -> list[dict[str, Any]]:
        """Return the events in it."""
        return [line["event"] for line in self.to(part)]


def ended(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave the intents out."""
    return [event for event in events if event["action"]["phase"] == "outcome"]


def test_it_ends_well_and_says_so_itself(played: tuple[World, Ran]) -> None:
    """The demo runs to its end without a warning, and leaves no process and no temporary file."""
    world, ran = played
    assert (ran.code, ran.err) == (0, "Playing; this takes some seconds.\n")
    assert world.processes() == []
    assert world.left_behind() == []
    for words in ("t-3", "globex", "granted by dana@acme.example", "what was shown is what ran", "token.scope"):
        assert words in ran.out


def test_the_theft_stands_on_one_side_only(answers: Answers) -> None:
    """The API saw every use of the stolen token; the thief's are not among those that the agent recorded."""
    by_agent = ended(answers.events("--observer agent"))
    assert [event["action"]["name"] for event in by_agent] == ["read_mail", "pay_invoice"]
    by_api = ended(answers.events("--observer resource_server"))
    told = [(event["action"]["name"], event["action"]["outcome"], event["proof"]["result"]) for event in by_api]
    assert told == [
        ("GET /mail", "executed", "not_applicable"),
        ("POST /payments", "executed", "not_applicable"),
        ("GET /mail", "executed", "not_applicable"),
        ("GET /contacts", "refused", "fail"),
    ]
    agents, thiefs = ({event["context"]["peer"] for event in half} for half in (by_api[:2], by_api[2:]))
    assert agents.isdisjoint(thiefs)


def test_the_incident_marks_the_uses_of_the_thief(answers: Answers) -> None:
    """The timeline pairs each use of the agent with the API's stub of it, and leaves the thief's two alone."""
    (found,) = answers.to("incident")
    alone = [line["event"]["action"]["name"] for line in found["timeline"] if line["alone"]]
    assert alone == ["GET /mail", "GET /contacts"]
    assert len([line for line in found["timeline"] if line["counterpart"]]) == 4
    assert [approval["event"]["state"] for approval in found["approvals"]] == ["requested", "granted"]
    assert found["timeline"][0]["event"]["change"] == "issued"


def test_a_task_is_found_whole(answers: Answers) -> None:
    """The entries of a task: its uses and its approval, all of one agent, one tenant and one trace."""
    events = answers.events("--task t-2")
    uses = ["credential_use", "credential_use"]
    assert [event["kind"] for event in events] == [*uses, "approval", "approval", *uses]
    contexts = [event["context"] for event in events]
    assert {(context["agent"]["id"], context["tenant"]) for context in contexts} == {("office-agent", "acme")}
    assert len({context["trace_id"] for context in contexts}) == 1


def test_the_action_stands_with_its_approval(answers: Answers) -> None:
    """Question, answer and payment join by the approval's id, and what was shown is what ran."""
    *asked, intent, outcome = answers.events("--approval approval-1")
    assert [event["state"] for event in asked] == ["requested", "granted"]
    assert [event["action"]["phase"] for event in (intent, outcome)] == ["intent", "outcome"]
    approval = outcome["approval"]
    assert (approval["decision"], approval["approver"]) == ("granted", "dana@acme.example")
    assert approval["shown_digest"] == approval["executed_digest"] == asked[0]["shown_digest"]
    assert outcome["action"]["status_code"] == 201


def test_the_api_says_what_it_checked(answers: Answers) -> None:
    """The API's stub of the thief's first use: six checks that passed, verified claims, and nothing of the sender."""
    (event,) = answers.events("show")
    assert [check["outcome"] for check in event["proof"]["checks"]] == ["pass"] * 6
    assert event["token"]["basis"] == "verified_jwt"
    assert event["token"]["audience"] == event["resource"]["accepted_audiences"]
    assert event["binding"]["verified"] == "none"
    assert "pid" not in event["signer"]
    assert "agent" not in event["context"]


def test_verify_passes(played: tuple[World, Ran], answers: Answers) -> None:
    """The log is as it was sealed, and the story says how many entries that are."""
    (found,) = answers.to("verify")
    assert found["consistent"]
    assert f"Entries 1 to {found['entries']} are as they were sealed" in played[1].out
    assert found["chain_hash"] in played[1].out


def test_a_raw_token_finds_its_entries(known: tuple[World, Ran, tuple[str, ...]]) -> None:
    """Whoever finds a credential gives it on stdin, and sees where it was used."""
    world, _ran, (_client_secret, api_key, *_others) = known
    found = world.lines("query", "--db", "demo.db", "--token-stdin", given=api_key)
    assert {line["event"]["context"]["observer"] for line in found} == {"agent", "resource_server"}
    assert {line["event"]["context"].get("tenant") for line in found} == {"acme", "globex", None}


@pytest.mark.parametrize(
    "tampering",
    [
        """UPDATE entry SET body = replace(body, '"method":"GET"', '"method":"PET"') WHERE seq = ?""",
        "DELETE FROM entry WHERE seq = ?",
    ],
    ids=["one byte", "one row"],
)
def test_tampering_shows(played: tuple[World, Ran], tampering: str, tmp_path: Path) -> None:
    """One altered byte, or one deleted row, makes ``verify`` exit 1 and name the entry."""
    world, _ran = played
    with (
        contextlib.closing(sqlite3.connect(world.folder / "demo.db")) as original,
        contextlib.closing(sqlite3.connect(tmp_path / "tampered.db")) as tampered,
        tampered,
    ):
        original.backup(tampered)
        (seq,) = tampered.execute("SELECT min(seq) FROM entry WHERE action = 'read_invoice'").fetchone()
        assert tampered.execute(tampering, (seq,)).rowcount == 1
    ran = world.run("verify", "--db", str(tmp_path / "tampered.db"), "--json")
    assert ran.err == ""
    found = json.loads(ran.out)
    assert (ran.code, found["consistent"], found["first_bad_seq"]) == (1, False, seq)


def test_no_secret_is_anywhere(known: tuple[World, Ran, tuple[str, ...]], leaks: Callable[..., list[str]]) -> None:
    """No file of the log, no exported span or line, and nothing printed holds a secret; the leaked trace does."""
    world, ran, held = known
    printed = world.run("query", "--db", "demo.db", "--json")
    assert "credential_use" in printed.out
    spans = world.run("export", "otel", "spans.json", "--to", "file", "--db", "demo.db")
    lines = world.run("export", "jsonl", "lines.json", "--db", "demo.db")
    files = sorted([*world.folder.glob("demo.db*"), world.folder / "spans.json", world.folder / "lines.json"])
    assert "counterfoil.token.fingerprint" in (world.folder / "spans.json").read_text(encoding="utf-8")
    for secret in held:
        for told in (ran, printed, spans, lines):
            assert leaks(secret, *files, told.out, told.err) == []
    assert leaks(held[-1], world.folder / "trace") != []


class Blind(Redactor):
    """A redactor that removes nothing."""

    def event(self, body: dict[str, Any]) -> list[Any]:
        """Let everything through."""
        del body
        return []


def raw_fingerprint(secret: str, _key: object) -> Fingerprint:
    """Return what must never be: the secret itself as its fingerprint."""
    return str.__new__(Fingerprint, secret)


@pytest.mark.parametrize("defect", ["none", "redaction", "fingerprint"])
def test_the_search_would_find_a_leak(
    defect: str, address: Path, secret: str, leaks: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With redaction or fingerprints broken, the same search over the same files finds the secret."""
    if defect == "fingerprint":
        monkeypatch.setattr(Fingerprint, "of", raw_fingerprint)
    with AuditLog.open(address, redactor=Blind() if defect == "redaction" else None) as log:
        token = Token(fingerprint=log.fingerprint(secret))
        context = Context(attributes={"header": f"Authorization: Bearer {secret}"})
        use = CredentialUse(
            context=context, token=token, resource=Resource(uri="https://api.example"), action=Action(name="x")
        )
        log.record(use)
        found = leaks(secret, *address.parent.glob(f"{address.name}*"))
    assert bool(found) == (defect != "none")


def test_without_a_name_nothing_is_kept(world: World) -> None:
    """A log that nobody named is gone afterwards, and the story says how to keep one."""
    ran = world.run("demo")
    assert ran.code == 0, ran.err
    assert "counterfoil demo --db demo.db" in ran.out
    assert world.left_behind() == []
    assert [path.name for path in world.folder.iterdir()] == ["tmp"]


def test_keep_keeps_the_log_alone(world: World) -> None:
    """With ``--keep`` the log stays in a temporary folder that the story names; the leaked trace does not."""
    ran = world.run("demo", "--keep")
    assert ran.code == 0, ran.err
    (folder,) = (world.folder / "tmp").iterdir()
    assert f"--db {folder}/demo.db" in ran.out
    assert all(path.name.startswith("demo.db") for path in folder.iterdir())


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    """What is played never lands among real records."""
    file = tmp_path / "mine.db"
    file.write_bytes(b"mine")
    with pytest.raises(ConfigurationError):
        play(file, tmp_path / "trace")
    assert file.read_bytes() == b"mine"


def test_a_place_that_cannot_be_written_is_an_error_of_the_store(tmp_path: Path) -> None:
    """A wrong place is named for what it is, and not as the failure of some process."""
    with pytest.raises(StoreError):
        play(tmp_path / "missing" / "demo.db", tmp_path / "trace")


def test_a_role_that_fails_is_named(world: World, leaks: Callable[..., list[str]]) -> None:
    """The role is named, what it said is shown redacted and escaped, and all the others are ended."""
    secret = secrets.token_urlsafe(32)
    words = f"\x1b[31mno such thing\nAuthorization: Bearer {secret}\n"
    broken = f"import os, sys\nif sys.orig_argv[-1].endswith('.api'): os.write(2, {words.encode()!r}), os._exit(3)\n"
    (world.folder / "sitecustomize.py").write_text(broken)
    ran = world.run("demo", PYTHONPATH=str(world.folder))
    assert (ran.code, ran.out) == (1, "")
    assert "the demo's api ended with exit code 3" in ran.err
    assert "\\x1b[31mno such thing" in ran.err
    assert leaks(secret, ran.err) == []
    assert world.processes() == []
    assert world.left_behind() == []


@pytest.fixture
def running(world: World) -> Iterator[subprocess.Popen[str]]:
    """Start the demo, and give it once the first role is there."""
    process = world.start(*COUNTERFOIL, "demo")
    until = time.monotonic() + 20
    while len(world.processes()) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(random.uniform(0, 1.2))  # any instant will do
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(world: World, running: subprocess.Popen[str], number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM, at any instant, leave no process and no file."""
    running.send_signal(number)
    out, _err = running.communicate(timeout=20)
    assert (running.returncode, out) == (128 + number, "")
    assert world.processes_after(3) == []
    assert world.left_behind() == []


def test_a_killed_parent_leaves_nobody(world: World, running: subprocess.Popen[str]) -> None:
    """Roles end by themselves when the parent cannot end them."""
    running.kill()
    running.wait(timeout=20)
    assert world.processes_after(10) == []


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its dependencies the demo says what to install."""

    def find_spec(name: str) -> object:
        return None if name == "starlette" else object()

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    with pytest.raises(MissingExtra) as raised:
        demo(db=None, keep=False)
    assert raised.value.advice == "pip install 'counterfoil[demo]'"

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
from counterfoil.audit.demo.thief import find_loot
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
    return world, world.run("demo", "--db", "demo.db", "--receipts", "receipts.jsonl")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Ran, Held]:
    """Play once with secrets that are known, and return them: the access token as the leaked trace has it."""
    world = World(tmp_path_factory.mktemp("known"), secrets.token_hex(8))
    given = Secrets()
    process = world.start(sys.executable, "-c", KNOWN_PLAY)
    out, err = process.communicate(json.dumps(asdict(given)), timeout=60)
    assert process.returncode == 0, err
    return world, Ran(0, out, err), Held((*asdict(given).values(), *leaked(world)))


class Held(tuple[str, ...]):
    """Secrets of a run, which no failure shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


def leaked(world: World) -> set[str]:
    """Return the secrets that the tool trace gave away: tokens and proofs, and their signatures by themselves."""
    sent = list(find_loot((world.folder / "trace").read_text("utf-8")))
    whole = {loot.token for loot in sent} | {loot.headers["dpop"] for loot in sent if "dpop" in loot.headers}
    assert len(whole) >= 6
    return whole | {each.rpartition(".")[2] for each in whole}


@pytest.fixture(scope="module")
def answers(played: tuple[World, Ran]) -> Answers:
    """Run every command that the story proposes, as a reader would paste it, asking for JSON."""
    world, ran = played
    proposed = re.findall(r"^  counterfoil (.+)$", ran.out, re.MULTILINE)
    assert proposed
    return Answers(world, {command: world.lines(*command.split()) for command in proposed})


@dataclass(frozen=True)
class Answers:
    """What commands printed: the proposed ones, and others asked for."""

    world: World
    by_command: dict[str, list[dict[str, Any]]]

    def to(self, *command: str) -> list[dict[str, Any]]:
        """Return the answer to a command."""
        return self.world.lines(*command, "--db", "demo.db")

    def events(self, *options: str) -> list[dict[str, Any]]:
        """Return the events that a query finds."""
        return [line["event"] for line in self.to("query", *options)]

    def incident(self, rule: str) -> dict[str, Any]:
        """Return the first proposed incident with a remark by this rule."""
        found = (lines[0] for command, lines in self.by_command.items() if command.startswith("incident"))
        return next(each for each in found if rule in [remark["rule"] for remark in each["remarks"]])

    def remark(self, rule: str) -> dict[str, Any]:
        """Return that remark."""
        return next(remark for remark in self.incident(rule)["remarks"] if remark["rule"] == rule)

    def event(self, seq: int) -> dict[str, Any]:
        """Return the event of an entry."""
        (line,) = self.to("show", str(seq))
        event: dict[str, Any] = line["event"]
        return event


def ended(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave the intents out."""
    return [event for event in events if event["kind"] == "credential_use" and event["action"]["phase"] != "intent"]


def failed(event: dict[str, Any]) -> list[str]:
    """Return the ids of the checks that failed."""
    return [check["id"] for check in event["proof"]["checks"] if check["outcome"] == "fail"]


def test_it_ends_well_and_says_so_itself(played: tuple[World, Ran]) -> None:
    """The demo runs to its end without a warning, and leaves no process and no temporary file."""
    world, ran = played
    assert (ran.code, ran.err) == (0, "Playing; this takes some seconds.\n")
    assert world.processes() == []
    assert world.left_behind() == []
    for words in ("t-3", "globex", "granted by dana@acme.example", "what was shown is what ran", "mtls.03_x5t_match"):
        assert words in ran.out


def test_ordinary_calls_have_both_stubs(answers: Answers) -> None:
    """(a) Bearer, DPoP and certificate: executed, and seen from both sides; a nonce made two attempts of one use."""
    uses = ended(answers.events("--task", "t-1"))
    first, second = (use for use in uses if use["action"]["name"] == "read_mail")
    assert (first["context"]["use_id"], first["action"]["attempt"]) == (second["context"]["use_id"], 1)
    assert (first["action"]["error_type"], second["action"]["attempt"]) == ("use_dpop_nonce", 2)
    (seen,) = [
        event
        for event in ended(answers.events("--proof-id", second["proof"]["proof_id"]))
        if event["context"]["observer"] == "resource_server" and event["action"]["outcome"] == "executed"
    ]
    assert (seen["binding"]["verified"], seen["proof"]["result"], failed(seen)) == ("dpop", "pass", [])
    paid = ended(answers.events("--approval", "approval-1"))
    bound = next(use for use in paid if use["token"]["token_class"] == "mtls_bound_access")
    stubs = ended(answers.events("--token", bound["token"]["fingerprint"], "--outcome", "executed"))
    assert {(use["context"]["observer"], use["binding"].get("verified")) for use in stubs} == {
        ("resource_server", "mtls"),
        ("agent", None),
    }
    called = next(use for use in uses if use["action"]["name"] == "read_inbox" and "task" in use["context"])
    assert (called["token"]["token_class"], called["action"]["outcome"]) == ("bearer_jwt_at", "executed")


def test_the_replay_of_the_bearer_token_is_accepted_and_stands_alone(answers: Answers) -> None:
    """(b) The MCP server ran the thief's call; every check passed; no agent has a stub of it."""
    incident = answers.incident("token.passthrough")
    (verdict,) = [each for each in incident["verdicts"] if each["sender"] == "somebody_else"]
    assert verdict["sentence"].startswith("Replayed by somebody else")
    (seq,) = verdict["seqs"]
    event = answers.event(seq)
    assert (event["action"]["name"], event["action"]["outcome"], failed(event)) == ("read_inbox", "executed", [])
    assert event["context"]["observer"] == "resource_server"
    (alone,) = [line["seq"] for line in incident["timeline"] if line["alone"]]
    assert alone == seq


@pytest.mark.parametrize(
    ("check", "name"),
    [
        ("dpop.14_scheme", "GET /mail"),
        ("dpop.12b_jkt", "GET /mail"),
        ("dpop.13_jti_replay", "GET /mail"),
        ("dpop.09_htu", "POST /payments"),
        ("mtls.03_x5t_match", "POST /payments"),
    ],
)
def test_a_bound_token_is_no_good_to_the_thief(answers: Answers, check: str, name: str) -> None:
    """(c) Without the key, with another key, with a captured proof, with another certificate: refused, and why."""
    (event,) = answers.events("--failed-check", check, "--class", f"{check.partition('.')[0]}_bound_access")
    assert (event["action"]["name"], event["action"]["outcome"]) == (name, "refused")
    assert event["proof"]["checked_by"] == "demo-api"
    assert event["context"]["observer"] == "resource_server"


def test_the_induced_payment_has_both_stubs_and_no_approval(answers: Answers) -> None:
    """(d) It ran, its proof is valid, the sender is the rightful one; an approval was required and none was given."""
    incident = answers.incident("approval.missing")
    (verdict,) = [each for each in incident["verdicts"] if each["sender"] == "induced"]
    theirs, ours = sorted(
        (answers.event(seq) for seq in verdict["seqs"]), key=lambda event: event["context"]["observer"], reverse=True
    )
    assert (theirs["action"]["outcome"], theirs["proof"]["result"], failed(theirs)) == ("executed", "pass", [])
    assert theirs["proof"]["proof_id"] == ours["proof"]["proof_id"]
    assert (ours["approval"]["requirement"], ours["approval"].get("decision", "none")) == ("required", "none")
    assert ours["context"]["task"] == "t-4"


def test_the_story_tells_the_stolen_from_the_induced(played: tuple[World, Ran]) -> None:
    """Both were accepted; what tells them apart is printed with its reasons."""
    out = played[1].out
    assert re.search(r"Replayed by somebody else: entry \d+ has no agent's stub", out)
    assert "both stubs, proof valid, but approval was required and none was given: induced" in out


def test_a_token_that_was_passed_on_is_seen(answers: Answers) -> None:
    """(e) The tool sent what it was called with: inbound and outbound are equal; the proper tool's are not."""
    assert answers.remark("token.passthrough")["severity"] == "critical"
    sent = [use for use in ended(answers.events("--observer", "agent")) if use["context"].get("inbound")]
    passed_on = {
        use["context"]["tool"]["name"]: use["context"]["inbound"] == use["token"]["fingerprint"] for use in sent
    }
    assert passed_on == {"read_inbox": False, "look_up_contact": True}


def test_a_token_for_somebody_else_is_refused(answers: Answers) -> None:
    """(f) The audience is the MCP server's, the resource is the API's."""
    (event,) = answers.events("--failed-check", "token.audience")
    assert event["action"]["outcome"] == "refused"
    assert set(event["token"]["audience"]).isdisjoint(event["resource"]["accepted_audiences"])
    assert answers.remark("token.wrong_audience")


def test_one_key_for_two_tenants_is_seen(answers: Answers) -> None:
    """(g) One thumbprint signed for both."""
    assert answers.remark("key.several_tenants")
    key = answers.events("--task", "t-4", "--class", "dpop_bound_access")[0]["binding"]["key_thumbprint"]
    uses = answers.events("--key", key, "--observer", "agent")
    assert {use["context"].get("tenant") for use in uses} == {"acme", "globex", None}  # None: when the token was issued


def test_a_task_is_found_whole(answers: Answers) -> None:
    """The entries of a task: its uses and its approval, all of one agent, one tenant and one trace."""
    events = answers.events("--task", "t-2")
    assert {event["kind"] for event in events} == {"credential_use", "approval"}
    contexts = [event["context"] for event in events]
    assert {(context["agent"]["id"], context["tenant"]) for context in contexts} == {("office-agent", "acme")}
    assert len({context["trace_id"] for context in contexts}) == 1


def test_the_action_stands_with_its_approval(answers: Answers) -> None:
    """Question, answer and payment join by the approval's id, and what was shown is what ran."""
    events = answers.events("--approval", "approval-1")
    asked = [event for event in events if event["kind"] == "approval"]
    assert [event["state"] for event in asked] == ["requested", "granted"]
    for use in ended(events):
        approval = use["approval"]
        assert (approval["decision"], approval["approver"]) == ("granted", "dana@acme.example")
        assert approval["shown_digest"] == approval["executed_digest"] == asked[0]["shown_digest"]
        assert use["action"]["status_code"] == 201


def test_what_a_server_knows_of_the_sender_is_what_the_wire_shows(answers: Answers) -> None:
    """A server's stub has verified claims and its own names, and nothing of the sender's process."""
    (event,) = answers.events("--failed-check", "dpop.13_jti_replay")
    assert event["token"]["basis"] == "verified_jwt"
    assert event["token"]["audience"] == event["resource"]["accepted_audiences"]
    assert "pid" not in event.get("signer", {})
    assert "agent" not in event["context"]


def test_verify_passes(played: tuple[World, Ran], answers: Answers) -> None:
    """The log is as it was sealed, and the story says how many entries that are."""
    (found,) = answers.to("verify")
    assert found["consistent"]
    assert f"Entries 1 to {found['entries']} are as they were sealed" in played[1].out
    assert found["chain_hash"] in played[1].out


def test_every_receipt_is_borne_out(played: tuple[World, Ran]) -> None:
    """What ``--receipts`` wrote down names entries that are there, with the chain hash that they have."""
    world, _ran = played
    lines = (world.folder / "receipts.jsonl").read_text("utf-8").splitlines()
    given = {(each["seq"], each["event_id"], each["chain_hash"]) for each in map(json.loads, lines)}
    with contextlib.closing(sqlite3.connect(world.folder / "demo.db")) as connection:
        stored = set(connection.execute("SELECT seq, event_id, lower(hex(chain_hash)) FROM entry WHERE kind != 'log'"))
    assert given == stored


def test_receipts_overwrite_no_file(tmp_path: Path) -> None:
    """A file that is there already is refused before anything is played, and left as it was."""
    file = tmp_path / "receipts"
    file.write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match=r"FileExistsError"):
        demo(db=str(tmp_path / "demo.db"), keep=False, receipts=str(file))
    assert file.read_bytes() == b"mine"
    assert not (tmp_path / "demo.db").exists()


def test_a_raw_token_finds_its_entries(known: tuple[World, Ran, Held]) -> None:
    """Whoever finds a credential gives it on stdin, and sees where it was used."""
    world, _ran, (_client_secret, _mcp_client_secret, api_key, *_others) = known
    found = world.lines("query", "--db", "demo.db", "--token-stdin", given=api_key)
    assert {line["event"]["context"]["observer"] for line in found} == {"agent", "resource_server"}
    assert {line["event"]["context"].get("tenant") for line in found} == {"acme", None}


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
    assert (ran.code, found["consistent"]["state"], found["consistent"]["first_bad"]) == (1, "failed", seq)


def test_no_secret_is_anywhere(known: tuple[World, Ran, Held], leaks: Callable[..., list[str]]) -> None:
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
    assert all(leaks(secret, world.folder / "trace") for secret in leaked(world))


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
    """A log that nobody named is gone afterwards, and the story says how to keep one; receipts can go to stdout."""
    ran = world.run("demo", "--receipts", "-")
    assert ran.code == 0, ran.err
    assert ran.out.count('{"log_id": ') > 90
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
    assert world.processes_after(30) == []


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its dependencies the demo says what to install."""

    def find_spec(name: str) -> object:
        return None if name == "starlette" else object()

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    with pytest.raises(MissingExtra) as raised:
        demo(db=None, keep=False)
    assert raised.value.advice == "pip install 'counterfoil[demo]'"

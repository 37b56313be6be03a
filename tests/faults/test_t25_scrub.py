"""T25: kill -9 in the middle of an erasure: the log verifies as it is left, and the next run leaves nothing."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import subprocess
import sys
from base64 import b64encode, urlsafe_b64encode
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from counterfoil.audit import AuditLog, AuditReader
from counterfoil.audit.integrity.signing_key import SigningKey
from counterfoil.audit.keeping import erasure
from counterfoil.audit.redaction import Redactor
from counterfoil.exporters.sql import open_reader, sqlite
from counterfoil.exporters.sql.sqlite_file import SqliteFile
from counterfoil.schemas import Action, Context, CredentialUse, FingerprintKey, Resource, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Tally
    from frame import Scale

pytestmark = pytest.mark.faults

KEY = FingerprintKey(bytes.fromhex("5f" * 32))
USES = 300
WHAT = "kill -9 of an erasure of 10 entries, at each of its statements and within"


class Blind(Redactor):
    """Lets everything slip in."""

    def event(self, body: dict[str, Any]) -> list[Any]:  # noqa: ARG002 -- as in its base
        """Find nothing."""
        return []


class Scrubber:
    """Orders erasures, see scrubber.py."""

    def __init__(self, folder: Path) -> None:
        self.key, text = SigningKey.generate("example.com/log")
        self.environment = {
            "COUNTERFOIL_FINGERPRINT_KEY": "5f" * 32,
            "COUNTERFOIL_SIGNING_KEY": text,
        }
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("scrubber.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"SQLITE_TMPDIR": str(self.temporary)},
        )

    def order(self, db: Path | str, secret: str, **when: float) -> tuple[int, float]:
        """Have it done, killed at some time; return the exit code and the seconds that it took."""
        assert self._process.stdin
        assert self._process.stdout
        order = {"db": str(db), "secret": secret, "environment": self.environment, **when}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["ended"] in {0, -9}
        return answer["ended"], answer["seconds"]

    def end(self) -> None:
        """Let it go."""
        self._process.communicate(timeout=20)


@pytest.fixture
def scrubber(tmp_path: Path) -> Iterator[Scrubber]:
    """Give what erases, and is killed."""
    started = Scrubber(tmp_path)
    yield started
    started.end()


def _write(db: Path | str, secret: str, key: SigningKey) -> None:
    """Write a log in which ten entries, far from each other, hold the secret in several forms."""
    forms: list[Callable[[str], str]] = [
        lambda it: it,
        lambda it: b64encode(f"user:{it}".encode()).decode(),
        lambda it: urlsafe_b64encode(f"{it}!".encode()).decode(),
        lambda it: it.encode().hex(),
        lambda it: json.dumps(json.dumps([it])),
    ]
    with AuditLog.open(db, fingerprint_key=KEY, signing_key=key, redactor=Blind()) as log:
        for number in range(USES):
            text = forms[number // 30 % 5](secret) if number % 30 == 0 else "x" * (number % 7 * 150)
            log.record(
                CredentialUse(
                    context=Context(attributes={"text": text}, task=f"t-{secret}" if number == 60 else f"t-{number}"),
                    token=Token(),
                    resource=Resource(uri="https://api.example/mail"),
                    action=Action(name="read_mail"),
                )
            )


def _erased(db: Path | str, key: SigningKey) -> int:
    """Return how many entries are erased in a log in which nothing is wrong."""
    with AuditReader.open(db) as reader:
        found = reader.verify(keys=[str(key.verifier_key)])
        assert found.failed == (), found
        return reader.erased_count()


def _require_nothing_left(folder: Path, secret: str, leaks: Callable[..., list[str]], *beside: Path) -> None:
    assert leaks(secret, folder, *beside) == []


def _round(
    scrubber: Scrubber, good: Path, secret: str, folder: Path, leaks: Callable[..., list[str]], **when: float
) -> tuple[bool, int]:
    """Kill an erasure of a copy, run it again; return whether it was killed, and how much it had erased."""
    shutil.copytree(good, folder)
    db = folder / "audit.db"
    ended, _ = scrubber.order(db, secret, **when)
    before = _erased(db, scrubber.key)
    if ended:
        assert before in {0, 3, 6, 9, 10}
        assert scrubber.order(db, secret)[0] == 0
    assert _erased(db, scrubber.key) == 10
    _require_nothing_left(folder, secret, leaks, scrubber.temporary)
    shutil.rmtree(folder)
    return bool(ended), before


def test_a_kill_in_the_middle(
    scrubber: Scrubber, tmp_path: Path, leaks: Callable[..., list[str]], scale: Scale, tally: Tally
) -> None:
    """After each the log is consistent, with some entries erased or none; the next run completes it, without a copy."""
    secret, chance = secrets.token_urlsafe(32), random.Random(25)
    good = tmp_path / "good"
    good.mkdir()
    _write(good / "audit.db", secret, scrubber.key)
    assert leaks(secret, good)
    step, instant, killed, states = scale(17, 1), 1, True, set[int]()
    kills = tries = 0
    while killed:
        killed, before = _round(scrubber, good, secret, tmp_path / "log", leaks, instant=instant)
        kills, tries, instant = kills + killed, tries + 1, instant + chance.randint(1, 2 * step - 1)
        states.add(before)
    assert kills > scale(8, 100)
    assert {0, 10} < states
    tally(test="T25", what=WHAT, injected=kills, tried=tries, lost=0, false_alarms=0, note="0 bytes of the secret left")


def test_a_kill_at_some_time(
    scrubber: Scrubber, tmp_path: Path, leaks: Callable[..., list[str]], scale: Scale, tally: Tally
) -> None:
    """The same by the clock, wherever it is then."""
    secret, chance = secrets.token_urlsafe(32), random.Random(26)
    good = tmp_path / "good"
    good.mkdir()
    _write(good / "audit.db", secret, scrubber.key)
    shutil.copytree(good, tmp_path / "whole")
    _, seconds = scrubber.order(tmp_path / "whole" / "audit.db", secret)
    rounds = scale(5, 200)
    kills = sum(
        _round(scrubber, good, secret, tmp_path / "log", leaks, after=chance.uniform(0, seconds))[0]
        for _ in range(rounds)
    )
    assert kills
    tally(test="T25", what=WHAT, injected=kills, tried=rounds, lost=0, false_alarms=0)


def test_a_kill_on_postgresql(scrubber: Scrubber, postgres: str, scale: Scale, tally: Tally) -> None:
    """There, too: what was begun is undone or done, and the next run completes it."""
    secret, chance, rounds = secrets.token_urlsafe(32), random.Random(27), scale(4, 40)
    _write(postgres, secret, scrubber.key)
    for _ in range(rounds):
        scrubber.order(postgres, secret, after=chance.uniform(0.02, 0.25))
        assert _erased(postgres, scrubber.key) in {0, 3, 6, 9, 10}
    assert scrubber.order(postgres, secret)[0] == 0
    assert _erased(postgres, scrubber.key) == 10
    with closing(open_reader(postgres)) as reader:
        assert not any(secret.encode() in (body or b"") for _, body, *_ in reader.stored())
    tally(test="T25", what="PostgreSQL, the same by the clock", injected=rounds, tried=rounds, lost=0, false_alarms=0)


def test_bytes_that_are_left_are_noticed(
    tmp_path: Path, leaks: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    """With ``secure_delete`` off, and the file not written anew, the search finds what no entry has any more."""
    secret, (key, _) = secrets.token_urlsafe(32), SigningKey.generate("example.com/log")
    monkeypatch.setenv("COUNTERFOIL_FINGERPRINT_KEY", "5f" * 32)
    given: tuple[tuple[Any, ...], ...] = vars(sqlite)["_SETTINGS"]
    settings = [(name, "OFF", 0) if name == "secure_delete" else (name, *values) for name, *values in given]
    monkeypatch.setattr("counterfoil.exporters.sql.sqlite._SETTINGS", settings)
    monkeypatch.setattr(SqliteFile, "rewrite", SqliteFile.purge)
    folder = tmp_path / "log"
    folder.mkdir()
    _write(folder / "audit.db", secret, key)
    done = erasure.erase(folder / "audit.db", secret=secret.encode(), reason="a secret slipped in", signing_key=key)
    assert (len(done.seqs), done.left, _erased(folder / "audit.db", key)) == (10, (), 10)
    with pytest.raises(AssertionError):
        _require_nothing_left(folder, secret, leaks)
    tally.defect("T25", "`secure_delete` off and no VACUUM: bytes of the secret are left in the database")

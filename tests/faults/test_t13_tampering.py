"""T13: every attack on a plain, a signed and a witnessed log gives exactly the documented verdict, and no false OK."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attacks import PLAIN, SIGNED, WITNESSED, Attack, Attacker, Scene, attacks, make_scene

from counterfoil.audit.cli.main import main
from counterfoil.audit.integrity import State, Verdict
from counterfoil.audit.integrity.chain import Chain
from counterfoil.audit.integrity.erasure import Erasures
from counterfoil.audit.integrity.pruning import Prunings
from counterfoil.audit.integrity.signatures import Signatures
from counterfoil.audit.integrity.witness import Witnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from conftest import Tally

    from counterfoil.audit.integrity.chain import Row

pytestmark = pytest.mark.faults

MODES = (PLAIN, SIGNED, WITNESSED)
ATTACKS = {attack.what: attack for attack in attacks()}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrity.md"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """Give a good log of each kind."""
    folder = tmp_path_factory.mktemp("scenes")
    return {mode: make_scene(folder / mode, mode) for mode in MODES}


def _verify(scene: Scene, *options: str) -> tuple[int, dict[str, Any]]:
    """Ask the command line; return its exit code and what it found."""
    before, out = sys.argv, io.StringIO()
    sys.argv = ["counterfoil", "verify", "--db", str(scene.db), "--json", *options]
    try:
        with redirect_stdout(out), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    return int(ended.value.code or 0), json.loads(out.getvalue())


def _attacked(scene: Scene, attack: Attack, folder: Path) -> tuple[int, dict[str, Any]]:
    """Attack a copy of a log, and verify it."""
    victim = scene.copy_to(folder)
    attacker = Attacker(victim)
    attack.do(attacker)
    attacker.connection.close()
    return _verify(victim, *attack.options(victim))


@pytest.mark.parametrize("mode", MODES)
def test_a_good_log_of_each_kind(mode: str, scenes: dict[str, Scene]) -> None:
    """Before the attack nothing fails, also examined deeply, and what has an anchor is proven."""
    scene = scenes[mode]
    required = ["--require", f"consistent,complete{f',{mode}' if mode != PLAIN else ''}"]
    code, found = _verify(scene, "--deep", *scene.options, *required)
    assert (code, found["failed"], found["deep"]["state"]) == (0, [], "proven")
    assert found["signed"]["reach"] == (found["entries"] if mode == SIGNED else 0)
    assert (found["entries"] > found["witnessed"]["reach"] > 12) == (mode == WITNESSED)


@pytest.mark.parametrize("what", ATTACKS)
@pytest.mark.parametrize("mode", MODES)
def test_an_attack(what: str, mode: str, scenes: dict[str, Scene], tmp_path: Path, tally: Tally) -> None:
    """Exactly the verdicts fail that must, and the exit code says so."""
    attack = ATTACKS[what]
    code, found = _attacked(scenes[mode], attack, tmp_path / mode)
    expected = attack.expected(mode)
    assert tuple(found["failed"]) == expected, found
    assert code == (1 if expected else 0)
    for name in found["failed"]:
        assert found[name]["words"]
        assert found[name]["first_bad"] is not None or name == "deep" or "deep" in found["failed"]
    tally(
        test="T13",
        what=f"attacks on a {mode} log, through the command line",
        injected=1,
        tried=1,
        false_alarms=0,
        note=f"{len(ATTACKS)} attacks, each with exactly its documented verdict",
    )


@pytest.mark.parametrize("mode", [SIGNED, WITNESSED])
def test_nothing_unseen_is_within_reach(mode: str, scenes: dict[str, Scene], tmp_path: Path) -> None:
    """What no verdict shows of a rewrite lies beyond what they say they reach: there is no false OK."""
    attack = ATTACKS["a body is edited, everything sealed anew, later checkpoints dropped"]
    code, found = _attacked(scenes[mode], attack, tmp_path / mode)
    assert (found[mode]["state"] == "failed") == (code == 1) == (mode == WITNESSED)
    assert found[mode]["reach"] < 12
    assert mode == WITNESSED or "entries beyond it are not" in found["signed"]["words"]


def _shown(verdicts: tuple[str, ...]) -> str:
    return ", ".join(verdicts) or "**no**"


def test_the_page_has_this_table() -> None:
    """docs/integrity.md says of each attack exactly what this test demands."""
    table = PAGE.read_text("utf-8").partition("|---|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [
        f"| {each.what} | {_shown(each.plain)} | {_shown(each.signed)} | {_shown(each.witnessed)} |"
        for each in ATTACKS.values()
    ]


def _every_row_holds(chain: Chain, rows: Sequence[Row]) -> Sequence[Row]:
    chain.entries = rows[-1][0]
    return rows


def _nothing(*_: object) -> None:
    return None


def _whatever_was_seen(_witnesses: Witnesses, entries: int) -> Verdict:
    return Verdict(State.PROVEN, entries, "all of it")


DEFECTS: dict[str, tuple[type, str, Callable[..., Any], str, str]] = {
    "hashes are not compared": (Chain, "take", _every_row_holds, "a body is edited", PLAIN),
    "checkpoints in the file are not compared": (
        Signatures,
        "check",
        _nothing,
        "a body is edited, everything after it sealed anew",
        SIGNED,
    ),
    "what a witness saw is not compared": (
        Witnesses,
        "verdict",
        _whatever_was_seen,
        "an older copy is put back",
        WITNESSED,
    ),
    "erased rows are believed": (
        Erasures,
        "problem",
        _nothing,
        "a body is erased, an entry says so, without a note",
        PLAIN,
    ),
    "pruned rows are believed": (Prunings, "problem", _nothing, "bodies are taken away", PLAIN),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_verifier_that_looks_away_is_noticed(
    defect: str, scenes: dict[str, Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    """With one rule taken out the same attack is not seen, so that its test would be red."""
    owner, name, blind, what, mode = DEFECTS[defect]
    attack = ATTACKS[what]
    monkeypatch.setattr(owner, name, blind)
    _code, found = _attacked(scenes[mode], attack, tmp_path / mode)
    assert tuple(found["failed"]) != attack.expected(mode)
    tally.defect("T13", f"{defect}: the attack “{what}” is not seen")

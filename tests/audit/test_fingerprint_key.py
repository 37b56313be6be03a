"""The fingerprint key: from the environment, from a file that only its owner can read, or made once."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from counterfoil.audit import load_fingerprint_key
from counterfoil.schemas import FingerprintKey, InvalidKey

_VARIABLE = "COUNTERFOIL_FINGERPRINT_KEY"


@pytest.fixture
def made() -> Path:
    """Name the file in which a key is made."""
    return Path(os.environ["XDG_CONFIG_HOME"]) / "counterfoil" / "fingerprint.key"


def _write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_environment_comes_first(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable wins over the file that is named, and that over the one in the configuration folder."""
    ours, named, default = (secrets.token_bytes(32) for _ in range(3))
    _write(made, default.hex())
    assert load_fingerprint_key().key_id == FingerprintKey(default).key_id
    monkeypatch.setenv(f"{_VARIABLE}_FILE", str(_write(tmp_path / "named.key", f" {named.hex()}\n")))
    assert load_fingerprint_key().key_id == FingerprintKey(named).key_id
    monkeypatch.setenv(_VARIABLE, f"{ours.hex()}\n")
    assert load_fingerprint_key().key_id == FingerprintKey(ours).key_id


def test_a_key_is_made_once(made: Path) -> None:
    """The first call makes 256 random bits, which only the owner can read; the next finds them."""
    first, again = load_fingerprint_key(), load_fingerprint_key()
    assert first.key_id == again.key_id == FingerprintKey(bytes.fromhex(made.read_text())).key_id
    assert len(bytes.fromhex(made.read_text())) == 32
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.parent.stat().st_mode & 0o777 == 0o700
    assert list(made.parent.iterdir()) == [made]


def test_without_xdg_the_folder_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration folder is ``~/.config`` unless XDG_CONFIG_HOME names another."""
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    load_fingerprint_key()
    assert (tmp_path / ".config" / "counterfoil" / "fingerprint.key").exists()


def test_whoever_makes_it_first(made: Path) -> None:
    """Of many that start at once all get the same key, and no half of one is ever seen."""
    with ThreadPoolExecutor(8) as pool:
        keys = [pool.submit(load_fingerprint_key) for _ in range(8)]
    assert len({key.result().key_id for key in keys}) == 1
    assert list(made.parent.iterdir()) == [made]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_key_that_others_can_reach_is_refused(mode: int, made: Path, secret: str) -> None:
    """A file that group or others can read or write is no secret; the error names the file, and how to mend it."""
    _write(made, secret, mode)
    with pytest.raises(InvalidKey, match=r"fingerprint\.key") as caught:
        load_fingerprint_key()
    assert "chmod 600" in caught.value.advice


@pytest.mark.parametrize("text", ["", "hunter2", "ab" * 15, "zz" * 32, "é"])
def test_what_is_no_key_is_refused_and_not_shown(text: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too short, not hex, not ASCII: an error that names the place and never the value."""
    _write(made, text)
    with pytest.raises(InvalidKey) as caught:
        load_fingerprint_key()
    assert not text or text not in f"{caught.value!r}{caught.value.advice}{caught.value.__cause__}"
    if text:
        monkeypatch.setenv(_VARIABLE, text)
        with pytest.raises(InvalidKey) as caught:
            load_fingerprint_key()
        assert text not in f"{caught.value!r}{caught.value.advice}"


def test_a_key_is_not_cut(made: Path) -> None:
    """Of a file too long for a key nothing is taken: its beginning alone would be another key."""
    _write(made, "ab" * 513)
    with pytest.raises(InvalidKey, match="longer than 1024"):
        load_fingerprint_key()


def test_a_file_that_is_named_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path is a mistake: another key in its place would keep credentials from joining."""
    monkeypatch.setenv(f"{_VARIABLE}_FILE", str(tmp_path / "missing.key"))
    with pytest.raises(InvalidKey, match=r"missing\.key cannot be read"):
        load_fingerprint_key()
    assert not (tmp_path / "missing.key").exists()


def test_a_folder_in_place_of_the_file(made: Path) -> None:
    """What is there and cannot be read is not replaced."""
    made.mkdir(parents=True)
    with pytest.raises(InvalidKey, match="cannot be read"):
        load_fingerprint_key()


@pytest.mark.parametrize("folder", ["x" * 5000, "file/in/the/way"])
def test_a_place_where_nothing_can_be_made(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no key can be kept there is none; the advice says how to give one."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / folder))
    with pytest.raises(InvalidKey, match="no fingerprint key could be made") as caught:
        load_fingerprint_key()
    assert _VARIABLE in caught.value.advice


def test_a_failed_writing_leaves_nothing(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a key is not left behind, where the disk is full."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidKey, match="No space left"):
        load_fingerprint_key()
    assert list(made.parent.iterdir()) == []

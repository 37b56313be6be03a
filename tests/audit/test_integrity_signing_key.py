"""The signing key: where it may come from, what it refuses, and that nothing shows it."""

from __future__ import annotations

import base64
import copy
import logging
import os
import pickle
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.audit.integrity.note import Checkpoint, VerifierKey
from counterfoil.audit.integrity.signing_key import SigningKey, load_signing_key, make_key_file
from counterfoil.schemas import LogChange, LogEvent, SigningKeyError

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "COUNTERFOIL_SIGNING_KEY"
GO_KEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"


def refusal(action: Callable[[], Any]) -> SigningKeyError:
    """Return why this is refused."""
    with pytest.raises(SigningKeyError) as caught:
        action()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def spellings(text: str) -> list[str]:
    """Return how the secret half of a key could show itself."""
    encoded = text.split("+", 4)[4]
    seed = base64.b64decode(encoded)[1:]
    return [encoded, encoded[4:24], seed.hex(), repr(seed)[2:-1], base64.urlsafe_b64encode(seed).decode()[2:-4]]


def test_a_new_key_is_read_again_and_signs_the_same() -> None:
    """Its text is all that there is to keep, and its public half is one that a log event can name."""
    key, text = SigningKey.generate("example.com/agents")
    again = SigningKey.from_text(f"  {text}\n")
    message = b"message"
    assert again.verifier_key == key.verifier_key
    assert again.sign(message) == key.sign(message)
    assert key.verifier_key.verifies(message, key.sign(message))
    event = LogEvent(change=LogChange.OPENED, verification_key=str(key.verifier_key))
    assert VerifierKey.parse(event.verification_key or "") == key.verifier_key
    checkpoint = Checkpoint(f"counterfoil/{'0f' * 16}", 7, bytes(32)).signed(key)
    assert LogEvent(change=LogChange.PRUNED, note=str(checkpoint)).note == str(checkpoint)


def test_the_text_is_that_of_other_tools() -> None:
    """The private key of the tests of Go's sumdb/note is read."""
    key = SigningKey.from_text(GO_KEY)
    assert str(key.verifier_key) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


@pytest.mark.parametrize("at", range(len(GO_KEY)))
def test_a_text_with_one_other_character_is_refused(at: int) -> None:
    """Nothing of it is shown, wherever it is wrong."""
    bad = GO_KEY[:at] + ("B" if GO_KEY[at] != "B" else "C") + GO_KEY[at + 1 :]
    error = refusal(lambda: SigningKey.from_text(bad))
    shown = "".join(traceback.format_exception(error)) + error.advice + repr(vars(error))
    assert not any(each in shown for each in (*spellings(GO_KEY), bad))


@pytest.mark.parametrize("bad", ["", "PRIVATE+KEY+", "PRIVATE+KEY+a+b", GO_KEY[:-4], f"{GO_KEY}AAAA", "\ud800", "é"])
def test_what_is_no_key_is_refused(bad: str) -> None:
    """Cut short, too long, no text."""
    refusal(lambda: SigningKey.from_text(bad))


@pytest.mark.parametrize("name", ["", " ", "a b", "a+b", "x" * 65, "-a", "é", "a\nb", "\ud800"])
def test_a_name_that_no_log_could_name_is_refused(name: str) -> None:
    """A key is refused when it is made, not when the log wants to tell of it."""
    refusal(lambda: SigningKey.generate(name))
    with pytest.raises((SigningKeyError, UnicodeEncodeError)):
        SigningKey(str(VerifierKey(name, bytes(32))), lambda _: b"")


def test_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable wins over the file that is named; with neither there is no key."""
    assert load_signing_key() is None
    named = make_key_file(tmp_path / "named.key", "named")
    ours, text = SigningKey.generate("ours")
    monkeypatch.setenv(f"{VARIABLE}_FILE", str(tmp_path / "named.key"))
    found = load_signing_key()
    assert found is not None
    assert (found.verifier_key, found.path) == (named.verifier_key, tmp_path / "named.key")
    monkeypatch.setenv(VARIABLE, f"{text}\n")
    found = load_signing_key()
    assert found is not None
    assert (found.verifier_key, found.path) == (ours.verifier_key, None)
    monkeypatch.setenv(VARIABLE, "nonsense")
    assert f"the variable {VARIABLE}" in str(refusal(load_signing_key))


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It is made for the owner alone, and refused as soon as anybody else can read or write it."""
    path = tmp_path / "signing.key"
    mask = os.umask(0)
    try:
        made = make_key_file(path, "ours")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.from_file(path).verifier_key == made.verifier_key
    for mode in (0o640, 0o604, 0o620, 0o602, 0o644):
        path.chmod(mode)
        error = refusal(lambda: SigningKey.from_file(path))
        assert "other users" in str(error)
        assert error.advice == "chmod 600 signing.key"
    path.chmod(0o400)
    assert SigningKey.from_file(path).verifier_key == made.verifier_key


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    """Neither a file nor a link that leads nowhere is taken for a place to write to."""
    path, link = tmp_path / "signing.key", tmp_path / "link"
    path.write_text("precious")
    link.symlink_to(tmp_path / "missing")
    for each in (path, link):
        assert "already" in str(refusal(lambda each=each: make_key_file(each, "ours")))  # pyright: ignore[reportUnknownLambdaType]
    assert path.read_text() == "precious"
    assert not (tmp_path / "missing").exists()
    for bad in (tmp_path / "no" / "such.key", Path("a\x00b"), tmp_path):
        refusal(lambda bad=bad: make_key_file(bad, "ours"))  # pyright: ignore[reportUnknownLambdaType]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe is not waited for, and neither a folder, nor a long file, nor bytes are read as a key."""
    pipe, large, binary = tmp_path / "pipe", tmp_path / "large", tmp_path / "binary"
    os.mkfifo(pipe, 0o600)
    large.write_text(f"{GO_KEY}{' ' * 2000}")
    binary.write_bytes(b"\xff" * 60)
    large.chmod(0o600)
    binary.chmod(0o600)
    for path in (pipe, large, binary, tmp_path, tmp_path / "missing"):
        refusal(lambda path=path: SigningKey.from_file(path))  # pyright: ignore[reportUnknownLambdaType]


def test_a_key_beside_the_database_is_refused(tmp_path: Path) -> None:
    """In the same folder, also by a link or by way of another folder; elsewhere it is fine, and so is no file."""
    data, keys = tmp_path / "data", tmp_path / "keys"
    data.mkdir()
    keys.mkdir()
    make_key_file(data / "signing.key", "ours")
    (keys / "link.key").symlink_to(data / "signing.key")
    (tmp_path / "folder").symlink_to(data)
    for path in (data / "signing.key", keys / "link.key", tmp_path / "folder" / "signing.key"):
        for database in (data / "audit.db", tmp_path / "folder" / "audit.db", keys / ".." / "data" / "audit.db"):
            key = SigningKey.from_file(path)
            assert "beside" in str(refusal(lambda key=key, database=database: key.require_apart_from(database)))  # pyright: ignore[reportUnknownLambdaType, reportUnknownMemberType]
    make_key_file(keys / "signing.key", "ours").require_apart_from(data / "audit.db")
    SigningKey.generate("ours")[0].require_apart_from(data / "audit.db")


def test_a_service_signs() -> None:
    """The callback gets the message as it is, and what it returns is verified under the key that was given."""
    private = Ed25519PrivateKey.generate()
    public = VerifierKey("kms.example/audit", private.public_key().public_bytes_raw())
    asked: list[bytes] = []

    def sign(message: bytes) -> bytes:
        asked.append(message)
        return private.sign(message)

    key = SigningKey(str(public), sign)
    key.require_signature(2.0)
    checkpoint = Checkpoint("counterfoil/x", 7, bytes(32)).signed(key)
    assert checkpoint.checked([public]) == {public: True}
    assert asked[1:] == [checkpoint.note.text.encode()]
    assert key.may_block


@pytest.mark.parametrize("answer", [None, "text", b"", b"x" * 64, bytearray(64), RuntimeError(GO_KEY)])
def test_a_service_that_does_not_sign(answer: Any) -> None:
    """What it raises, or returns, is not shown: it may hold a credential of the service."""

    def sign(_: bytes) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    key = SigningKey(str(SigningKey.from_text(GO_KEY).verifier_key), sign)
    error = refusal(lambda: key.require_signature(2.0))
    assert not any(each in "".join(traceback.format_exception(error)) for each in spellings(GO_KEY))
    assert "PeterNeumann" in str(error)


def test_a_service_that_does_not_answer_is_not_waited_for() -> None:
    """Opening a log with it fails at the deadline."""
    asked, hung = threading.Event(), threading.Event()

    def sign(_: bytes) -> bytes:
        asked.set()
        hung.wait(60)
        return b""

    key = SigningKey(str(SigningKey.from_text(GO_KEY).verifier_key), sign)
    started = time.monotonic()
    try:
        assert "did not answer in 0.2 s" in str(refusal(lambda: key.require_signature(0.2)))
    finally:
        hung.set()
    assert asked.is_set()
    assert time.monotonic() - started < 5


def test_a_verification_key_that_is_none_is_refused() -> None:
    """Also a private key in its place, which is not shown."""
    for bad in ("", "name", GO_KEY):
        error = refusal(lambda bad=bad: SigningKey(bad, lambda _: b""))  # pyright: ignore[reportUnknownLambdaType]
        assert not any(each in str(error) + error.advice for each in spellings(GO_KEY))


def test_a_key_shows_its_public_half_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr, nor log lines, nor attributes, nor copies, nor pickles hold the other half."""
    path = tmp_path / "signing.key"
    make_key_file(path, "ours")
    key = SigningKey.from_file(path)
    secret = path.read_text().strip()
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(__name__).warning("key %s %r", key, key)
    shown = [repr(key), str(key), caplog.text, *(repr(getattr(key, name)) for name in SigningKey.__slots__)]
    assert not any(each in text for each in spellings(secret) for text in shown)
    assert repr(key) == f"<SigningKey ours+{key.verifier_key.key_id.hex()}>"
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            copied(key)

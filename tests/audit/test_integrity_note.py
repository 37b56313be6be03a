"""Signed notes and checkpoints: the published examples, what is refused, and that hostile input is only that."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.audit.integrity.note import (
    MAX_LINE,
    MAX_SIGNATURES,
    Checkpoint,
    Note,
    Signature,
    VerifierKey,
    is_key_name,
    origin_of,
    parse_checkpoint,
    parse_checkpoints,
    pruned_origin_of,
)
from counterfoil.schemas import InvalidNote, SigningKeyError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "signed-notes.json").read_text(encoding="utf-8")
)
KEYS: Final = {name: VerifierKey.parse(each["vkey"]) for name, each in VECTORS["keys"].items()}
PETER: Final[str] = VECTORS["keys"]["peter"]["vkey"]
URLSAFE_ROOT: Final = base64.urlsafe_b64encode(b"\xff" * 32).decode()
WIDE_SPACE, ARABIC_SEVEN = "\u2003", "\u0667"
ROOT: Final = base64.b64encode(bytes(32)).decode()
BODY: Final = f"example.com/log\n7\n{ROOT}\n"
LINE: Final = f"— example.com/foo {base64.b64encode(bytes(68)).decode()}\n"


class KeyInMemory:
    """A signer made for one test."""

    def __init__(self, name: str, private: Ed25519PrivateKey | None = None) -> None:
        self._private = private or Ed25519PrivateKey.generate()
        self.verifier_key = VerifierKey(name, self._private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        return self._private.sign(message)


def problem(text: str | bytes) -> str:
    """Return why this is refused."""
    with pytest.raises(InvalidNote) as caught:
        parse_checkpoints(text)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize("vector", VECTORS["notes"], ids=range(len(VECTORS["notes"])))
def test_published_notes(vector: dict[str, Any]) -> None:
    """Each is read, verified under just the keys that signed it, and written again to the byte."""
    note = Note.parse(vector["note"])
    assert str(note) == vector["note"]
    assert note.checked(KEYS.values()) == {KEYS[name]: True for name in vector["signed_by"]}
    altered = Note(note.text.replace("e", "a", 1), note.signatures)
    assert altered.checked(KEYS.values()) == {KEYS[name]: False for name in vector["signed_by"]}


@pytest.mark.parametrize("vector", VECTORS["checkpoints"], ids=["tlog-checkpoint"])
def test_published_checkpoints(vector: dict[str, Any]) -> None:
    """Origin, size and root of the example."""
    found = parse_checkpoint(vector["note"])
    assert (found.origin, found.size, found.root.hex()) == (vector["origin"], vector["size"], vector["root"])
    assert str(found) == vector["note"]
    assert [each.name for each in found.signatures] == [vector["origin"]]


def test_a_published_key_makes_the_published_signature() -> None:
    """Ed25519 is deterministic: the Go example's text gets its signature, in place of one that was there."""
    private = Ed25519PrivateKey.from_private_bytes(
        base64.b64decode(VECTORS["keys"]["peter"]["skey"].split("+", 4)[4])[1:]
    )
    signer = KeyInMemory("PeterNeumann", private)
    assert str(signer.verifier_key) == PETER
    published = Note.parse(VECTORS["notes"][1]["note"])
    peters, enochs = published.signatures
    assert Note(published.text).signed(signer).signatures == (peters,)
    wrong = Signature("PeterNeumann", signer.verifier_key.key_id, b"x" * 64)
    assert Note(published.text, (wrong, enochs)).signed(signer).signatures == (enochs, peters)


@pytest.mark.parametrize("vkey", [each["vkey"] for each in VECTORS["keys"].values()])
def test_a_verifier_key_has_one_spelling(vkey: str) -> None:
    """Any part of it, or any other character in it, is refused; and none of the refusals shows it."""
    assert str(VerifierKey.parse(vkey)) == vkey
    parts = [vkey[start:end] for start in range(len(vkey)) for end in range(start + 1, len(vkey) + 1)]
    changed = [vkey[:at] + chr(ord(vkey[at]) + 1) + vkey[at + 1 :] for at in range(len(vkey))]
    for bad in (*parts[: len(vkey) - 1], *parts[len(vkey) :], *changed, "", f"{vkey}\n", "\ud800", f"\ud800{vkey}"):
        with pytest.raises(InvalidNote) as caught:
            VerifierKey.parse(bad)
        assert vkey[:12] not in str(caught.value)


def test_a_key_of_another_type_is_refused() -> None:
    """Of the signature types only Ed25519 (0x01) is verified here, also where id and length are right."""
    material = b"\x04" + bytes(32)
    key_id = hashlib.sha256(b"name\n" + material).hexdigest()[:8]
    with pytest.raises(InvalidNote):
        VerifierKey.parse(f"name+{key_id}+{base64.b64encode(material).decode()}")


def test_several_signatures_under_one_key_all_have_to_hold() -> None:
    """A good signature beside a bad one of the same key is a bad note, in either order; strangers are left out."""
    ours, stranger = KeyInMemory("ours"), KeyInMemory("ours")
    good = Checkpoint("example.com/log", 7, bytes(32)).signed(ours)
    (line,) = good.signatures
    bad = Signature(line.name, line.key_id, bytes(64))
    for signatures in ((line, bad), (bad, line), (bad,)):
        forged = Checkpoint(good.origin, good.size, good.root, signatures=signatures)
        assert forged.checked([ours.verifier_key]) == {ours.verifier_key: False}
    twice = good.signed(stranger)
    assert twice.checked([stranger.verifier_key, ours.verifier_key]) == {
        stranger.verifier_key: True,
        ours.verifier_key: True,
    }
    assert twice.checked([KeyInMemory("ours").verifier_key]) == {}
    assert twice.checked([]) == {}


def test_a_signer_that_signs_with_another_key_is_found_out() -> None:
    """A service that is set up with the wrong key never gets a note out."""
    signer = KeyInMemory("ours")
    signer.verifier_key = KeyInMemory("ours").verifier_key
    with pytest.raises(SigningKeyError, match="does not verify"):
        Checkpoint("example.com/log", 7, bytes(32)).signed(signer)


def test_several_checkpoints_stand_in_one_text() -> None:
    """Signed and unsigned, with empty lines between them or none, as text or as bytes; each knows its line."""
    signed, unsigned = f"{BODY}\n{LINE}{LINE}", f"{BODY.replace('7', '8', 1)}\n"
    for between in ("", "\n", "\n\n\n"):
        text = between.join(("", signed, unsigned, unsigned, signed, ""))
        found = parse_checkpoints(text)
        assert [each.size for each in found] == [7, 8, 8, 7]
        assert [len(each.signatures) for each in found] == [2, 0, 0, 2]
        assert [text.split("\n")[each.line - 1] for each in found] == ["example.com/log"] * 4
        assert found == parse_checkpoints(text.encode())
        assert parse_checkpoints("".join(map(str, found))) == found
    assert parse_checkpoints("") == parse_checkpoints(b"\n\n") == []
    assert parse_checkpoints(BODY) == parse_checkpoints(f"{BODY}\n")


def test_one_is_not_several() -> None:
    """Where one checkpoint belongs, none or two are refused."""
    for text in ("", BODY + "\n" + BODY):
        with pytest.raises(InvalidNote, match="where one belongs"):
            parse_checkpoint(text)


def test_extension_lines_are_part_of_what_is_signed() -> None:
    """We write none, and read and verify what others write."""
    signer = KeyInMemory("ours")
    signed = Checkpoint("example.com/log", 7, bytes(32), ("more",)).signed(signer)
    again = parse_checkpoint(str(signed))
    assert again == signed
    assert again.checked([signer.verifier_key]) == {signer.verifier_key: True}
    assert Checkpoint(again.origin, 7, again.root, (), again.signatures).checked([signer.verifier_key]) == {
        signer.verifier_key: False
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("example.com/log\n7\n", 1),
        (f"example.com/log\n07\n{ROOT}\n", 2),
        (f"example.com/log\n-1\n{ROOT}\n", 2),
        (f"example.com/log\n{ARABIC_SEVEN}\n{ROOT}\n", 2),
        (f"example.com/log\n{'9' * 20}\n{ROOT}\n", 2),
        (f"example.com/log\n7\n{ROOT[:-1]}\n", 3),
        (f"example.com/log\n7\n{ROOT}=\n", 3),
        (f"example.com/log\n7\n{ROOT[:-2]}B=\n", 3),
        (f"example.com/log\n7\n{base64.b64encode(bytes(31)).decode()}\n", 3),
        (f"example.com/log\n7\n{URLSAFE_ROOT}\n", 3),
        (f"{BODY}{LINE}", 4),
        (f"{BODY}\n{LINE}{LINE[:-1]}", 6),
        (f"{BODY}\n{LINE}\n{LINE}", 7),
        (f"{BODY}\n{LINE.replace('foo', 'f+oo')}", 5),
        (f"{BODY}\n{LINE.replace('foo', 'f oo')}", 5),
        (f"{BODY}\n{LINE.replace('foo', f'f{WIDE_SPACE}oo')}", 5),
        (f"{BODY}\n—  {LINE.split(' ', 2)[2]}", 5),
        (f"{BODY}\n— example.com/foo\n", 5),
        (f"{BODY}\n— example.com/foo AAAAAA==\n", 5),
        (f"{BODY}\n— example.com/foo {base64.b64encode(bytes(4)).decode()}\n", 5),
        (f"{BODY}\n{LINE * (MAX_SIGNATURES + 1)}", 5 + MAX_SIGNATURES),
        (BODY.replace("\n", "\r\n"), 1),
        (BODY.replace("log", "l\x00og"), 1),
        (f"{BODY}\n\ud800\n", 5),
        (f"{BODY}\n".encode() + b"\xff\n", 5),
        (f"{BODY}\n{'x' * (MAX_LINE + 1)}\n", 5),
        ("example.com/log", 1),
    ],
)  # fmt: skip
def test_what_has_not_the_form_is_refused_with_its_line(text: str | bytes, line: int) -> None:
    """The line is named, and what stands there is not shown."""
    said = problem(text)
    assert said.startswith(f"line {line}: ")
    assert "example" not in said


@pytest.mark.parametrize(
    "text", ["no empty line\n", "\n", f"\n{LINE}", f"text\n\n{LINE}more\n", f"text\n\n{LINE[:-1]}"]
)
def test_what_is_no_note(text: str) -> None:
    """Text, an empty line, nothing but signature lines."""
    with pytest.raises(InvalidNote):
        Note.parse(text)


def test_the_last_empty_line_ends_the_text() -> None:
    """So a text may have empty lines, and lines that look like signatures (C2SP signed-note)."""
    note = Note.parse(f"one\n\n{LINE}\n{LINE}")
    assert (note.text, len(note.signatures)) == (f"one\n\n{LINE}", 1)
    assert Note.parse("unsigned\n\n") == Note("unsigned\n")


def test_a_note_about_pruned_entries_is_no_checkpoint_of_the_log() -> None:
    """Their origins differ, so that one cannot be passed off as the other."""
    assert origin_of("0f" * 16) == f"counterfoil/{'0f' * 16}"
    assert pruned_origin_of("0f" * 16) == f"counterfoil/{'0f' * 16}/pruned"


FRAGMENTS = [
    BODY,
    LINE,
    "\n",
    "\n\n",
    "— ",
    "— a ",
    "AAAA",
    "7\n",
    "\r",
    "\x00",
    "é",
    " ",
    "+",
    ROOT,
    "\u2028",
    "\ud800",
]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join) | st.text(max_size=60) | st.binary(max_size=60))
def test_hostile_text_is_read_or_refused(text: str | bytes) -> None:
    """Never another error; and what is read is written so that it reads the same."""
    try:
        found = parse_checkpoints(text)
    except InvalidNote:
        return
    assert parse_checkpoints("".join(map(str, found))) == found


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(is_key_name)
origins = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30).filter(
    lambda each: not each.startswith("— ")
)


@settings(max_examples=60)
@given(st.lists(st.tuples(origins, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), names), max_size=4))
def test_what_is_signed_is_read_back(made: list[tuple[str, int, bytes, str]]) -> None:
    """Any origin, size, root and name; each signature holds under its key alone."""
    signers = [KeyInMemory(name) for _, _, _, name in made]
    signed = [
        Checkpoint(origin, size, root).signed(signer)
        for (origin, size, root, _), signer in zip(made, signers, strict=True)
    ]
    found = parse_checkpoints("".join(map(str, signed)))
    assert found == signed
    for each, signer in zip(found, signers, strict=True):
        assert each.checked([one.verifier_key for one in signers]) == {signer.verifier_key: True}
        assert VerifierKey.parse(str(signer.verifier_key)) == signer.verifier_key


def test_a_large_hostile_text_takes_one_pass() -> None:
    """A million lines of the worst kinds are read or refused in seconds."""
    assert problem("\n" * 500_000 + "x\n" * 500_000).startswith("line 500002: the size")
    mebibytes = secrets.token_bytes(3 * 2**20)
    for text in ("— " * 2**20, "\n".join(["— x y"] * 300_000), base64.b64encode(mebibytes).decode() + "\n", mebibytes):
        assert problem(text).startswith("line ")

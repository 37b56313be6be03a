"""Signed notes and checkpoints as C2SP defines them (signed-note v1.0.0, tlog-checkpoint v1.0.0).

A note is text that ends in a newline, an empty line, and signature lines ``— name base64(key id ‖ signature)``. A
checkpoint is a note of three lines: origin, size, root. It commits a log to its first ``size`` entries::

    counterfoil/0f1e2d3c4b5a69788796a5b4c3d2e1f0
    1000
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — example.com/agents Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=

Without a signature line the note is unsigned: kept elsewhere, it witnesses all the same. Whatever is read here may be
hostile: it is read in one pass, and refused with the number of the line.
"""

from __future__ import annotations

import hashlib
import re
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol, Self

from counterfoil.schemas import InvalidNote, SigningKeyError
from counterfoil.schemas.values import is_unicode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_SIGNATURES: Final = 100
"""How many signature lines a note may have; C2SP asks for 16 at least."""

MAX_LINE: Final = 16_384
"""How many characters a line may have. A post-quantum signature takes 5,000."""

_DASH: Final = "— "
_ED25519: Final = b"\x01"
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_VKEY: Final = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")


def origin_of(log_id: str) -> str:
    """Return the origin line of a log's checkpoints. ``log_id`` has 32 hex digits."""
    return f"counterfoil/{log_id}"


def pruned_origin_of(log_id: str) -> str:
    """Return the origin line of a note about a log's pruned entries, so that it is never taken for a checkpoint."""
    return f"counterfoil/{log_id}/pruned"


def erased_origin_of(log_id: str) -> str:
    """Return the origin line of a note about a log's erased entries."""
    return f"counterfoil/{log_id}/erased"


def is_key_name(name: str) -> bool:
    """Whether a key may have this name: not empty, no space, no plus, no control character."""
    return bool(name) and "+" not in name and is_unicode(name) and not any(c.isspace() or c < " " for c in name)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public Ed25519 key with its name. ``str`` gives the C2SP vkey, ``name+key id+base64``."""

    name: str
    """Who signs, such as ``example.com/agents``."""
    public: bytes
    """The key, 32 bytes (RFC 8032)."""

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature line names the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(_ED25519 + self.public)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key of a vkey. Raises ``InvalidNote``."""
        parts = _VKEY.fullmatch(text)
        material = _decoded(parts[3]) if parts else None
        if parts is None or material is None or not is_key_name(parts[1]) or material[:1] != _ED25519:
            raise InvalidNote("this is not a verifier key", advice=_VKEY_ADVICE)
        key = cls(parts[1], material[1:])
        if key.key_id.hex() != parts[2]:
            raise InvalidNote("the id of the verifier key does not follow from its name and key", advice=_VKEY_ADVICE)
        return key

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature over the message (RFC 8032)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer(Protocol):
    """Whatever signs: a key in memory, or a service that keeps it."""

    @property
    def verifier_key(self) -> VerifierKey:
        """The public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature, 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    """Who signed, by what the line says."""
    key_id: bytes
    """Four bytes that name the key."""
    raw: bytes
    """The signature itself."""

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_base64(self.key_id + self.raw)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and who signed it. ``str`` gives the whole note."""

    text: str
    """What is signed, with its last newline."""
    signatures: tuple[Signature, ...] = ()
    """The signature lines, verified or not."""

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Return the note that ``text`` is. Raises ``InvalidNote``."""
        lines = _lines(text)
        empty = [at for at, line in enumerate(lines) if not line]
        if not empty or empty[-1] == 0:
            raise InvalidNote("the note has no empty line between text and signatures")
        end = empty[-1]
        signatures, after = _signatures(lines, end + 1)
        if after < len(lines):
            raise InvalidNote(f"line {after + 1}: this is not a signature line")
        return cls("".join(f"{line}\n" for line in lines[:end]), signatures)

    def signed(self, signer: Signer) -> Self:
        """Return the note with the signer's signature, which is verified first. Raises ``SigningKeyError``."""
        key, message = signer.verifier_key, self.text.encode()
        raw = signer.sign(message)
        if not key.verifies(message, raw):
            raise SigningKeyError(
                f"what signing key {key.name} signed does not verify under its own verifier key",
                advice="The service signs with another key, or over something else than the message itself.",
            )
        others = [each for each in self.signatures if (each.name, each.key_id) != (key.name, key.key_id)]
        return replace(self, signatures=(*others, Signature(key.name, key.key_id, raw)))

    def checked(self, keys: Iterable[VerifierKey]) -> dict[VerifierKey, bool]:
        """Return for each of these keys that signed whether all its signatures hold. Others are left out.

        A key that is there with False was put there by somebody who does not have it, or the text was altered: C2SP
        asks that such a note be refused.
        """
        message, found = self.text.encode(), dict[VerifierKey, bool]()
        for key in keys:
            raw = [each.raw for each in self.signatures if (each.name, each.key_id) == (key.name, key.key_id)]
            if raw:
                found[key] = all(key.verifies(message, each) for each in raw)
        return found


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log, or a note about its pruned or erased entries, commits to. ``str`` gives the whole note."""

    origin: str
    """Which log."""
    size: int
    """How many leaves."""
    root: bytes
    """The RFC 9162 root over them, 32 bytes."""
    extensions: tuple[str, ...] = ()
    """Further lines, which Counterfoil never writes."""
    signatures: tuple[Signature, ...] = ()
    """The signature lines, verified or not."""
    line: int = field(default=1, compare=False)
    """On which line of the file it began."""

    @property
    def note(self) -> Note:
        """The checkpoint as a note."""
        lines = (self.origin, str(self.size), _base64(self.root), *self.extensions)
        return Note("".join(f"{line}\n" for line in lines), self.signatures)

    def __str__(self) -> str:
        return str(self.note)

    def signed(self, signer: Signer) -> Self:
        """Return the checkpoint with one more signature. Raises ``SigningKeyError`` if it does not verify."""
        return replace(self, signatures=self.note.signed(signer).signatures)

    def checked(self, keys: Iterable[VerifierKey]) -> dict[VerifierKey, bool]:
        """Return for each of these keys that signed whether its signature holds: see ``Note.checked``."""
        return self.note.checked(keys)


def parse_checkpoint(text: str | bytes) -> Checkpoint:
    """Return the one checkpoint that ``text`` is, signed or not. Raises ``InvalidNote``."""
    found = parse_checkpoints(text)
    if len(found) != 1:
        raise InvalidNote(f"here stand {len(found)} checkpoints where one belongs")
    return found[0]


def parse_checkpoints(text: str | bytes) -> list[Checkpoint]:
    """Return the checkpoints that stand one after the other in ``text``, signed or not.

    Empty lines may stand between them. Raises ``InvalidNote``, which names the line.
    """
    lines, found, at = _lines(text), list[Checkpoint](), 0
    while at < len(lines):
        if not lines[at]:
            at += 1
            continue
        end = at
        while end < len(lines) and lines[end]:
            end += 1
        signatures, after = _signatures(lines, end + 1)
        found.append(_checkpoint(lines[at:end], signatures, at + 1))
        at = after
    return found


def _checkpoint(body: Sequence[str], signatures: tuple[Signature, ...], line: int) -> Checkpoint:
    for number, each in enumerate(body, start=line):
        if each.startswith(_DASH):
            raise InvalidNote(f"line {number}: a signature line stands here without a checkpoint and an empty line")
    if len(body) < 3:
        raise InvalidNote(f"line {line}: a checkpoint has at least three lines")
    origin, size, root, *extensions = body
    if not _SIZE.fullmatch(size):
        raise InvalidNote(f"line {line + 1}: the size is not a number without leading zeros")
    decoded = _decoded(root)
    if decoded is None or len(decoded) != 32:
        raise InvalidNote(f"line {line + 2}: the root is not 32 bytes in base64")
    return Checkpoint(origin, int(size), decoded, tuple(extensions), signatures, line)


def _lines(text: str | bytes) -> list[str]:
    """Return the lines without their newlines. The last one has to have one, too."""
    lines = (text if isinstance(text, str) else _text(text)).split("\n")
    if lines.pop():
        raise InvalidNote(f"line {len(lines) + 1}: the text ends within a line")
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE:
            raise InvalidNote(f"line {number}: this is longer than {MAX_LINE:,} characters")
        if _CONTROL.search(line) or not is_unicode(line):
            raise InvalidNote(f"line {number}: a control character, or no text at all")
    return lines


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    raise InvalidNote(f"line {line}: this is not UTF-8")


def _signatures(lines: Sequence[str], at: int) -> tuple[tuple[Signature, ...], int]:
    """Return the signature lines from ``at`` on, and where they end."""
    found: list[Signature] = []
    while at < len(lines) and lines[at].startswith(_DASH):
        if len(found) == MAX_SIGNATURES:
            raise InvalidNote(f"line {at + 1}: a note has no more than {MAX_SIGNATURES} signatures")
        found.append(_signature(lines[at], at + 1))
        at += 1
    return tuple(found), at


def _signature(line: str, number: int) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _decoded(encoded)
    if not is_key_name(name) or raw is None or len(raw) < 5:
        raise InvalidNote(f"line {number}: this is not a signature line (— name base64)")
    return Signature(name, raw[:4], raw[4:])


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")


def _decoded(text: str) -> bytes | None:
    """Return what base64 stands for (RFC 4648 §4), None for what is none: each value has one spelling."""
    try:
        raw = a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return raw if _base64(raw) == text else None


_VKEY_ADVICE: Final = "Give what `counterfoil key new` or `counterfoil key show` printed: name+key id+base64."

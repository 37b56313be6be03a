"""The key that signs checkpoints: from the environment, from a file, or kept by a service that signs on demand.

Looked for in ``COUNTERFOIL_SIGNING_KEY``, then in the file that ``COUNTERFOIL_SIGNING_KEY_FILE`` names. Without either,
checkpoints go out unsigned. The text is that of Go's sumdb/note, ``PRIVATE+KEY+name+key id+base64``, so that other
tools for C2SP notes read it. Whoever can rewrite the log must not be able to sign it: a file beside the database is
refused.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from binascii import a2b_base64, b2a_base64
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

from counterfoil.schemas import InvalidNote, SigningKeyError

from .note import Note, VerifierKey

if TYPE_CHECKING:
    from collections.abc import Callable

_VARIABLE: Final = "COUNTERFOIL_SIGNING_KEY"
_PREFIX: Final = "PRIVATE+KEY+"
_ED25519: Final = b"\x01"
_LONGEST: Final = 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
_PROBE: Final = Note("counterfoil: does this key sign?\n")


class SigningKey:
    """Signs checkpoints. Shows its public half alone; safe to share between threads."""

    __slots__ = ("_sign", "may_block", "path", "verifier_key")

    def __init__(self, verification_key: str, sign: Callable[[bytes], bytes]) -> None:
        """Sign with a service: ``sign`` gets a message and returns its Ed25519 signature, 64 bytes (RFC 8032).

        ``verification_key`` is the public key as a vkey, ``name+key id+base64``: see ``VerifierKey``. ``sign`` may take
        its time, and is never waited for by ``record()``. Raises ``SigningKeyError``.
        """
        try:
            self.verifier_key = VerifierKey.parse(verification_key)
        except InvalidNote as error:
            raise SigningKeyError(str(error), advice=error.advice) from None
        _require_name(self.verifier_key.name)
        self._sign = sign
        self.may_block = True
        """Whether signing may wait for something outside this process."""
        self.path: Path | None = None
        """The file that holds the key, if one does."""

    @classmethod
    def generate(cls, name: str) -> tuple[Self, str]:
        """Make a new key, and return it with its text. The text is the secret. Raises ``SigningKeyError``."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        _require_name(name)
        private = Ed25519PrivateKey.generate()
        public = VerifierKey(name, private.public_key().public_bytes_raw())
        material = b2a_base64(_ED25519 + private.private_bytes_raw(), newline=False).decode()
        return cls._of(public, private.sign), f"{_PREFIX}{name}+{public.key_id.hex()}+{material}"

    @classmethod
    def from_text(cls, text: str, place: str = "this text") -> Self:
        """Return the key that ``text`` is. ``place`` says where it stood, for errors. Raises ``SigningKeyError``."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        name, key_id, seed = _parts(text.strip(), place)
        private = Ed25519PrivateKey.from_private_bytes(seed)
        public = VerifierKey(name, private.public_key().public_bytes_raw())
        if public.key_id.hex() != key_id:
            raise SigningKeyError(f"{place}: the id of the signing key does not follow from its name and key")
        return cls._of(public, private.sign)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Return the key of a file that only its owner can read. Raises ``SigningKeyError``."""
        path = Path(path)
        key = cls.from_text(_read(path), f"the signing key file {path.name}")
        key.path = path.absolute()
        return key

    @classmethod
    def _of(cls, public: VerifierKey, sign: Callable[[bytes], bytes]) -> Self:
        key = cls(str(public), sign)
        key.may_block = False
        return key

    def sign(self, message: bytes) -> bytes:
        """Return the signature over ``message``. Raises ``SigningKeyError`` if the service does not answer with one."""
        try:
            signature = cast("object", self._sign(message))
        except Exception as error:  # noqa: BLE001 -- whatever a service raises, and its text may hold a credential
            kind = type(error).__name__
        else:
            if isinstance(signature, bytes):
                return signature
            kind = f"a {type(signature).__name__} where bytes belong"
        raise SigningKeyError(f"the callback of signing key {self.verifier_key.name} did not sign: {kind}")

    def require_signature(self, deadline: float) -> None:
        """Sign a text that is no checkpoint, within ``deadline`` seconds. Raises ``SigningKeyError`` if that fails."""
        if not self.may_block:
            _PROBE.signed(self)
            return
        refused: list[SigningKeyError] = []

        def probe() -> None:
            try:
                _PROBE.signed(self)
            except SigningKeyError as error:
                refused.append(error)

        thread = threading.Thread(target=probe, name="counterfoil-signing-key", daemon=True)
        thread.start()
        thread.join(deadline)
        if thread.is_alive():
            raise SigningKeyError(
                f"the callback of signing key {self.verifier_key.name} did not answer in {deadline:g} s"
            )
        if refused:
            raise refused[0]

    def require_apart_from(self, database: Path) -> None:
        """Raise ``SigningKeyError`` if the key lies in the folder of the database, whose reader would have both."""
        if self.path is None:
            return
        try:
            beside = self.path.resolve().parent.samefile(database.absolute().resolve().parent)
        except OSError:  # one of them is not there any more
            return
        if beside:
            raise SigningKeyError(
                f"the signing key {self.path.name} lies beside the database that it is to vouch for",
                advice="Move it into another folder, best of another user: who can rewrite the log must not sign it.",
            )

    def __repr__(self) -> str:
        return f"<SigningKey {self.verifier_key.name}+{self.verifier_key.key_id.hex()}>"

    def __reduce__(self) -> str:
        raise TypeError("a SigningKey is not pickled: give each process the key itself")


def load_signing_key() -> SigningKey | None:
    """Return the key that the environment names, if it names one. Raises ``SigningKeyError``."""
    if given := os.environ.get(_VARIABLE):
        return SigningKey.from_text(given, f"the variable {_VARIABLE}")
    if named := os.environ.get(f"{_VARIABLE}_FILE"):
        return SigningKey.from_file(named)
    return None


def signing_key_for(database: Path | None, given: SigningKey | None, deadline: float) -> SigningKey | None:
    """Return the key that a log is to be signed with, ``given`` or the environment's, once it is known to be fit.

    ``database`` is the log's file, if it is one. Raises ``SigningKeyError``.
    """
    key = given or load_signing_key()
    if key is not None:
        if database is not None:
            key.require_apart_from(database)
        key.require_signature(deadline)
    return key


def make_key_file(path: Path, name: str) -> SigningKey:
    """Make a key in a new file, which only its owner can read. An existing file is left alone.

    Raises ``SigningKeyError``.
    """
    key, text = SigningKey.generate(name)
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SigningKeyError(f"{path.name} is there already, and was left as it is", advice=_ANOTHER_FILE) from None
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(f"{text}\n")
            opened.flush()
            os.fsync(file)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    key.path = path.absolute()
    return key


def _unwritable(path: Path, error: OSError | ValueError) -> SigningKeyError:
    why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "no file can have this name"
    return SigningKeyError(f"the signing key file {path.name} cannot be made ({why})", advice=_ANOTHER_FILE)


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SigningKeyError(
            "a key's name is 1 to 64 letters, digits, dots, slashes, hyphens and underscores",
            advice="C2SP advises a URL without its scheme, such as example.com/agents.",
        )


def _parts(text: str, place: str) -> tuple[str, str, bytes]:
    """Return name, key id and seed. What is wrong is said without any of it."""
    parts = text.removeprefix(_PREFIX).split("+", 2)
    if not text.startswith(_PREFIX) or len(parts) != 3:
        raise SigningKeyError(f"{place} does not hold a signing key ({_PREFIX}name+key id+base64)")
    name, key_id, encoded = parts
    try:
        material = a2b_base64(encoded, strict_mode=True)
    except ValueError:
        material = b""
    if material[:1] != _ED25519 or len(material) != 33:
        raise SigningKeyError(f"{place} does not hold a signing key of type Ed25519")
    _require_name(name)
    return name, key_id, material[1:]


def _read(path: Path) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would be waited for
        with os.fdopen(file, encoding="ascii") as opened:
            state = os.fstat(file)
            text = opened.read(_LONGEST + 1) if stat.S_ISREG(state.st_mode) else ""
    except (OSError, ValueError):
        raise SigningKeyError(f"the signing key file {path.name} cannot be read") from None
    if not stat.S_ISREG(state.st_mode):
        raise SigningKeyError(f"the signing key file {path.name} is no ordinary file")
    if stat.S_IMODE(state.st_mode) & 0o077:
        raise SigningKeyError(
            f"other users can read or write the signing key file {path.name}", advice=f"chmod 600 {path.name}"
        )
    if len(text) > _LONGEST:
        raise SigningKeyError(f"the signing key file {path.name} is longer than {_LONGEST} characters")
    return text


_ANOTHER_FILE: Final = "Name another file: a signing key is never written over."

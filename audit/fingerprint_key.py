"""The fingerprint key of this deployment: from the environment, from a file, or made once.

Agents and servers that should be able to join their records share one key. It is looked for in
``COUNTERFOIL_FINGERPRINT_KEY`` (64 hex digits), then in the file that ``COUNTERFOIL_FINGERPRINT_KEY_FILE`` names, then
in the user's configuration folder, where it is made the first time, readable by its owner only.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from counterfoil.schemas import FingerprintKey, InvalidKey

_VARIABLE = "COUNTERFOIL_FINGERPRINT_KEY"
_LONGEST = 1024
_ADVICE = "Make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"


def load_fingerprint_key() -> FingerprintKey:
    """Return the key of this deployment, making one the first time. Raises ``InvalidKey``."""
    if given := os.environ.get(_VARIABLE):
        return _parse(given, f"the variable {_VARIABLE}")
    if named := os.environ.get(f"{_VARIABLE}_FILE"):
        return _read(Path(named))
    path = _default_path()
    return _read(path) if os.path.lexists(path) else _make(path)


def _default_path() -> Path:
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(configuration) / "counterfoil" / "fingerprint.key"


def _parse(text: str, place: str) -> FingerprintKey:
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        raise InvalidKey(f"{place} does not hold hex digits", advice=_ADVICE) from None
    return FingerprintKey(secret)


def _read(path: Path) -> FingerprintKey:
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_LONGEST + 1)
    except (OSError, UnicodeDecodeError):
        raise InvalidKey(f"the fingerprint key file {path.name} cannot be read", advice=_ADVICE) from None
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidKey(f"other users can read the fingerprint key file {path.name}", advice=f"chmod 600 {path.name}")
    if len(text) > _LONGEST:
        raise InvalidKey(f"the fingerprint key file {path.name} is longer than {_LONGEST} characters", advice=_ADVICE)
    return _parse(text, f"the fingerprint key file {path.name}")


def _make(path: Path) -> FingerprintKey:
    """Write a new key beside its place and link it there: the first process wins and no reader sees half a key."""
    secret = secrets.token_bytes(32)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(file, secret.hex().encode() + b"\n")
            os.fsync(file)
            os.link(draft, path)
        except FileExistsError:
            return _read(path)
        finally:
            os.close(file)
            draft.unlink()
    except OSError as error:
        raise InvalidKey(
            f"no fingerprint key could be made in the configuration folder ({os.strerror(error.errno or 0)})",
            advice=f"Set {_VARIABLE}, or {_VARIABLE}_FILE to a file that holds 64 hex digits.",
        ) from None
    return FingerprintKey(secret)

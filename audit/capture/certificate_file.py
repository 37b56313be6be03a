"""A client certificate as its owner has it: DER, or a PEM file, which often holds the private key as well."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import ConfigurationError

if TYPE_CHECKING:
    import os

MAX_FILE: Final = 1024 * 1024
"""The longest file that is read, in bytes."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_SEQUENCE = b"\x30"


def read_certificate(given: bytes | str | os.PathLike[str]) -> bytes:
    """Return the DER of a certificate: given as DER or PEM, or as the path of a file with either.

    Of several the first is taken, the one of the client in a chain (RFC 8446 §4.4.2). Nothing else of a file is kept.
    Raises ``ConfigurationError``.
    """
    content = given if isinstance(given, bytes) else _read(Path(given))
    if found := _PEM.search(content):
        try:
            content = b64decode(b"".join(found[1].split()), validate=True)
        except binascii.Error:
            content = b""
    if content[:1] != _SEQUENCE:
        raise ConfigurationError("the client certificate is neither DER nor PEM (RFC 7468 §5)", advice=_ADVICE)
    return content


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        reason = type(error).__name__
        raise ConfigurationError(f"the client certificate cannot be read: {reason}", advice=_ADVICE) from None


_ADVICE = "Give the certificate that the TLS context was loaded with: DER, PEM, or the path of such a file."

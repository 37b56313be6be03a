"""Invented credentials from shapes: ``ghp_{an36}`` is a mark and 36 random letters and digits.

Only shapes stand in the repository, so that no scanner of credentials takes a sample for a real one.
"""

from __future__ import annotations

import json
import re
import string
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from random import Random

_ALPHABETS: Final = {
    "an": string.ascii_letters + string.digits,
    "url": string.ascii_letters + string.digits + "-_",
    "b64": string.ascii_letters + string.digits + "+/",
    "b32": string.ascii_uppercase + "234567",
    "bech": "qpzry9x8gf2tvdw0s3jn54khce6mua7l",
    "BECH": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "low": string.ascii_lowercase + string.digits,
    "up": string.ascii_uppercase + string.digits,
    "dig": string.digits,
    "az": string.ascii_lowercase,
}
_SLOT = re.compile(r"\{([A-Za-z]+(?:64|32)?):?([0-9]+)\}|\{(uuid)\}")


def filled(shape: str, random: Random) -> str:
    """Return the shape with random characters in its slots: ``{an:20}``, ``{hex:64}``, ``{uuid}``."""
    return _SLOT.sub(lambda slot: drawn(slot[1], int(slot[2]), random) if slot[1] else _uuid(random), shape)


def drawn(alphabet: str, length: int, random: Random) -> str:
    """Return so many random characters. One that may hold letters and digits holds both."""
    characters = _ALPHABETS[alphabet]
    mixed = characters.strip(string.digits) and any(each in string.digits for each in characters)
    while True:
        text = "".join(random.choices(characters, k=length))
        if not mixed or length < 8 or (any(each.isdigit() for each in text) and any(each.isalpha() for each in text)):
            return text


def _uuid(random: Random) -> str:
    return "-".join(drawn("hex", length, random) for length in (8, 4, 4, 4, 12))


def encoded(content: object) -> str:
    """Return bytes, or what is written as JSON, in base64url (RFC 7515 §2)."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def jws(header: dict[str, Any], claims: dict[str, Any], random: Random) -> str:
    """Return a JWS that nobody signed (RFC 7515 §7.1)."""
    return f"{encoded(header)}.{encoded(claims)}.{encoded(random.randbytes(64))}"


def pem(title: str, random: Random, *, size: int = 300) -> str:
    """Return a private key in PEM that is none (RFC 7468)."""
    body = b64encode(random.randbytes(size)).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {title}-----", *lines, f"-----END {title}-----", ""])

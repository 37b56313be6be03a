"""Reading a JWT or JWE without trusting it: no signature is checked, and nothing read here is proven.

The rules, each stricter than Python's own functions:

1. Compact serialisation only: three parts (RFC 7515 §7.1) or five (RFC 7516 §7.1), at most 16 KiB.
2. base64url as RFC 7515 §2 has it: its alphabet, no padding, no stray bits in the last character.
3. Header and claims are JSON objects in UTF-8, nested at most 32 deep, all numbers finite.
4. A member that stands twice is ambiguous (RFC 7515 §4): neither value is taken, and ``ambiguous`` says so.

Whatever breaks rules 1 to 3 is not a JWT, and reading it gives None.
"""

from __future__ import annotations

import json
import math
import re
from binascii import a2b_base64
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn, cast

from counterfoil.schemas import Thumbprint

MAX_TOKEN: Final = 16 * 1024
"""The longest token that is read, in characters."""

MAX_DEPTH: Final = 32
"""The deepest nesting of header and claims."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_TO_BASE64 = bytes.maketrans(b"-_", b"+/")

# Of two or three characters at the end, the last carries 4 or 2 bits that belong to no byte: an encoder leaves them 0.
_LAST = {2: "AQgw", 3: "AEIMQUYcgkosw048"}


@dataclass(frozen=True, slots=True, repr=False)
class Jose:
    """What a token says of itself. Its ``repr`` shows none of it."""

    header: dict[str, Any]
    """The JOSE header (RFC 7515 §4, RFC 7516 §4)."""
    claims: dict[str, Any] | None
    """The claims (RFC 7519 §4); None where they are encrypted."""
    ambiguous: bool
    """Whether a member stood twice and was left out."""

    def __repr__(self) -> str:
        return "<Jose, encrypted>" if self.claims is None else "<Jose>"


def read_compact(token: str) -> Jose | None:
    """Read a compact JWT or JWE; None for anything else."""
    parts = token.split(".", 5) if len(token) <= MAX_TOKEN else []
    if len(parts) not in (3, 5):
        return None
    decoded = [decode_base64url(part) for part in parts]
    header = read_object(decoded[0])
    if header is None or None in decoded:
        return None
    if len(parts) == 5:
        return Jose(header[0], None, header[1]) if "enc" in header[0] else None
    claims = read_object(decoded[1])
    return Jose(header[0], claims[0], header[1] or claims[1]) if claims is not None else None


def decode_base64url(text: str) -> bytes | None:
    """Decode strictly (RFC 7515 §2); None for anything that an encoder would not have written."""
    if not _BASE64URL.fullmatch(text):
        return None
    rest = len(text) % 4
    if rest and (rest == 1 or text[-1] not in _LAST[rest]):
        return None
    return a2b_base64(text.encode("ascii").translate(_TO_BASE64) + b"==")


def read_object(raw: bytes | None) -> tuple[dict[str, Any], bool] | None:
    """Parse a JSON object by rules 3 and 4. Returns it and whether a member of it, at any depth, stood twice."""
    if not raw:
        return None
    ambiguous = False
    try:
        text = raw.decode("utf-8").strip(" \t\r\n")
        try:
            value, end = _PLAIN.raw_decode(text)
        except _Repeated:
            ambiguous = True
            value, end = _LENIENT.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if (
        end != len(text)
        or not isinstance(value, dict)
        or (text.count("{") + text.count("[") > MAX_DEPTH and _deeper(value, MAX_DEPTH))
    ):
        return None
    return cast("dict[str, Any]", value), ambiguous


class _Repeated(Exception):
    """A member stands twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Repeated
    return members


def _without_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if counts[name] == 1}


def _refuse(_constant: str) -> NoReturn:
    raise ValueError


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError
    return number


_PLAIN: Final = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)
_LENIENT: Final = json.JSONDecoder(object_pairs_hook=_without_repeated, parse_constant=_refuse, parse_float=_finite)


def _deeper(value: Any, room: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    members = cast("dict[str, object]", value).values() if isinstance(value, dict) else cast("list[object]", value)
    return room == 0 or any(_deeper(member, room - 1) for member in members)


# How long each coordinate is, in bytes. A key that is not in its one canonical form would have several thumbprints.
_COORDINATE: Final = {
    ("EC", "P-256"): 32,
    ("EC", "P-384"): 48,
    ("EC", "P-521"): 66,
    ("EC", "secp256k1"): 32,
    ("OKP", "Ed25519"): 32,
    ("OKP", "Ed448"): 57,
    ("OKP", "X25519"): 32,
    ("OKP", "X448"): 56,
}


class PublicMembers(NamedTuple):
    """The members that a public key is made of, in canonical form."""

    members: dict[str, str]
    """What the thumbprint is made of, in lexicographic order (RFC 7638 §3.2, RFC 8037 §2)."""
    octets: tuple[bytes, ...]
    """Decoded: ``e`` and ``n`` of RSA, ``x`` and ``y`` of EC, ``x`` of OKP."""

    def thumbprint(self) -> Thumbprint:
        """Return the SHA-256 thumbprint (RFC 7638 §3)."""
        # Every value is a name or base64url, so that nothing needs escaping.
        canonical = ",".join([f'"{name}":"{value}"' for name, value in self.members.items()])
        return Thumbprint.of(f"{{{canonical}}}".encode("ascii"))


def jwk_thumbprint(jwk: object) -> Thumbprint | None:
    """Return the SHA-256 thumbprint of a public key (RFC 7638 §3); None for what ``public_members`` does not take."""
    public = public_members(cast("dict[str, Any]", jwk)) if isinstance(jwk, dict) else None
    return public.thumbprint() if public else None


def public_members(jwk: dict[str, Any]) -> PublicMembers | None:
    """Read the public members of a JWK; None for anything else than a public key in its one canonical form.

    A symmetric key is none, and neither is a key whose members have another spelling: coordinates need their full
    length (RFC 7518 §6.2.1.2), RSA integers have no leading zero octet (§6.3.1.1).
    """
    kty, crv = jwk.get("kty"), jwk.get("crv")
    if kty == "RSA":
        e, n = _octets(jwk.get("e")), _octets(jwk.get("n"))
        if not (e and n and e[0] and n[0]):
            return None
        return PublicMembers({"e": jwk["e"], "kty": "RSA", "n": jwk["n"]}, (e, n))
    length = _COORDINATE.get((kty, crv)) if isinstance(kty, str) and isinstance(crv, str) else None
    x, y = _octets(jwk.get("x")), _octets(jwk.get("y")) if kty == "EC" else b""
    if length is None or x is None or y is None or len(x) != length or (y and len(y) != length):
        return None
    if kty == "OKP":
        return PublicMembers({"crv": jwk["crv"], "kty": "OKP", "x": jwk["x"]}, (x,))
    return PublicMembers({"crv": jwk["crv"], "kty": "EC", "x": jwk["x"], "y": jwk["y"]}, (x, y)) if y else None


def _octets(value: object) -> bytes | None:
    return decode_base64url(value) if isinstance(value, str) else None

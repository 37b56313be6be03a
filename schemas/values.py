"""The values that records are made of: digests that cannot hold a secret, times, and bounded strings.

A digest type refuses anything that is not of its form. In Python it accepts only an instance of itself, so that a
raw token is refused even where it happens to have the length of a thumbprint; in JSON its form decides.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self, TypeAlias
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema

from .errors import InvalidDigest, InvalidKey

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly and apart from its neighbours (RFC 7493 §2.2)."""

_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")

# The last character carries 2 or 4 bits only; with the others zero, each digest has one spelling (RFC 4648 §3.5).
_BASE64URL_128: Final = "[A-Za-z0-9_-]{21}[AQgw]"
_BASE64URL_256: Final = "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"


def is_unicode(text: str) -> bool:
    """Whether ``text`` has a UTF-8 form, that is, no lone surrogate (RFC 7493 §2.1)."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def b64url(raw: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return b2a_base64(raw, newline=False).translate(_URLSAFE).rstrip(b"=").decode("ascii")


class FingerprintKey:
    """The secret key of a deployment from which fingerprints are made. At least 16 bytes; shown nowhere.

    ``key_id`` (8 hex digits) is derived from the key, so that equal keys have equal ids and an id tells nothing.
    Raises ``InvalidKey`` when the key is shorter than 128 bits.
    """

    __slots__ = ("_secret", "key_id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise InvalidKey("a fingerprint key needs at least 16 bytes")
        self._secret = bytes(secret)
        self.key_id = hashlib.sha256(b"counterfoil/key-id/1\x00" + secret).hexdigest()[:8]

    def mac(self, domain: str, message: bytes) -> bytes:
        """Return HMAC-SHA-256 of ``domain ‖ 0x00 ‖ message``, 32 bytes. The domain keeps uses of the key apart."""
        return hmac.digest(self._secret, domain.encode("ascii") + b"\x00" + message, "sha256")

    def __repr__(self) -> str:
        return f"<FingerprintKey {self.key_id}>"

    def __reduce__(self) -> str:
        raise TypeError("a FingerprintKey is not pickled: give each process the key itself")


class Digest(str):
    """A string that is a digest by form. ``form`` says it in words, for errors and for JSON Schema."""

    __slots__ = ()
    pattern: ClassVar[re.Pattern[str]]
    form: ClassVar[str]

    def __new__(cls, value: str) -> Self:
        """Accept ``value`` if it has the form; otherwise raise ``InvalidDigest``, which does not show it."""
        try:
            fits = cls.pattern.fullmatch(value)
        except TypeError:  # not text at all
            fits = None
        if fits is None:
            raise InvalidDigest(cls.__name__, cls.form)
        return str.__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """From JSON by form; from Python by type alone."""
        from_json = core_schema.no_info_after_validator_function(
            lambda text: str.__new__(cls, text), core_schema.str_schema(pattern=f"^(?:{cls.pattern.pattern})$")
        )
        return core_schema.json_or_python_schema(
            json_schema=from_json, python_schema=core_schema.no_info_plain_validator_function(cls._only_an_instance)
        )

    @classmethod
    def _only_an_instance(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        raise PydanticCustomError("digest_type", "give a {digest}, not a plain value", {"digest": cls.__name__})

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Publish the form as a pattern."""
        return {"type": "string", "pattern": f"^(?:{cls.pattern.pattern})$", "description": cls.form}


class Fingerprint(Digest):
    """Which credential it was, without the credential.

    ``hmac:<key id>:<22 characters>`` is HMAC-SHA-256 under the key of the deployment, cut to 128 bits: equal
    credentials join and none can be guessed. ``sha256:<43 characters>`` is the plain hash (its second part equals
    ``ath``, RFC 9449 §4.2), for tokens of 128 random bits or more only.
    """

    __slots__ = ()
    pattern = re.compile(f"hmac:[0-9a-f]{{8}}:{_BASE64URL_128}|sha256:{_BASE64URL_256}")
    form = "hmac:<key id>:<22 characters base64url> or sha256:<43 characters base64url>"

    @classmethod
    def of(cls, secret: str | bytes, key: FingerprintKey) -> Self:
        """Return the keyed fingerprint of ``secret``."""
        raw = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
        return cls(f"hmac:{key.key_id}:{b64url(key.mac('counterfoil/fp/1', raw)[:16])}")

    @classmethod
    def plain_sha256_of(cls, token: str | bytes) -> Self:
        """Return the unkeyed hash. Only for tokens of 128 random bits or more: a shorter one can be guessed from it."""
        raw = token.encode("utf-8", "surrogatepass") if isinstance(token, str) else token
        return cls(f"sha256:{b64url(hashlib.sha256(raw).digest())}")


class KeyedDigest(Digest):
    """A keyed digest of what may be easy to guess, such as tool arguments: ``hmac:<key id>:<43 characters>``."""

    __slots__ = ()
    pattern = re.compile(f"hmac:[0-9a-f]{{8}}:{_BASE64URL_256}")
    form = "hmac:<key id>:<43 characters base64url>"

    @classmethod
    def of(cls, content: bytes, key: FingerprintKey) -> Self:
        """Return the keyed digest of ``content``."""
        return cls(f"hmac:{key.key_id}:{b64url(key.mac('counterfoil/content/1', content))}")


class Sha256(Digest):
    """A plain SHA-256: ``sha256:<43 characters>``. Only of content that cannot be guessed, such as a signed proof."""

    __slots__ = ()
    pattern = re.compile(f"sha256:{_BASE64URL_256}")
    form = "sha256:<43 characters base64url>"

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the digest of ``content``."""
        return str.__new__(cls, f"sha256:{b64url(hashlib.sha256(content).digest())}")


class Thumbprint(Digest):
    """The SHA-256 thumbprint of a public key (``jkt``, RFC 7638) or certificate (``x5t#S256``, RFC 8705 §3.1)."""

    __slots__ = ()
    pattern = re.compile(_BASE64URL_256)
    form = "43 characters base64url"

    @classmethod
    def of_certificate(cls, der: bytes) -> Self:
        """Return ``x5t#S256`` of a whole DER certificate (RFC 8705 §3.1)."""
        return cls.of(der)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the thumbprint of what stands for a key or certificate: canonical JSON (RFC 7638 §3), or DER."""
        return str.__new__(cls, b64url(hashlib.sha256(content).digest()))


def new_event_id() -> UUID:
    """Return a UUIDv7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def rfc3339(moment: datetime) -> str:
    """Return UTC with six decimals and ``Z``, 27 characters, so that text order is time order (RFC 3339 §5.6)."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")[:26] + "Z"


_DATE_TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
_ZONE: Final = r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
_RFC3339_OR_NO_ZONE: Final = re.compile(f"{_DATE_TIME}{_ZONE}?")


def _a_time(value: object) -> object:
    """Let through what is written as a time. Pydantic alone would also take a number of seconds, even in a string."""
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC3339_OR_NO_ZONE.fullmatch(value)):
        return value
    raise PydanticCustomError("time_type", "give an RFC 3339 time with a zone, or an aware datetime")


def _in_utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise PydanticCustomError("time_zone", "the time has no zone; add Z or an offset (RFC 3339)")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time_range", "the time is outside the years 1 to 9999 in UTC") from None


Time: TypeAlias = Annotated[
    datetime,
    BeforeValidator(_a_time),
    AfterValidator(_in_utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": f"^{_DATE_TIME}{_ZONE}$"}),
]
"""An instant. RFC 3339 with a zone, kept as UTC with microseconds."""

Count: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=MAX_SAFE_INTEGER)]
"""A whole number from 0 on, given as a number."""

Flag: TypeAlias = Annotated[bool, Field(strict=True)]
"""True or false, given as such."""


class Hostile(Enum):
    """How a string that came from outside is to be redacted. Types without this mark hold no free text."""

    TEXT = "text"
    URI = "uri"
    FREE_FORM = "free_form"


Name: TypeAlias = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=512), Hostile.TEXT]
"""A short identifier: 1 to 512 characters."""

Text: TypeAlias = Annotated[str, StringConstraints(strict=True, max_length=8192), Hostile.TEXT]
"""Free text: up to 8,192 characters."""

_KEY_NAME: Final = "[A-Za-z0-9][A-Za-z0-9._/-]{0,63}"
_VERIFICATION_KEY: Final = f"^{_KEY_NAME}\\+[0-9a-f]{{8}}\\+A[Q-Za-f][A-Za-z0-9+/]{{42}}$"
_SIGNATURE_LINE: Final = f"— {_KEY_NAME} [A-Za-z0-9+/]{{8,}}={{0,2}}\n"
_NOTE: Final = (
    "^counterfoil/[0-9a-f]{32}(?:/pruned|/erased)?\n(?:0|[1-9][0-9]{0,15})\n[A-Za-z0-9+/]{43}=\n"
    f"\n(?:{_SIGNATURE_LINE}){{1,16}}$"
)


def _names_itself(key: str) -> str:
    """Refuse a key whose id is not its own. So whatever else has this form, such as a private key, is not one."""
    name, key_id, material = key.split("+", 2)
    if hashlib.sha256(name.encode() + b"\n" + a2b_base64(material)).hexdigest()[:8] != key_id:
        raise PydanticCustomError("verification_key", "the id of the key does not follow from its name and the key")
    return key


VerificationKey: TypeAlias = Annotated[
    str, StringConstraints(strict=True, pattern=_VERIFICATION_KEY), AfterValidator(_names_itself)
]
"""A public Ed25519 key as a C2SP signed-note vkey: ``name+key id+base64``. It is no secret."""

SignedNote: TypeAlias = Annotated[str, StringConstraints(strict=True, max_length=8192, pattern=_NOTE)]
"""A C2SP tlog-checkpoint of a log, or of its pruned or erased entries, with 1 to 16 signatures: several lines."""

Uri: TypeAlias = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=8192), Hostile.URI]
"""An absolute URI (RFC 3986), up to 8,192 characters. Path and query names are kept; query values are dropped."""


def _portable(value: JsonValue) -> JsonValue:
    """Refuse what a dump would change in silence. JSON has one kind of number: RFC 8785 writes 2.0 and 2 as 2."""
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return {_unicode(name): _portable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_portable(member) for member in value]
    return value


def _unicode(text: str) -> str:
    if not is_unicode(text):
        raise PydanticCustomError("lone_surrogate", "a text or a member's name contains a lone surrogate")
    return text


def _number(number: float) -> float:
    if not isfinite(number):
        raise PydanticCustomError("finite_number", "a number is not finite")
    return int(number) if number.is_integer() and abs(number) <= MAX_SAFE_INTEGER else number


Attributes: TypeAlias = Annotated[dict[str, JsonValue], AfterValidator(_portable), Hostile.FREE_FORM]
"""Free-form JSON of the caller's own: redacted by position and by pattern."""

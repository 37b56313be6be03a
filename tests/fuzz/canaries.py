"""Canaries: secrets made for the test, of many kinds, which one search finds in whatever form they come out.

All canaries of a class share a core of 12 digits, from 2 to 7, so that it fits into hexadecimal, base32, base64 and
decimal alike. So to search gigabytes for tens of thousands of secrets is to search for one core, in some twenty forms.
The core stands anywhere in a canary: its head, middle and tail are all tried. Behind it stands a serial number, so that
a find tells where it came from.
"""

from __future__ import annotations

import json
import random
import re
import string
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_DIGITS: Final = "234567"
_CORE: Final = 12
_SERIAL: Final = 7
_ALNUM: Final = string.ascii_letters + string.digits
_URLSAFE: Final = _ALNUM + "-_"
_BASE64: Final = _ALNUM + "+/"
_HEX: Final = "0123456789abcdef"
_BASE32: Final = string.ascii_uppercase + _DIGITS


class Mint:
    """Makes the marks of canaries: the core, and a serial number."""

    def __init__(self, rng: random.Random) -> None:
        digits = [*_DIGITS, *rng.choices(_DIGITS, k=_CORE - len(_DIGITS))]
        rng.shuffle(digits)
        self.core = "".join(digits)
        self.planted: list[str] = []
        """What each canary was and where it was put, by serial number."""

    def mark(self, what: str) -> str:
        """Return the mark of a new canary."""
        number, digits = len(self.planted), ""
        self.planted.append(what)
        for _ in range(_SERIAL):
            number, digit = divmod(number, len(_DIGITS))
            digits += _DIGITS[digit]
        assert number == 0
        return self.core + digits

    def number_of(self, digits: str) -> int | None:
        """Return the serial number that these digits are, if a canary has it."""
        number = sum(_DIGITS.index(digit) * len(_DIGITS) ** place for place, digit in enumerate(digits))
        return number if number < len(self.planted) else None


@dataclass(frozen=True)
class Kind:
    """One kind of secret."""

    name: str
    make: Callable[[random.Random, str], str]
    """Returns a secret that holds the mark."""
    told: bool = False
    """Whether its look tells what it is, wherever it stands."""
    dress: Callable[[str], str] = str
    """What goes around it so that it tells: a scheme, a name."""
    run: bool = True
    """Whether it is one run of token characters and more than digits, as a search for known secrets needs."""


def _spread(alphabet: str, length: int) -> Callable[[random.Random, str], str]:
    """Return what makes a random text of this alphabet with the mark somewhere in it."""

    def make(rng: random.Random, mark: str) -> str:
        mark = mark[:length]
        before = rng.randint(0, length - len(mark))
        text = "".join(rng.choices(alphabet, k=length - len(mark)))
        return text[:before] + mark + text[before:]

    return make


def _after(prefix: str, alphabet: str, length: int, suffix: str = "") -> Callable[[random.Random, str], str]:
    body = _spread(alphabet, length)
    return lambda rng, mark: prefix + body(rng, mark) + suffix


def _jwt(rng: random.Random, mark: str) -> str:
    header = {"alg": "ES256", "typ": rng.choice(["JWT", "at+jwt"])}
    claims = {"iss": "https://as.example", "sub": "user-7", "x": mark}
    return ".".join([_part(header), _part(claims), _spread(_URLSAFE, 86)(rng, mark)])


def _dpop(rng: random.Random, mark: str) -> str:
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659",
    }
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
    claims = {"htm": "GET", "htu": "https://api.example/mail", "iat": 1_780_000_000, "nonce": mark}
    return ".".join([_part(header), _part(claims), _spread(_URLSAFE, 86)(rng, mark)])


def _jwe(rng: random.Random, mark: str) -> str:
    bodies = [_spread(_URLSAFE, length)(rng, mark) for length in (43, 40, 64, 22)]
    return ".".join([_part({"alg": "RSA-OAEP", "enc": "A256GCM"}), *bodies])


def _part(members: Mapping[str, object]) -> str:
    return urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


def _pem(rng: random.Random, mark: str) -> str:
    lines = [_spread(_BASE64, 64)(rng, mark) for _ in range(rng.randint(2, 6))]
    kind = rng.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    return "\n".join([f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"])


def _basic(rng: random.Random, mark: str) -> str:
    return b64encode(f"{rng.choice(['me', 'you', 'user'])}:{mark}".encode()).decode()


def _uuid(rng: random.Random, mark: str) -> str:
    groups = ["".join(rng.choices(_HEX, k=length)) for length in (8, 4, 4, 4)]
    return "-".join([*groups, mark[:_CORE]])


def _punctuated(rng: random.Random, mark: str) -> str:
    return (
        "".join(rng.choices("""!$^*()[]{}<>|;:,.~@#&%=+?/\\"'` """, k=3)).strip() + "Aa" + mark + rng.choice("!?%\"'&")
    )


def _words(rng: random.Random, mark: str) -> str:
    return " ".join(["correct", "horse", mark, rng.choice(["battery", "staple"])])


def _foreign(rng: random.Random, mark: str) -> str:
    return rng.choice(["пароль", "密码", "Schlüßel", "pässwörd"]) + mark + rng.choice(["é", "令", "ß"])


KINDS: Final = (
    Kind("JWT", _jwt, told=True),
    Kind("JWE", _jwe, told=True),
    Kind("DPoP proof", _dpop, told=True),
    Kind("GitHub token", _after("ghp_", _ALNUM, 36), told=True),
    Kind("GitHub installation token", _after("ghs_", _ALNUM, 36), told=True),
    Kind("GitHub fine-grained token", _after("github_pat_", _ALNUM + "_", 82), told=True),
    Kind("GitLab token", _after("glpat-", _URLSAFE, 26, "x"), told=True),
    Kind("Slack bot token", _after("xoxb-123456789012-", _ALNUM, 24), told=True),
    Kind("Slack app token", _after("xapp-1-A01-", _HEX, 64), told=True),
    Kind("Slack webhook", _after("T0A/B0A/", _ALNUM, 24), told=True,
         dress=lambda secret: f"https://hooks.slack.com/services/{secret}"),
    Kind("AWS access key id", _after("AKIA", _BASE32, 16), told=True),
    Kind("AWS session key id", _after("ASIA", _BASE32, 16), told=True),
    Kind("Bedrock key", _after("ABSK", _ALNUM, 90, "="), told=True),
    Kind("OpenAI project key", _after("sk-proj-", _URLSAFE, 80), told=True),
    Kind("Anthropic key", _after("sk-ant-api03-", _URLSAFE, 92, "AA"), told=True),
    Kind("Google API key", _after("AIza", _URLSAFE, 35), told=True),
    Kind("Google access token", _after("ya29.", _URLSAFE, 80), told=True),
    Kind("Google refresh token", _after("1//0", _URLSAFE, 60), told=True),
    Kind("Google client secret", _after("GOCSPX-", _URLSAFE, 28), told=True),
    Kind("Azure AD client secret", _after("abc8Q~", _ALNUM + "_.-", 33, "x"), told=True),
    Kind("Azure storage key", _after("", _ALNUM, 86, "=="), told=True,
         dress=lambda s: f"AccountName=a;AccountKey={s};"),
    Kind("Azure SAS", _after("", _ALNUM, 43, "%3D"), told=True,
         dress=lambda s: f"https://a.example/b?sv=2026&sig={s}"),
    Kind("Stripe key", _after("sk_live_", _ALNUM, 24), told=True),
    Kind("Stripe webhook secret", _after("whsec_", _ALNUM, 32), told=True),
    Kind("npm token", _after("npm_", _ALNUM, 36), told=True),
    Kind("PyPI token", _after("pypi-AgEIcHlwaS5vcmc", _URLSAFE, 80), told=True),
    Kind("Hugging Face token", _after("hf_", _ALNUM, 34), told=True),
    Kind("Vault token", _after("hvs.", _URLSAFE, 90), told=True),
    Kind("private key in PEM", _pem, told=True, run=False),
    Kind("signing key of notes", _after("PRIVATE+KEY+example.com/agents+0a1b2c3d+", _ALNUM, 43, "="), told=True,
         run=False),
    Kind("JWK member", _spread(_URLSAFE, 43), told=True, dress=lambda s: f'{{"kty":"oct","k":"{s}"}}'),
    Kind("password in a URL", _spread(_ALNUM, 24), told=True, dress=lambda s: f"postgresql://app:{s}@db.example/app"),
    Kind("Basic credentials", _basic, told=True, dress=lambda s: f"Basic {s}"),
    Kind("opaque Bearer token", _after("T1", _URLSAFE, 41), told=True, dress=lambda s: f"sent as Bearer {s}"),
    Kind("SigV4 signature", _spread(_HEX, 64), told=True, dress=lambda s: f"SignedHeaders=host, Signature={s}"),
    Kind("opaque token", _spread(_ALNUM, 43)),
    Kind("opaque token, urlsafe", _after("a", _URLSAFE, 42, "b")),
    Kind("AWS secret key", _after("", _ALNUM, 40)),
    Kind("key in base64", _after("", _ALNUM, 43, "=")),
    Kind("key in hexadecimal", _spread(_HEX, 64)),
    Kind("UUID", _uuid),
    Kind("number", lambda _, mark: mark, run=False),
    Kind("short password", lambda rng, mark: "p" + mark[:_CORE] + rng.choice("xyz")),
    Kind("password with punctuation", _punctuated, run=False),
    Kind("passphrase of words", _words, run=False),
    Kind("password in other scripts", _foreign, run=False),
)  # fmt: skip
"""What is planted."""


@dataclass(frozen=True)
class Find:
    """A canary that came out."""

    of: str
    """Its class."""
    sink: str
    form: str
    what: str
    """What it was and where it had been put, as far as its form shows it."""


@dataclass
class Search:
    """Looks for the canaries of one mint. Counts what it has looked through."""

    name: str
    mint: Mint
    forms: dict[str, bytes] = field(init=False)
    searched: int = 0
    """Bytes."""
    sinks: dict[str, int] = field(default_factory=dict[str, int])
    """Bytes by sink."""

    def __post_init__(self) -> None:
        self.forms = forms(self.mint.core)

    def __call__(self, sink: str, *contents: bytes | str) -> list[Find]:
        """Return each find, one for each canary and form."""
        return [find for content in contents for find in self._one(sink, content)]

    def _one(self, sink: str, content: bytes | str) -> list[Find]:
        found = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        self.searched += len(found)
        self.sinks[sink] = self.sinks.get(sink, 0) + len(found)
        return [
            Find(self.name, sink, form, what)
            for form, needle in self.forms.items()
            if needle in found
            for what in sorted(self._whats(form, needle, found))
        ]

    def _whats(self, form: str, needle: bytes, found: bytes) -> set[str]:
        if form != "raw":
            return {f"{found.count(needle)} times"}
        serials = {match[1].decode() for match in re.finditer(re.escape(needle) + rb"([2-7]{0,7})", found)}
        numbers = {self.mint.number_of(digits) for digits in serials if len(digits) == _SERIAL}
        return {self.mint.planted[number] for number in numbers if number is not None} or {"without its number"}

    def holds(self, content: bytes) -> bool:
        """Whether a canary stands there, in any form."""
        return any(needle in content for needle in self.forms.values())


def forms(core: str) -> dict[str, bytes]:
    """Return how the core may stand somewhere. Of digits, base64 has no character in which its alphabets differ."""
    raw = core.encode()
    escapes = "".join(f"\\u{ord(digit):04x}" for digit in core)
    found = {
        "raw": raw,
        "hex": raw.hex().encode(),
        "percent": "".join(f"%{octet:02x}" for octet in raw).encode(),
        "percent, twice": "".join(f"%25{octet:02x}" for octet in raw).encode(),
        "JSON escapes": escapes.encode(),
        "JSON escapes, escaped": escapes.replace("\\", "\\\\").encode(),
        "Python escapes": "".join(f"\\x{octet:02x}" for octet in raw).encode(),
        "UTF-16": core.encode("utf-16-le")[:-1],  # which both byte orders hold
        "reversed": raw[::-1],
    }
    for name, once in _in_base64("base64", raw):
        found[name] = once
        found.update(_in_base64(f"{name}, again", once))
        found[f"{name}, reversed"] = once[::-1]
    return found


def _in_base64(name: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the base64 of ``raw`` at each offset within a longer text, without what its neighbours change."""
    for offset in range(3):
        encoded = b64encode(bytes(offset) + raw)
        first = (0, 2, 3)[offset]
        last = (offset + len(raw)) * 8 // 6
        yield f"{name}+{offset}", encoded[first:last]

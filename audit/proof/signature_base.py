"""What an HTTP Message Signature is made over: the signature base of a request (RFC 9421 §2).

1. Each covered component is one line, its identifier and its value; ``@signature-params`` is the last (§2.5).
2. A component that the request does not have, or has twice where it may have it once, makes the base impossible, and
   no signature over it is good. So do ``@status`` and ``req``, which belong to responses (§2.2.9, §2.4).
3. A component that cannot be told from what is at hand (a trailer, a structured field whose type must be known, one
   that is too long to read) leaves the signature unchecked. It is never guessed.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

from ..capture.sighting import octets
from ..capture.structured_fields import canonical_text, read_dictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..capture.request import HttpRequest
    from ..capture.structured_fields import InnerList, Item, Member


class ComponentError(Exception):
    """A covered component stands in the way of the base. It says which and why, never its value."""

    def __init__(self, component: str, problem: str) -> None:
        super().__init__(f"{component}: {problem}")


class ImpossibleComponent(ComponentError):
    """The request has no such component: no signature over it is good (RFC 9421 §2.5)."""


class UnsupportedComponent(ComponentError):
    """The component cannot be told from what is at hand."""


def signature_base(request: HttpRequest, covered: InnerList) -> bytes:
    """Return the signature base. Raises ``ImpossibleComponent`` and ``UnsupportedComponent``.

    The request line is taken to be in origin-form. Query and structured fields are read up to 8 KiB in all.
    """
    components = _Components(request)
    lines = [f"{item.text}: {components.value(item)}" for item in covered.items]
    return "\n".join([*lines, f'"@signature-params": {covered.text}']).encode("ascii")


_LINE: Final = re.compile(r"[\t\x20-\x7e]*+")
_URI: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?"
)
_LATIN: Final = re.compile(r"[^\x00-\x7f\udc80-\udcff]")
_MAX_READ: Final = 8 * 1024


class _Components:
    """The components of one request, each value read once."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._target = _URI.match(request.url)
        self._left = _MAX_READ
        self._parameters: list[tuple[str, str]] | None = None
        self._dictionaries: dict[str, dict[str, Member] | None] = {}

    def value(self, item: Item) -> str:
        """Return the value of a component."""
        name = str(item.bare.value)
        if "req" in item.parameters:
            raise ImpossibleComponent(name, "req belongs to responses")
        if "tr" in item.parameters:
            raise UnsupportedComponent(name, "trailers are not at hand")
        value = self._derived(name, item) if name.startswith("@") else self._field(name, item)
        if not _LINE.fullmatch(value):
            raise ImpossibleComponent(name, "its value is not one line of ASCII")
        return value

    def _derived(self, name: str, item: Item) -> str:
        """Return a derived component (RFC 9421 §2.2)."""
        if self._target is None:
            raise UnsupportedComponent(name, "the target URI is not absolute")
        if name == "@query-param" and list(item.parameters) == ["name"]:
            return self._query_parameter(self._target["query"] or "", item.parameters["name"].value)
        if item.parameters or name in {"@query-param", "@status"}:
            raise ImpossibleComponent(name, "not a component of a request")
        derive = _DERIVED.get(name)
        if derive is None or (name == "@request-target" and self._request.method in {"CONNECT", "OPTIONS"}):
            raise UnsupportedComponent(name, "it is not known here")
        return derive(self._request, self._target)

    def _query_parameter(self, query: str, wanted: object) -> str:
        """Return the one parameter of this name, encoded anew (§2.2.8, WHATWG URL §5.2)."""
        if self._parameters is None:
            self._read(query, "@query-param")
            pairs = parse_qsl(query[1:], keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
            self._parameters = [(_form_encoded(name), value) for name, value in pairs]
        values = [value for name, value in self._parameters if name == wanted]
        if len(values) != 1:
            raise ImpossibleComponent("@query-param", f"found {len(values)} times")
        return _form_encoded(values[0])

    def _field(self, name: str, item: Item) -> str:
        """Return the value of a field (RFC 9421 §2.1), of all its lines in their order."""
        lines = self._request.values(name)
        if not lines:
            raise ImpossibleComponent(name, "the request has no such field")
        flags = {each for each, bare in item.parameters.items() if bare.value is True}
        others = set(item.parameters) - flags
        if not item.parameters:
            return ", ".join(lines)
        if flags == {"bs"} and not others:
            return ", ".join(_byte_sequence(name, line) for line in lines)
        if flags == {"sf"} and not others:
            return self._strictly(name, ", ".join(lines))
        if others == {"key"} and flags <= {"sf"}:
            return self._member(name, ", ".join(lines), item.parameters["key"].value)
        raise ImpossibleComponent(name, "its parameters do not go together")

    def _strictly(self, name: str, value: str) -> str:
        """Return a structured field in its one spelling (§2.1.1)."""
        self._read(value, name)
        canonical = canonical_text(value)
        if canonical is None:
            raise UnsupportedComponent(name, "it is no structured field, or one whose type must be known")
        return canonical

    def _member(self, name: str, value: str, key: object) -> str:
        """Return one member of a dictionary (§2.1.2)."""
        if name not in self._dictionaries:
            self._read(value, name)
            self._dictionaries[name] = read_dictionary(value)
        members = self._dictionaries[name] or {}
        member = members.get(key) if isinstance(key, str) else None
        if member is None:
            raise ImpossibleComponent(name, "it has no such member")
        return member.text

    def _read(self, text: str, name: str) -> None:
        self._left -= len(text)
        if self._left < 0:
            raise UnsupportedComponent(name, f"more than {_MAX_READ:,} characters to read")


def _authority(_request: HttpRequest, target: re.Match[str]) -> str:
    """Return host and port in lower case, without the scheme's default port (§2.2.3, RFC 9110 §4.2.3)."""
    host = target["authority"].rpartition("@")[2].lower()
    name, _, port = host.rpartition(":")
    default = not port or port == _DEFAULT_PORTS.get(target["scheme"].lower())
    return name if name and default and not host.endswith("]") else host


def _request_target(_request: HttpRequest, target: re.Match[str]) -> str:
    return (target["path"] or "/") + (target["query"] or "")


_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_DERIVED: Final[dict[str, Callable[[HttpRequest, re.Match[str]], str]]] = {
    "@method": lambda request, _: request.method,
    "@target-uri": lambda request, target: (
        f"{target['scheme']}://{target['authority']}{_request_target(request, target)}"
    ),
    "@authority": _authority,
    "@scheme": lambda _, target: target["scheme"].lower(),
    "@request-target": _request_target,
    "@path": lambda _, target: target["path"] or "/",
    "@query": lambda _, target: target["query"] or "?",
}


def _form_encoded(text: str) -> str:
    """Percent-encode with the set of ``application/x-www-form-urlencoded``, which the tilde is in; a space is %20."""
    return quote(octets(text), safe="*-._").replace("~", "%7E")


def _byte_sequence(name: str, line: str) -> str:
    """Encode one field line (§2.1.3). Of text that was decoded in some way the bytes are not known."""
    if _LATIN.search(line):
        raise UnsupportedComponent(name, "its bytes are not at hand")
    return f":{b64encode(octets(line)).decode('ascii')}:"

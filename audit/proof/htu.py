"""Comparing ``htu`` with the URI of a request (RFC 9449 §4.3 item 9).

1. Query and fragment are left out.
2. What is equal by syntax or by scheme is equal (RFC 3986 §6.2.2, §6.2.3): case of scheme, host and percent-escapes,
   escapes of unreserved characters, dot segments, the default port, an empty path.
3. Nothing else is: not the case of a path, a trailing slash, ``//``, ``%2F``, http for https, nor a name in another
   script. What differs may be another resource.
4. A URI with user information is refused: it would carry a password.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_UNRESERVED: Final = "A-Za-z0-9._~-"
_SUB_DELIMS: Final = "!$&'()*+,;="
_URI: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[{_SUB_DELIMS}{_UNRESERVED}]+)(?::(?P<port>[0-9]*))?"
    rf"(?P<path>/(?:[{_SUB_DELIMS}:@/{_UNRESERVED}]|%[0-9A-Fa-f]{{2}})*)?",
    re.ASCII | re.IGNORECASE,
)
_IS_UNRESERVED: Final = re.compile(f"[{_UNRESERVED}]")
_ESCAPE: Final = re.compile("%([0-9A-Fa-f]{2})")
_DEFAULT_PORT: Final = {"http": "80", "https": "443"}
_MAX_URI: Final = 8192
_MAX_SHOWN: Final = 512


class Compared(NamedTuple):
    """How two URIs compare."""

    equal: bool
    """Whether they mean the same resource."""
    expected: str | None
    """The URI of the request in normal form, without query; None if it is no http or https URI."""
    observed: str | None
    """``htu`` in normal form, without query."""
    has_query: bool
    """Whether ``htu`` has a query or fragment, which is a mistake of the client and ignored."""


def compare_htu(url: str, htu: str) -> Compared:
    """Compare the target URI of a request with ``htu``."""
    bare_url, bare_htu = without_query(url), without_query(htu)
    expected = normal_form(bare_url)
    observed = expected if bare_htu == bare_url else normal_form(bare_htu)
    equal = expected is not None and expected == observed
    return Compared(equal, _cut(expected), _cut(observed), has_query=len(bare_htu) < len(htu))


def without_query(uri: str) -> str:
    """Return a URI without query and fragment (RFC 3986 §3)."""
    return uri.partition("#")[0].partition("?")[0]


def normal_form(uri: str) -> str | None:
    """Return scheme, host, port and path in normal form (RFC 3986 §6.2.2, §6.2.3).

    None for anything but an absolute http or https URI without query, fragment and user information, of at most 8,192
    characters.
    """
    match = _URI.fullmatch(uri) if len(uri) <= _MAX_URI else None
    if not match:
        return None
    scheme = match["scheme"].lower()
    port = match["port"]
    path = match["path"] or "/"
    if "%" in path:
        path = _unescaped(path)
    if "/." in path:
        path = _without_dot_segments(path)
    shown_port = f":{port}" if port and port != _DEFAULT_PORT[scheme] else ""
    return f"{scheme}://{match['host'].lower()}{shown_port}{path}"


def _unescaped(path: str) -> str:
    """Decode escapes of unreserved characters, and write the others in capitals (RFC 3986 §6.2.2.1, §6.2.2.2)."""
    return _ESCAPE.sub(_unescape, path)


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _IS_UNRESERVED.fullmatch(character) else match[0].upper()


def _without_dot_segments(path: str) -> str:
    """Remove ``.`` and ``..`` from an absolute path (RFC 3986 §5.2.4)."""
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _cut(uri: str | None) -> str | None:
    return uri if uri is None or len(uri) <= _MAX_SHOWN else uri[: _MAX_SHOWN - 1] + "…"

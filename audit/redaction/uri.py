"""The URI rule: a recorded URI says where a request went, and not with what.

1. Userinfo goes (RFC 3986 §3.2.1), and so does the fragment, which never reaches a server.
2. Of the query the names stay and the values go, except those that ``keep`` names. What is no plain name goes with its
   value; a part without ``=`` may be a bare token, and goes as well.
3. An authority that has no valid form may hold a password with a slash in it: all that follows the scheme goes.
4. Of the parameters in a path (RFC 3986 §3.3: ``;name=value``) the names stay. A segment that follows the name of a
   secret goes if it looks like one: ``/token/…``.
5. What is left is searched by pattern like any text (``findings``). So a token in the path is found, and a value that
   ``keep`` names still goes when it, or its name, is that of a secret.

Removed parts become ``REDACTED``, so that the URI can still be parsed. Relative references are treated alike, and what
is no URI at all has only a path.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from .positions import looks_opaque, position_of
from .receipt import BARE, is_marker

if TYPE_CHECKING:
    from collections.abc import Collection

_Removed: TypeAlias = list[tuple[str, int]]

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_HOST = r"(?:\[[^\[\]@\s]*\]|[^:,@\[\]\s]*)(?::[0-9]*)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
_NAME = re.compile(r"(?:[A-Za-z0-9_.~$:*!@,\[\]-]|%5[BbDd]){1,64}")
_WORDS = re.compile(r"[A-Za-z]?[a-z]*(?:[._-][a-z]+)*|v[0-9]{1,2}|[0-9]{1,6}")
"""Segments of a path that say what is there."""
_LONGEST_FLAG = 16


def structure(uri: str, keep: Collection[str] = ()) -> tuple[str, _Removed]:
    """Apply points 1 to 4. Return the URI, and the rule and length of each part that was removed."""
    found = _URI.fullmatch(uri)
    scheme, authority, path, query, fragment = found.groups() if found else ("", None, uri, None, None)
    removed: _Removed = []
    kept = scheme or ""
    if authority is not None:
        userinfo, _, hosts = authority.rpartition("@")
        if not _HOSTS.fullmatch(hosts):
            return f"{kept}//{BARE}", [("uri.authority", len(uri) - len(kept) - 2)]
        if userinfo and not is_marker(userinfo):
            removed.append(("uri.userinfo", len(userinfo)))
            authority = hosts
        kept += f"//{authority}"
    kept += _path(path, keep, removed)
    if query:
        kept += "?" + "&".join([_parameter(part, keep, removed) for part in query.split("&")])
    if fragment:
        removed.append(("uri.fragment", len(fragment)))
    return kept, removed


def _path(path: str, keep: Collection[str], removed: _Removed) -> str:
    segments = path.split("/")
    for place, segment in enumerate(segments):
        first, *parameters = segment.split(";")
        if place and not _WORDS.fullmatch(first) and _names_secret(segments[place - 1], first):
            removed.append(("uri.path", len(first)))
            first = BARE
        segments[place] = ";".join([first, *[_matrix(each, keep, removed) for each in parameters]])
    return "/".join(segments)


def _names_secret(name: str, value: str) -> bool:
    position = None if is_marker(value) else position_of(unquote(name))
    return position is not None and ((isinstance(position, str) and not name.endswith("s")) or looks_opaque(value))


def _matrix(parameter: str, keep: Collection[str], removed: _Removed) -> str:
    name, _, value = parameter.partition("=")
    if not value or is_marker(value) or name in keep:
        return parameter
    removed.append(("uri.path", len(value)))
    return f"{name}={BARE}"


def _parameter(part: str, keep: Collection[str], removed: _Removed) -> str:
    name, equals, value = part.partition("=")
    if not part or is_marker(part) or (equals and name in keep):
        return part
    # Without a value, a long name is more likely a token with base64 padding.
    if not _NAME.fullmatch(name) or not equals or (not value.strip("=") and len(name) > _LONGEST_FLAG):
        removed.append(("uri.query", len(part)))
        return BARE
    if not value or value == BARE:
        return part
    removed.append(("uri.query", len(value)))
    return f"{name}={BARE}"

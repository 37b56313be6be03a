"""Where a request goes and what it does: the parts of the record that need no credential."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from counterfoil.schemas import Action, Resource

from .claims import name_of
from .mcp import message_of

if TYPE_CHECKING:
    from .request import HttpRequest

MAX_URI: Final = 8192
"""The longest URI that a record holds, in characters; a longer one is cut and ends with an ellipsis."""

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NOWHERE = "unknown:"


def resource_of(request: HttpRequest) -> Resource:
    """Return the resource that the request is addressed to: its URI as it stands, and its server.

    The query is kept; the log drops its values when it redacts, once, before the first write.
    """
    return Resource(uri=uri_of(request.url), server=_server(request))


def action_of(request: HttpRequest, name: str | None = None) -> Action:
    """Return what the request does. Without a name of the domain it is called by method and path, ``GET /mail/1``.

    A request to an MCP server is called by the tool or the RPC method that it names itself: while a tool is called, the
    SDK also sends requests of its own.
    """
    target = uri_of(request.url)
    match = _URI.match(target)
    named = message_of(request).name or name or f"{request.method} {(match['path'] if match else '') or '/'}"
    return Action(name=name_of(named) or "unknown", method=name_of(request.method), target=target)


def uri_of(url: str) -> str:
    """Return a URL as a record can hold it: cut, and without what no record may hold."""
    storable = _UNSTORABLE.sub("\ufffd", url)
    return (storable if len(storable) <= MAX_URI else storable[: MAX_URI - 1] + "…") or _NOWHERE


def _server(request: HttpRequest) -> str | None:
    """Return host or host:port, without userinfo (RFC 3986 §3.2)."""
    match = _URI.match(request.url)
    authority = match["authority"].rpartition("@")[2] if match else ""
    return name_of((authority or next(iter(request.values("host")), "")).lower())

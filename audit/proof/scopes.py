"""Which scope a request needs: the same for all, by route, or by a function of the caller's.

Routes are written as Starlette and FastAPI write them: ``/mail/{id}`` has one segment in the braces,
``/files/{p:path}`` any number; ``POST /mail`` is for one method; ``*`` for whatever no other route takes. A request
that none takes is refused: a path that somebody forgot, or that is written in a way of its own, must not be open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import unquote

from counterfoil.schemas import ConfigurationError

if TYPE_CHECKING:
    from ..capture import HttpRequest

Needed: TypeAlias = Collection[str] | None
"""The scopes that a request needs, all of them; None: it needs no credential at all."""

Scopes: TypeAlias = Collection[str] | Mapping[str, str | Needed] | Callable[["HttpRequest"], str | Needed]
"""The same for every request, by route, or by a function, which must not raise. A string is a list with spaces."""


UNLISTED: Final = ("",)
"""What a request needs that no route takes: a scope that no token can have, since each has a character at least."""

_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_ROUTE: Final = re.compile(r"(?:([A-Z]+) )?(/.*)")
_PARAMETER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*(:path)?[^{}]*\}")
_PATH: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*([^?#]*)")


def scopes_by(scopes: Scopes) -> Callable[[HttpRequest], Needed]:
    """Return the function that says what a request needs.

    Raises ``ConfigurationError`` for a scope or a route that is none.
    """
    if callable(scopes):
        return lambda request: _checked(_given(scopes(request)))
    if isinstance(scopes, Mapping):
        return _Routes(cast("Mapping[str, str | Needed]", scopes)).needed
    same = _checked(_given(scopes))
    return lambda _request: same


def scopes_of(scopes: Scopes) -> tuple[str, ...]:
    """Return all scopes that requests can need; none where a function decides."""
    if callable(scopes):
        return ()
    routes = cast("Mapping[str, str | Needed]", scopes).values() if isinstance(scopes, Mapping) else [scopes]
    return tuple(sorted({scope for needed in routes for scope in _given(needed) or ()}))


def _given(scopes: str | Needed) -> Needed:
    return tuple(scopes.split()) if isinstance(scopes, str) else scopes


def _checked(scopes: Needed) -> Needed:
    if any(not _SCOPE_TOKEN.fullmatch(scope) for scope in scopes or ()):
        raise ConfigurationError("a scope has characters that no scope can have (RFC 6749 §3.3)")
    return None if scopes is None else tuple(scopes)


class _Routes:
    def __init__(self, routes: Mapping[str, str | Needed]) -> None:
        self._else = _checked(_given(routes["*"])) if "*" in routes else UNLISTED
        named = [(route, needed) for route, needed in routes.items() if route != "*"]
        self._routes = [(*_compiled(route), _checked(_given(needed))) for route, needed in named]

    def needed(self, request: HttpRequest) -> Needed:
        path, method = path_of(request), "GET" if request.method == "HEAD" else request.method
        for only, pattern, needed in self._routes:
            if only in {None, method} and pattern.fullmatch(path):
                return needed
        return self._else


def path_of(request: HttpRequest) -> str:
    """Return the path as a router sees it: decoded. One spelling more must not be one door more."""
    found = _PATH.match(request.url)
    return unquote(found[1] if found else "", errors="surrogateescape") or "/"


def _compiled(route: str) -> tuple[str | None, re.Pattern[str]]:
    parts = _ROUTE.fullmatch(route)
    if not parts:
        raise ConfigurationError("a route is a path, perhaps after a method: `/mail/{id}`, `POST /mail`")
    at, pattern = 0, ""
    for parameter in _PARAMETER.finditer(parts[2]):
        pattern += re.escape(parts[2][at : parameter.start()]) + (".*" if parameter[1] else "[^/]+")
        at = parameter.end()
    return parts[1], re.compile(pattern + re.escape(parts[2][at:]), re.DOTALL)

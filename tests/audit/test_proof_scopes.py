"""Which scope a request needs: by route as routers have it, and nothing forgotten is open."""

from __future__ import annotations

from typing import Any

import pytest

from counterfoil.audit.capture import HttpRequest
from counterfoil.audit.proof.scopes import UNLISTED, scopes_by, scopes_of
from counterfoil.schemas import ConfigurationError

ROUTES: Any = {
    "GET /mail/{id}": "mail:read",
    "POST /mail": ["mail:send", "mail:read"],
    "/files/{path:path}": ("files",),
    "/of/{owner:str}/mail": "mail:all",
    "/health": None,
    "/a.b": "dot",
}


def needed(scopes: Any, path: str, method: str = "GET") -> Any:
    """Return what a request needs."""
    return scopes_by(scopes)(HttpRequest(method, f"https://api.example{path}"))


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "/mail/7", ("mail:read",)),
        ("HEAD", "/mail/7", ("mail:read",)),
        ("GET", "/mail/7?x=1", ("mail:read",)),
        ("GET", "/%6dail/7", ("mail:read",)),
        ("GET", "/mail/%37", ("mail:read",)),
        ("POST", "/mail", ("mail:send", "mail:read")),
        ("PUT", "/files/a/b/c", ("files",)),
        ("GET", "/files/", ("files",)),
        ("GET", "/of/dana/mail", ("mail:all",)),
        ("GET", "/health", None),
        ("GET", "/a.b", ("dot",)),
        ("POST", "/mail/7", UNLISTED),
        ("GET", "/mail", UNLISTED),
        ("GET", "/mail/", UNLISTED),
        ("GET", "/mail/7/8", UNLISTED),
        ("GET", "/mail/7%2F8", UNLISTED),
        ("GET", "//mail/7", UNLISTED),
        ("GET", "/MAIL/7", UNLISTED),
        ("GET", "/mail/../health", UNLISTED),
        ("GET", "/health/", UNLISTED),
        ("GET", "/health%00", UNLISTED),
        ("GET", "/health\n", UNLISTED),
        ("GET", "/axb", UNLISTED),
        ("GET", "", UNLISTED),
        ("get", "/mail/7", UNLISTED),
    ],
)
def test_by_route(method: str, path: str, scopes: Any) -> None:
    """A route takes what a router would, in whatever spelling; what no route takes needs what no token has."""
    assert needed(ROUTES, path, method) == scopes


def test_whatever_else() -> None:
    """A default takes the rest, and may be open."""
    assert needed({**ROUTES, "*": "any"}, "/other") == ("any",)
    assert needed({**ROUTES, "*": None}, "/other") is None
    assert needed({**ROUTES, "*": ()}, "/other") == ()


@pytest.mark.parametrize(("scopes", "given"), [((), ()), ("a b", ("a", "b")), (["a"], ("a",)), ({"x"}, ("x",))])
def test_the_same_for_all(scopes: Any, given: Any) -> None:
    """A list, or a string with spaces, is for every request."""
    assert needed(scopes, "/") == given
    assert scopes_of(scopes) == given


def test_by_a_function() -> None:
    """A function of the caller's decides, and what it returns has to be scopes."""

    def by_method(request: HttpRequest) -> Any:
        return {"GET": "get", "POST": ['a"b']}.get(request.method)

    assert needed(by_method, "/") == ("get",)
    assert needed(by_method, "/", "PUT") is None
    with pytest.raises(ConfigurationError):
        needed(by_method, "/", "POST")
    assert scopes_of(by_method) == ()


def test_all_of_them() -> None:
    """What any route needs can be told to clients."""
    assert scopes_of(ROUTES) == ("dot", "files", "mail:all", "mail:read", "mail:send")


@pytest.mark.parametrize(
    "scopes", [['a"b'], ["a\\b"], ["ä"], ["a b"], [""], {"/": ["x\n"]}, {"mail": "x"}, {"get /mail": "x"}, {"": "x"}]
)
def test_what_is_no_scope_or_no_route(scopes: Any) -> None:
    """It is refused when the server is set up."""
    with pytest.raises(ConfigurationError):
        scopes_by(scopes)

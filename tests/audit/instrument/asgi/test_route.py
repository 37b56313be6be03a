"""The name of an action: the template of the route, whole, whatever a router left in the scope."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from counterfoil.audit.instrument.route import route_template


@pytest.mark.parametrize(
    ("template", "path", "values", "whole"),
    [
        ("/mail", "/mail", {}, "/mail"),
        ("/mail/{number}", "/mail/7", {"number": 7}, "/mail/{number}"),
        ("/{number}", "/of/dana/7", {"number": 7, "owner": "dana"}, "/of/{owner}/{number}"),
        ("/{number}", "/of/7/7", {"number": 7, "owner": "7"}, "/of/{owner}/{number}"),
        ("/files/{path}", "/v1/files/a/b", {"path": "a/b"}, "/v1/files/{path}"),
        ("/static", "/static/a.css", {}, "/static"),
        ("/mail/{number}", "/other", {"number": 7}, "/mail/{number}"),
        ("/mail/{number}", None, None, "/mail/{number}"),
        ("", "/mail", {}, None),
        (None, "/mail", {}, None),
        (7, "/mail", {}, None),
        ("/" + "x" * 600, "/mail", {}, None),
    ],
)
def test_the_whole_template(template: Any, path: Any, values: Any, whole: str | None) -> None:
    """What stands before the route's own part comes from the path, with the names of parameters."""
    for route in (SimpleNamespace(path_format=template), SimpleNamespace(path=template)):
        assert route_template({"route": route, "path": path, "path_params": values}) == whole


def test_no_router() -> None:
    """An application without routes leaves nothing, and the action keeps the name it had."""
    assert route_template({}) is None
    assert route_template({"route": object(), "path": "/"}) is None

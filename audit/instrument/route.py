"""The name of what was done over HTTP: the template of the route that took the request, such as ``/mail/{id}``.

Starlette and FastAPI leave the route and the parameters of the path in the scope once the application ran. A route that
stands under a mount, or in an included router, knows its own part only; what stands before it in the path is taken from
there, with the values of parameters replaced by their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_TEMPLATE = 512


def route_template(scope: Mapping[str, Any]) -> str | None:
    """Return the template of the route; None where no router left one. Raises nothing over what a scope holds."""
    route = scope.get("route")
    template = getattr(route, "path_format", None) or getattr(route, "path", None)
    if not isinstance(template, str) or not template or len(template) > _MAX_TEMPLATE:
        return None
    path, given = scope.get("path"), scope.get("path_params")
    values = {name: str(value) for name, value in cast("dict[str, Any]", given).items()} if given else {}
    own = template
    for name, value in values.items():
        own = own.replace(f"{{{name}}}", value)
    if not isinstance(path, str) or not path.endswith(own):
        return template
    names = {value: name for name, value in values.items() if f"{{{name}}}" not in template}
    before = [f"{{{names[part]}}}" if part in names else part for part in path[: len(path) - len(own)].split("/")]
    return "/".join(before) + template

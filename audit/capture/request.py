"""An HTTP request as capture reads it: a value, taken from whatever client, server or file has one.

Nothing here shows a header's value: a request is full of credentials, and its ``repr`` ends in logs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FORM: Final = 64 * 1024
"""The longest form or query that is read, in bytes."""

_BLANK: Final = " \t\r\n"  # RFC 9110 §5.5; what else Python takes for white space is part of the value

_FORM = re.compile(r"\s*application/x-www-form-urlencoded\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """One request. Header values are text, as the HTTP library gives them; bytes beyond ASCII may be surrogate escapes.

    The body matters only where it is a form of at most 64 KiB; leave it out otherwise, and never read a stream for it.
    """

    method: str
    """Request method (RFC 9110 §9.1)."""
    url: str
    """Target URI (RFC 9110 §7.1), absolute."""
    headers: tuple[tuple[str, str], ...] = ()
    """Field lines in their order, repeated names kept (RFC 9110 §5.2)."""
    body: bytes | None = None
    """The content, if it is at hand."""
    query: Mapping[str, str] = field(init=False, compare=False)
    """The parameters of the query, decoded; of a repeated one the first."""
    form: Mapping[str, str] = field(init=False, compare=False)
    """The parameters of a form body, decoded; of a repeated one the first."""
    _by_name: Mapping[str, list[str]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, list[str]] = {}
        for name, value in self.headers:
            by_name.setdefault(name.strip(_BLANK).lower(), []).append(value.strip(_BLANK))
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "query", _parameters(self.url.partition("#")[0].partition("?")[2]))
        object.__setattr__(self, "form", self._read_form())

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of every field line of this name, without surrounding white space. ``name`` in any case."""
        return tuple(self._by_name.get(name.lower(), ()))

    def _read_form(self) -> Mapping[str, str]:
        content_type = self.values("content-type")
        if not self.body or len(self.body) > MAX_FORM or not content_type or not _FORM.match(content_type[0]):
            return {}
        return _parameters(self.body.decode("utf-8", "surrogateescape"))

    def __repr__(self) -> str:
        return f"<HttpRequest, {len(self.headers)} headers>"


def _parameters(text: str) -> dict[str, str]:
    """Parse ``application/x-www-form-urlencoded`` (WHATWG URL §5.1). Bytes beyond UTF-8 become surrogate escapes."""
    if not text:
        return {}
    pairs = parse_qsl(text[:MAX_FORM], keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
    return dict(reversed(pairs))

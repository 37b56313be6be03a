"""Which access tokens a request presents, and under which scheme: a bound token belongs under ``DPoP`` alone."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..capture.request import HttpRequest

_MAX_SEARCHED: Final = 16 * 1024
_MERGED: Final = re.compile(r",\s*(?:bearer|dpop)\s", re.IGNORECASE)


class TokenMethod(StrEnum):
    """How an access token is presented."""

    DPOP = "DPoP"
    """``Authorization: DPoP`` (RFC 9449 §7.1)."""
    BEARER = "Bearer"
    """``Authorization: Bearer`` (RFC 6750 §2.1)."""
    FORM = "form"
    """``access_token`` in a form (RFC 6750 §2.2)."""
    QUERY = "query"
    """``access_token`` in the query (RFC 6750 §2.3)."""


class PresentedToken(NamedTuple):
    """An access token in one place of a request. Its ``repr`` shows the method only."""

    method: TokenMethod
    """How it is presented."""
    token: str
    """The token."""

    def __repr__(self) -> str:
        return f"<PresentedToken, {self.method}>"


def presented_tokens(request: HttpRequest) -> tuple[PresentedToken, ...]:
    """Return the access tokens of a request, those under ``DPoP`` first. More than one breaks RFC 6750 §2."""
    found = list(_authorized(request))
    if token := request.form.get("access_token"):
        found.append(PresentedToken(TokenMethod.FORM, token))
    if token := request.query.get("access_token"):
        found.append(PresentedToken(TokenMethod.QUERY, token))
    if len(found) > 1:
        found.sort(key=lambda each: each.method is not TokenMethod.DPOP)
    return tuple(found)


def _authorized(request: HttpRequest) -> Iterator[PresentedToken]:
    """Yield the tokens of the Authorization fields; two that an intermediary merged into one line are two."""
    for value in request.values("authorization"):
        scheme, token = (*value.split(None, 1), "", "")[:2]
        method = _SCHEMES.get(scheme.lower())
        if method and token:
            yield PresentedToken(method, token)
            if _MERGED.search(token, 0, _MAX_SEARCHED):
                yield PresentedToken(method, token)


_SCHEMES: Final = {"dpop": TokenMethod.DPOP, "bearer": TokenMethod.BEARER}

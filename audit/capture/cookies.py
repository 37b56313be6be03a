"""The Cookie header (RFC 6265 §4.2) as one credential.

Which cookie is the session is not on the wire. Those named like one (session, sid, auth, token, jwt, login) are taken
for it; where none is, all are. Of one cookie the fingerprint is that of its value, so that the session joins however
many other cookies travel with it; of several that of ``name=value; name=value``, sorted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from counterfoil.schemas import Presentation, TokenClass

from .claims import names_of
from .sighting import Sighting, sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .request import HttpRequest

_SESSION_LIKE = re.compile(r"sess|sid$|auth|token|jwt|login", re.IGNORECASE)
_NOT_SESSION = re.compile(r"csrf|xsrf", re.IGNORECASE)


def find_cookies(request: HttpRequest) -> Iterator[Sighting]:
    """Find the cookies: one sighting for all of them, with their names."""
    cookies = sorted(pairs_of("; ".join(request.values("cookie"))))
    if not cookies:
        return
    session = [(name, value) for name, value in cookies if is_session(name)] or cookies
    secret = session[0][1] if len(session) == 1 else "; ".join(f"{name}={value}" for name, value in session)
    names = names_of(dict.fromkeys(name for name, _ in cookies))
    yield sight(TokenClass.COOKIE_SESSION, Presentation.COOKIE, secret, names=names)


def is_session(name: str) -> bool:
    """Whether a cookie is named like a session."""
    return bool(_SESSION_LIKE.search(name)) and not _NOT_SESSION.search(name)


def pairs_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and value. What has no ``=`` is a value without a name: taken for a name it would be recorded."""
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        name, value = (name.strip(), value.strip()) if equals else ("", name)
        if name or value:
            yield name, value.strip('"')

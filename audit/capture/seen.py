"""What redaction is to know of a request and its answer: every credential in them, remembered as a keyed hash.

Of an answer these are the tokens that it gives and the cookies that it sets. Of a request, besides what becomes a
record: the proofs, both forms of a Basic credential, each cookie, and the parameters of query and form that redaction
would remove by their name. Where a name does not tell for sure, the value has to look random: ``key=ISSUE-12345`` is
none. The public id of a key is no secret.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from counterfoil.schemas import TokenClass

from ..redaction.known import KNOWN
from ..redaction.positions import looks_opaque, position_of
from .api_keys import KEY_HEADERS
from .cookies import is_session, pairs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .request import HttpRequest
    from .sighting import Sighting

_MOST: Final = 64
"""Of one request or answer, so that no sender can make a process forget with it what it knew."""

_BY_PUBLIC_ID: Final = frozenset({TokenClass.SIGV4_REQUEST, TokenClass.HTTP_MESSAGE_SIGNATURE})

_HEADERS: Final = (
    "dpop",
    "txn-token",
    "workload-identity-token",
    "workload-proof-token",
    "oauth-client-attestation",
    "oauth-client-attestation-pop",
    "x-aws-ec2-metadata-token",
    "x-amz-security-token",
    "mcp-session-id",
    *KEY_HEADERS,
)

_USER_INFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#:@]*:([^/?#@]+)@")


def remember_shown(request: HttpRequest, sightings: Iterable[Sighting]) -> None:
    """Remember the credentials of a request, at most 64."""
    for secret in islice(_shown(request, sightings), _MOST):
        KNOWN.remember(secret)


def _shown(request: HttpRequest, sightings: Iterable[Sighting]) -> Iterator[str | bytes]:
    for sighting in sightings:
        if sighting.secret and sighting.token_class not in _BY_PUBLIC_ID:
            yield sighting.secret
            if sighting.token_class is TokenClass.BASIC_PASSWORD:
                yield sighting.secret.partition(b":")[2]
    for header in ("authorization", "proxy-authorization"):
        for value in request.values(header):
            yield value.partition(" ")[2]
    for header in _HEADERS:
        yield from request.values(header)
    if found := _USER_INFO.match(request.url):
        yield found[1]
    yield from _parameters(request.form)
    yield from _parameters(request.query)
    yield from _cookie_values(request.values("cookie"))


def _parameters(given: Mapping[str, str]) -> Iterator[str]:
    for name, value in given.items():
        position = position_of(name)
        if isinstance(position, str) or (position and looks_opaque(value)):
            yield value


def remember_answer(content: bytes) -> None:
    """Remember the tokens in the JSON of a token endpoint (RFC 6749 §5.1), or of what is like one. Never raises."""
    try:
        answer: Any = json.loads(content)
    except (ValueError, RecursionError):
        return
    objects = [cast("dict[str, Any]", answer)] if isinstance(answer, dict) else []
    objects += [
        cast("dict[str, Any]", each) for object_ in objects for each in object_.values() if isinstance(each, dict)
    ]
    texts = {name: value for each in reversed(objects) for name, value in each.items() if isinstance(value, str)}
    for secret in islice(_parameters(texts), _MOST):
        KNOWN.remember(secret)


def remember_set_cookies(fields: Iterable[str]) -> None:
    """Remember the cookies that ``Set-Cookie`` fields set (RFC 6265 §4.1)."""
    for value in islice(_cookie_values([field.partition(";")[0] for field in fields]), _MOST):
        KNOWN.remember(value)


def _cookie_values(fields: Iterable[str]) -> Iterator[str]:
    for name, value in pairs_of("; ".join(fields)):
        if is_session(name) or looks_opaque(value):
            yield value

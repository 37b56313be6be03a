"""The Authorization header (RFC 9110 §11.6.2), its schemes, and access tokens in a form or query (RFC 6750 §2)."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from counterfoil.schemas import Presentation, TokenClass, TokenFormat

from .access_tokens import sight_access_token
from .api_keys import KEY_SCHEMES, vendor_prefix
from .claims import name_of
from .jose import read_compact
from .sighting import Sighting, octets, sight
from .signatures import sight_sigv4

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .request import HttpRequest

_TOKEN_SCHEMES: Final = frozenset({"bearer", "dpop"})
_SCHEMES: Final = _TOKEN_SCHEMES | KEY_SCHEMES | {"basic", "aws4-hmac-sha256", "digest", "negotiate", "ntlm"}


def find_authorization(request: HttpRequest) -> Iterator[Sighting]:
    """Find what the Authorization headers show, one sighting for each; a proxy's after the server's."""
    for value in request.values("authorization"):
        yield from _by_scheme(value, Presentation.AUTHORIZATION_HEADER, request)
    for value in request.values("proxy-authorization"):
        yield from _by_scheme(value, Presentation.CUSTOM_HEADER, request)


def find_access_tokens(request: HttpRequest) -> Iterator[Sighting]:
    """Find access tokens in the form (RFC 6750 §2.2) and in the query (§2.3, forbidden by RFC 9700 §4.3.2)."""
    if token := request.form.get("access_token"):
        yield sight_access_token(token, Presentation.FORM_BODY)
    if token := request.query.get("access_token"):
        yield sight_access_token(token, Presentation.QUERY)


def _by_scheme(value: str, presentation: Presentation, request: HttpRequest) -> Iterator[Sighting]:
    given, credentials = (*value.split(None, 1), "", "")[:2]
    scheme = given.lower()
    if not credentials:
        if given and scheme not in _SCHEMES:
            yield _without_scheme(given, presentation)
    elif scheme in _TOKEN_SCHEMES:
        yield sight_access_token(credentials, presentation, scheme)
    elif scheme == "basic":
        yield _basic(credentials, presentation, at_token_endpoint="grant_type" in request.form)
    elif scheme == "aws4-hmac-sha256":
        yield sight_sigv4(credentials, presentation)
    else:
        token_class = TokenClass.API_KEY if scheme in KEY_SCHEMES else TokenClass.UNKNOWN
        yield sight(token_class, presentation, credentials, prefix=vendor_prefix(credentials))


def _without_scheme(value: str, presentation: Presentation) -> Sighting:
    """Sight a value that stands alone: some services take a key or a token so. It is no scheme's, hence unknown."""
    if read_compact(value) or vendor_prefix(value):
        return sight_access_token(value, presentation)
    return sight(TokenClass.UNKNOWN, presentation, value)


def _basic(credentials: str, presentation: Presentation, *, at_token_endpoint: bool) -> Sighting:
    """Sight Basic (RFC 7617): a client's secret, a vendor's key in either half, or a user's password.

    The user name of a password is not recorded; the fingerprint is that of ``user:password``, as decoded.
    """
    user, password = _user_pass(credentials)
    if at_token_endpoint:
        return _client_secret(user, password, presentation)
    for half in (password, user):
        if prefix := vendor_prefix(half):
            return sight(TokenClass.API_KEY, presentation, half, prefix=prefix)
    secret = f"{user}:{password}" if user or password else credentials
    return Sighting(TokenClass.BASIC_PASSWORD, presentation, octets(secret), {"format": TokenFormat.OPAQUE})


def _client_secret(user: str, password: str, presentation: Presentation) -> Sighting:
    """Sight the client's own authentication: both halves are form-encoded (RFC 6749 §2.3.1)."""
    client_id, secret = unquote_plus(user), unquote_plus(password, errors="surrogateescape")
    seen = {"client_id": name_of(client_id), "client_auth_method": "client_secret_basic"}
    return sight(TokenClass.CLIENT_SECRET, presentation, secret, **seen)


def _user_pass(credentials: str) -> tuple[str, str]:
    try:
        decoded = b64decode(credentials, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return "", ""
    user, _, password = decoded.partition(":")
    return user, password

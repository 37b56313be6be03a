"""Credentials in a form: what a token request presents (RFC 6749 §4, §6), and how the client authenticates (§2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import BindingMethod, Presentation, TokenClass, TokenFormat

from .claims import name_of, names_of
from .sighting import Sighting, octets, sight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .request import HttpRequest

_GRANT: Final = "urn:ietf:params:oauth:grant-type:"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:"


def find_grants(request: HttpRequest) -> Iterator[Sighting]:
    """Find what a token request presents, by its ``grant_type``; and a SAML response that a browser posts."""
    form = request.form
    grant = _GRANTS.get(form.get("grant_type", ""))
    if grant:
        for sighting in grant(form):
            sighting.seen.setdefault("client_id", name_of(form.get("client_id")))
            yield sighting
    if response := form.get("SAMLResponse"):
        yield _saml(response)


def find_client_authentication(request: HttpRequest) -> Iterator[Sighting]:
    """Find the client's secret (RFC 6749 §2.3.1) and its assertion (RFC 7521 §4.2) in a form."""
    form = request.form
    client_id = name_of(form.get("client_id"))
    if secret := form.get("client_secret"):
        method = {"client_id": client_id, "client_auth_method": "client_secret_post"}
        yield sight(TokenClass.CLIENT_SECRET, Presentation.FORM_BODY, secret, **method)
    if assertion := form.get("client_assertion"):
        yield _client_assertion(assertion, form.get("client_assertion_type"), client_id)


def _client_assertion(assertion: str, kind: str | None, client_id: str | None) -> Sighting:
    """Sight an assertion: a JWT (RFC 7523 §2.2), signed by key or by secret, or SAML (RFC 7522 §2.2)."""
    if kind == f"{_ASSERTION}saml2-bearer":
        return _saml(assertion)
    sighting = sight(TokenClass.CLIENT_ASSERTION, Presentation.FORM_BODY, assertion)
    algorithm = sighting.seen.get("alg") or ""
    sighting.seen["client_auth_method"] = "client_secret_jwt" if algorithm.startswith("HS") else "private_key_jwt"
    if sighting.stated.get("client_id") is None:
        sighting.stated["client_id"] = client_id or sighting.stated.get("subject")
    sighting.presented = sighting.mechanism = BindingMethod.CLIENT_AUTHENTICATION
    return sighting


def _refresh_token(form: Mapping[str, str]) -> Iterator[Sighting]:
    yield from _parameter(form, "refresh_token", TokenClass.REFRESH_TOKEN)


def _authorization_code(form: Mapping[str, str]) -> Iterator[Sighting]:
    """Sight a code. That ``names`` holds ``code_verifier`` says that PKCE was used (RFC 7636 §4.5)."""
    names = names_of(name for name in ("code_verifier",) if form.get(name))
    yield from _parameter(form, "code", TokenClass.AUTHORIZATION_CODE, names=names)


def _token_exchange(form: Mapping[str, str]) -> Iterator[Sighting]:
    """Sight the tokens of an exchange (RFC 8693 §2.1). ``names`` holds the parameter and the type it states."""
    for role in ("subject_token", "actor_token"):
        names = names_of([role, form.get(f"{role}_type")])
        yield from _parameter(form, role, TokenClass.TOKEN_EXCHANGE, names=names)


def _device_code(form: Mapping[str, str]) -> Iterator[Sighting]:
    yield from _parameter(form, "device_code", TokenClass.DEVICE_CODE)


def _saml_bearer(form: Mapping[str, str]) -> Iterator[Sighting]:
    if assertion := form.get("assertion"):
        yield _saml(assertion)


def _jwt_bearer(form: Mapping[str, str]) -> Iterator[Sighting]:
    """Sight an assertion that is exchanged for a token (RFC 7523 §2.1): a JWT of no profile, which anybody can use."""
    yield from _parameter(form, "assertion", TokenClass.JWT_UNPROFILED)


def _password(form: Mapping[str, str]) -> Iterator[Sighting]:
    """Sight the password of a user (RFC 6749 §4.3), for which the catalogue has no class."""
    yield from _parameter(form, "password", TokenClass.UNKNOWN, names=("password",))


def _parameter(form: Mapping[str, str], name: str, token_class: TokenClass, **seen: Any) -> Iterator[Sighting]:
    if secret := form.get(name):
        yield sight(token_class, Presentation.FORM_BODY, secret, **seen)


def _saml(assertion: str) -> Sighting:
    """Sight a SAML assertion, by its text as it was sent. The XML is not read: it is hostile, and not needed."""
    seen = {"format": TokenFormat.SAML}
    return Sighting(TokenClass.SAML_ASSERTION, Presentation.FORM_BODY, octets(assertion), seen)


_GRANTS: Final[Mapping[str, Callable[[Mapping[str, str]], Iterator[Sighting]]]] = {
    "refresh_token": _refresh_token,
    "authorization_code": _authorization_code,
    "password": _password,
    f"{_GRANT}token-exchange": _token_exchange,
    f"{_GRANT}device_code": _device_code,
    f"{_GRANT}saml2-bearer": _saml_bearer,
    f"{_GRANT}jwt-bearer": _jwt_bearer,
}

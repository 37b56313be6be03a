"""Where secrets stand: names of headers, parameters and JSON members, as data, and the context that some need.

The first line of redaction. A position is known before any secret of that kind was ever seen, so that opaque tokens
and passwords, which no pattern recognises, are removed as well. Names are compared without case, with ``-``, ``_``
and camelCase alike.

1. Some names always hold a secret: ``password``, ``client_secret``, ``Authorization``, ``*_token``.
2. Some mean other things elsewhere (``code``, ``state``, ``key``, ``d``). ``AMBIGUOUS`` lists the contexts in which
   each one is a secret: among the members of a JWK, beside other OAuth members, in a form or query, among headers.
3. Without a context, a few of those (``token``, ``signature`` …) are still removed if the value looks the part: a
   random string; a ``pin`` of four digits; an ``auth`` that is name and password in base64. ``"token": "none"``
   and ``"token": 512`` stay.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from .encoded import is_encoded_pair

Position: TypeAlias = str | frozenset[str] | None
"""What a name says: the rule that removes its value; or the contexts that it takes to be a secret; or nothing."""

AUTHORIZATION: Final = frozenset({"authorization", "proxy_authorization"})
"""Headers whose value is a scheme and a credential (RFC 9110 §11.6.2, §11.7.1)."""

SCHEMES: Final = (
    "apikey",
    "aws4-hmac-sha256",
    "basic",
    "bearer",
    "digest",
    "dpop",
    "gnap",
    "hoba",
    "mutual",
    "negotiate",
    "ntlm",
    "oauth",
    "privatetoken",
    "scram-sha-1",
    "scram-sha-256",
    "token",
    "vapid",
)
"""Authentication schemes, which are kept: IANA's register and those in wide use beside it."""

COOKIES: Final = {"cookie": "cookie", "set_cookie": "set_cookie", "set_cookie2": "set_cookie"}
"""Headers whose value is a list of cookies (RFC 6265 §4.1, §4.2)."""

COOKIE_ATTRIBUTES: Final = frozenset(
    {"domain", "expires", "httponly", "max-age", "partitioned", "path", "priority", "samesite", "secure"}
)
"""What follows the cookie in ``Set-Cookie`` and is no secret (RFC 6265 §4.1.2)."""

SECRET_HEADERS: Final = frozenset(
    {
        "api_key",
        "client_cert",
        "client_cert_chain",
        "dpop_nonce",
        "mcp_session_id",
        "oauth_client_attestation",
        "oauth_client_attestation_pop",
        "ocp_apim_subscription_key",
        "private_token",
        "txn_token",
        "workload_identity_token",
        "workload_proof_token",
        "x_amz_security_token",
        "x_api_key",
        "x_auth_token",
        "x_csrf_token",
        "x_github_token",
        "x_goog_api_key",
        "x_vault_token",
    }
)
"""Headers whose whole value is a credential, or personal (RFC 9440)."""

SECRET_MEMBERS: Final = frozenset(
    {
        "access_token",
        "actor_token",
        "api_key",
        "api_keys",
        "apikey",
        "apikeys",
        "auth_code",
        "authorization_code",
        "authorization_details",
        "backup_code",
        "backup_codes",
        "client_assertion",
        "client_key_data",
        "client_secret",
        "code_verifier",
        "cookie_jar",
        "cookies",
        "csrfmiddlewaretoken",
        "cvc",
        "cvv",
        "device_code",
        "id_token",
        "id_token_hint",
        "jsessionid",
        "logout_token",
        "mfa_code",
        "mysql_pwd",
        "one_time_code",
        "otp",
        "otp_code",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pgpassword",
        "phpsessid",
        "pin_code",
        "pincode",
        "private_key",
        "pwd",
        "recovery_code",
        "recovery_codes",
        "rediscli_auth",
        "refresh_token",
        "registration_access_token",
        "samlart",
        "samlrequest",
        "samlresponse",
        "secret",
        "secret_access_key",
        "secrets",
        "security_code",
        "session_state",
        "shared_access_signature",
        "sms_code",
        "software_statement",
        "sshpass",
        "subject_token",
        "totp",
        "user_code",
        "verification_code",
        "x_amz_credential",
        "x_amz_signature",
        "x_goog_credential",
        "x_goog_signature",
    }
)
"""Parameters and JSON members that hold a secret wherever they stand."""

SECRET_ENDINGS: Final = (
    "_access_key",
    "_account_key",
    "_api_key",
    "_apikey",
    "_auth_key",
    "_encryption_key",
    "_master_key",
    "_passcode",
    "_passphrase",
    "_passwd",
    "_password",
    "_passwords",
    "_pin_code",
    "_private_key",
    "_secret",
    "_secret_key",
    "_secrets",
    "_shared_key",
    "_signing_key",
    "_token",
)
"""Endings that make any name one of a secret: ``GITHUB_TOKEN``, ``db_password``, ``stripeSecretKey``. By itself each is
one too, except those that are ambiguous."""

_IN_OAUTH = frozenset({"oauth", "form", "header", "opaque"})
_IN_FORM = frozenset({"form", "header"})

AMBIGUOUS: Final[dict[str, frozenset[str]]] = {
    "_auth": frozenset({"basic"}),
    "assertion": _IN_OAUTH,
    "auth": frozenset({"basic"}),
    "bearer": frozenset({"opaque"}),
    "code": frozenset({"oauth", "form"}),
    "credential": frozenset({"opaque"}),
    "credentials": frozenset({"opaque"}),
    "d": frozenset({"jwk"}),
    "dp": frozenset({"jwk"}),
    "dpop": _IN_FORM,
    "dq": frozenset({"jwk"}),
    "jwe": frozenset({"cnf"}),
    "k": frozenset({"jwk"}),
    "key": _IN_FORM,
    "nonce": _IN_OAUTH,
    "oth": frozenset({"jwk"}),
    "p": frozenset({"jwk"}),
    "pin": frozenset({"form", "digits"}),
    "q": frozenset({"jwk"}),
    "qi": frozenset({"jwk"}),
    "request": frozenset({"oauth", "form"}),
    "sig": _IN_FORM | {"opaque"},
    "signature": _IN_FORM | {"opaque"},
    "signature_input": frozenset({"header"}),
    "state": frozenset({"oauth", "form"}),
    "token": _IN_OAUTH,
    "tokens": frozenset({"opaque"}),
}
"""Names that are a secret only in these contexts. JWK members: RFC 7518 §6.2.2, §6.3.2, §6.4."""

_HEADER_ENDINGS = ("_key", "_signature")

OAUTH_SIBLINGS: Final = frozenset(
    {
        "access_token",
        "client_assertion_type",
        "client_id",
        "client_secret",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "expires_in",
        "grant_type",
        "redirect_uri",
        "refresh_token",
        "requested_token_type",
        "response_type",
        "subject_token_type",
        "token_type",
        "token_type_hint",
    }
)
"""Members beside which ``token``, ``code``, ``state`` … are those of OAuth (RFC 6749, 7009, 7636, 7662, 8693)."""

FORMS: Final = frozenset(
    {"form", "form_data", "formdata", "fragment", "params", "query", "query_parameters", "query_params", "query_string"}
)
"""Members that hold the parameters of a form, a query or a fragment."""

_OPAQUE = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9._~+/-]{16,}={0,2}")
_DIGITS = re.compile(r"[0-9]{4,12}")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def position_of(name: str) -> Position:
    """Return what a member's name says about its value."""
    return next((position for each in spellings(name) if (position := _classified(each)) is not None), None)


def spellings(name: str) -> tuple[str, ...]:
    """Return the forms in which a name is compared: lower case, words joined with ``_``; humps may be words or not."""
    plain = name.lower().replace("-", "_")
    if name.islower() or name.isupper():
        return (plain,)
    return plain, _HUMP.sub("_", name).lower().replace("-", "_")


def _classified(name: str) -> Position:
    if name in AUTHORIZATION:
        return "authorization"
    if name in SECRET_HEADERS:
        return "header"
    position = COOKIES.get(name) or AMBIGUOUS.get(name)
    if position:
        return position
    if name in SECRET_MEMBERS or f"_{name}".endswith(SECRET_ENDINGS):
        return "member"
    if name.endswith("_pin"):
        return AMBIGUOUS["pin"]
    return frozenset({"header"}) if name.endswith(_HEADER_ENDINGS) else None


def hint_of(name: str) -> frozenset[str]:
    """Return the contexts in which the members beside one of this name stand."""
    forms = spellings(name)
    holding = [
        *(["jwk"] if "kty" in forms else []),
        *(["oauth"] if not OAUTH_SIBLINGS.isdisjoint(forms) else []),
        *(["header"] if not _TELLING_HEADERS.isdisjoint(forms) else []),
    ]
    return frozenset(holding)


def inner_of(name: str) -> frozenset[str]:
    """Return the contexts in which the members within one of this name stand."""
    forms = spellings(name)
    holding = [
        *(["form"] if not FORMS.isdisjoint(forms) else []),
        *(["header"] if forms[0].endswith(_HEADER_MAPS) else []),
        *(["cnf"] if "cnf" in forms else []),
    ]
    return frozenset(holding)


_HEADER_MAPS = ("header", "headers", "trailers")
_TELLING_HEADERS = AUTHORIZATION | frozenset(COOKIES)


def looks_opaque(text: str) -> bool:
    """Whether ``text`` looks like a random string: 16 or more token characters, with letters and digits."""
    return _OPAQUE.fullmatch(text) is not None


def looks_basic(text: str) -> bool:
    """Whether ``text`` is a random string, or a name and a password in base64 (RFC 7617 §2), however short."""
    return looks_opaque(text) or is_encoded_pair(text)


def looks_like_digits(text: str) -> bool:
    """Whether ``text`` is a number of 4 to 12 digits."""
    return _DIGITS.fullmatch(text) is not None


LOOKS: Final = {"basic": looks_basic, "digits": looks_like_digits, "opaque": looks_opaque}
"""What a value must look like to be removed by one of these rules."""

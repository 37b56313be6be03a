"""The credential itself, as facts: what it was, whom it was for, and how long it was good."""

from __future__ import annotations

from pydantic import Field

from .part import Part
from .values import Count, Fingerprint, Name, Thumbprint, Time, Uri
from .vocabulary import Basis, Presentation, TokenClass, TokenFormat


class Lifetime(Part):
    """When the credential is good. Opaque tokens do not show it; absent means unknown, not unlimited."""

    issued_at: Time | None = None
    """``iat`` (RFC 7519 §4.1.6)."""
    not_before: Time | None = None
    """``nbf`` (RFC 7519 §4.1.5)."""
    expires_at: Time | None = None
    """``exp`` (RFC 7519 §4.1.4), or the moment of issue plus ``expires_in`` (RFC 6749 §5.1)."""
    seconds: Count | None = None
    """Whole seconds from issue to expiry; never negative."""


class Confirmation(Part):
    """The ``cnf`` member: which key the token is bound to (RFC 7800 §3.1)."""

    jkt: Thumbprint | None = None
    """Thumbprint of the DPoP public key (RFC 9449 §6.1)."""
    x5t_s256: Thumbprint | None = None
    """``x5t#S256``: SHA-256 of the DER certificate (RFC 8705 §3.1)."""
    kid: Name | None = None
    """Key id within the issuer's keys (RFC 7800 §3.4)."""
    members: tuple[Name, ...] = ()
    """Names of all members present; more than one key member is ambiguous (RFC 7800 §3)."""


class Token(Part):
    """A credential as it was presented. Holds a fingerprint and public facts, never the credential."""

    token_class: TokenClass = TokenClass.UNKNOWN
    """Which kind of credential."""
    format: TokenFormat = TokenFormat.UNKNOWN
    """How it is written down."""
    fingerprint: Fingerprint | None = None
    """Which credential: equal within a deployment for equal credentials."""
    issuer: Name | None = None
    """``iss`` (RFC 7519 §4.1.1): who issued it."""
    subject: Name | None = None
    """``sub`` (RFC 7519 §4.1.2): on whose behalf."""
    client_id: Name | None = None
    """The OAuth client it was issued to (RFC 9068 §2.2, RFC 7662 §2.2)."""
    audience: tuple[Name, ...] = ()
    """``aud`` (RFC 7519 §4.1.3): for which resource servers it is meant. An authorization server may map RFC 8707's
    ``resource`` to another identifier."""
    scopes: tuple[Name, ...] = ()
    """``scope``, split at spaces (RFC 6749 §3.3)."""
    lifetime: Lifetime = Lifetime()
    """When it is good."""
    confirmation: Confirmation = Confirmation()
    """To which key it is bound, as the token says."""
    presentation: Presentation = Presentation.UNKNOWN
    """Where in the request it stood."""
    methods: tuple[Presentation, ...] = ()
    """All the ways in which the request presented credentials. An access token sent in more than one way is forbidden
    (RFC 6750 §2)."""
    basis: Basis = Basis.UNKNOWN
    """How these facts are known: from verified claims, from claims read without trust, from introspection …"""
    typ: Name | None = None
    """The literal ``typ`` of a JOSE header (RFC 7515 §4.1.9), such as ``at+jwt``."""
    alg: Name | None = None
    """The literal ``alg`` of a JOSE header (RFC 7515 §4.1.1)."""
    key_id: Name | None = None
    """A public identifier of the key behind it: ``kid`` of a JWT, the access key id of SigV4, ``keyid`` of RFC 9421."""
    prefix: Name | None = Field(default=None, max_length=8)
    """The public prefix of an API key, up to 8 characters, such as ``ghp_``."""
    jti: Name | None = None
    """``jti`` (RFC 7519 §4.1.7): the issuer's identifier of an access token."""
    names: tuple[Name, ...] = ()
    """Public names that go with it: cookies, signed headers, covered components, an environment variable."""
    client_auth_method: Name | None = None
    """``client_secret_basic``, ``client_secret_post``, ``private_key_jwt`` … (OpenID Connect Core §9)."""
    authorization_server: Uri | None = None
    """Where it came from, if not from ``iss``."""

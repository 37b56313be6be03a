"""What a resource server demands of a request, and what it decides.

::

    server = ResourceServer(
        "https://api.example",
        issuers={"https://as.example": jwks},
        scopes={"GET /mail/{id}": "mail:read", "/health": None},
    )
    app = AuditMiddleware(app, log, resource="https://api.example", verify=server)

1. A request presents one access token, in ``Authorization``. Several are refused, whichever of them might be good
   (RFC 6750 §2); one in a form or in the query counts for none (RFC 9700 §4.3.2).
2. A JWT of a trusted issuer is checked here; any other token is asked for by introspection, if that is configured.
3. What a token is bound to is demanded: a proof under ``DPoP``, the certificate, or both. A bound token sent as
   ``Bearer`` is refused (RFC 9449 §7.2). An unbound one is taken as ``Bearer``, unless ``demands`` says otherwise.
4. Every check runs and is recorded, also where the first already decided.
5. What cannot be checked is refused, with 503: no keys, no introspection, a store of proofs that is full.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from counterfoil.schemas import (
    BindingMethod,
    Check,
    CheckId,
    CheckOutcome,
    ConfigurationError,
    HtuSource,
    Proof,
    ProofResult,
)

from ..capture.jose import read_compact
from .access_token import inspect_access_token
from .challenges import INSUFFICIENT_SCOPE, INVALID_REQUEST, UNAVAILABLE, Challenger
from .introspection import inspect_introspection
from .issuer_keys import Fetch, KeySource
from .metadata import metadata_location, metadata_path
from .possession import Dpop, Presented, inspect_possession, possession_error, possession_proof, shown_by
from .presented import TokenMethod, presented_tokens
from .scopes import Scopes, path_of, scopes_by, scopes_of
from .token_claims import TokenPolicy
from .verdict import Refusal, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from ..capture import HttpRequest
    from .token_claims import TokenInspection
    from .verdict import Headers

Introspect: TypeAlias = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Asks the authorization server about a token, and returns its answer as parsed JSON (RFC 7662 §2.2)."""

_STATUS: Final = {None: 401, INVALID_REQUEST: 400, INSUFFICIENT_SCOPE: 403, UNAVAILABLE: 503}
_B64TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
_PATIENCE: Final = 5.0
_WITHOUT_STORE: Final = Dpop(replay=None)
_SEVERAL: Final = Check(
    id=CheckId.DPOP_SINGLE_TOKEN_METHOD, outcome=CheckOutcome.FAIL, expected="1", observed="several"
)
_DPOP_ALONE: Final = frozenset({BindingMethod.DPOP})
_BINDINGS: Final = frozenset({BindingMethod.DPOP, BindingMethod.MTLS})


class ResourceServer:
    """Decides about requests (RFC 6750, 7662, 8705, 9068, 9449, 9728). It keeps no token.

    ``resource``
        The server's own identifier, which ``aud`` has to name; ``audiences`` are others that it answers to.
    ``issuers``
        The trusted issuers by their exact ``iss``, each with its JWK Set, a function that fetches it, or a
        ``KeySource``.
    ``introspect``
        Asks about tokens that are no JWT of such an issuer.
    ``scopes``
        What a request needs, for all or by route; a route with None is open to everybody.
    ``dpop``
        How proofs are taken; None: the scheme ``DPoP`` is not offered, and tokens bound to a key are refused.
    ``demands``
        Of ``dpop`` and ``mtls``, by which a token has to be bound; empty: a bearer token is good enough.
    ``metadata_url``
        Where the metadata stands, for challenges. With ``serve_metadata`` it is where RFC 9728 puts it, and served.
    ``name``
        Who checked, in the record; the resource, unless given.

    Raises ``ConfigurationError`` for demands that nothing could meet, and ``MissingExtra``.
    """

    def __init__(  # noqa: PLR0913 -- one keyword a demand
        self,
        resource: str,
        *,
        audiences: Collection[str] = (),
        issuers: Mapping[str, Mapping[str, Any] | Fetch | KeySource] | None = None,
        introspect: Introspect | None = None,
        introspection_needs_audience: bool = True,
        scopes: Scopes = (),
        dpop: Dpop | None = None,
        demands: Collection[BindingMethod] = (),
        policy: TokenPolicy | None = None,
        metadata_url: str | None = None,
        serve_metadata: bool = False,
        name: str | None = None,
    ) -> None:
        if not issuers and introspect is None:
            raise ConfigurationError("a resource server needs an issuer with its keys, or a way to introspect")
        if not _BINDINGS.issuperset(demands) or (dpop is None and BindingMethod.DPOP in demands):
            raise ConfigurationError("demands are some of dpop, which needs the option dpop, and mtls")
        self.accepted_audiences = tuple(dict.fromkeys((resource, *audiences)))
        self.metadata_url = metadata_location(resource) if serve_metadata else metadata_url
        self._served_at = metadata_path(resource) if serve_metadata else None
        self._issuers = {
            issuer: keys if isinstance(keys, KeySource) else KeySource(keys) for issuer, keys in (issuers or {}).items()
        }
        self._introspect = introspect
        self._introspection_needs_audience = introspection_needs_audience
        self._needed = scopes_by(scopes)
        self._scopes = scopes_of(scopes)
        self._dpop = dpop
        self._demands = frozenset(demands)
        self._policy = policy or TokenPolicy()
        self._name = name or resource
        self._challenger = Challenger(
            bearer=not self._demands or BindingMethod.MTLS in self._demands,
            dpop_algorithms=tuple(sorted(dpop.policy.algorithms)) if dpop else (),
            metadata_url=self.metadata_url,
        )

    def metadata(self) -> dict[str, Any]:
        """Return what the server says of itself (RFC 9728 §2)."""
        said: dict[str, Any] = {
            "resource": self.accepted_audiences[0],
            "authorization_servers": list(self._issuers),
            "scopes_supported": list(self._scopes),
            "bearer_methods_supported": ["header"] if self._challenger.bearer else [],
            "dpop_signing_alg_values_supported": list(self._challenger.dpop_algorithms),
            "tls_client_certificate_bound_access_tokens": BindingMethod.MTLS in self._demands,
            "dpop_bound_access_tokens_required": self._demands == _DPOP_ALONE,
        }
        return {name: value for name, value in said.items() if value}

    async def decide(
        self,
        request: HttpRequest,
        *,
        now: datetime,
        certificate: bytes | None = None,
        trusted_hop: bool = False,
        htu_source: HtuSource = HtuSource.UNKNOWN,
    ) -> Verdict:
        """Check what a request presents. Raises nothing, whatever that is, and whatever the caller's functions do.

        ``now`` needs a zone. ``certificate`` is the client's, DER, from the TLS layer; ``trusted_hop`` says that the
        peer is a proxy of ours, whose ``Client-Cert`` counts instead; ``htu_source`` says where the target URI is from.
        """
        if self._served_at and path_of(request) == self._served_at and request.method in {"GET", "HEAD"}:
            return Verdict(document=json.dumps(self.metadata()).encode("ascii"))
        try:
            needed = self._needed(request)
        except Exception:  # noqa: BLE001 -- the caller's function: what is needed is not known, so nothing passes
            return Verdict(self._refusal(UNAVAILABLE))
        if needed is None:
            return Verdict()
        tokens = presented_tokens(request)
        if len(tokens) > 1 or len(request.values("authorization")) > 1:
            proof = Proof(result=ProofResult.FAIL, checks=(_SEVERAL,), checked_by=self._name)
            return Verdict(self._refusal(INVALID_REQUEST), proof)
        for each in tokens:
            if each.method is TokenMethod.BEARER or (each.method is TokenMethod.DPOP and self._dpop):
                token = await self._inspected(each.token, needed, now)
                presented = Presented(request, each.method, now, certificate, trusted_hop, htu_source)
                return await self._judge(presented, token, needed)
        return Verdict(self._refusal(None, scopes=needed))

    async def _inspected(self, token: str, needed: Collection[str], now: datetime) -> TokenInspection:
        """Check the token itself: here if it is a JWT of an issuer that is trusted, else by asking."""
        jose = read_compact(token)
        claims = (jose.claims if jose else None) or {}
        issuer = claims.get("iss")
        source = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if source is None and self._introspect is not None:
            well_formed = len(token) <= self._policy.max_token and _B64TOKEN.fullmatch(token)
            return inspect_introspection(
                await _asked(self._introspect, token) if well_formed else {"active": False},
                issuers=self._issuers,
                audiences=self.accepted_audiences,
                now=now,
                scopes=needed,
                audience_required=self._introspection_needs_audience,
                policy=self._policy,
            )
        kid = jose.header.get("kid") if jose else None
        return inspect_access_token(
            token,
            await source.keys(kid if isinstance(kid, str) else None) if source else None,
            issuer=issuer if source and isinstance(issuer, str) else next(iter(self._issuers)),
            audiences=self.accepted_audiences,
            now=now,
            scopes=needed,
            policy=self._policy,
        )

    async def _judge(self, presented: Presented, token: TokenInspection, needed: Collection[str]) -> Verdict:
        """Check what the token is bound to, and decide."""
        found = await inspect_possession(presented, token, self._dpop or _WITHOUT_STORE, self._demands)
        proof = possession_proof(token, found, self._name)
        error = token.error or possession_error(found) or (None if token.in_scope else INSUFFICIENT_SCOPE)
        nonces = self._dpop.nonces if self._dpop and presented.method is TokenMethod.DPOP else None
        nonce = (("DPoP-Nonce", nonces.issue(presented.now)),) if nonces else ()
        if error:
            refusal = self._refusal(error, used=presented.method, scopes=needed, headers=nonce)
            return Verdict(refusal, proof, facts=token.facts)
        return Verdict(None, proof, shown_by(found), token.facts, token.claims, nonce)

    def _refusal(
        self, error: str | None, *, used: str = "", scopes: Collection[str] = (), headers: Headers = ()
    ) -> Refusal:
        if error == UNAVAILABLE:
            return Refusal(503, error=error)
        shown = [scope for scope in scopes if scope]
        challenges = self._challenger.challenges(error, used=used, scopes=shown)
        return Refusal(_STATUS.get(error, 401), (*challenges, *headers), error)


async def _asked(introspect: Introspect, token: str) -> Mapping[str, Any] | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await introspect(token)
    except Exception:  # noqa: BLE001 -- whatever kept the answer away, nothing is known of the token
        return None

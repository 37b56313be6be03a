"""A token verifier around an MCP server's own: what was checked of a bearer token, by whom, and how each check ended.

It decides and records nothing by itself: the SDK asks it on every HTTP request, of which a call can be several. The
layer around the application (``audited_app``) asks first, so that its entries say what was checked, and the SDK gets
the same answer. Rules:

1. The token has to be meant for this server (MCP authorization, RFC 9068 §4): its audience is one of the server's own
   resource identifiers.
2. A token with ``cnf`` is refused. MCP takes only ``Bearer``, and a bound token sent so is the downgrade of RFC 9449
   §7.2.
3. A verifier that raises has refused. The SDK would answer 500.
4. A scope that is missing is recorded as a failed check, and left to the SDK, which answers 403 instead of 401.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from pydantic import AnyHttpUrl, ValidationError

from counterfoil.exporters.diagnostics import diagnostics
from counterfoil.schemas import (
    Basis,
    BindingMethod,
    Check,
    CheckId,
    CheckOutcome,
    HtuSource,
    MissingExtra,
    Proof,
    ProofResult,
    Token,
)

from ..capture import TokenFacts
from ..capture.claims import actors_of, audience_of, bound_key_of, declared_by, name_of, token_fields
from ..capture.jose import read_compact
from ..proof.inspection import plain_check, result_of, worst
from ..proof.verdict import Verdict

try:
    from mcp.server.auth.provider import AccessToken, TokenVerifier
    from mcp.server.auth.routes import build_resource_metadata_url
except ImportError:
    raise MissingExtra("mcp") from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mcp.server.auth.settings import AuthSettings

    from ..capture import HttpRequest

_BAD: Final = frozenset({CheckOutcome.FAIL, CheckOutcome.ERROR})
_TOLERATED: Final = frozenset({CheckId.TOKEN_SCOPE, CheckId.DPOP_SCHEME})  # of the latter ``accept_bound`` decides
_AFTER_ACTIVE: Final = (CheckId.TOKEN_AUDIENCE, CheckId.TOKEN_TIME, CheckId.TOKEN_SCOPE)


@runtime_checkable
class CheckingVerifier(Protocol):
    """A verifier that says how each of its checks ended, instead of yes or no. ``JwtTokenVerifier`` is one."""

    async def check_token(
        self, token: str, *, audiences: tuple[str, ...], scopes: tuple[str, ...], now: datetime
    ) -> tuple[AccessToken | None, tuple[Check, ...]]:
        """Return the token's facts, or None where they are not to be trusted, and every check that was considered.

        ``audiences`` are the server's own identifiers, the first its URL; ``scopes`` what it asks for.
        """
        ...


class _YesOrNo:
    """Makes a check of the yes or no of a ``TokenVerifier``."""

    def __init__(self, inner: TokenVerifier) -> None:
        self._inner = inner

    async def check_token(self, token: str, **_demands: Any) -> tuple[AccessToken | None, tuple[Check, ...]]:
        """Ask it."""
        access = await self._inner.verify_token(token)
        if access is None:
            return None, _inactive(CheckOutcome.FAIL)
        return access, (plain_check(CheckId.TOKEN_ACTIVE, CheckOutcome.PASS),)


@dataclass(frozen=True, slots=True, repr=False)
class _Decision:
    """What was decided about one token. Its ``repr`` shows nothing: an ``AccessToken`` holds the token."""

    about: bytes
    """SHA-256 of the token."""
    access: AccessToken | None
    """What the SDK is told; None refuses."""
    proof: Proof
    facts: TokenFacts | None = None


class AuditTokenVerifier:
    """Asks ``inner`` about each token, and refuses what MCP forbids besides.

    ``inner`` is a ``TokenVerifier`` of the SDK, whose yes or no is the check ``token.active``, or a
    ``CheckingVerifier``. ``auth`` says which resource the server is and which scopes it asks for; ``basis`` how
    ``inner`` knows: ``verified_jwt``, ``introspection`` … ``accepted_audiences`` are other identifiers of the server,
    as an authorization server may write them into ``aud``. ``accept_bound`` takes tokens with ``cnf`` all the same; the
    failed check stays on record. ``name`` is who checked.
    """

    def __init__(  # noqa: PLR0913 -- one keyword an option
        self,
        inner: TokenVerifier | CheckingVerifier,
        auth: AuthSettings,
        *,
        basis: Basis,
        accepted_audiences: Iterable[str] = (),
        accept_bound: bool = False,
        name: str | None = None,
    ) -> None:
        self._inner = inner if isinstance(inner, CheckingVerifier) else _YesOrNo(inner)
        self._basis = Basis(basis)
        self._accept_bound = accept_bound
        self._name = name_of(name or type(inner).__qualname__)
        self._scopes = tuple(auth.required_scopes or ())
        self._trusts_inner = auth.validate_token_resource is False
        own = (str(auth.resource_server_url),) if auth.resource_server_url else ()
        self.accepted_audiences = (*own, *accepted_audiences)
        """The resource identifiers of this server."""
        self._own = frozenset(map(_canonical, self.accepted_audiences))
        self.metadata_url = (
            str(build_resource_metadata_url(auth.resource_server_url)) if auth.resource_server_url else None
        )
        """Where its protected-resource metadata stands (RFC 9728 §3)."""

    async def verify_token(self, token: str) -> AccessToken | None:
        """Answer the SDK. Never raises."""
        known = _decided.get()
        if known is None or known.about != _digest(token):
            known = await self._decide(token, datetime.now(UTC))
        return known.access

    async def decide(
        self,
        request: HttpRequest,
        *,
        now: datetime,
        certificate: bytes | None = None,  # noqa: ARG002 -- MCP takes only Bearer
        trusted_hop: bool = False,  # noqa: ARG002 -- the same
        htu_source: HtuSource = HtuSource.UNKNOWN,  # noqa: ARG002 -- the same
    ) -> Verdict:
        """Say what is to be recorded of a request, before it is served. It is the SDK that refuses, and answers."""
        token = _bearer(request)
        if token is None:
            _decided.set(None)
            return Verdict()
        decision = await self._decide(token, now)
        _decided.set(decision)
        claims = decision.access.claims if decision.access else None
        return Verdict(proof=decision.proof, facts=decision.facts, claims=claims or {})

    async def _decide(self, token: str, now: datetime) -> _Decision:
        access, checks = await self._ask(token, now)
        if access is None:
            return _Decision(_digest(token), None, self._proof(checks, bound=False))
        claims = _claims_of(access, token)
        mine = (self._audience(claims), _time(access, now), self._scope(access), *_binding(claims))
        said = {check.id for check in checks}
        checks = (*checks, *(check for check in mine if check.id not in said))
        bound = "cnf" in claims
        refused = (bound and not self._accept_bound) or any(
            check.outcome in _BAD and check.id not in _TOLERATED for check in checks
        )
        facts = _facts(access, claims, self._basis)
        return _Decision(_digest(token), None if refused else access, self._proof(checks, bound=bound), facts)

    async def _ask(self, token: str, now: datetime) -> tuple[AccessToken | None, tuple[Check, ...]]:
        try:
            return await self._inner.check_token(token, audiences=self.accepted_audiences, scopes=self._scopes, now=now)
        except Exception as error:  # noqa: BLE001 -- fail closed; its message may show the token
            diagnostics().error("a token could not be verified", error=type(error).__name__)
            return None, _inactive(CheckOutcome.ERROR)

    def _audience(self, claims: Mapping[str, Any]) -> Check:
        """Compare as URLs, as the SDK does. Where nobody says whom it is for, only a verifier that looked can tell."""
        audience = audience_of(claims.get("aud"))
        if not self.accepted_audiences or (not audience and self._trusts_inner):
            return plain_check(CheckId.TOKEN_AUDIENCE, CheckOutcome.NOT_PERFORMED)
        if not self._own.isdisjoint(map(_canonical, audience)):
            return plain_check(CheckId.TOKEN_AUDIENCE, CheckOutcome.PASS)
        return _failure(CheckId.TOKEN_AUDIENCE, " ".join(self.accepted_audiences), " ".join(audience))

    def _scope(self, access: AccessToken) -> Check:
        if not self._scopes:
            return plain_check(CheckId.TOKEN_SCOPE, CheckOutcome.NOT_APPLICABLE)
        if set(self._scopes) <= set(access.scopes):
            return plain_check(CheckId.TOKEN_SCOPE, CheckOutcome.PASS)
        return _failure(CheckId.TOKEN_SCOPE, " ".join(self._scopes), " ".join(access.scopes))

    def _proof(self, checks: tuple[Check, ...], *, bound: bool) -> Proof:
        due = ProofResult.NOT_PERFORMED if bound else ProofResult.NOT_APPLICABLE
        return Proof(
            mechanism=BindingMethod.NONE,
            result=worst((due, result_of(checks))),
            checks=checks,
            checked_by=self._name,
        )


_decided: ContextVar[_Decision | None] = ContextVar("counterfoil_mcp_decision", default=None)


def _bearer(request: HttpRequest) -> str | None:
    """Return the token that the SDK will ask about."""
    value = next(iter(request.values("authorization")), "")
    return value[7:] if value[:7].lower() == "bearer " else None


def _claims_of(access: AccessToken, token: str) -> dict[str, Any]:
    """Return the claims as the verifier knows them; ``cnf`` also where only the token itself has it."""
    claims = dict(access.claims or {})
    said = {
        "client_id": access.client_id,
        "scope": list(access.scopes),
        "sub": access.subject,
        "exp": access.expires_at,
    }
    claims |= {name: value for name, value in said.items() if value is not None}
    if claims.get("aud") is None:
        claims["aud"] = access.resource
    jose = None if "cnf" in claims else read_compact(token)
    if jose and jose.claims and "cnf" in jose.claims:
        claims["cnf"] = jose.claims["cnf"]
    return claims


def _facts(access: AccessToken, claims: Mapping[str, Any], basis: Basis) -> TokenFacts:
    silent = access.claims is None and "cnf" not in claims  # then nobody said that it is not bound
    declared = BindingMethod.UNKNOWN if silent else declared_by(claims)
    token = Token(**token_fields(claims), basis=basis)
    return TokenFacts(token, declared, bound_key_of(claims), actors=actors_of(claims))


def _time(access: AccessToken, now: datetime) -> Check:
    if access.expires_at is None:
        return plain_check(CheckId.TOKEN_TIME, CheckOutcome.NOT_PERFORMED)
    good = now.timestamp() < access.expires_at
    return plain_check(CheckId.TOKEN_TIME, CheckOutcome.PASS if good else CheckOutcome.FAIL)


def _binding(claims: Mapping[str, Any]) -> tuple[Check, ...]:
    """Say what a bound token that is sent as ``Bearer`` lacks."""
    found: list[Check] = []
    cnf = claims.get("cnf")
    if isinstance(cnf, dict) and "jkt" in cnf:
        found.append(_failure(CheckId.DPOP_SCHEME, "DPoP", "Bearer"))
    if isinstance(cnf, dict) and "x5t#S256" in cnf:
        found.append(plain_check(CheckId.MTLS_X5T_MATCH, CheckOutcome.NOT_PERFORMED))
    return tuple(found)


def _inactive(outcome: CheckOutcome) -> tuple[Check, ...]:
    skipped = (plain_check(each, CheckOutcome.NOT_PERFORMED) for each in _AFTER_ACTIVE)
    return plain_check(CheckId.TOKEN_ACTIVE, outcome), *skipped


def _failure(check_id: CheckId, expected: str, observed: str) -> Check:
    return Check(id=check_id, outcome=CheckOutcome.FAIL, expected=name_of(expected), observed=name_of(observed))


def _canonical(identifier: str) -> str:
    try:
        return str(AnyHttpUrl(identifier)).removesuffix("/")
    except ValidationError:
        return identifier


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()

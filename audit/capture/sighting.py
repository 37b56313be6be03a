"""A credential as one place of a request shows it, before it becomes the parts of a record.

Each finder (``authorization``, ``forms``, ``headers``, ``signatures``, ``cookies``, ``certificate``) returns
sightings; ``credentials`` settles what only the whole request tells, and turns each into a ``Credential``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from counterfoil.schemas import (
    Basis,
    Binding,
    BindingMethod,
    CertificateSource,
    Check,
    Fingerprint,
    FingerprintKey,
    Presentation,
    Proof,
    ProofResult,
    Thumbprint,
    Token,
    TokenClass,
    TokenFormat,
)

from .claims import actors_of, bound_key_of, declared_by, name_of, token_fields
from .jose import Jose, read_compact

if TYPE_CHECKING:
    from .proofs import ProofMark

ACCESS_CLASSES: Final = frozenset(
    {
        TokenClass.BEARER_OPAQUE,
        TokenClass.BEARER_JWT_AT,
        TokenClass.JWT_UNPROFILED,
        TokenClass.DPOP_BOUND_ACCESS,
        TokenClass.MTLS_BOUND_ACCESS,
        TokenClass.DUAL_BOUND_ACCESS,
        TokenClass.TXN_TOKEN,
        TokenClass.ID_TOKEN,
        TokenClass.JWT_SVID,
    }
)
"""The classes that are presented as access tokens. Only of these is ``jti`` kept: elsewhere it marks a proof."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential that a request shows, as facts. It does not hold the credential."""

    token: Token
    """What it is."""
    binding: Binding
    """What ties it to its sender: declared by the token, presented by the sender. Nothing is verified here."""
    proof: Proof
    """The proof that came with it, unchecked."""
    actors: tuple[str, ...] = field(default=(), repr=False)
    """``act`` of its claims, the current actor first (RFC 8693 §4.1): for ``Principal.actors``."""


@dataclass(slots=True, repr=False)
class Sighting:
    """One credential in one place. Its ``repr`` shows nothing, since it still holds the secret."""

    token_class: TokenClass
    presentation: Presentation
    secret: bytes | None
    """What the fingerprint is made of."""
    seen: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of ``Token`` that the request shows."""
    stated: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of ``Token`` that the credential states of itself, or that facts state of it; with their basis."""
    declared: BindingMethod = BindingMethod.UNKNOWN
    presented: BindingMethod = BindingMethod.NONE
    key: Thumbprint | None = None
    mechanism: BindingMethod = BindingMethod.NONE
    mark: ProofMark | None = None
    checks: tuple[Check, ...] = ()
    certificate_source: CertificateSource = CertificateSource.UNKNOWN
    actors: tuple[str, ...] = ()

    def credential(self, key: FingerprintKey, methods: tuple[Presentation, ...]) -> Credential:
        """Return the parts of the record."""
        stated = self.stated if self.token_class in ACCESS_CLASSES else self.stated | {"jti": None}
        token = Token(
            **(self.seen | stated),
            token_class=self.token_class,
            fingerprint=Fingerprint.of(self.secret, key) if self.secret else None,
            presentation=self.presentation,
            methods=methods,
        )
        return Credential(token, self._binding(), self._proof(), self.actors)

    def _binding(self) -> Binding:
        unknown = self.presented is BindingMethod.UNKNOWN
        return Binding(
            declared=self.declared,
            presented=self.presented,
            method=self.declared if unknown else self.presented,
            key_thumbprint=self.key,
        )

    def _proof(self) -> Proof:
        return Proof(
            mechanism=self.mechanism,
            result=self._proof_result(),
            checks=self.checks,
            proof_digest=self.mark.digest if self.mark else None,
            proof_id=self.mark.proof_id if self.mark else None,
            certificate_source=self.certificate_source,
        )

    def _proof_result(self) -> ProofResult:
        """Say ``not_applicable`` only of a bearer credential: of a bound token, a missing proof was not checked."""
        bound = self.declared not in {BindingMethod.NONE, BindingMethod.UNKNOWN}
        if self.mechanism is BindingMethod.NONE and not bound:
            return ProofResult.NOT_APPLICABLE
        return ProofResult.NOT_PERFORMED


def sight(token_class: TokenClass, presentation: Presentation, secret: str, **seen: Any) -> Sighting:
    """Sight a credential that is sent as it is, and read it, without trust, where it is a JWT."""
    return sight_jose(token_class, presentation, secret, read_compact(secret), **seen)


def sight_jose(
    token_class: TokenClass, presentation: Presentation, secret: str, jose: Jose | None, **seen: Any
) -> Sighting:
    """Sight a credential that was already read as a JWT; ``jose`` is None where it is none."""
    sighting = Sighting(token_class, presentation, octets(secret), {"format": TokenFormat.OPAQUE, **seen})
    if jose is None:
        return sighting
    sighting.seen |= {
        "format": TokenFormat.JWE if jose.claims is None else TokenFormat.JWT,
        "typ": name_of(jose.header.get("typ")),
        "alg": name_of(jose.header.get("alg")),
        "key_id": name_of(jose.header.get("kid")),
    }
    if jose.claims is not None:
        sighting.stated = {**token_fields(jose.claims), "basis": Basis.UNVERIFIED_CLAIMS}
        sighting.declared = BindingMethod.UNKNOWN if jose.ambiguous else declared_by(jose.claims)
        sighting.key = bound_key_of(jose.claims)
        sighting.actors = actors_of(jose.claims)
    return sighting


def octets(text: str) -> bytes:
    """Return the bytes that a decoded text stood for: surrogate escapes become the bytes they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
